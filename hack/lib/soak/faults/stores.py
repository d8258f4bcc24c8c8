"""Faults of the store, each while a ModelCache is made of new objects: it becomes Ready when the fault is over at the latest, with the
store's bytes. No request may notice."""
from soak.fault import Fault

GETS = {"method": "GET"}
PLANS: dict[str, dict] = {
    "store refuses half": {"rules": [{"match": GETS | {"probability": 0.25}, "action": {"status": 503, "qosDelayMs": 200}},
                                     {"match": GETS | {"probability": 0.25}, "action": {"status": 500}}]},
    "store breaks off": {"rules": [{"match": GETS | {"probability": 0.2}, "action": {"resetAfter": 100_000}},
                                   {"match": GETS | {"probability": 0.2}, "action": {"truncateAfter": 50_000}}]},
    "store sends wrong bytes": {"rules": [{"match": GETS | {"probability": 0.2, "ranged": True}, "action": {"flipByte": 3 << 20}},
                                          {"match": GETS | {"probability": 0.1, "ranged": True}, "action": {"wrongContentRange": True}}]},
    "store is slow": {"rules": [{"match": GETS | {"probability": 0.1}, "action": {"stallAfter": 10_000, "stallSeconds": 8}}], "bandwidth": 2e6},
    "store away": {"rules": [{"action": {"status": 503}}]},
}


def begins(name: str):
    def begin(world, planned) -> None:
        plan = PLANS[name]
        world.testbed.store.faults(*plan["rules"], **{key: value for key, value in plan.items() if key != "rules"}, seed=planned.number)
        world.make("store", "Memory" if planned.number % 2 else "Disk")
    return begin


def end(world, planned) -> None:
    world.testbed.store.faults()
    world.unmake("store")


FAULTS = tuple(Fault(name, begins(name), end, hold=(10, 30)) for name in PLANS)

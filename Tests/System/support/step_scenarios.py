"""What an agent or a command does while a fault comes at one of its steps (steps.py).

`check` runs a scenario with one fault and returns what is wrong after it.
"""
import dataclasses
import time
import typing

from content import MIB
from . import paths
from .orders import definition
from .processes import Running, wait_until
from .steps import PATIENCE, Fault, Run, World


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What goes before, and what is done while the fault comes."""
    act: typing.Callable[[Run], object]
    before: typing.Callable[[Run], object] | None = None
    medium: str = "memory"
    # ModelCaches are prepared and deleted.
    orders: bool = False
    # A command is watched, and not an agent.
    command: bool = False


def _fill(run: Run) -> None:
    run.read("one/")
    run.warm("one/")


def _two(run: Run) -> None:
    run.warm("one/")
    run.read("two/")
    run.warm("two/", "--pin")
    if run.alive:
        run.command(["evict", "--all"])


def _warmed(run: Run) -> None:
    run.start()
    run.warm("one/")
    run.agent.kill()


def _half(run: Run) -> None:
    """The last chunk of a file is not there when the agent is killed."""
    run.world.store.faults({"match": {"key": "*weights.gguf", "ranged": True, "range": f"{2 * MIB}-"}, "action": {"delayMs": 600_000}})
    run.start()
    run.used.append("one/")
    job = Running([paths.MODELCACHE, "warm"], run.place.log("half"), environment=run.environment("one/"))
    wait_until(lambda: (run.place.status()["models"] or [{"presentBytes": 0}])[0]["presentBytes"] >= 4 * MIB, PATIENCE, "half is there", every=0.01)
    run.agent.kill()
    job.kill()
    run.world.store.faults()


def _changed(run: Run) -> None:
    _warmed(run)
    run.replace("one/")


def _evict(run: Run) -> None:
    run.warm("one/")
    if run.alive:
        run.command(["evict", "--all", "--force"])
    _fill(run)


def _prepare(run: Run) -> None:
    run.define(0, "one/")
    run.define(1, "two/", medium="Disk")
    run.warm_cache(0, "one/")
    run.warm_cache(1, "two/", "Disk")


def _prepared(run: Run) -> None:
    run.start()
    _prepare(run)
    run.agent.kill()


def _delete(run: Run) -> None:
    for uid in run.uids[:2]:
        run.order("delete", uid, force=True)


def _change(run: Run) -> None:
    run.order("put", run.uids[0], definition(run.world.store, "one/", 200 * MIB, pinned=False))
    run.define(2, "two/", medium="Disk", pinned=False)


def _command(*arguments: str) -> typing.Callable[[Run], None]:
    def act(run: Run) -> None:
        run.used.append("one/")
        given = [argument.replace("DIR", str(run.place.folder / "dir")) for argument in arguments]
        run.command(given, run.environment("one/", MODELCACHE_AGENT_DEADLINE_SECONDS=2), watched=True)
    return act


SCENARIOS = {
    "fill": Scenario(_fill),
    "fill a directory": Scenario(_fill, medium="directory"),
    "fill a disk": Scenario(_fill, medium="disk"),
    "take up": Scenario(_fill, _warmed),
    "take up a disk": Scenario(_fill, _warmed, medium="disk"),
    "take up half": Scenario(_fill, _half),
    "take up half a disk": Scenario(_fill, _half, medium="disk"),
    "change": Scenario(lambda run: run.warm("one/"), _changed),
    "change a disk": Scenario(lambda run: run.warm("one/"), _changed, medium="disk"),
    "evict": Scenario(_evict, _warmed),
    "evict from a disk": Scenario(_evict, _warmed, medium="disk"),
    "two models": Scenario(_two, medium="disk"),
    "prepare": Scenario(_prepare, orders=True),
    "take up caches": Scenario(_prepare, _prepared, orders=True),
    "delete": Scenario(_delete, _prepared, orders=True),
    "edit": Scenario(_change, _prepared, orders=True),
    "warm by command": Scenario(_command("warm"), command=True),
    "run by command": Scenario(_command("run", "--dir", "DIR", "--", "sha256sum", "{}/a/weights.gguf"), command=True),
}


@dataclasses.dataclass
class Outcome:
    wrong: list[str]
    # As steps.c wrote them.
    steps: list[str]
    remains: list[str]
    # The step that the fault came at; None: it was not reached.
    hit: str | None
    # The last lines of the agent that had the fault.
    said: str


def _left(run, remains: list[str] | None, seconds=30) -> tuple[list[str], list[str]]:
    """What is left, and what of it is not among `remains`. The agent removes the list of a model's callers after it has answered."""
    deadline = time.monotonic() + seconds
    while True:
        left = run.remains()
        more = [name for name in left if name not in remains] if remains is not None else []
        if not more or time.monotonic() > deadline:
            return left, more
        time.sleep(0.05)


def check(world: World, name: str, fault: Fault | None, remains: list[str] | None = None) -> Outcome:
    """Runs the scenario. `remains`: what a run without a fault leaves."""
    scenario = SCENARIOS[name]
    run = Run(world, scenario.medium, scenario.orders, fault)
    said = ""
    try:
        if scenario.before:
            scenario.before(run)
        if scenario.command:
            scenario.act(run)
        else:
            run.start(watched=True)
            scenario.act(run)
            # An error that has not come yet comes while the agent ends.
            if fault and fault.what != "kill" and run.hit and run.alive:
                run.end_fault()
                run.check_whole("the same agent, the error gone")
                if scenario.orders:
                    run.check_caches("the same agent, the error gone")
            run.stop("its end")
            said = run.agent.process.output()
            run.check_log(said)
            run.check_pace()
            code = run.agent.process.process.returncode
            if code < 0 and not (fault and fault.what == "kill"):
                run.wrong.append(f"the agent is ended by signal {-code}: {said[-1500:]}")
        run.others()
        run.check_names("no agent")
        if run.start():
            run.check_readers()
            run.check_whole("the next agent")
            if scenario.orders:
                run.check_caches("the next agent")
            run.check_names("the next agent")
            run.give_up("the end")
            log = run.agent.process.output()
            run.wrong += [f"the next agent: {line}" for line in log.splitlines() if line.split()[1:2] == ["error"]]
        left, more = _left(run, remains)
        if more:
            run.wrong.append(f"remains: {more}")
        return Outcome(run.wrong, run.steps(), left, run.hit, said)
    finally:
        run.finish()

"""The agent's record of how long each pod waited for a ModelCache, and for what."""
import pytest

from content import MIB, one_file
from support.orders import definition, new_uid
from support.pod import SYSTEM_PYTHON, volume
from support.processes import Running, wait_until
from support.tokens import Key, callers

# Like a server, it keeps the model open until it is told to end.
SERVER = '''
import hashlib, mmap, os, sys, time
file = open(sys.argv[1], "rb")
print(hashlib.sha256(BYTES).hexdigest(), flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
'''
READERS = {"read": "file.read()", "mapped": "mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)"}


@pytest.mark.parametrize("kind", READERS)
def test_each_pods_start_has_its_times_its_bytes_and_its_waits(kind, place, node, store, bucket, container):
    key = Key("key-1")
    model = one_file(bucket, mebibytes=24)
    store.faults({"match": {"ranged": True}, "action": {"held": True}})
    _, orders = node()
    uid = new_uid()
    path = f"/v1/caches/{uid}/readers"
    assert orders.put(uid, definition(store, model.prefix, model.bytes, callers=callers(key))).status == 200
    assert orders.request("GET", path).json == {"readers": []}
    assert orders.request("GET", path, authorization=None).status == 401 and orders.request("PUT", path, b"{}").status == 405
    view = container(volume(place, uid))

    def begin(pod, *command):
        token = view.programs / f"token-{pod}"
        token.write_text(key.token(**{"kubernetes.io": {"namespace": "team", "pod": {"name": pod, "uid": f"uid-{pod}"}}}))
        environment = view.preloaded if command[0] != view.modelcache else view.environment
        return Running(command, place.log(pod), prefix=view.prefix, environment=environment(store, model, MODELCACHE_TOKEN_FILE=token))

    def end(pod, program):
        assert program.wait(120) == 0, program.output()
        return wait_until(lambda: (lambda one: one if "endedMilliseconds" in one else None)(start(pod)), 120, "the pod has ended")

    def start(pod):
        return next((one for one in orders.request("GET", path).json["readers"] if one["podUID"] == f"uid-{pod}"), None)

    stop = view.programs / "stop"
    reader = begin("first", SYSTEM_PYTHON, "-c", SERVER.replace("BYTES", READERS[kind]), view.path / "model.gguf", stop)
    under_way = wait_until(lambda: start("first"), 120, "a start is told while it goes on")
    assert "endedMilliseconds" not in under_way and under_way["observedMilliseconds"] >= under_way["admittedMilliseconds"], under_way
    # The store is the slowest part by far, however slow the others are.
    wait_until(lambda: (lambda waits: waits.get("store", 0) > max(1000, sum(waits.values()) / 2))(start("first")["waitMilliseconds"]), 120, "it waits for the store")
    store.faults({"match": {"ranged": True, "range": f"{16 * MIB}-"}, "action": {"held": True}})
    # Also where one call reads the whole file.
    wait_until(lambda: "firstByteMilliseconds" in start("first"), 120, "it has a first byte")
    store.faults()
    wait_until(lambda: "completeMilliseconds" in start("first") and model.digests["model.gguf"] in reader.output(), 120, "the model is complete and read")
    stop.touch()
    first = end("first", reader)
    assert first["pod"] == "first" and first["totalBytes"] == model.bytes and first["cacheBytes"] == first["peerBytes"] == 0, first
    assert first["storeBytes"] >= model.bytes, first
    times = [first[f"{name}Milliseconds"] for name in ("admitted", "answered", "firstByte", "complete", "ended", "observed")]
    assert times == sorted(times) and first["completeMilliseconds"] > 1000, first
    assert first["firstByteMilliseconds"] < first["completeMilliseconds"], first
    waits = first["waitMilliseconds"]
    assert waits.keys() <= {"keys", "opening", "store", "memory", "queue", "check"} and sum(waits.values()) <= first["endedMilliseconds"], first
    assert waits["store"] > 1000, first

    # As with mode: Wait.
    second = end("second", begin("second", view.modelcache, "warm"))
    assert second["cacheBytes"] == model.bytes and second["storeBytes"] == second["peerBytes"] == 0, second
    assert second["completeMilliseconds"] == second["firstByteMilliseconds"] == second["answeredMilliseconds"], second
    assert second["waitMilliseconds"].keys() <= {"keys", "opening"}, second
    assert second["openedAt"] >= first["openedAt"] + first["completeMilliseconds"], (first, second)


def test_a_start_tells_what_was_copied_from_another_cache_of_the_node(place, node, store, bucket, container):
    key = Key("key-1")
    model = one_file(bucket, mebibytes=24)
    _, orders = node()
    uids = [new_uid(), new_uid()]
    for number, uid in enumerate(uids):
        answer = orders.put(uid, definition(store, model.prefix, model.bytes, name=f"n{number}", callers=callers(key)))
        assert answer.status == 200, answer
        view = container(volume(place, uid))
        token = view.programs / f"token-{number}"
        token.write_text(key.token(**{"kubernetes.io": {"namespace": "team", "pod": {"name": "pod", "uid": f"uid-{number}"}}}))
        job = Running([view.modelcache, "warm"], place.log("warm"), prefix=view.prefix,
                      environment=view.environment(store, model, MODELCACHE_TOKEN_FILE=token))
        assert job.wait(120) == 0, job.output()
    first, second = (orders.request("GET", f"/v1/caches/{uid}/readers").json["readers"][0] for uid in uids)
    assert first["copiedBytes"] == 0 and first["storeBytes"] + first["cacheBytes"] > 0, first
    # A part may have been copied before the agent answered.
    assert second["storeBytes"] == second["peerBytes"] == 0 and second["totalBytes"] == model.bytes, second
    assert second["copiedBytes"] + second["cacheBytes"] > 0, second

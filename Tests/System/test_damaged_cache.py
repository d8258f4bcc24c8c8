"""Bytes of a cache that went bad while no agent ran: no reader and no peer ever gets them, and the chunks are fetched again."""
import os
import contextlib
import urllib.error
import pathlib
import struct
import subprocess
import threading
import time
import urllib.request

import pytest

from content import MAP_ALL, MIB, PYTHON, make_model, one_file
from support.processes import Running, wait_until

READERS = {"read": ("sha256sum",), "mapped read": (PYTHON, "-c", MAP_ALL)}
MEDIA = {"memory": "directory", "disk": "disk"}


def damage(path: pathlib.Path, *offsets: int) -> None:
    """Through an ordinary write, as a stray program would do it; the times tell."""
    with open(path, "r+b") as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 0x55]))


def rot(path: pathlib.Path, offset: int) -> None:
    """As a disk does it: times of modification as they were."""
    before = os.stat(path)
    damage(path, offset)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def warmed(place, store, model) -> pathlib.Path:
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    return pathlib.Path(result.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("what", [damage, rot])
# semantics 20, 21
def test_a_reader_gets_right_bytes_from_a_complete_file_that_was_damaged(what, kind, medium, place, agent, store, bucket, work):
    """semantics 20"""
    model = one_file(bucket, mebibytes=40)
    one = agent("--medium", MEDIA[medium])
    directory = warmed(place, store, model)
    one.stop()
    what(directory / "model.gguf", 21 * MIB + 5)
    served = store.requests()["bytesServed"]
    two = agent("--medium", MEDIA[medium])
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running([*READERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output()
    wait_until(lambda: (directory / "model.gguf").exists(), 60, "the file has its name again")
    model.assert_whole(directory)
    assert store.requests()["bytesServed"] - served < 8 * MIB, "the damaged chunk alone is fetched again"
    text = two.process.output()
    assert "damaged" in text and "file=model.gguf" in text and "chunk=10" in text, text


def test_a_plain_reader_never_sees_the_damaged_file(place, agent, store, bucket):
    """semantics 21: without the library, by its name, from the moment the agent answers."""
    model = one_file(bucket, mebibytes=40)
    one = agent("--medium", "directory")
    directory = warmed(place, store, model)
    one.stop()
    damage(directory / "model.gguf", 3, 39 * MIB)
    agent("--medium", "directory")
    assert not (directory / "model.gguf").exists(), "somebody wrote to it: no name before it is right"
    warmed(place, store, model)
    model.assert_whole(directory)


def test_a_file_in_memory_that_nobody_wrote_to_keeps_its_name_through_a_restart(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=40)
    one = agent("--medium", "directory")
    directory = warmed(place, store, model)
    gaps = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if not (directory / "model.gguf").exists():
                gaps.append(time.monotonic())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        one.stop()
        agent("--medium", "directory")
        model.assert_whole(warmed(place, store, model))
    finally:
        ended.set()
        watcher.join()
    assert not gaps
    assert store.requests()["bytesServed"] < 1.2 * model.bytes


@pytest.mark.parametrize("medium", MEDIA)
def test_chunks_of_a_file_that_is_not_complete_are_checked_too(medium, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    store.faults({"match": {"ranged": True, "range": f"{28 * MIB}-"}, "action": {"held": True}})
    one = agent("--medium", MEDIA[medium], "--connections", "2")
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_AGENT="/nonexistent/modelcache")
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: place.status()["models"] and place.status()["models"][0]["presentBytes"] > 16 * MIB, 120, "a part is there")
    directory = pathlib.Path(place.status()["models"][0]["directory"])
    reader.stop(1)
    one.stop()
    # Whatever has come of it: all of the first 12 MiB.
    damage(directory / ".partial/model.gguf", 0, 5 * MIB, 9 * MIB)
    store.faults()
    agent("--medium", MEDIA[medium])
    again = place.run("sha256sum", work / "model/model.gguf", environment=environment)
    assert again.returncode == 0 and model.digests["model.gguf"] in again.stdout.decode(), again
    wait_until(lambda: (directory / "model.gguf").exists(), 60, "the file is complete")
    model.assert_whole(directory)


def test_a_peer_never_gets_a_byte_that_went_bad(swarm):
    world = swarm(2, "20MB")
    first, second = world.node(0), world.node(1)
    first.load(world.environment)
    world.check(first)
    directory = pathlib.Path(first.model["directory"])
    first.agent.stop()
    damage(directory / "model.gguf", 5 * MIB, 17 * MIB)
    first.start()
    wrong = []
    ended = threading.Event()
    expected = (world.bucket / "m/model.gguf").read_bytes()

    def look() -> None:
        """What readers of the second node may see."""
        while not ended.is_set():
            for presence in second.place.root.glob("models/*/.presence/model.gguf"):
                head = presence.read_bytes()
                chunk_bytes = int.from_bytes(head[24:32], "little")
                for offset in (5 * MIB, 17 * MIB):
                    chunk = offset // chunk_bytes
                    if head[512 + chunk // 8] >> chunk % 8 & 1:
                        with open(presence.parent.parent / ".partial/model.gguf", "rb") as file:
                            file.seek(offset)
                            if file.read(1)[0] != expected[offset]:
                                wrong.append(offset)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        second.load(world.environment)
        world.check(second)
    finally:
        ended.set()
        watcher.join()
    assert not wrong
    assert second.model["wrongPeerBlocks"] == 0, second.model
    assert "damaged" in first.output()


def test_healthz_answers_while_a_large_cache_is_checked(place, agent, store, bucket):
    """What takes long is on threads of its own: the node's probes are on time."""
    model = make_model(bucket, "large/", {f"{i}.gguf": 100 * MIB for i in range(4)})
    one = agent("--medium", "disk")
    warmed(place, store, model)
    # Of probes that wait for the check one at most is answered before it ends; a machine that is away for a moment may look so too.
    for _ in range(5):
        one.stop()
        one = agent("--medium", "disk")
        if answers_while_it_checks(one) > 3:
            return
    raise AssertionError("probes wait for the check")


def answers_while_it_checks(agent) -> int:
    answered, start = 0, time.monotonic()
    while "model checked" not in agent.process.output():
        assert time.monotonic() < start + 120, "the check does not end"
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://{agent.http}/healthz", timeout=120).read()
            answered += 1
    return answered


READS_ON_DEMAND = """
import hashlib, sys
folder = sys.argv[1]
open(folder + "/a.gguf", "rb").read()
print("attached", flush=True)
sys.stdin.readline()
print(hashlib.sha256(open(folder + "/b.gguf", "rb").read()).hexdigest(), flush=True)
"""


def rot_unseen(directory: pathlib.Path, name: str, offset: int) -> None:
    """As memory does it: the agent has recorded the very times that the file has (agent_wire.h)."""
    damage(directory / name, offset)
    times = os.stat(directory / name)
    with open(directory / ".presence" / name, "r+b") as presence:
        presence.seek(128)
        presence.write(struct.pack("<QQ", times.st_mtime_ns, times.st_ctime_ns))


def test_a_chunk_found_bad_beside_a_reader_is_fetched_again_without_a_new_opening(place, agent, store, bucket, work):
    model = make_model(bucket, "beside/", {"a.gguf": 2 * MIB, "b.gguf": 256 * MIB})
    one = agent("--medium", "directory")
    directory = warmed(place, store, model)
    one.stop()
    rot_unseen(directory, "b.gguf", 255 * MIB)
    served = store.requests()["bytesServed"]
    two = agent("--medium", "directory")
    reader = subprocess.Popen(
        [PYTHON, "-c", READS_ON_DEMAND, str(work / "model")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=place.preloaded(store.environment(model.prefix), work / "model"))
    try:
        assert reader.stdout.readline() == "attached\n"
        wait_until(lambda: "chunk=" in two.process.output(), 60, "the check has found the chunk")
        out, _ = reader.communicate("\n", timeout=120)
    finally:
        reader.kill()
    assert out.strip() == model.digests["b.gguf"] and reader.returncode == 0
    wait_until(lambda: (directory / "b.gguf").exists(), 60, "the file has its name again")
    model.assert_whole(directory)
    assert store.requests()["bytesServed"] - served < 20 * MIB, "the damaged chunk alone is fetched again"

"""Clients that misbehave on the agent's socket, and those that die, disturb nobody."""
import os
import pathlib
import random
import signal
import struct
import time

import pytest

from content import MIB, one_file
from support import paths
from support.processes import Running, wait_until
from support.wire import CONTROL, DEMAND, ERROR, OPEN, OPENED, SUBSCRIBE, connect, packet, response, settings

RUBBISH = {
    "nothing of a header": b"x",
    "half a header": packet(OPEN)[:9],
    "noise": random.Random(5).randbytes(4000),
    "another magic": packet(OPEN, magic=0x12345678),
    "another version": packet(OPEN, version=99),
    "an unknown type": packet(999),
    "a length that is too large": packet(OPEN, b"OSS_PATH=oss://a/b/\0", length=4000),
    "a length that is too small": packet(OPEN, b"OSS_PATH=oss://a/b/\0", length=3),
    "settings without an end": packet(OPEN, b"OSS_PATH=oss://a/b/"),
    "settings that are no UTF-8": packet(OPEN, b"OSS_PATH=\xff\xfe\0"),
    "half a demand": packet(DEMAND, b"\1\2\3"),
    "a demand of no byte": packet(DEMAND, struct.pack("<IIQQ", 0, 0, 0, 0)),
    "a demand before an open": packet(DEMAND, struct.pack("<IIQQ", 0, 0, 0, 1)),
    "a subscription before an open": packet(SUBSCRIBE),
    "a message that only agents send": packet(OPENED, b"\0" * 32),
    "control that is no JSON": packet(CONTROL, b"{{{{"),
    "control that is empty": packet(CONTROL, b""),
    "the largest packet": packet(OPEN, b"\0" * (65536 - 16)),
}


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_answered_with_an_error_or_a_hang_up(name, place, agent):
    agent()
    one = connect(place)
    one.send(RUBBISH[name])
    kind, body = response(one)
    if kind:
        assert kind == ERROR
        assert body[8:].rstrip(b"\0").decode(), "an error without words"
        assert response(one) == (0, b""), "the connection stays open"
    one.close()
    wait_until(lambda: place.status()["sessions"] == 1, 120, "the one that asks is left")


def test_a_client_loads_undisturbed_while_others_send_rubbish(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=30)
    store.faults(bandwidth=15e6)
    running = agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    generator = random.Random(7)
    held = []
    while reader.alive():
        one = connect(place)
        for _ in range(generator.randint(1, 4)):
            try:
                one.send(generator.choice(list(RUBBISH.values())) if generator.random() < 0.7 else generator.randbytes(generator.randint(1, 3000)))
            except OSError:
                break
        held.append(one)
        if len(held) > 200:
            held.pop(0).close()
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output()
    for one in held:
        one.close()
    running.process.must_live()
    wait_until(lambda: place.status()["sessions"] == 1, 120, "all rubbish is gone")


def test_demands_far_outside_a_file_are_ignored(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=8)
    store.faults(bandwidth=8e6)
    running = agent()
    one = connect(place)
    one.send(packet(OPEN, settings(store.environment(model.prefix))))
    assert response(one)[0] == OPENED
    top = (1 << 64) - 1
    for file, offset, length in ((0, top, top), (0, 0, top), (0, top, 1), (0xFFFFFFFF, 0, 1), (7, 0, 1), (0, model.bytes, 1), (0, 1 << 63, 1 << 63)):
        one.send(packet(DEMAND, struct.pack("<IIQQ", file, 0, offset, length)))
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    running.process.must_live()
    one.close()


def test_a_second_open_on_one_connection_is_refused(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=2)
    agent()
    one = connect(place)
    opening = packet(OPEN, settings(store.environment(model.prefix)))
    one.send(opening)
    assert response(one)[0] == OPENED
    one.send(opening)
    assert response(one)[0] == ERROR
    one.close()
    wait_until(lambda: place.status()["models"][0]["users"] == 0, 120, "the model is let go")


def test_a_subscriber_that_never_reads_does_not_hold_the_others_up(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=40)
    agent()
    deaf = []
    for _ in range(20):
        one = connect(place)
        one.send(packet(OPEN, settings(store.environment(model.prefix))))
        assert response(one)[0] == OPENED
        one.send(packet(SUBSCRIBE))
        deaf.append(one)
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    for one in deaf:
        one.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_client_that_dies_while_it_waits_is_forgotten_and_the_load_goes_on(number, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=30)
    store.faults({"match": {"ranged": True, "range": f"{16 * MIB}-"}, "action": {"held": True}})
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    victim = Running(["sha256sum", work / "model/model.gguf"], place.log("victim"), environment=environment)
    wait_until(lambda: any(m["users"] > 0 and m["presentBytes"] > 0 for m in place.status()["models"]), 120, "the reader waits")
    victim.signal(number)
    assert victim.wait(120) == -number
    store.faults()
    wait_until(lambda: place.status()["models"][0]["users"] == 0, 120, "the dead reader is forgotten")
    result = place.run("sha256sum", work / "model/model.gguf", environment=environment, seconds=120)
    assert result.stdout.split()[0].decode() == model.digests["model.gguf"]
    # A shared load: the bytes came once.
    assert store.requests()["bytesServed"] < model.bytes + MIB


def test_many_clients_that_come_and_go_leave_nothing(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=2)
    running = agent()
    place.modelcache("warm", environment=store.environment(model.prefix))
    before = len(os.listdir(f"/proc/{running.pid}/fd"))
    opening = packet(OPEN, settings(store.environment(model.prefix)))
    for i in range(300):
        one = connect(place)
        one.send(opening)
        if i % 3:
            assert response(one)[0] == OPENED
        one.close()
    wait_until(lambda: place.status()["models"][0]["users"] == 0 and place.status()["sessions"] == 1, 120, "all are forgotten")
    wait_until(lambda: len(os.listdir(f"/proc/{running.pid}/fd")) <= before + 8, 120, "their descriptors are closed")

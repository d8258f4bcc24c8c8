"""The agent dies, ends, or is gone for good: readers finish with the right bytes or hear why not, in time."""
import os
import pathlib
import signal
import time

import pytest

from content import MAP_ALL, MIB, PYTHON, fifteen_shards, one_file
from support import paths
from support.processes import Running, wait_until


def present(place) -> int:
    models = place.status()["models"]
    return models[0]["presentBytes"] if models else 0


READERS = {"read": ("sha256sum",), "mapped read": (PYTHON, "-c", MAP_ALL)}


@pytest.mark.parametrize("who", ["the library", "a person"])
@pytest.mark.parametrize("kind", READERS)
# semantics 8
def test_kill_9_of_the_agent_in_mid_load_costs_the_reader_nothing(kind, who, place, agent, store, bucket, work):
    """The agent is started again by the library or by a person; the reader finishes with the right bytes."""
    model = one_file(bucket, mebibytes=40)
    store.faults(bandwidth=12e6)
    first = agent()
    extra = {} if who == "the library" else {"MODELCACHE_AGENT": "/nonexistent/modelcache"}
    environment = place.preloaded(store.environment(model.prefix), work / "model", **extra)
    reader = Running([*READERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: present(place) > 10 * MIB, 120, "a quarter is there")
    had = present(place)
    first.kill()
    if who == "a person":
        time.sleep(1)
        agent()
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output()
    # What was there before is not read again: at most what was in flight is.
    assert store.requests()["bytesServed"] < model.bytes + (model.bytes - had) + 16 * MIB


@pytest.mark.parametrize("kind, status", [("read", 1), ("mapped read", -signal.SIGBUS)])
# semantics 8
def test_an_agent_that_is_gone_for_good_ends_the_wait_with_a_message(kind, status, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    store.faults({"match": {"ranged": True, "range": f"{24 * MIB}-"}, "action": {"held": True}})
    one = agent()
    environment = place.preloaded(
        store.environment(model.prefix), work / "model", MODELCACHE_AGENT="/nonexistent/modelcache", MODELCACHE_AGENT_DEADLINE_SECONDS=3)
    reader = Running([*READERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: present(place) > 6 * MIB, 120, "something is there")
    one.kill()
    killed = time.monotonic()
    assert reader.wait(120) == status, reader.output()
    assert 2 < time.monotonic() - killed < 30
    text = reader.output()
    assert "libossc_preload" in text and "agent" in text, text
    assert model.digests["model.gguf"] not in text


@pytest.mark.parametrize("kind", READERS)
# semantics 8
def test_a_stopped_agent_that_goes_on_serves_who_asked_meanwhile(kind, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    one = agent()
    one.process.signal(signal.SIGSTOP)
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_AGENT_DEADLINE_SECONDS=1)
    reader = Running([*READERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    line = f"libossc_preload: {place.socket}: the agent does not answer; waiting up to 300 s for it\n"
    wait_until(lambda: line in reader.output(), 120, "the reader says what it waits for")
    one.process.signal(signal.SIGCONT)
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output() and reader.output().count("libossc_preload") == 1, reader.output()


@pytest.mark.parametrize("kind", READERS)
# semantics 8
def test_an_agent_that_stays_stopped_ends_the_program_at_one_deadline(kind, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=4)
    one = agent()
    one.process.signal(signal.SIGSTOP)
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_DEADLINE_SECONDS=6)
    result = place.run(*READERS[kind], work / "model/model.gguf", environment=environment, seconds=120)
    # While it is stopped it hears of no other signal.
    one.kill()
    assert result.returncode == 69 and b"has not opened the model for 6 s" in result.stderr, result


@pytest.mark.parametrize("kind", READERS)
# semantics 8
def test_a_stopped_agent_in_mid_load_costs_the_reader_nothing_when_it_goes_on(kind, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    store.faults({"match": {"ranged": True, "range": f"{24 * MIB}-"}, "action": {"held": True}})
    one = agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_AGENT_DEADLINE_SECONDS=1)
    reader = Running([*READERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: present(place) > 10 * MIB, 120, "a quarter is there")
    one.process.signal(signal.SIGSTOP)
    time.sleep(3)  # longer than an agent may be gone
    assert reader.alive(), reader.output()
    store.faults()
    one.process.signal(signal.SIGCONT)
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output() and "libossc_preload" not in reader.output(), reader.output()


def test_a_store_that_sends_nothing_more_ends_the_wait_with_a_message(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=24)
    store.faults({"match": {"ranged": True, "range": f"{10 * MIB}-"}, "action": {"stallAfter": 1000}})
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_DEADLINE_SECONDS=4)
    started = time.monotonic()
    result = place.run("sha256sum", work / "model/model.gguf", environment=environment, seconds=120)
    assert result.returncode == 1 and b"libossc_preload" in result.stderr, result
    assert time.monotonic() - started < 60


def test_sigterm_keeps_the_bytes_and_the_next_agent_goes_on(place, agent, store, bucket):
    model = fifteen_shards(bucket)
    # The last shard does not come before the next agent asks for it.
    store.faults({"match": {"key": f"*{model.names[-1]}", "method": "GET", "ranged": True}, "action": {"delayMs": 600_000}})
    first = agent()
    environment = store.environment(model.prefix) | {k: str(v) for k, v in place.settings().items()}
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=environment)
    others = model.bytes - model.sizes[model.names[-1]]
    wait_until(lambda: present(place) >= others, 120, "all but the last shard is there")
    asked = time.monotonic()
    first.process.signal(signal.SIGTERM)
    assert first.process.wait(120) == 0, first.process.output()
    assert time.monotonic() - asked < 30, "a pod has so long (terminationGracePeriodSeconds)"
    assert job.wait(120) in (1, 69), "a client of an agent that ends must not claim success"
    store.faults()
    second = agent()
    kept = present(place)
    assert kept >= others
    served = store.requests()["bytesServed"]
    result = place.modelcache("warm", environment=environment)
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    assert store.requests()["bytesServed"] - served < model.bytes - kept + MIB
    assert second.stop() == 0


def test_a_complete_model_survives_kill_9_and_costs_the_store_nothing(place, agent, store, bucket):
    model = fifteen_shards(bucket)
    first = agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0
    first.kill()
    agent()
    served = store.requests()["bytesServed"]
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    assert store.requests()["bytesServed"] - served < 100_000


def test_two_agents_on_one_root_are_refused_and_the_first_lives_on(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=6)
    first = agent()
    for extra in ((), ("--socket", place.folder / "other.sock")):
        second = place.modelcache("agent", *extra, seconds=120)
        assert second.returncode == 1, second
        text = second.stderr.decode()
        assert str(place.root) in text and str(first.pid) in text, text
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])


def test_readers_of_a_complete_model_do_not_need_the_agent(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=6)
    one = agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    one.kill()
    model.assert_whole(result.stdout.decode().splitlines()[-1])


def test_ten_processes_that_start_together_share_one_agent_and_one_download(place, store, bucket, work):
    model = fifteen_shards(bucket)
    store.faults(bandwidth=40e6)
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    readers = [Running(["sha256sum", work / "model" / name], place.log("reader"), environment=environment) for name in model.names[:10]]
    for name, reader in zip(model.names, readers):
        assert reader.wait(120) == 0, reader.output()
        assert model.digests[name] in reader.output()
    # Those that found the socket taken end by themselves.
    wait_until(lambda: len(place.agents()) == 1, 120, "one agent is left")
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0
    assert store.requests()["bytesServed"] < model.bytes + 1 * MIB

"""Every fault of the store: the load ends right, or fails and names the cause; nothing wrong is ever published."""
import pathlib
import signal
import subprocess
import time
import urllib.request

import pytest

from content import MAP_AND_STAY, MIB, PYTHON, READ_AND_STAY, make_model, one_file
from support import paths
from support.processes import Running, free_port, wait_until
from support.store import Store

GETS = {"method": "GET", "ranged": True}


def settings(place, environment: dict) -> dict:
    return environment | {k: str(v) for k, v in place.settings().items()}


def assert_loads(place, store, model, seconds=120) -> dict:
    """Warms the model, compares every byte, gives its status."""
    result = place.modelcache("warm", environment=store.environment(model.prefix), seconds=seconds)
    assert result.returncode == 0, result.stderr.decode()
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    return place.status()["models"][0]


RECOVERABLE = {
    "500": ({"status": 500}, 6),
    "502 without a document": ({"status": 502, "code": "BadGateway"}, 6),
    "503 with a delay": ({"status": 503, "qosDelayMs": 400}, 3),
    "429 with Retry-After": ({"status": 429, "retryAfter": 1}, 2),
    "a delay with an honest answer": ({"qosDelayMs": 300}, 2),
    "reset before the head": ({"resetAfter": 0}, 6),
    "reset in the body": ({"resetAfter": 700_000}, 8),
    "a stall that ends": ({"stallAfter": 100_000, "stallSeconds": 2}, 2),
    "truncated": ({"truncateAfter": 1_000_000}, 8),
    "a length too large": ({"wrongLength": 5}, 4),
    "a length too small": ({"wrongLength": -5}, 4),
    "200 in place of 206": ({"ok200": True}, 4),
    "a wrong Content-Range": ({"wrongContentRange": True}, 4),
    "slow": ({"bytesPerSecond": 200_000}, 2),
    "a late head": ({"delayMs": 700}, 6),
    "late, slow and truncated": ({"delayMs": 200, "bytesPerSecond": 3_000_000, "truncateAfter": 500_000}, 4),
}


@pytest.mark.parametrize("name", RECOVERABLE)
def test_a_passing_fault_is_outlived(name, place, agent, store, bucket):
    action, count = RECOVERABLE[name]
    model = make_model(bucket, "m/", {"a.gguf": 30 * MIB + 1, "b.gguf": 3 * MIB})
    store.faults({"match": GETS, "action": action, "count": count})
    agent()
    cached = assert_loads(place, store, model)
    if name not in ("slow", "a late head", "a delay with an honest answer", "a stall that ends"):
        assert cached["retries"] >= 1, "the fault did not happen"


def test_a_store_that_fails_every_third_request_is_outlived(place, agent, store, bucket):
    model = make_model(bucket, "m/", {f"{i}.gguf": 4 * MIB + i for i in range(10)})
    store.faults(
        {"match": {"probability": 0.15, **GETS}, "action": {"resetAfter": 200_000}},
        {"match": {"probability": 0.15, **GETS}, "action": {"status": 500}},
        {"match": {"probability": 0.05}, "action": {"status": 503, "qosDelayMs": 100}}, seed=11)
    agent()
    assert_loads(place, store, model)


def test_throttling_is_obeyed(place, agent, store, bucket):
    """While the store asks for a pause of 1.5 s, nobody asks it for the same bytes at once again."""
    model = one_file(bucket, mebibytes=24)
    store.faults({"match": GETS, "action": {"status": 503, "qosDelayMs": 1500}, "count": 2})
    agent()
    started = time.monotonic()
    cached = assert_loads(place, store, model)
    assert time.monotonic() - started >= 1.4
    assert cached["throttled"] >= 1


def test_a_throttled_load_goes_on_and_says_why_it_is_slow(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=3)
    store.faults({"match": GETS, "action": {"status": 503, "code": "DownloadTrafficRateLimitExceeded", "qosDelayMs": 1000}})
    metrics = f"127.0.0.1:{free_port()}"
    one = agent("--metrics-bind-address", metrics)
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=settings(place, store.environment(model.prefix)))
    told = "the store asks for fewer requests"
    wait_until(lambda: any(told in warning["message"] for m in place.status()["models"] for warning in m.get("warnings", [])), 120, "status says why")
    assert told in place.modelcache("status").stdout.decode()

    def counted() -> float:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("modelcache_origin_throttled_total{"))
    wait_until(counted, 120, "the metric counts")
    wait_until(lambda: "waiting for the store" in one.process.output() and told in one.process.output(), 120, "the log says why")
    store.faults()
    assert job.wait(120) == 0, job.output()
    model.assert_whole(job.output().splitlines()[-1])
    (status,) = place.status()["models"]
    assert status["throttled"] >= 1 and "warnings" not in status, status


def test_listing_and_head_are_repeated_too(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=3)
    store.faults(
        {"match": {"listing": True}, "action": {"status": 500}, "count": 2},
        {"match": {"method": "HEAD"}, "action": {"resetAfter": 0}, "count": 2})
    agent()
    assert_loads(place, store, model)


def test_a_bandwidth_cap_is_filled(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=40)
    store.faults(bandwidth=20e6)
    agent()
    started = time.monotonic()
    assert_loads(place, store, model)
    assert time.monotonic() - started < model.bytes / 20e6 * 2 + 15


def test_a_store_that_is_away_for_five_seconds_in_mid_load_is_waited_for(place, agent, bucket, work):
    model = one_file(bucket, mebibytes=40)
    # A port that no connection gets for its own end while the store is away.
    port = free_port()
    store = Store({"models": bucket}, place.log("store"), port=port)
    store.faults({"match": {"ranged": True, "range": f"{24 * MIB}-"}, "action": {"held": True}})
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    try:
        wait_until(lambda: any(m["presentBytes"] > 10 * MIB for m in place.status()["models"]), 120, "a quarter is there")
        store.process.kill()
        time.sleep(5)
        store = Store({"models": bucket}, place.log("store"), port=port)
        assert reader.wait(120) == 0, reader.output()
        assert model.digests["model.gguf"] in reader.output()
    finally:
        store.stop()


# ---- wrong bytes -------------------------------------------------------------------------------------------------

# semantics 1
def test_a_byte_flipped_once_is_found_and_fetched_again(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=30)
    store.faults({"match": GETS, "action": {"flipByte": 17 * MIB + 5}, "count": 1})
    agent()
    cached = assert_loads(place, store, model)
    assert cached["refilledFiles"] == 1
    assert cached["originBytes"] >= 2 * model.bytes * 0.9


def test_a_byte_that_is_always_wrong_fails_the_load_and_names_the_crc(place, agent, store, bucket):
    model = make_model(bucket, "m/", {"bad.gguf": 12 * MIB, "good.gguf": 5 * MIB})
    store.faults({"match": {"key": "*bad*", **GETS}, "action": {"flipByte": 3 * MIB}})
    agent()
    environment = settings(place, store.environment(model.prefix))
    job = Running([paths.MODELCACHE, "warm", "--json"], place.log("warm"), environment=environment)
    folder = pathlib.Path(wait_until(lambda: place.status()["models"], 120, "the model is open")[0]["directory"])
    while job.alive():
        assert not (folder / "bad.gguf").exists(), "a wrong file was published"
    assert job.wait(120) == 1
    message = job.output().splitlines()[-1]
    assert "CRC" in message and "bad.gguf" in message, message
    assert not (folder / "bad.gguf").exists()


def test_a_wrong_crc_of_the_store_itself_fails_the_load(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=5)
    store.faults({"match": {}, "action": {"wrongCRC": True}})
    agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 1 and b"CRC" in result.stderr, result


def test_an_object_without_a_crc_is_loaded_and_called_unverifiable(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=20)
    store.faults({"match": {}, "action": {"dropCRC": True}})
    one = agent()
    assert_loads(place, store, model)
    assert "unverifiable" in one.process.output()


STAYERS = {"read": READ_AND_STAY, "mapped": MAP_AND_STAY}
# Before that: the byte at an offset.
HAS_A_BYTE = {
    "read": "import sys\nfirst = open(sys.argv[1], 'rb').read(int(sys.argv[2]) + 1)\nprint('has it', flush=True)\n",
    "mapped": "import mmap, os, sys\nearly = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)\n"
              "early[int(sys.argv[2])]\nprint('has it', flush=True)\n",
}


@pytest.mark.parametrize("kind", STAYERS)
# semantics 6
def test_a_reader_of_wrong_bytes_is_stopped_with_a_message(kind, place, agent, store, bucket, work):
    """The byte is wrong every time; whoever has it must not go on."""
    model = one_file(bucket, mebibytes=16)
    store.faults({"match": GETS, "action": {"flipByte": 9 * MIB}}, bandwidth=16e6)
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running([PYTHON, "-c", STAYERS[kind], work / "model/model.gguf"], place.log("reader"), environment=environment)
    status = reader.wait(120)
    assert status in (74, -signal.SIGBUS), (status, reader.output())
    assert "libossc_preload" in reader.output() and "CRC" in reader.output(), reader.output()
    assert model.digests["model.gguf"] not in reader.output()


@pytest.mark.parametrize("kind", STAYERS)
def test_a_reader_of_a_byte_that_was_wrong_once_is_stopped_too(kind, place, agent, store, bucket, work):
    """The second fetch heals the cache, not the reader's memory."""
    model = one_file(bucket, mebibytes=16)
    # The file is not complete, and not checked, before the reader has the byte.
    store.faults({"match": GETS, "action": {"flipByte": 9 * MIB}, "count": 1}, {"match": {"range": f"{14 * MIB}-", **GETS}, "action": {"held": True}})
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running([PYTHON, "-c", HAS_A_BYTE[kind] + STAYERS[kind], work / "model/model.gguf", 9 * MIB], place.log("reader"), environment=environment)
    wait_until(lambda: "has it" in reader.output(), 120, "the reader has the byte")
    store.faults()
    assert reader.wait(120) in (74, -signal.SIGBUS), reader.output()
    assert "libossc_preload" in reader.output()
    # The next one finds the healed file.
    result = place.run("sha256sum", work / "model/model.gguf", environment=environment, seconds=120)
    assert result.returncode == 0 and result.stdout.split()[0].decode() == model.digests["model.gguf"], result


# semantics 6
def test_strict_verification_shows_nothing_before_the_check(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=16)
    store.faults({"match": GETS, "action": {"flipByte": 9 * MIB}, "count": 1}, {"match": {"range": f"{14 * MIB}-", **GETS}, "action": {"held": True}})
    agent("--verify", "strict")
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    first = Running(["head", "-c", "1", work / "model/model.gguf"], place.log("head"), environment=environment)
    whole = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    looks = 0
    while whole.alive():
        is_shown = not first.alive()
        # What is not complete now was not complete then.
        if store.requests()["bytesServed"] > MIB and any(m["phase"] == "filling" for m in place.status()["models"]):
            assert not is_shown, "a byte was shown before the check"
            looks += 1
            # The wrong byte has come; the rest comes when there were looks enough.
            if looks == 5:
                wait_until(lambda: store.requests()["bytesServed"] > 10 * MIB, 120, "most of it has come")
                store.faults(bandwidth=8e6)
    assert looks > 0 and whole.wait(120) == 0, whole.output()
    assert model.digests["model.gguf"] in whole.output() and first.wait(120) == 0
    assert place.status()["models"][0]["refilledFiles"] == 1


# ---- another object under the same key ---------------------------------------------------------------------------

def test_a_changed_etag_fails_the_load_and_says_replaced(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=30)
    store.faults({"match": {"range": f"{12 * MIB}-", **GETS}, "action": {"changedETag": True}})
    agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 1, result
    assert b"replaced" in result.stderr and b"model.gguf" in result.stderr


# semantics 7
def test_an_object_replaced_during_the_load_stops_the_reader_and_never_mixes(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    store.faults({"match": {"range": f"{20 * MIB}-", **GETS}, "action": {"held": True}})
    agent("--connections", "2")  # so that requests remain to be sent
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: any(m["presentBytes"] > 8 * MIB for m in place.status()["models"]), 120, "something is there")
    newer = one_file(bucket, mebibytes=40, seed=2)
    store.faults()
    assert reader.wait(120) == 1, reader.output()
    text = reader.output()
    assert "replaced" in text and model.digests["model.gguf"] not in text and newer.digests["model.gguf"] not in text
    assert_loads(place, store, newer)


def test_a_new_version_at_the_store_is_loaded_by_the_next_opening(place, agent, store, bucket):
    agent()
    assert_loads(place, store, one_file(bucket, mebibytes=5))
    time.sleep(2.2)  # one listing serves those that follow within two seconds
    assert_loads(place, store, one_file(bucket, mebibytes=5, seed=2))
    assert len(place.status()["models"]) == 1


def test_an_object_deleted_during_the_load_fails_it(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=30)
    store.faults({"match": {"range": f"{12 * MIB}-", **GETS}, "action": {"held": True}})
    agent("--connections", "2")
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=settings(place, store.environment(model.prefix)))
    wait_until(lambda: any(m["presentBytes"] > 4 * MIB for m in place.status()["models"]), 120, "something is there")
    (bucket / "one/model.gguf").unlink()
    store.faults()
    assert job.wait(120) == 1, job.output()
    assert "deleted" in job.output() and "model.gguf" in job.output()


def test_an_expired_token_is_named(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=30)
    store.faults({"match": {"range": f"{12 * MIB}-", **GETS}, "action": {"expireToken": True}})
    agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode in (1, 78), result
    assert b"OSS_SESSION_TOKEN" in result.stderr and b"expired" in result.stderr


def test_a_load_that_failed_is_taken_up_again_by_the_next_call(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=30)
    denied = {"status": 403, "code": "AccessDenied"}
    store.faults({"match": {"range": f"{20 * MIB}-", **GETS}, "action": denied | {"held": True}})
    agent()
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=settings(place, store.environment(model.prefix)))
    wait_until(lambda: any(m["presentBytes"] > 14 * MIB for m in place.status()["models"]), 120, "what may be read is there")
    store.faults({"match": {"range": f"{20 * MIB}-", **GETS}, "action": denied})
    assert job.wait(120) in (1, 78) and "denied" in job.output(), job.output()
    store.faults()
    before = store.requests()["bytesServed"]
    assert_loads(place, store, model)
    assert store.requests()["bytesServed"] - before < model.bytes * 0.75, "chunks that were there were read again"

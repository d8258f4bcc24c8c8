"""Warm-up and readers at a cache's own socket, which see the volume under another path, as another user and read-only."""
import hashlib
import json
import time

import pytest

from content import MAP_ALL, MIB, make_model, one_file
from support import paths
from support.orders import definition, new_uid
from support.pod import SYSTEM_PYTHON, volume
from support.processes import Running, wait_until


def source_digest(model, bucket) -> str:
    """As ObjectStore/Listing/SourceDigest.swift; the emulator's ETag of a whole object is its MD5 in capitals."""
    text = b""
    for name in sorted(model.names, key=str.encode):
        etag = hashlib.md5((bucket / model.prefix / name).read_bytes()).hexdigest().upper()
        text += f"{name}\0{model.sizes[name]}\0{etag}\n".encode()
    return "sha256:" + hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("medium", ["Memory", "Disk"])
def test_a_job_warms_a_cache_through_its_socket_as_nobody(medium, place, node, store, bucket, container, work):
    model = make_model(bucket, "qwen/", {"a/x.gguf": 9 * MIB + 5, "b.gguf": 5 * MIB, "c.txt": 3})
    _, orders = node("--disk-root", str(work / "disk"))
    uid = new_uid()
    began = time.time()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium)).status == 200
    folder = volume(place, uid) if medium == "Memory" else work / "disk/caches" / uid
    view = container(folder)
    # Source and endpoint are the definition's where the Job does not name them.
    for environment in (view.environment(store, model), view.environment(store)):
        job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=environment, prefix=view.prefix)
        assert job.wait(120) == 0, job.output()
    last = json.loads(job.output().splitlines()[-1])
    assert last["phase"] == "complete" and last["presentBytes"] == model.bytes and (last["namespace"], last["name"]) == ("team", "qwen"), last
    model.assert_whole(folder)
    report = orders.until(uid, lambda one: one["users"] == 0, "the Jobs are gone")
    assert report["state"] == "Ready" and report["files"] == 3 and report["bytesCached"] == report["bytesTotal"] == model.bytes, report
    assert report["digest"] == source_digest(model, bucket)
    assert report["originBytes"] == model.bytes and report["peerBytes"] == 0 and report["users"] == 0 and "error" not in report, report
    assert "lastUsed" not in report, "what is pinned has no place in the order of eviction"
    assert (place.status()["models"][0]["namespace"], place.status()["models"][0]["name"]) == ("team", "qwen")
    table = place.modelcache("status").stdout.decode()
    assert "team/qwen" in table, table
    assert b"team/qwen" in place.modelcache("doctor").stdout
    metrics = orders.request("GET", "/metrics").body.decode()
    # Pinned, and of memory alone.
    assert f"modelcache_held_bytes {model.bytes if medium == 'Memory' else 0}\n" in metrics
    assert f'modelcache_model_present_bytes{{model="{uid}",source="oss://models/qwen/",namespace="team",name="qwen"}} {model.bytes}' in metrics
    assert orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium, pinned=False)).status == 200
    assert began - 1 <= orders.cache(uid)["lastUsed"] <= time.time() + 1, orders.cache(uid)


READERS = {"cat": ("sha256sum",), "mapped": (SYSTEM_PYTHON, "-c", MAP_ALL)}


@pytest.mark.parametrize("kind", READERS)
# semantics 13
def test_a_pod_reads_a_cache_while_it_fills_under_its_own_path(kind, place, node, store, bucket, container):
    model = one_file(bucket)
    store.faults(bandwidth=2e6)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    reader = Running([*READERS[kind], view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store, model), prefix=view.prefix)
    wait_until(lambda: orders.cache(uid)["users"] == 1, 120, "the pod is counted")
    filling = orders.until(uid, lambda one: one["bytesPerSecond"] > 0, "a rate is told")
    assert filling["state"] == "Filling" and filling["remainingSeconds"] >= 0, filling
    refused = orders.delete(uid)
    assert refused.status == 409 and refused.json["code"] == "InUse" and refused.json["users"] == 1, refused
    store.faults()
    assert reader.wait(120) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output()
    assert wait_until(lambda: orders.cache(uid)["users"] == 0, 120, "the pod is gone")


# semantics 14
def test_a_caches_socket_serves_that_cache_alone(place, node, store, bucket, container):
    model, other = one_file(bucket, mebibytes=4), one_file(bucket, "other/", 4)
    _, orders = node()
    uid, neighbour = new_uid(), new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    assert orders.put(neighbour, definition(store, other.prefix, other.bytes, name="neighbour")).status == 200
    view = container(volume(place, uid))

    def warm(**changes):
        return place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store, model, **changes))

    for changes in ({"OSS_PATH": "oss://models/other/"}, {"OSS_ENDPOINT": "http://127.0.0.1:1"}, {"MODELCACHE_INCLUDE": "*.txt"}):
        result = warm(**changes)
        assert result.returncode == 78 and b"team/qwen alone" in result.stderr and result.stderr.count(b"\n") == 1, result
    assert orders.cache(uid)["state"] == "Prepared", "what a caller got wrong is not the cache's failure"
    result = warm(OSS_ACCESS_KEY_SECRET="wrong")
    assert result.returncode == 78, result
    failed = orders.until_failed(uid)
    assert failed["error"]["code"] == "AccessDenied", failed
    # A file that the caller names is not read with the agent's rights.
    keys = place.folder / "keys.json"
    keys.write_text(json.dumps({"AccessKeyId": "LTAIsystemtests", "AccessKeySecret": "system-tests-secret"}))
    keys.chmod(0o600)
    assert warm(OSS_ACCESS_KEY_ID=None, OSS_ACCESS_KEY_SECRET=None, OSS_CREDENTIALS_FILE=keys).returncode == 78
    assert warm().returncode == 0
    assert orders.cache(uid)["state"] == "Ready"
    assert warm(OSS_ACCESS_KEY_SECRET="wrong").returncode == 78, "cached bytes are for those whom the store shows the source"
    assert orders.cache(uid)["state"] == "Ready"
    status = json.loads(place.run(*view.prefix, view.modelcache, "status", "--json", environment=view.environment(store)).stdout)
    assert [m["name"] for m in status["models"]] == ["qwen"], status
    for arguments in (["evict", uid], ["evict", "--all", "--force"]):
        assert place.run(*view.prefix, view.modelcache, *arguments, environment=view.environment(store)).returncode == 1
    assert orders.cache(uid)["state"] == "Ready"


@pytest.mark.parametrize("files, code", [({}, "SourceEmpty"), (None, "NoSuchBucket"), ("down", "EndpointUnreachable")])
def test_a_failed_attempt_is_reported_until_the_next_one(files, code, place, node, store, bucket, container):
    _, orders = node()
    uid = new_uid()
    wanted = definition(store, "late/", 4 * MIB)
    if code == "NoSuchBucket":
        wanted["source"]["uri"] = "oss://absent-bucket/late/"
    if files == "down":
        wanted["source"]["endpoint"] = "http://127.0.0.1:9"
    assert orders.put(uid, wanted).status == 200
    view = container(volume(place, uid))
    result = place.run(*view.prefix, view.modelcache, "warm", "--json", environment=view.environment(store))
    assert result.returncode in (69, 78), result
    failed = orders.until_failed(uid)
    assert failed["error"]["code"] == code, failed
    assert failed["error"]["message"] in result.stderr.decode()
    if code == "SourceEmpty":
        model = one_file(bucket, "late/", 3)
        assert place.run(*view.prefix, view.modelcache, "warm", "--json", environment=view.environment(store)).returncode == 0
        ready = orders.cache(uid)
        assert ready["state"] == "Ready" and "error" not in ready and ready["bytesTotal"] == model.bytes, ready


# semantics 15
def test_warm_never_starts_an_agent_at_a_caches_socket(place, store, work):
    folder = work / "volume/.modelcache"
    folder.mkdir(parents=True)
    started = time.monotonic()
    environment = store.environment("one/", MODELCACHE_SOCKET=folder / "agent.sock", MODELCACHE_AGENT_DEADLINE_SECONDS=2, MODELCACHE_ROOT=place.root)
    result = place.run(paths.MODELCACHE, "warm", "--json", environment=environment)
    assert result.returncode == 69 and 1.5 < time.monotonic() - started < 30, result
    assert b"waiting up to 2 s" in result.stderr and b"modelcache-agent" in result.stderr.splitlines()[-1], result
    reader = place.run("cat", work / "volume/x.gguf", environment=environment | {
        "LD_PRELOAD": str(paths.PRELOAD), "ENABLE_CONNECTOR": "1", "MODEL_DIR": str(work / "volume")})
    assert reader.returncode == 69 and b"ModelCache" in reader.stderr, reader
    assert place.agents() == []


def test_a_bandwidth_limit_holds_for_the_fill_and_may_change(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=96)
    _, orders = node()
    uid = new_uid()
    wanted = definition(store, model.prefix, model.bytes, bandwidthLimit=2 * MIB)
    assert orders.put(uid, wanted).status == 200
    view = container(volume(place, uid))
    began = time.monotonic()
    job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
    cached = wait_until(lambda: (lambda n: n if n >= 6 * MIB else 0)(orders.cache(uid)["bytesCached"]), 120, "it fills")
    # Up to now, the first second's burst and a chunk in hand.
    assert cached <= (time.monotonic() - began + 1) * 2 * MIB + 2 * MIB
    assert job.alive()
    assert orders.put(uid, wanted | {"bandwidthLimit": None}).status == 200
    lifted, left = time.monotonic(), (model.bytes - cached) / (2 * MIB)
    assert job.wait(120) == 0, job.output()
    assert time.monotonic() - lifted < left / 2, f"what was left would have taken {left:.0f} s"
    model.assert_whole(volume(place, uid))

"""The node's side of a ModelCache: signed orders over HTTP, a volume and a socket for each cache, warm-up and readers
that see the volume under another path, as another user and read-only."""
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from content import MAP_ALL, MIB, make_model, one_file
from support import paths
from support.orders import NODE, Orders, definition, new_uid
from support.processes import Running, wait_until

SECRET = "a-secret-of-the-test-0123456789abcdef"
# The user of a warm-up Job's container.
NOBODY = 65532
# The interpreter that runs the tests may lie where only their own user may go.
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def secret_file(place):
    file = place.folder / "secret"
    file.write_text(SECRET + "\n")
    return file


@pytest.fixture
def node(place, agent, secret_file):
    """node(*arguments, **settings): an agent that takes orders; gives the agent and the one who orders."""
    def start(*arguments, **settings):
        one = agent(*arguments, **{
            "MODELCACHE_AUTH_SECRET_FILE": secret_file, "MODELCACHE_NODE_NAME": NODE, "MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS": 1,
            **settings})
        orders = Orders(one.http, SECRET)
        wait_until(lambda: _answers(orders), 10, "the agent answers over HTTP")
        return one, orders
    return start


def _answers(orders) -> bool:
    try:
        return orders.request("GET", "/readyz").status == 200
    except OSError:
        return False


@pytest.fixture
def container():
    """container(volume): runs programs that see the volume read-only at another path, in a mount namespace of their own,
    without privileges and without HOME."""
    views = []

    class View:
        def __init__(self, volume: pathlib.Path):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="mcv-", dir="/tmp"))
            folder.chmod(0o755)
            views.append(folder)
            self.volume, self.path, self.programs = volume, folder / "cache", folder / "bin"
            self.path.mkdir()
            self.programs.mkdir()
            for program in (paths.MODELCACHE, paths.PRELOAD):
                shutil.copy(program, self.programs)
            self.modelcache, self.preload = self.programs / paths.MODELCACHE.name, self.programs / paths.PRELOAD.name
            self.socket = self.path / ".modelcache/agent.sock"

        @property
        def prefix(self) -> list[str]:
            script = (f"mount --bind {self.volume} {self.path} && mount -o remount,bind,ro {self.path} && "
                      f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --no-new-privs --bounding-set=-all "
                      'env -u HOME ${PRELOADED:+LD_PRELOAD=$PRELOADED} "$@"')
            return ["unshare", "-m", "--propagation", "slave", "bash", "-c", script, "bash"]

        def environment(self, store, model=None, **extra) -> dict[str, str]:
            base = store.environment(model.prefix if model else "", MODELCACHE_SOCKET=self.socket, **extra)
            if model is None:
                del base["OSS_PATH"], base["OSS_ENDPOINT"], base["OSS_REGION"]
            return base

        def preloaded(self, store, model=None, **extra) -> dict[str, str]:
            # Not for the programs that make the view: they come before it.
            return self.environment(store, model, PRELOADED=self.preload, ENABLE_CONNECTOR=1, MODEL_DIR=f"{self.path}/", **extra)

    yield View
    for view in views:
        shutil.rmtree(view, ignore_errors=True)


def volume(place, uid) -> pathlib.Path:
    return place.root / "caches" / uid


def mounts_below(folder) -> list[str]:
    with open("/proc/self/mountinfo") as lines:
        return [line.split()[4] for line in lines if line.split()[4].startswith(str(folder))]


def source_digest(model, bucket) -> str:
    """As ObjectStore/Listing/SourceDigest.swift; the emulator's ETag of a whole object is its MD5 in capitals."""
    text = b""
    for name in sorted(model.names, key=str.encode):
        etag = hashlib.md5((bucket / model.prefix / name).read_bytes()).hexdigest().upper()
        text += f"{name}\0{model.sizes[name]}\0{etag}\n".encode()
    return "sha256:" + hashlib.sha256(text).hexdigest()


# ---- orders -------------------------------------------------------------------------------------------------------------


def test_a_prepared_cache_has_a_volume_of_its_own_and_goes_without_a_trace(place, node, store, bucket):
    model = one_file(bucket)
    _, orders = node()
    uid = new_uid()
    answer = orders.put(uid, definition(store, model.prefix, model.bytes))
    assert answer.status == 200, answer
    report = answer.json
    assert report["state"] == "Prepared" and report["bytesTotal"] == model.bytes and report["pinned"] is True, report
    folder = volume(place, uid)
    assert mounts_below(folder) == [str(folder)]
    limit = os.statvfs(folder).f_blocks * os.statvfs(folder).f_frsize
    assert model.bytes < limit < model.bytes * 1.01 + 70 * MIB
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / ".modelcache/agent.sock").stat().st_mode & 0o777 == 0o666
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).json == report
    assert mounts_below(folder) == [str(folder)], "an order that is repeated mounts nothing more"
    grown = orders.put(uid, definition(store, model.prefix, model.bytes + 200 * MIB, pinned=False))
    assert grown.status == 200 and grown.json["pinned"] is False, grown
    assert os.statvfs(folder).f_blocks * os.statvfs(folder).f_frsize > limit + 190 * MIB
    assert orders.delete(uid).status == 204
    assert not folder.exists() and mounts_below(folder) == [] and orders.report()["caches"] == []
    assert orders.delete(uid).status == 204, "a cache that never was is gone too"


def test_another_source_or_medium_for_a_known_uid_is_refused(node, store, bucket):
    model = one_file(bucket)
    _, orders = node()
    uid = new_uid()
    base = definition(store, model.prefix, model.bytes)
    assert orders.put(uid, base).status == 200
    for changed in (definition(store, "other/", model.bytes), base | {"medium": "Disk"},
                    base | {"source": base["source"] | {"include": ["*.gguf"]}}):
        answer = orders.put(uid, changed)
        assert answer.status == 409 and answer.json["code"] == "SourceImmutable", answer
    assert orders.put(uid, base | {"idleSeconds": 60}).status == 200


def test_orders_need_a_signature_for_this_node_and_this_time(place, node, store, bucket, secret_file):
    model = one_file(bucket)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    elsewhere = Orders(orders.address, SECRET, node="another-node")
    stranger = Orders(orders.address, "not-the-secret-but-long-enough")
    refusals = []
    for target in (f"/v1/caches/{uid}", f"/v1/caches/{new_uid()}", "/v1/caches/../../etc", "/v1/caches", "/nothing"):
        for method in ("GET", "PUT", "DELETE"):
            for authorization in (None, "Bearer x", "MODELCACHE-HMAC-SHA256 Timestamp=1, Signature=zz", "MODELCACHE-HMAC-SHA256 Timestamp=, Signature=",
                                  elsewhere.sign(method, target), stranger.sign(method, target), orders.sign(method, target + "x"),
                                  orders.sign("POST", target), orders.sign(method, target, b"body"), stranger.sign(method, target, skew=900)):
                refusals.append(orders.request(method, target, authorization=authorization))
    assert {(a.status, a.body) for a in refusals} == {(401, refusals[0].body)}, "one answer for all that is not signed"
    assert uid.encode() not in refusals[0].body and refusals[0].json["code"] == "Unauthorized"
    for skew in (-600, 600):
        late = orders.request("GET", "/v1/caches", skew=skew)
        assert late.status == 401 and late.json["code"] == "ClockSkewed" and late.headers.get("Date"), late
    for skew in (-280, 280):
        assert orders.request("GET", "/v1/caches", skew=skew).status == 200
    # Rotation: both are taken while the file holds both, then the new one alone.
    newer = Orders(orders.address, "a-newer-secret-0123456789abcdef")
    secret_file.write_text(f"{newer.secret}\n{SECRET}\n")
    assert newer.report()["node"] == NODE and orders.report()
    aside = secret_file.with_name("aside")
    aside.write_text(newer.secret)
    os.replace(aside, secret_file)
    assert newer.report() and orders.request("GET", "/v1/caches").status == 401
    secret_file.unlink()
    assert newer.request("GET", "/v1/caches").status == 401, "a secret that is gone opens nothing"
    text = pathlib.Path(place.folder / "01-store.log").read_text() + "".join(f.read_text() for f in place.folder.glob("*agent.log"))
    assert SECRET not in text and newer.secret not in text


def test_without_a_secret_no_order_is_taken_and_the_remedy_is_said(node):
    _, orders = node(MODELCACHE_AUTH_SECRET_FILE=None)
    answer = orders.request("GET", "/v1/caches")
    assert answer.status == 403 and "MODELCACHE_AUTH_SECRET_FILE" in answer.json["remedy"], answer
    assert orders.request("GET", "/metrics", authorization=None).status == 200


def test_malformed_orders_are_refused_with_the_field(place, node, store, bucket):
    model = one_file(bucket)
    _, orders = node(MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS=None)
    base = definition(store, model.prefix, model.bytes) | {"source": {"uri": "oss://models/one/", "endpoint": "http://10.1.2.3", "include": []}}
    uid = new_uid()

    def source(**changes):
        return base | {"source": base["source"] | changes}

    cases = [
        (b"", "body"), (b"{", "body"), (b"[]", "body"), (b"null", "body"), (b"[" * 60000, "body"), (b"\xff\xfe{}", "body"),
        (base | {"sizeBytes": -1}, "sizeBytes"), (base | {"sizeBytes": "1"}, "sizeBytes"), (base | {"sizeBytes": 1e30}, "sizeBytes"),
        ({k: v for k, v in base.items() if k != "namespace"}, "namespace"), (base | {"name": "../x"}, "name"), (base | {"name": ""}, "name"),
        (base | {"medium": "Tape"}, "medium"), (base | {"idleSeconds": -5}, "idleSeconds"), (base | {"bandwidthLimit": 0}, "bandwidthLimit"),
        (base | {"pinned": "yes"}, "pinned"), (base | {"source": 5}, "source"), (source(uri="ftp://x/y"), "source.uri"), (source(uri=7), "source.uri"),
        (source(include=[""]), "source.include"), (source(include="x"), "source.include"), (source(endpoint=None), "source.endpoint"),
        (source(endpoint=None, region="evil.example/"), "source.region"), (source(endpoint="http://user:pw@h"), "source.endpoint"),
    ]
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "localhost", "a.localhost", "169.254.169.254", "0xa9fea9fe", "100.100.100.200",
                 "[::1]", "[fe80::1]", "[::ffff:169.254.169.254]", "metadata.google.internal", "224.0.0.1", "[fd00:ec2::254]"):
        cases.append((source(endpoint=f"http://{host}"), "source.endpoint"))
    for body, field in cases:
        answer = orders.request("PUT", f"/v1/caches/{uid}", body if isinstance(body, bytes) else json.dumps(body).encode())
        assert answer.status == 400 and answer.json["code"] == "InvalidDefinition" and field in answer.json["message"], (body, answer)
        assert "pw" not in answer.json["message"]
    for wrong in ("x", "..", "%2e%2e", uid.upper().replace("0", "A"), uid + "/x", "-" * 36, uid[:-1], uid + "0", ""):
        assert orders.request("PUT", f"/v1/caches/{wrong}", json.dumps(base).encode()).status == 400, wrong
    assert orders.request("PUT", f"/v1/caches/{uid}", b"x" * (193 << 10)).status == 413
    assert orders.request("POST", f"/v1/caches/{uid}").status == 405
    assert orders.request("GET", "/v1/other").status == 404
    assert orders.report()["caches"] == [] and not (place.root / "caches").exists()
    assert orders.put(uid, base).status == 200
    assert orders.put(new_uid(), source(endpoint=None, region="cn-hangzhou")).status == 200


def test_what_is_pinned_is_never_promised_twice(place, node, store, bucket, work):
    _, orders = node("--budget", "100MiB", "--disk-root", str(work / "disk"), "--disk-budget", "50MiB")
    first, second = new_uid(), new_uid()
    assert orders.put(first, definition(store, "one/", 60 * MIB)).status == 200
    answer = orders.put(second, definition(store, "two/", 60 * MIB, name="two"))
    assert answer.status == 507, answer
    assert answer.json["code"] == "InsufficientCapacity" and answer.json["neededBytes"] == 60 * MIB and answer.json["freeBytes"] == 40 * MIB, answer
    assert not volume(place, second).exists()
    assert orders.put(second, definition(store, "two/", 40 * MIB, name="two")).status == 200
    assert orders.put(new_uid(), definition(store, "three/", 51 * MIB, medium="Disk")).status == 507
    assert orders.put(new_uid(), definition(store, "three/", 50 * MIB, medium="Disk")).status == 200
    report = orders.report()
    assert report["memory"] == {"budgetBytes": 100 * MIB, "usedBytes": 100 * MIB} and report["disk"]["usedBytes"] == 50 * MIB, report
    assert orders.delete(first).status == 204
    assert orders.put(second, definition(store, "two/", 100 * MIB, name="two")).status == 200
    # Standalone models share the budget.
    one_file(bucket, "alone/", 4)
    result = place.modelcache("warm", environment=store.environment("alone/"))
    assert result.returncode == 1 and b"budget" in result.stderr, result


# ---- warm-up and readers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("medium", ["Memory", "Disk"])
def test_a_job_warms_a_cache_through_its_socket_as_nobody(medium, place, node, store, bucket, container, work):
    model = make_model(bucket, "qwen/", {"a/x.gguf": 9 * MIB + 5, "b.gguf": 5 * MIB, "c.txt": 3})
    _, orders = node("--disk-root", str(work / "disk"))
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium)).status == 200
    folder = volume(place, uid) if medium == "Memory" else work / "disk/caches" / uid
    view = container(folder)
    # Source and endpoint are the definition's where the Job does not name them.
    for environment in (view.environment(store, model), view.environment(store)):
        job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=environment, prefix=view.prefix)
        assert job.wait(30) == 0, job.output()
    last = json.loads(job.output().splitlines()[-1])
    assert last["phase"] == "complete" and last["presentBytes"] == model.bytes and (last["namespace"], last["name"]) == ("team", "qwen"), last
    model.assert_whole(folder)
    report = orders.cache(uid)
    assert report["state"] == "Ready" and report["files"] == 3 and report["bytesCached"] == report["bytesTotal"] == model.bytes, report
    assert report["digest"] == source_digest(model, bucket)
    assert report["originBytes"] == model.bytes and report["peerBytes"] == 0 and report["users"] == 0 and "error" not in report, report
    assert (place.status()["models"][0]["namespace"], place.status()["models"][0]["name"]) == ("team", "qwen")
    table = place.modelcache("status").stdout.decode()
    assert "team/qwen" in table, table
    assert b"team/qwen" in place.modelcache("doctor").stdout
    metrics = orders.request("GET", "/metrics").body.decode()
    assert f'modelcache_model_present_bytes{{model="{uid}",source="oss://models/qwen/",namespace="team",name="qwen"}} {model.bytes}' in metrics


READERS = {"cat": ("sha256sum",), "mapped": (SYSTEM_PYTHON, "-c", MAP_ALL)}


@pytest.mark.parametrize("kind", READERS)
def test_a_pod_reads_a_cache_while_it_fills_under_its_own_path(kind, place, node, store, bucket, container):
    model = one_file(bucket)
    store.faults(bandwidth=20e6)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    started = time.monotonic()
    reader = Running([*READERS[kind], view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store, model), prefix=view.prefix)
    wait_until(lambda: orders.cache(uid)["users"] == 1, 10, "the pod is counted")
    filling = wait_until(lambda: (lambda c: c if c["bytesPerSecond"] > 0 else None)(orders.cache(uid)), 10, "a rate is told")
    assert filling["state"] == "Filling" and filling["remainingSeconds"] >= 0, filling
    refused = orders.delete(uid)
    assert refused.status == 409 and refused.json["code"] == "InUse" and refused.json["users"] == 1, refused
    assert reader.wait(30) == 0, reader.output()
    assert model.digests["model.gguf"] in reader.output()
    # 40 MB at 20 MB/s: what comes after the last byte is short.
    assert time.monotonic() - started < 2.1 + 2.5
    assert wait_until(lambda: orders.cache(uid)["users"] == 0, 5, "the pod is gone")


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
    failed = orders.cache(uid)
    assert failed["state"] == "Failed" and failed["error"]["code"] == "AccessDenied", failed
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
    failed = orders.cache(uid)
    assert failed["state"] == "Failed" and failed["error"]["code"] == code, failed
    assert failed["error"]["message"] in result.stderr.decode()
    if code == "SourceEmpty":
        model = one_file(bucket, "late/", 3)
        assert place.run(*view.prefix, view.modelcache, "warm", "--json", environment=view.environment(store)).returncode == 0
        ready = orders.cache(uid)
        assert ready["state"] == "Ready" and "error" not in ready and ready["bytesTotal"] == model.bytes, ready


def test_warm_never_starts_an_agent_at_a_caches_socket(place, store, work):
    folder = work / "volume/.modelcache"
    folder.mkdir(parents=True)
    started = time.monotonic()
    environment = store.environment("one/", MODELCACHE_SOCKET=folder / "agent.sock", MODELCACHE_AGENT_DEADLINE_SECONDS=2, MODELCACHE_ROOT=place.root)
    result = place.run(paths.MODELCACHE, "warm", "--json", environment=environment)
    assert result.returncode == 69 and 1.5 < time.monotonic() - started < 6, result
    assert b"waiting up to 2 s" in result.stderr and b"modelcache-agent" in result.stderr.splitlines()[-1], result
    reader = place.run("cat", work / "volume/x.gguf", environment=environment | {
        "LD_PRELOAD": str(paths.PRELOAD), "ENABLE_CONNECTOR": "1", "MODEL_DIR": str(work / "volume")})
    assert reader.returncode == 78 and b"ModelCache" in reader.stderr, reader
    assert place.agents() == []


def test_a_bandwidth_limit_holds_for_the_fill_and_may_change(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=48)
    _, orders = node()
    uid = new_uid()
    wanted = definition(store, model.prefix, model.bytes, bandwidthLimit=8 * MIB)
    assert orders.put(uid, wanted).status == 200
    view = container(volume(place, uid))
    job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
    wait_until(lambda: orders.cache(uid)["state"] == "Filling", 10, "it fills")
    time.sleep(3)
    assert 12 * MIB <= orders.cache(uid)["bytesCached"] <= 36 * MIB
    assert job.alive()
    assert orders.put(uid, wanted | {"bandwidthLimit": None}).status == 200
    assert job.wait(3) == 0, job.output()
    model.assert_whole(volume(place, uid))


# ---- bad days -----------------------------------------------------------------------------------------------------------


def test_an_agent_killed_while_it_fills_goes_on_and_the_job_never_notices(place, node, store, bucket, container):
    model = one_file(bucket)
    store.faults(bandwidth=12e6)
    first, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
    reader = Running(["sha256sum", view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store), prefix=view.prefix)
    had = wait_until(lambda: (lambda n: n if n > 10 * MIB else 0)(orders.cache(uid)["bytesCached"]), 15, "a quarter is there")
    before = orders.report()
    first.kill()
    time.sleep(1)
    second, orders = node()
    after = orders.report()
    assert before["instanceID"] != after["instanceID"] and before["bootID"] == after["bootID"]
    assert orders.cache(uid)["bytesCached"] >= had, "chunks are kept"
    assert mounts_below(volume(place, uid)) == [str(volume(place, uid))], "what is mounted is not mounted again"
    assert job.wait(30) == 0, job.output()
    assert reader.wait(30) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    model.assert_whole(volume(place, uid))
    assert store.requests()["bytesServed"] < 2 * model.bytes - had + 16 * MIB
    second.stop()
    third, orders = node()
    assert orders.cache(uid)["state"] == "Ready", "after SIGTERM too"


def test_an_unpinned_cache_drops_its_bytes_when_idle_and_streams_again(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, pinned=False, idleSeconds=2)).status == 200
    view = container(volume(place, uid))
    # A pod's view of the volume outlives the bytes.
    pod = Running(["bash", "-c", f"until cat {view.path}/model.gguf >/dev/null 2>&1; do sleep 0.1; done; echo read; sleep 60"],
                  place.log("pod"), environment=view.environment(store), prefix=view.prefix)
    for _ in range(2):
        warm = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store))
        assert warm.returncode == 0, warm
        assert warm.stdout.decode().strip() == str(view.path), "the path is the caller's own"
        assert orders.cache(uid)["state"] == "Ready"
        wait_until(lambda: orders.cache(uid)["state"] == "Prepared", 10, "the bytes went")
        assert orders.cache(uid)["bytesCached"] == 0 and mounts_below(volume(place, uid))
        assert sorted(os.listdir(volume(place, uid))) == [".modelcache"]
    assert orders.cache(uid)["originBytes"] == 2 * model.bytes
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    time.sleep(4)
    assert orders.cache(uid)["state"] == "Ready", "what is pinned stays"
    pod.stop()


def test_force_deletes_under_readers_who_keep_their_pages(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    script = ("import hashlib, mmap, os, sys, time\nfd = os.open(sys.argv[1], os.O_RDONLY)\nm = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n"
              "print('mapped', flush=True)\ntime.sleep(2)\nprint(hashlib.sha256(m).hexdigest())")
    reader = Running([SYSTEM_PYTHON, "-c", script, view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store), prefix=view.prefix)
    wait_until(lambda: "mapped" in reader.output(), 10, "the reader has it")
    assert orders.delete(uid).status == 409
    assert orders.delete(uid, force=True).status == 204
    assert not volume(place, uid).exists() and mounts_below(volume(place, uid)) == []
    assert reader.wait(20) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()


def test_a_damaged_definition_sets_the_cache_aside_until_it_is_prepared_again(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    first, orders = node()
    whole, odd = new_uid(), new_uid()
    for uid in (whole, odd):
        assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, odd))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    first.kill()
    for text in (b"{", b"", b'{"version":9}', (volume(place, whole) / ".modelcache/definition.json").read_bytes()):
        (volume(place, odd) / ".modelcache/definition.json").write_bytes(text)
        second, orders = node()
        assert [c["uid"] for c in orders.report()["caches"]] == [whole]
        assert "set aside" in second.process.output() and str(volume(place, odd)) in second.process.output()
        assert orders.put(odd, definition(store, model.prefix, model.bytes)).status == 200
        assert orders.cache(odd)["bytesCached"] == model.bytes, "the bytes were kept"
        second.kill()
    (volume(place, odd) / ".modelcache/definition.json").write_bytes(b"nonsense")
    _, orders = node()
    assert orders.delete(odd).status == 204 and not volume(place, odd).exists(), "what is aside can be deleted"


def test_half_made_caches_are_removed_at_the_start(place, node, store, bucket):
    first, orders = node()
    kept = new_uid()
    assert orders.put(kept, definition(store, "one/", MIB)).status == 200
    first.kill()
    caches = place.root / "caches"
    bare, mounted, marked, strange = new_uid(), new_uid(), new_uid(), new_uid()
    for uid in (bare, mounted, marked, strange):
        (caches / uid).mkdir()
    for uid in (mounted, marked):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "modelcache", caches / uid], check=True)
    (caches / marked / ".modelcache").mkdir()
    shutil.copy(caches / kept / ".modelcache/marker", caches / marked / ".modelcache/marker")
    (caches / strange / "somebody's").write_text("file")
    _, orders = node()
    assert [c["uid"] for c in orders.report()["caches"]] == [kept]
    assert sorted(os.listdir(caches)) == sorted([kept, strange]), "what is not ours is left alone"
    assert (caches / kept / ".modelcache/agent.sock").is_socket()
    assert orders.put(strange, definition(store, "one/", MIB)).status == 500
    assert (caches / strange / "somebody's").exists()


def test_kill_9_at_any_moment_of_preparing_and_deleting_leaves_whole_caches_or_none(place, node, store, bucket):
    seed = int(os.environ.get("MODELCACHE_TEST_SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (MODELCACHE_TEST_SEED)")
    chance = random.Random(seed)
    uids = [new_uid() for _ in range(6)]
    wanted = definition(store, "one/", MIB)
    for _ in range(8):
        one, orders = node()
        killer = threading.Timer(chance.uniform(0.02, 0.25), os.kill, (one.pid, signal.SIGKILL))
        killer.start()
        try:
            while True:
                uid = chance.choice(uids)
                if chance.random() < 0.5:
                    orders.put(uid, wanted)
                else:
                    orders.delete(uid)
        except OSError:
            pass
        killer.join()
        one.kill()
    one, orders = node()
    reported = {c["uid"] for c in orders.report()["caches"]}
    there = set(os.listdir(place.root / "caches")) if (place.root / "caches").exists() else set()
    assert there == reported and set(mounts_below(place.root / "caches")) == {str(volume(place, u)) for u in reported}
    for uid in uids:
        assert orders.put(uid, wanted).status == 200
        assert (volume(place, uid) / ".modelcache/agent.sock").is_socket()
    for uid in uids:
        assert orders.delete(uid).status == 204
    assert os.listdir(place.root / "caches") == [] and mounts_below(place.root / "caches") == []
    assert "error" not in "".join(line.split()[1] for line in one.process.output().splitlines() if len(line.split()) > 1)


def test_orders_for_one_uid_at_once_end_in_one_of_the_states_they_ask_for(place, node, store, bucket, container):
    seed = int(os.environ.get("MODELCACHE_TEST_SEED", random.randrange(1 << 30)))
    print(f"seed {seed} (MODELCACHE_TEST_SEED)")
    model = one_file(bucket, mebibytes=2)
    one, orders = node()
    uid = new_uid()
    wrong = []

    def run(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for _ in range(40):
            what = chance.randrange(4)
            if what == 0:
                answer, good = orders.delete(uid, force=chance.random() < 0.5), (204, 409)
            elif what == 1:
                answer, good = orders.put(uid, definition(store, model.prefix, model.bytes, pinned=chance.random() < 0.5)), (200, 409)
            elif what == 2:
                answer, good = orders.put(uid, definition(store, "other/", model.bytes)), (200, 409)
            else:
                place.run(paths.MODELCACHE, "warm", environment=store.environment(
                    model.prefix, MODELCACHE_SOCKET=volume(place, uid) / ".modelcache/agent.sock", MODELCACHE_AGENT_DEADLINE_SECONDS=0))
                continue
            if answer.status not in good:
                wrong.append(answer)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    one.process.must_live()
    # An order that came already in this second, and others since, would be taken for a recording.
    time.sleep(1.1)
    assert orders.delete(uid, force=True).status == 204
    assert mounts_below(place.root / "caches") == [] and os.listdir(place.root / "caches") == []


def test_a_medium_that_fills_up_is_the_caches_failure(place, node, store, bucket, container):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "modelcache-test", place.root], check=True)
    try:
        model = one_file(bucket)
        store.faults(bandwidth=10e6)
        _, orders = node("--medium", "directory")
        uid = new_uid()
        assert orders.put(uid, definition(store, model.prefix, 95 * MIB)).status == 507
        assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
        view = container(volume(place, uid))
        job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
        wait_until(lambda: orders.cache(uid)["bytesCached"] > 4 * MIB, 15, "something is there")
        subprocess.run(["dd", "if=/dev/zero", f"of={place.root}/filler", "bs=1M"], check=False, stderr=subprocess.DEVNULL)
        assert job.wait(30) == 1, job.output()
        failed = orders.cache(uid)
        assert failed["state"] == "Failed" and failed["error"]["code"] == "InsufficientCapacity", failed
        (place.root / "filler").unlink()
        again = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store))
        assert again.returncode == 0, again
        assert orders.cache(uid)["state"] == "Ready"
    finally:
        subprocess.run(["umount", "-l", place.root], check=False)


def test_a_read_only_disk_root_ends_the_agent_with_the_remedy(place, work):
    disk = work / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "modelcache-test", disk], check=True)
    try:
        result = place.modelcache("agent", "--disk-root", disk, seconds=10)
        assert result.returncode != 0 and b"read-only" in result.stderr and str(disk).encode() in result.stderr, result
    finally:
        subprocess.run(["umount", "-l", disk], check=False)

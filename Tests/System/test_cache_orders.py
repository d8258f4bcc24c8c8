"""What the operator orders of a node's agent: signed requests over HTTP that make, change, report and remove caches."""
import contextlib
import json
import os
import pathlib
import socket

from content import MIB, one_file
from support.orders import NODE, SECRET, Orders, definition, new_uid
from support.pod import mounts_below, volume


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


def test_connections_that_rest_keep_neither_the_kubelet_nor_the_operator_out(node, store, bucket):
    model = one_file(bucket)
    _, orders = node()
    host, _, port = orders.address.rpartition(":")
    with contextlib.ExitStack() as idle:
        for number in range(400):
            one = idle.enter_context(socket.create_connection((host, int(port)), timeout=60))
            # Half a request: it owes the rest.
            with contextlib.suppress(OSError):
                one.sendall(b"PUT /v1/caches/x HTTP/1.1\r\n" if number % 2 else b"GET /healthz HT")
        assert orders.answers()
        assert orders.put(new_uid(), definition(store, model.prefix, model.bytes)).status == 200


def test_a_listing_that_the_modelcache_excludes_is_not_fetched_whoever_opens_it(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    _, orders = node()

    def listed() -> str:
        return json.loads(place.modelcache("ls", "--summary", environment=store.environment(model.prefix)).stdout)["digest"]

    def pinned(digest: str | None) -> dict:
        one = definition(store, model.prefix, model.bytes)
        return one | {"source": one["source"] | {"digest": digest}}

    first, old, new = listed(), new_uid(), new_uid()
    assert orders.put(old, pinned(first)).status == 200
    view = container(volume(place, old))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    assert orders.cache(old)["digest"] == first and orders.cache(old)["source"]["digest"] == first
    # The source changes, and a node joins.
    (bucket / model.prefix / "model.gguf").write_bytes(b"x" * model.bytes)
    assert listed() != first
    assert orders.put(new, pinned(first)).status == 200
    served = store.requests()["bytesServed"]
    view = container(volume(place, new))
    refused = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store))
    assert refused.returncode == 78 and b"spec.source.digest" in refused.stderr, refused
    report = orders.cache(new)
    assert report["state"] == "Failed" and report["error"]["code"] == "DigestMismatch" and report["bytesCached"] == 0, report
    assert store.requests()["bytesServed"] - served < MIB, "listings alone"
    assert orders.cache(old)["state"] == "Ready", "a copy that is there stays"
    # The pin moves on, as it does without another definition of the source.
    assert orders.put(new, pinned(listed())).status == 200
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    assert orders.cache(new)["state"] == "Ready" and orders.cache(new)["digest"] == listed()


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


# semantics 18
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
    assert report["memory"] == {"budgetBytes": 100 * MIB, "usedBytes": 100 * MIB, "heldBytes": 100 * MIB} and report["disk"]["usedBytes"] == 50 * MIB, report
    assert orders.delete(first).status == 204
    assert orders.put(second, definition(store, "two/", 100 * MIB, name="two")).status == 200
    # Standalone models share the budget.
    one_file(bucket, "alone/", 4)
    result = place.modelcache("warm", environment=store.environment("alone/"))
    assert result.returncode == 1 and b"budget" in result.stderr, result

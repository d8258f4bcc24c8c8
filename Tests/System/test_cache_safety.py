"""A cache's directory that a pod has mounted for writing, sources that lead inward, recorded orders, metrics for everybody."""
import http.client
import json
import pathlib
import socket

import pytest

from content import one_file
from support import paths
from support.orders import definition, new_uid
from support.pod import volume
from support.processes import free_port, wait_until


def victim(place) -> pathlib.Path:
    """Files that an agent would spoil if it followed a link to their folder."""
    folder = place.folder / "victim"
    for name in ("agent.sock", "marker", "manifest.json", "definition.json", "boot", "presence.new", "model.gguf", "m/model.gguf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("keep")
        (folder / name).chmod(0o600)
    return folder


def state(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    return {str(file.relative_to(folder)): (file.stat().st_mode, file.read_bytes()) for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("medium", ["Memory", "Disk"])
@pytest.mark.parametrize("name", [".partial", ".presence", ".modelcache", ".modelcache/agent.sock", ".partial/model.gguf", ".presence/model.gguf"])
def test_links_that_a_pod_put_into_a_cache_lead_the_agent_nowhere(name, medium, place, node, store, bucket):
    model = one_file(bucket)
    disk = place.folder / "disk"
    disk.mkdir()
    one, orders = node("--disk-root", disk)
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium)).status == 200
    folder = volume(place, uid) if medium == "Memory" else disk / "caches" / uid
    environment = store.environment(model.prefix, MODELCACHE_SOCKET=folder / ".modelcache/agent.sock")
    assert place.run(paths.MODELCACHE, "warm", environment=environment).returncode == 0
    outside = victim(place)
    before = state(outside)
    # A pod's view of the directory, which outlives the agent's.
    link = folder / name
    link.rename(folder / "aside")
    link.symlink_to(outside / "model.gguf" if name.endswith(("sock", "gguf")) else outside)
    assert orders.put(uid, definition(store, model.prefix, model.bytes * 2, medium=medium)).status in (200, 500)
    one.stop()
    one, orders = node("--disk-root", disk)
    orders.put(uid, definition(store, model.prefix, model.bytes, medium=medium))
    orders.delete(uid, force=True)
    one.stop()
    assert state(outside) == before


def test_a_source_whose_name_leads_to_the_node_is_not_read(place, node, store, bucket):
    name = socket.gethostname()
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(name, 80)}
    except OSError:
        addresses = set()
    if not addresses or not all(address.startswith("127.") or address == "::1" for address in addresses):
        pytest.skip("this machine's name is no loopback address")
    model = one_file(bucket)
    _, orders = node(MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS=0)
    uid = new_uid()
    endpoint = f"http://{name}:{store.endpoint.rsplit(':', 1)[1]}"
    order = definition(store, model.prefix, model.bytes)
    order["source"] |= {"endpoint": endpoint, "addressing": "Path"}
    assert orders.put(uid, order).status == 200, "a name is a name"
    environment = store.environment(model.prefix, MODELCACHE_SOCKET=volume(place, uid) / ".modelcache/agent.sock") | {"OSS_ENDPOINT": endpoint}
    result = place.run(paths.MODELCACHE, "warm", environment=environment)
    assert result.returncode != 0 and b"which is this machine itself" in result.stderr, result
    cache = orders.cache(uid)
    assert cache["state"] == "Failed" and cache["error"]["code"] == "InvalidSpec" and cache["bytesCached"] == 0, cache


def test_a_modelcaches_credentials_go_to_hosts_alone_that_may_have_them(place, node, store, bucket):
    model = one_file(bucket)
    _, orders = node(MODELCACHE_CREDENTIAL_HOSTS="minio.storage.svc,10.0.0.*")
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    environment = store.environment(model.prefix, MODELCACHE_SOCKET=volume(place, uid) / ".modelcache/agent.sock")
    result = place.run(paths.MODELCACHE, "warm", environment=environment)
    assert result.returncode == 78, result
    for word in (b"spec.source.endpoint", store.endpoint.encode(), b"not a store's own host", b"MODELCACHE_CREDENTIAL_HOSTS"):
        assert word in result.stderr, result
    cache = orders.cache(uid)
    assert cache["state"] == "Failed" and cache["error"]["code"] == "InvalidSpec" and cache["bytesCached"] == 0, cache
    # A standalone caller's keys are the caller's own affair, with the same agent too.
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result


def test_a_list_of_hosts_that_cannot_be_read_ends_the_agent(place, store):
    result = place.modelcache("agent", environment=store.environment(MODELCACHE_CREDENTIAL_HOSTS="http://minio"))
    assert result.returncode == 78, result
    for word in (b"MODELCACHE_CREDENTIAL_HOSTS", b"http://minio", b"minio.storage.svc"):
        assert word in result.stderr, result


def test_a_recorded_order_does_not_undo_a_newer_one(node, store, bucket):
    model = one_file(bucket)
    one, orders = node()
    uid = new_uid()
    target = f"/v1/caches/{uid}"
    body = json.dumps(definition(store, model.prefix, model.bytes)).encode()
    # The agent started a moment ago: what was signed before is old, so the recording is of a second that is to come.
    recorded = orders.sign("PUT", target, body, skew=5)
    assert orders.request("PUT", target, body, recorded).status == 200
    assert orders.request("PUT", target, body, recorded).status == 200, "a retry is the same order"
    assert orders.request("DELETE", target, skew=10).status == 204
    answer = orders.request("PUT", target, body, recorded)
    assert answer.status == 409 and answer.json["code"] == "Superseded", answer
    assert orders.report()["caches"] == []
    one.stop()
    _, orders = node()
    answer = orders.request("PUT", target, body, skew=-60)
    assert answer.status == 409 and answer.json["code"] == "Superseded", answer


def test_metrics_for_everybody_name_nobody(place, node, store, bucket):
    model = one_file(bucket)
    port = free_port()
    _, orders = node("--metrics-bind-address", f"127.0.0.1:{port}")
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    # The same source without Kubernetes.
    assert place.modelcache("warm", environment=store.environment(model.prefix)).returncode == 0

    def get(path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(f"127.0.0.1:{port}", timeout=120)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def text() -> str | None:
        try:
            return get("/metrics")[1]
        except OSError:
            return None

    text = wait_until(text, 120, "the metrics are served")
    assert f'modelcache_model_bytes{{model="{uid}"}} {model.bytes}' in text, text
    assert text.count("modelcache_model_present_bytes{") == 2, text
    for word in ("namespace=", "name=", "source=", "team", "qwen", model.prefix):
        assert word not in text, (word, text)
    for path in ("/v1/caches", f"/v1/caches/{uid}", "/v1/status", "/"):
        assert get(path)[0] == 404


def test_a_model_read_as_s3_is_called_so_by_the_next_agent(place, agent, store, bucket):
    model = one_file(bucket)
    environment = {name: value for name, value in store.environment(model.prefix).items()}
    environment["OSS_PATH"] = environment["OSS_PATH"].replace("oss://", "s3://")
    one = agent()
    assert place.modelcache("warm", environment=environment).returncode == 0
    source = place.status()["models"][0]["source"]
    assert source.startswith("s3://")
    one.stop()
    agent()
    assert place.status()["models"][0]["source"] == source

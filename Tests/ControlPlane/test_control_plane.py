"""The control plane that other tests stand on does what a cluster's does, and what tests must do to it."""
import json
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest

from support.proxy import Proxy, Refusal


def fetch(url, plane, token=None, seconds=60):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    return urllib.request.urlopen(request, timeout=seconds, context=plane.tls())


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return value


def config_map(name, namespace, owner=None):
    metadata = {"name": name, "namespace": namespace}
    if owner:
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"],
                                        "uid": owner["metadata"]["uid"]}]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


def test_requests_without_identity_are_refused(control_plane):
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(f"{control_plane.server}/api", control_plane)
    # 403 where anonymous requests are let in and may do nothing.
    assert refused.value.code in ((401,) if control_plane.own else (401, 403))


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(control_plane, kubectl, namespace):
    kubectl("create", "serviceaccount", "reader", "-n", namespace)
    kubectl("create", "role", "reader", "-n", namespace, "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "reader", "-n", namespace, "--role=reader", f"--serviceaccount={namespace}:reader")
    reader = type(kubectl)(control_plane.service_account_kubeconfig(namespace, "reader"), kubectl.program)
    assert "NAME" not in reader("get", "configmaps", "-n", namespace, "-o", "name")
    with pytest.raises(AssertionError, match="forbidden"):
        reader("get", "secrets", "-n", namespace)


def test_namespaces_end_and_owned_objects_are_collected(kubectl, namespace):
    kubectl.apply(config_map("owner", namespace))
    kubectl.apply(config_map("owned", namespace, kubectl.get("configmap", "owner", "-n", namespace)))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    wait_until(lambda: kubectl.get("configmap", "owned", "-n", namespace) is None, 120, "the owned object to be collected")
    kubectl("delete", "namespace", namespace)
    assert kubectl.get("namespace", namespace) is None


def test_objects_outlive_the_death_of_api_server_and_etcd(own_control_plane):
    plane = own_control_plane
    plane.kubectl.apply(config_map("kept", "default"))
    version = plane.kubectl.get("configmap", "kept", "-n", "default")["metadata"]["resourceVersion"]
    plane.api_server.kill()
    assert not plane.is_ready()
    with pytest.raises(AssertionError, match="refused"):
        plane.kubectl.get("configmap", "kept", "-n", "default")
    plane.etcd.kill()
    plane.etcd.start()
    plane.api_server.start()
    plane.ready()
    kept = plane.kubectl.get("configmap", "kept", "-n", "default")
    assert kept["data"] == {"a": "1"} and kept["metadata"]["resourceVersion"] == version


def test_a_watch_from_before_a_compaction_is_answered_410(own_control_plane):
    plane = own_control_plane
    plane.kubectl.apply(config_map("one", "default"))
    old = plane.kubectl.get("configmap", "one", "-n", "default")["metadata"]["resourceVersion"]
    for number in range(5):
        plane.kubectl("annotate", "--overwrite", "configmap", "one", "-n", "default", f"n={number}")
    plane.compact()
    # The server's own memory of events ends with it.
    plane.api_server.stop()
    plane.api_server.start()
    plane.ready()
    url = f"{plane.server}/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={old}&timeoutSeconds=5"
    try:
        with fetch(url, plane, plane.admin_token) as answer:
            event = json.loads(answer.readline())
        code = event["object"].get("code")
    except urllib.error.HTTPError as error:
        code = error.code
    assert code == 410


def test_a_frozen_api_server_accepts_and_does_not_answer(own_control_plane):
    own_control_plane.api_server.freeze()
    try:
        assert not own_control_plane.is_ready()
    finally:
        own_control_plane.api_server.thaw()
    wait_until(own_control_plane.is_ready, 120, "ready again")


@pytest.fixture
def proxy(control_plane):
    if not control_plane.own:
        pytest.skip("the proxy needs a certificate of the cluster's authority")
    one = Proxy(control_plane)
    yield one
    one.close()


def through(kubectl, proxy):
    return type(kubectl)(proxy.kubeconfig(), kubectl.program)


def test_the_proxy_passes_requests_on_and_counts_them(control_plane, kubectl, namespace, proxy):
    client = through(kubectl, proxy)
    client.apply(config_map("one", namespace))
    assert client.get("configmap", "one", "-n", namespace)["data"] == {"a": "1"}
    assert [one.method for one in proxy.writes] == ["PATCH"]


def test_the_proxy_injects_answers(control_plane, kubectl, namespace, proxy):
    proxy.refuse = lambda seen: Refusal(409, "Conflict", message="two writers") if "/configmaps/one" in seen.path else None
    with pytest.raises(AssertionError, match="two writers"):
        through(kubectl, proxy)("get", "configmap", "one", "-n", namespace)


@pytest.mark.parametrize("end", ["cut", "410"])
def test_the_proxy_ends_watches(control_plane, kubectl, namespace, proxy, end):
    lines = []

    def watch():
        url = f"{proxy.url}/api/v1/namespaces/{namespace}/configmaps?watch=true"
        with fetch(url, control_plane, control_plane.admin_token, 240) as answer:
            try:
                for line in answer:
                    lines.append(line)
            except (OSError, ValueError, ssl.SSLError):
                pass
            lines.append(b"")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    wait_until(lambda: proxy.watching("configmaps") == 1, 120, "the watch to be open")
    kubectl.apply(config_map("one", namespace))
    wait_until(lambda: any(b'"one"' in line for line in lines), 120, "the event to come")
    assert (proxy.cut_watches("configmaps") if end == "cut" else proxy.end_watches_with(Refusal(410, "Expired"), "configmaps")) == 1
    thread.join(60)
    assert not thread.is_alive()
    events = [json.loads(one) for one in lines if one.strip()]
    assert any(one["object"]["metadata"].get("name") == "one" for one in events)
    assert end == "cut" or events[-1]["object"]["code"] == 410
    wait_until(lambda: proxy.watching() == 0, 120, "the watch to be forgotten")

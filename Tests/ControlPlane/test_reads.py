"""`kubectl.get` of these tests asks the API server itself: it tells what `kubectl get -o json` tells."""
import concurrent.futures
import json

import pytest

from support.control_plane import Kubectl
from support.proxy import Proxy, Refusal


def config_map(name, namespace, **labels):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": labels}, "data": {"a": "1"}}


@pytest.fixture
def proxied(control_plane):
    """kubectl through a proxy, and the proxy."""
    if not control_plane.own:
        pytest.skip("the proxy needs a certificate of the cluster's authority")
    proxy = Proxy(control_plane)
    yield Kubectl(proxy.kubeconfig(), control_plane.kubectl.program), proxy
    proxy.close()


def test_objects_and_lists_are_those_of_kubectl(kubectl, namespace):
    kubectl.apply(config_map("one", namespace, size="small"), config_map("two", namespace, size="large"))
    for arguments in (
        ("configmap", "one", "-n", namespace), ("configmap/two", f"--namespace={namespace}"), ("namespace", namespace), ("configmaps", "-n", namespace, "-l", "size"),
        ("configmap", "-n", namespace, "--selector=size!=small,size"), ("configmaps", "-A", "--field-selector", f"metadata.namespace={namespace},metadata.name=two"),
        ("pods,configmaps", "-n", namespace, "-l", "size"), ("pods", "-n", "no-such-namespace"),
    ):
        told, read = json.loads(kubectl("get", *arguments, "-o", "json")), kubectl.get(*arguments)
        assert read.get("items", read) == told.get("items", told), arguments


def test_nothing_of_a_name_is_none_and_what_is_refused_is_an_error(control_plane, kubectl, namespace):
    assert kubectl.get("configmap", "none", "-n", namespace) is None
    with pytest.raises(ValueError, match="none of the kinds"):
        kubectl.get("gadgets", "-n", namespace)
    with pytest.raises(ValueError, match="--watch"):
        kubectl.get("configmaps", "-n", namespace, "--watch")
    kubectl("create", "serviceaccount", "stranger", "-n", namespace)
    stranger = Kubectl(control_plane.service_account_kubeconfig(namespace, "stranger"), kubectl.program)
    with pytest.raises(AssertionError, match="403: .*stranger.* cannot get resource"):
        stranger.get("configmap", "none", "-n", namespace)


def test_a_kind_that_the_server_does_not_know_is_an_error_and_not_none(proxied):
    kubectl, proxy = proxied
    proxy.refuse = lambda seen: Refusal(404, "NotFound", message="the server could not find the requested resource")
    with pytest.raises(AssertionError, match="404: .*requested resource"):
        kubectl.get("modelcache", "one", "-n", "default")


def test_a_server_that_has_too_much_to_do_is_asked_again(proxied):
    kubectl, proxy = proxied
    refused = []
    proxy.refuse = lambda seen: refused.append(seen) or Refusal(429, "TooManyRequests", retry_after=1) if len(refused) < 2 else None
    assert kubectl.get("namespace", "default")["metadata"]["name"] == "default" and len(refused) == 2


def test_threads_share_the_connections(kubectl, namespace):
    names = [f"map-{number}" for number in range(12)]
    kubectl.apply(*(config_map(name, namespace) for name in names))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda name: kubectl.get("configmap", name, "-n", namespace)["metadata"]["name"], names * 20))
    assert read == names * 20

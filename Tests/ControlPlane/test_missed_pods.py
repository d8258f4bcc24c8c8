"""Pods that name a ModelCache and were created while the webhook was away: one Event each, and words in `kubectl modelcache why`."""
import json
import os
import subprocess
import time

import pytest

from support.operator_process import PROGRAM, Operator
from support.webhook import until

PLUGIN = PROGRAM.parent / "kubectl-modelcache"
MANY = 25


@pytest.fixture
def operator(control_plane, namespace, tmp_path):
    """operator(): a started one that looks at the test's namespace, without a webhook."""
    definition = subprocess.run([PROGRAM, "print-crd"], capture_output=True, text=True, check=True, timeout=120).stdout
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=definition)
    control_plane.kubectl.wait_established()
    started = []

    def start():
        log = tmp_path / f"operator-{len(started)}.log"
        started.append(Operator(
            control_plane.admin_kubeconfig, log, f"--system-namespace={namespace}", f"--namespace={namespace}", "--webhook-bind-address=0"))
        return started[-1].ready()

    yield start
    for one in started:
        one.close()


def pod(namespace, name, cache="gemma", **annotations):
    marks = {f"modelcache.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"modelcache.io/inject": cache} if cache else {}, "annotations": marks},
        "spec": {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none"}]}}


def missed(kubectl, namespace):
    """The Events by the pod they are about."""
    events = kubectl.get("events", "-n", namespace, "--field-selector=reason=InjectionMissed")["items"]
    found = {}
    for event in events:
        found.setdefault(event["involvedObject"]["name"], []).append(event)
    return found


def wait_for(kubectl, namespace, names, seconds=180):
    deadline = time.monotonic() + seconds
    while not names <= set(found := missed(kubectl, namespace)):
        assert time.monotonic() < deadline, f"no Event on {sorted(names - set(found))}"
        time.sleep(0.3)
    return found


def test_a_missed_pod_gets_one_event_and_why_names_it(control_plane, kubectl, namespace, operator):
    kubectl.apply(pod(namespace, "missed"))
    kubectl.apply(pod(namespace, "wrong-name", cache="gema"))
    kubectl.apply(pod(namespace, "injected", injected="Stream/x"))
    kubectl.apply(pod(namespace, "left-alone", inject_status="there is a mount in the way"))
    kubectl.apply(pod(namespace, "other", cache=None))
    kubectl.apply(pod(namespace, "over"))
    control_plane.kubectl(
        "patch", "pod", "over", "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"phase": "Succeeded"}}))

    first = operator()
    wait_for(kubectl, namespace, {"missed", "wrong-name"})
    # While it runs, more at once than may be told at once.
    many = {f"many-{number}" for number in range(MANY)}
    kubectl("apply", "-f", "-", input=json.dumps({
        "apiVersion": "v1", "kind": "List", "items": [pod(namespace, name) for name in sorted(many)]}))
    wait_for(kubectl, namespace, many)
    until(lambda: f"modelcache_missed_pods {MANY + 2}\n" in first.metrics(), "all are counted")

    # A new leader tells nothing twice.
    first.close()
    second = operator()
    late = "late"
    kubectl.apply(pod(namespace, late))
    found = wait_for(kubectl, namespace, {late})
    assert set(found) == many | {"missed", "wrong-name", late}
    assert all(len(events) == 1 and events[0].get("count", 1) == 1 for events in found.values())
    [event] = found["missed"]
    assert event["type"] == "Warning" and "gemma" in event["message"] and "delete it" in event["message"]
    assert event["involvedObject"]["uid"] == kubectl.get("pod", "missed", "-n", namespace)["metadata"]["uid"]
    assert second.alive

    if not PLUGIN.exists():
        pytest.skip(f"{PLUGIN} is not built")
    kubectl.apply({
        "apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": "gemma", "namespace": namespace},
        "spec": {"source": {"uri": "oss://models/gemma/", "region": "cn-test"}}})
    why = subprocess.run(
        [PLUGIN, "why", "gemma", "-n", namespace], capture_output=True, text=True, timeout=180,
        env=os.environ | {"KUBECONFIG": str(control_plane.admin_kubeconfig)}).stdout
    assert f"{MANY + 2} pods that name it were created without the webhook" in why, why
    assert f"kubectl -n {namespace} delete pod late many-0" in why
    assert "left alone by the webhook: there is a mount in the way" in why
    assert "wrong-name" not in why and "injected," not in why

"""`kubectl modelcache` as people run it, on a real API server without an operator: the test plays the operator."""
import json
import os
import subprocess
import sys
import time
import urllib.parse

import pytest

from support.control_plane import REPOSITORY
from support.operator_process import PROGRAM as OPERATOR
from support.proxy import Proxy
from support.started_pods import start_pod

sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))

from forward_proxy import Proxy as ForwardProxy  # noqa: E402

PLUGIN = OPERATOR.parent / "kubectl-modelcache"

pytestmark = pytest.mark.skipif(not PLUGIN.exists(), reason=f"{PLUGIN} is not built")


@pytest.fixture
def plugin(control_plane, namespace):
    control_plane.kubectl("apply", "-k", REPOSITORY / "config/crd")
    control_plane.kubectl.wait_established()

    def run(*arguments, code=0):
        # Through kubectl itself, which finds plugins in the PATH.
        environment = os.environ | {"PATH": f"{PLUGIN.parent}:{os.environ['PATH']}", "KUBECONFIG": str(control_plane.kubectl.kubeconfig)}
        done = subprocess.run(
            [control_plane.kubectl.program, "modelcache", *arguments, "-n", namespace], capture_output=True, text=True, timeout=180, env=environment)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    run.command = lambda *arguments: [str(PLUGIN), *arguments, "-n", namespace, "--kubeconfig", str(control_plane.kubectl.kubeconfig)]
    return run


def apply(kubectl, namespace, name="one", **source):
    kubectl.apply({
        "apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": name, "namespace": namespace},
        "spec": {"source": {"uri": "oss://models/gemma/", "region": "cn-test", **source}}})


def report(kubectl, namespace, percent, ready=0, name="one"):
    status = {
        "observedGeneration": 1, "phase": "Warming",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Warming", "message": f"{ready} of 2 nodes are ready",
                        "lastTransitionTime": "2026-01-02T03:04:05Z"}],
        "source": {"totalBytes": 253000000, "files": 1, "size": "253 MB"}, "seeders": ["node-1"],
        "nodes": {"desired": 2, "ready": ready, "warming": 2 - ready, "failed": 0, "summary": f"{ready}/2", "details": [
            {"name": "node-1", "state": "Warming", "percent": percent}, {"name": "node-2", "state": "Pending", "percent": 0}]},
        "progress": {"bytesCached": 253000000 * percent // 200, "bytesTotal": 506000000, "bytesPerSecond": 100000000, "percent": percent // 2,
                     "summary": f"{percent // 2}%"}}
    kubectl("patch", "modelcache", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def test_status_shows_a_table_a_page_and_the_object(plugin, kubectl, namespace):
    assert "no ModelCaches in the namespace" in plugin("status")
    apply(kubectl, namespace)
    report(kubectl, namespace, 42)
    table = plugin("status").splitlines()
    assert table[0].split() == ["NAME", "PHASE", "SIZE", "READY", "PROGRESS", "AGE"]
    assert table[1].split()[:5] == ["one", "Warming", "253", "MB", "0/2"]
    page = plugin("status", "one")
    assert "one: Warming, 253 MB in 1 file, 0 of 2 nodes ready, 2 warming" in page
    assert "node-1   Warming    42%   seeder" in page and "█" not in page
    assert json.loads(plugin("status", "one", "-o", "json"))["status"]["nodes"]["summary"] == "0/2"
    assert json.loads(plugin("status", "-o", "json"))["kind"] == "List"


def test_the_api_server_is_reached_through_the_environments_proxy(plugin, control_plane, kubectl, namespace):
    """By a name that the proxy alone knows; kubectl does the same."""
    apply(kubectl, namespace)
    server = Proxy(control_plane, "DNS:kube.example")
    forward = ForwardProxy({"kube.example": ("127.0.0.1", urllib.parse.urlsplit(server.url).port)})
    config = control_plane.token_kubeconfig(control_plane.admin_token, "far", server="https://kube.example:6443")

    def status(program, arguments, **variables):
        done = subprocess.run(
            [program, *arguments, "-n", namespace, "--kubeconfig", str(config)], capture_output=True, text=True, timeout=120,
            env=os.environ | {"HTTPS_PROXY": forward.url, **variables})
        return done.returncode == 0 and "one" in done.stdout
    try:
        for program, arguments in [(control_plane.kubectl.program, ["get", "modelcaches"]), (PLUGIN, ["status"])]:
            before = forward.asked("kube.example")
            assert status(program, arguments) and forward.asked("kube.example") > before, forward.log
        before = forward.asked("kube.example")
        assert not status(PLUGIN, ["status"], NO_PROXY=".example") and forward.asked("kube.example") == before
    finally:
        forward.close()
        server.close()


def test_watch_prints_a_line_for_each_change_and_ends_with_the_object(plugin, kubectl, namespace):
    apply(kubectl, namespace)
    process = subprocess.Popen(plugin.command("status", "one", "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "one Pending - 0%\n"
        report(kubectl, namespace, 42)
        assert process.stdout.readline() == "one Warming 0/2 21%  node-1 Warming 42%  node-2 Pending 0%\n"
        report(kubectl, namespace, 84)
        assert "node-1 Warming 84%" in process.stdout.readline()
        kubectl("delete", "modelcache", "one", "-n", namespace)
        assert process.wait(120) == 0
        assert "one is gone" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_watch_draws_bars_on_a_terminal(plugin, kubectl, namespace):
    apply(kubectl, namespace)
    report(kubectl, namespace, 50)
    controller, terminal = os.openpty()
    process = subprocess.Popen(plugin.command("status", "one", "--watch"), stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    try:
        seen, deadline = "", time.monotonic() + 120
        while "[████████████············]    50%" not in seen and time.monotonic() < deadline:
            seen += os.read(controller, 65536).decode(errors="replace")
        report(kubectl, namespace, 100)
        while "[████████████████████████]   100%" not in seen and time.monotonic() < deadline:
            seen += os.read(controller, 65536).decode(errors="replace")
        assert "\x1b[" in seen and "[████████████████████████]   100%" in seen
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_why_names_a_missing_secret_and_the_missing_agents(plugin, kubectl, namespace):
    apply(kubectl, namespace, credentials={"secretRef": {"name": "keys"}})
    report(kubectl, namespace, 0)
    said = plugin("why", "one", "--system-namespace", "nowhere")
    assert "one is not ready:" in said
    assert f"The Secret keys is missing in the namespace {namespace}" in said and "create secret generic keys" in said
    assert "No agent runs on any node" in said
    kubectl("create", "secret", "generic", "keys", "-n", namespace, "--from-literal=akId=secret-value-1")
    said = plugin("why", "one", "--system-namespace", "nowhere")
    assert "has no access key secret" in said and "secret-value-1" not in said


def test_starts_cuts_the_time_of_each_pod_that_was_given_the_model_into_phases(plugin, kubectl, namespace):
    apply(kubectl, namespace)
    assert "was given one" in plugin("starts", "one")
    uid = kubectl.get("modelcache", "one", "-n", namespace)["metadata"]["uid"]
    start_pod(kubectl, namespace, "ready", f"Stream/{uid}", node="node-1", started=20, phase="Running", conditions=[
        ("PodScheduled", 2), ("PodReadyToStartContainers", 7), ("Initialized", 3), ("ContainersReady", 95), ("Ready", 95)])
    start_pod(kubectl, namespace, "old-cluster", f"Wait/x,{uid}", node="node-1", init=True, started=20, phase="Running", conditions=[
        ("PodScheduled", 2), ("Initialized", 15), ("Ready", 21)])
    start_pod(kubectl, namespace, "pending", f"Stream/{uid}", conditions=[("PodScheduled", None)])
    start_pod(kubectl, namespace, "over", f"Stream/{uid}", node="node-1", phase="Succeeded", conditions=[("PodScheduled", 2)])
    start_pod(kubectl, namespace, "of-another", "Stream/x", node="node-1", conditions=[("PodScheduled", 2)])

    starts = {one["pod"]: one for one in json.loads(plugin("starts", "one", "-o", "json"))["starts"]}
    assert starts.keys() == {"ready", "old-cluster", "pending"}
    phases = {name: {phase["step"]: phase["seconds"] for phase in one["phases"]} for name, one in starts.items()}
    assert phases["ready"] == {"scheduling": 2, "volumesAndSandbox": 5, "containers": 13, "loading": 75}
    assert phases["old-cluster"] == {"scheduling": 2, "initContainers": 13, "containers": 5, "loading": 1}
    assert list(phases["pending"]) == ["scheduling"] and starts["pending"]["underWay"] == "scheduling"
    for name, one in starts.items():
        assert sum(phases[name].values()) == one["seconds"], one
    assert (starts["ready"]["seconds"], starts["ready"]["node"], starts["ready"]["restarts"]) == (95, "node-1", 1)
    table = [line.split() for line in plugin("starts", "one").splitlines()]
    assert ["ready", "node-1", "1m35s", "2s", "5s", "-", "13s", "1m15s", "1"] in table
    assert ["old-cluster", "node-1", "21s", "2s", "-", "13s", "5s", "1s", "1"] in table
    assert "no ModelCache gone" in plugin("starts", "gone", code=1)


def test_evict_leaves_a_request_that_the_operator_can_read(plugin, kubectl, namespace):
    apply(kubectl, namespace)
    report(kubectl, namespace, 42)
    plugin("evict", "one", "--node", "node-1")
    assert kubectl.get("modelcache", "one", "-n", namespace)["metadata"]["annotations"]["modelcache.io/evict-requested"].startswith("node-1@20")
    for arguments in [["--all"], [], ["--all=true"], ["--all=false"]]:
        kubectl("annotate", "modelcache", "one", "-n", namespace, "modelcache.io/evict-requested-")
        plugin("evict", "one", *arguments)
        annotations = kubectl.get("modelcache", "one", "-n", namespace)["metadata"]["annotations"]
        assert annotations["modelcache.io/evict-requested"].startswith("*@20"), arguments
    plugin("evict", "one", "--all")
    assert kubectl.get("modelcache", "one", "-n", namespace)["metadata"]["annotations"]["modelcache.io/evict-requested"].startswith("*@20")
    assert "no copy on node-9" in plugin("evict", "one", "--node", "node-9", code=1)


def hold(kubectl, namespace, name):
    """As the operator does before it makes a copy."""
    kubectl("patch", "modelcache", name, "-n", namespace, "--type=merge", "-p", '{"metadata": {"finalizers": ["modelcache.io/evict"]}}')


def test_delete_all_waits_for_the_operator_and_gives_up_when_it_may(plugin, kubectl, namespace):
    apply(kubectl, namespace)
    apply(kubectl, namespace, "two")
    hold(kubectl, namespace, "one")
    said = plugin("delete-all", "--timeout", "6s", code=1)
    assert f"{namespace}/one: deleting" in said and f"{namespace}/two: deleting" in said
    assert f"still there after 6.0 seconds: {namespace}/one;" in said and "--then-force" in said
    assert kubectl.get("modelcache", "two", "-n", namespace) is None
    said = plugin("delete-all", "--timeout=0s", "--then-force=true")
    assert f"giving up the copies of {namespace}/one" in said
    assert kubectl.get("modelcache", "one", "-n", namespace) is None
    assert plugin("delete-all") == ""


def test_a_definition_that_was_deleted_without_an_operator_goes_with_delete_all(plugin, kubectl, namespace):
    """What is left after kubectl delete -k alone, where no operator could refuse it."""
    apply(kubectl, namespace)
    hold(kubectl, namespace, "one")
    try:
        kubectl("delete", "crd", "modelcaches.modelcache.io", "--wait=false")
        plugin("delete-all", "-A", "--timeout=0s", "--then-force")
        kubectl("wait", "--for=delete", "crd/modelcaches.modelcache.io", "--timeout=120s")
    finally:
        kubectl("apply", "-k", REPOSITORY / "config/crd")
        kubectl.wait_established()


def test_wrong_calls_have_their_own_exit_codes(plugin, namespace):
    assert f"no ModelCache missing in the namespace {namespace}" in plugin("why", "missing", code=1)
    assert "no ModelCache missing" in plugin("status", "missing", code=1)
    plugin("evict", "one", "--all", "--node", "node-1", code=64)
    assert "no ModelCaches" in plugin("status", "--watch=false")
    plugin("status", "one", "-A", code=64)
    assert "Example" in plugin("status", "--help")

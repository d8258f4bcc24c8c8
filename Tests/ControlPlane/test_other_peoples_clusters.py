"""What people's clusters ask of the operator: pods made their way, agents on some nodes alone, other disks, and a removal that leaves nothing."""
import json
import os
import socket
import subprocess
import time
import urllib.request

import pytest

from support.operator_process import PROGRAM
from support.world import guest_world

PATIENCE = 120


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane, nodes=2) as one:
        yield one


def delete_all(w, *flags, seconds=PATIENCE):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELCACHE_") and name != "KUBECONFIG"}
    return subprocess.run([PROGRAM, "delete-all", f"--kubeconfig={w.plane.admin_kubeconfig}", f"--namespace={w.namespace}", *flags],
                          capture_output=True, text=True, timeout=seconds, env=clean)


# Warm-up pods


def test_jobs_are_made_with_the_operators_template_and_the_modelcaches_over_it(w):
    template = {"imagePullSecrets": [{"name": "registry"}], "labels": {"team": "all"}, "priorityClassName": "low", "annotations": {"note": "x"}}
    w.kubectl.apply({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "low"}, "value": 1})
    w.start_operator(f"--warmup-pod-template={json.dumps(template)}").ready()
    w.apply(warmup__podTemplate={
        "labels": {"team": "mine"}, "imagePullSecrets": [{"name": "mirror"}], "serviceAccountName": "default",
        "tolerations": [{"key": "gpu", "operator": "Exists"}], "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "1Gi"}}})
    jobs = w.until(lambda: len(w.jobs()) == 2 and w.jobs(), "a Job a node")
    for job in jobs:
        pod, metadata = job["spec"]["template"]["spec"], job["spec"]["template"]["metadata"]
        assert [one["name"] for one in pod["imagePullSecrets"]] == ["registry", "mirror"]
        assert pod["priorityClassName"] == "low" and pod["serviceAccountName"] == "default" and pod["tolerations"][-1]["key"] == "gpu"
        assert pod["containers"][0]["resources"] == {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "1Gi"}}
        assert pod["containers"][0]["securityContext"]["runAsUser"] == 1000
        assert metadata["labels"]["team"] == "mine" and metadata["annotations"]["note"] == "x"
        # Sidecar injectors are told to stay away, and people find a ModelCache's objects by its name.
        assert metadata["labels"]["sidecar.istio.io/inject"] == "false" and metadata["annotations"]["linkerd.io/inject"] == "disabled"
        assert job["metadata"]["labels"]["modelcache.io/name"] == metadata["labels"]["modelcache.io/name"] == "qwen"
    w.until_ready()


@pytest.mark.parametrize("value, word", [
    ("{", "JSON object"), ('{"image": "x"}', "podTemplate.image"), ('{"securityContext": {"runAsUser": 0}}', "runAsUser")])
def test_a_wrong_template_ends_the_operator_with_its_field(control_plane, value, word):
    ended = subprocess.run([PROGRAM, f"--kubeconfig={control_plane.admin_kubeconfig}", f"--warmup-pod-template={value}"],
                           capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 64 and word in ended.stderr


# Nodes


def test_a_modelcache_that_selects_nothing_warms_one_node_and_one_that_selects_warms_all(w):
    w.start_operator().ready()
    w.apply("quiet", warmup={})
    w.until(lambda: (w.get("quiet").get("status") or {}).get("phase") == "Ready", "the seeder is warm")
    assert w.get("quiet")["status"]["nodes"]["desired"] == 1
    w.apply("wide", warmup={}, placement={"nodeSelector": {"kubernetes.io/os": "linux"}})
    w.kubectl("label", "nodes", *w.nodes, "kubernetes.io/os=linux", "--overwrite")
    w.until(lambda: (status := w.status("wide")).get("phase") == "Ready" and status["nodes"]["desired"] == 2, "all nodes are warm")


def test_nodes_without_agents_are_none_of_the_operators_business(w):
    w.kubectl("label", "node", w.nodes[0], "modelcache.io/agent=true")
    w.start_operator("--agent-node-selector=modelcache.io/agent=true,type!=virtual-kubelet").ready()
    w.apply()
    w.until_ready()
    assert w.get()["status"]["nodes"]["desired"] == 1
    # A node that is labelled later joins.
    w.kubectl("label", "node", w.nodes[1], "modelcache.io/agent=true")
    w.until(lambda: w.get()["status"]["nodes"]["ready"] == 2, "the second node is warm")


def test_volumes_lie_where_the_agents_disk_is(w):
    w.start_operator("--agent-disk-path=/mnt/nvme").ready()
    w.apply(cache={"medium": "Disk"})
    [volume] = w.until(lambda: [one for one in w.volumes() if one["spec"]["claimRef"]["namespace"] == w.namespace], "a volume")
    assert volume["spec"]["hostPath"]["path"] == f"/mnt/nvme/caches/{w.get()['metadata']['uid']}"


# Addresses


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_an_address_without_a_host_is_every_address_of_both_families(w):
    for family in (["--health-probe-bind-address=:0", "--metrics-bind-address=:0"], ["--health-probe-bind-address=[::1]:0", "--metrics-bind-address=[::]:0"]):
        one = w.start_operator(*family)
        lines = w.until(lambda one=one: [line for line in one.last_words().splitlines() if "listening" in line and "bind-address" in line][:2], "it listens")
        ports = [int(line.rsplit(":", 1)[1].split()[0].strip('"')) for line in lines]
        for host in ("[::1]", "127.0.0.1") if family[0].endswith("=:0") else ("[::1]",):
            for port, line in zip(ports, lines):
                path = "/metrics" if "metrics-bind-address" in line else "/healthz"
                with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=60) as answer:
                    assert answer.status == 200
        one.stop()


# Removal


def test_delete_all_waits_until_objects_and_copies_are_gone(w):
    w.start_operator().ready()
    for name in ("qwen", "gemma", "llama"):
        w.apply(name)
    for name in ("qwen", "gemma", "llama"):
        w.until(lambda name=name: (w.get(name).get("status") or {}).get("phase") == "Ready", f"{name} is warm")
    ended = delete_all(w, "--timeout=90s")
    assert ended.returncode == 0, ended.stderr
    assert not w.items("modelcaches", "-n", w.namespace)
    assert not any(agent.caches for agent in w.agents.by_node.values()), "no bytes are left"
    w.until(lambda: not [one for one in w.volumes() if one["spec"]["claimRef"]["namespace"] == w.namespace], "no volume is left")
    assert delete_all(w).returncode == 0, "nothing to do is no error"


def test_without_an_operator_delete_all_says_what_is_left_and_force_leaves_nothing_terminating(w):
    w.start_operator().ready()
    w.apply()
    w.until_ready()
    w.operator.stop()
    ended = delete_all(w, "--timeout=2s")
    assert ended.returncode == 1 and f"{w.namespace}/qwen" in ended.stderr and "--then-force" in ended.stderr
    assert w.get()["metadata"]["deletionTimestamp"]
    # Somebody else's finalizer is not taken off.
    w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=json", "-p",
              '[{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/mine"}]', check=False)
    ended = delete_all(w, "--timeout=2s", "--then-force")
    assert ended.returncode == 0 and w.get() is None, ended.stderr
    assert "copies may be left" in ended.stderr
    assert not [one for one in w.volumes() if one["spec"]["claimRef"]["namespace"] == w.namespace and not one["metadata"].get("deletionTimestamp")]
    deadline = time.monotonic() + PATIENCE
    w.kubectl("delete", "namespace", w.namespace, "--wait=false")
    while w.kubectl.get("namespace", w.namespace) is not None:
        assert time.monotonic() < deadline, "the namespace hangs"
        time.sleep(0.2)

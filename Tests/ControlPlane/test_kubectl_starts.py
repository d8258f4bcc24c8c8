"""`kubectl modelcache starts` with an operator: the phases of pods, cut by what the agents of their nodes saw."""
import json
import subprocess

import pytest

from support.operator_answers import serve
from support.operator_process import PROGRAM
from support.started_pods import creation, set_status, start_pod
from support.world import guest_world

PLUGIN = PROGRAM.parent / "kubectl-modelcache"

pytestmark = pytest.mark.skipif(not PLUGIN.exists(), reason=f"{PLUGIN} is not built")


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane, nodes=2) as one:
        yield one


def plugin(w, *arguments):
    done = subprocess.run(
        [PLUGIN, "starts", "qwen", "-n", w.namespace, *arguments, "--kubeconfig", w.proxy.kubeconfig()], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_starts_cuts_the_loading_of_a_pod_by_what_its_agent_saw(w):
    leader = w.start_operator().ready()
    w.apply()
    w.until_ready()
    uid = w.kubectl.get("modelcache", "qwen", "-n", w.namespace)["metadata"]["uid"]
    conditions = [("PodScheduled", 2), ("PodReadyToStartContainers", 7), ("Initialized", 3), ("ContainersReady", 95), ("Ready", 95)]
    told = start_pod(w.kubectl, w.namespace, "told", f"Stream/{uid}", node="node-0", started=20, phase="Running", conditions=conditions)
    start_pod(w.kubectl, w.namespace, "untold", f"Stream/{uid}", node="node-1", started=20, phase="Running", conditions=conditions)

    # Without an operator that answers there are the phases alone.
    alone = json.loads(plugin(w, "-o", "json").stdout)
    assert [one["pod"] for one in alone["starts"]] == ["told", "untold"] and all("reading" not in one for one in alone["starts"])
    assert len(alone["untold"]) == 1 and "no operator runs" in alone["untold"][0]

    serve(w, a=leader)
    opened = int(creation(told).timestamp() * 1000) + 22_500
    w.agents.by_node["node-0"].readers[uid] = [
        {"pod": "another", "podUID": "0", "openedAt": opened, "waitMilliseconds": {}},
        {"pod": "told", "podUID": told["metadata"]["uid"], "openedAt": opened, "answeredMilliseconds": 500, "firstByteMilliseconds": 1_500,
         "completeMilliseconds": 41_500, "observedMilliseconds": 99_000, "totalBytes": 253_000_000, "cacheBytes": 53_000_000, "peerBytes": 0,
         "storeBytes": 200_000_000, "waitMilliseconds": {"store": 30_400, "opening": 500}}]
    report = json.loads(plugin(w, "-o", "json").stdout)
    starts = {one["pod"]: one for one in report["starts"]}
    reading = starts["told"]["reading"]
    assert reading["step"] == "loading" and (reading["cacheBytes"], reading["storeBytes"], reading["totalBytes"]) == (53_000_000, 200_000_000, 253_000_000)
    parts = {part["part"]: part["milliseconds"] for part in reading["parts"]}
    assert parts == {"program": 2_500, "opening": 500, "firstByte": 1_000, "reading": 40_000, "finishing": 31_000}
    assert sum(parts.values()) == 1000 * next(phase["seconds"] for phase in starts["told"]["phases"] if phase["step"] == "loading")
    assert reading["waitMilliseconds"] == {"store": 30_400, "opening": 500}
    assert "reading" not in starts["untold"] and report["untold"] == []
    lines = [line.split() for line in plugin(w).stdout.splitlines()]
    assert ["told", "node-0", "1m35s", "2s", "5s", "-", "13s", "1m15s", "1"] in lines
    assert "told LOADING 2.5s 0.5s 1.0s 40s 31s 53 MB 0 B 0 B 200 MB store 30s, opening 0.5s".split() in lines

    w.agents.by_node["node-1"].silent = True
    w.until(lambda: "the agent on node-1 does not tell" in plugin(w).stderr, "the silent agent is named")


def test_a_pod_that_becomes_ready_is_told_once_with_what_its_start_took(w):
    leader = w.start_operator().ready()
    w.apply()
    w.until_ready()
    uid = w.kubectl.get("modelcache", "qwen", "-n", w.namespace)["metadata"]["uid"]

    def events(name):
        listed = w.kubectl.get("events", "-n", w.namespace, "--field-selector", f"involvedObject.name={name},reason=ModelStarted")
        return listed["items"]

    def become_ready(name, node):
        """It waits on its node first; the operator sees that, for its watch brings each change."""
        pod = start_pod(w.kubectl, w.namespace, name, f"Stream/{uid}", node=node, conditions=[("PodScheduled", 2)])
        opened = int(creation(pod).timestamp() * 1000) + 22_500
        w.agents.by_node[node].readers[uid] = [
            {"pod": name, "podUID": pod["metadata"]["uid"], "openedAt": opened, "answeredMilliseconds": 500, "firstByteMilliseconds": 1_500,
             "completeMilliseconds": 41_500, "totalBytes": 253_000_000, "cacheBytes": 53_000_000, "peerBytes": 0,
             "storeBytes": 200_000_000, "waitMilliseconds": {"store": 30_400}}]
        set_status(w.kubectl, pod, phase="Running", started=20, conditions=[
            ("PodScheduled", 2), ("PodReadyToStartContainers", 7), ("Initialized", 3), ("ContainersReady", 95), ("Ready", 95)])
        return pod

    pod = become_ready("first", "node-0")
    w.until(lambda: events("first"), "the start is told")
    [event] = events("first")
    assert event["type"] == "Normal" and event["involvedObject"]["uid"] == pod["metadata"]["uid"]
    assert event["message"] == (
        "Ready after 1m35s: scheduling 2s, volumes and sandbox 5s, containers 13s, loading 1m15s (program 2.5s, opening 0.5s, first byte 1.0s, "
        "reading 40s, finishing 31s; 53 MB from the cache, 200 MB from the store; waited for store 30s)."), event["message"]
    w.until(lambda: 'modelcache_pod_start_seconds_count{phase="total"} 1\n' in leader.metrics(), "it is counted")
    assert 'modelcache_pod_start_seconds_sum{phase="loading"} 75\n' in leader.metrics()

    # Not ready for a while, and ready again: that is no start.
    set_status(w.kubectl, pod, phase="Running", started=20, conditions=[("PodScheduled", 2), ("Ready", None)])
    set_status(w.kubectl, pod, phase="Running", started=20, conditions=[("PodScheduled", 2), ("Ready", 300)])
    become_ready("second", "node-1")
    w.until(lambda: events("second"), "the next start is told")
    w.until(lambda: 'modelcache_pod_start_seconds_count{phase="total"} 2\n' in leader.metrics(), "it is counted")
    assert len(events("first")) == 1

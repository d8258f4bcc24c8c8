"""`kubectl modelcache nodes`: the bytes and models of each node, as the operator that leads tells them through the API server."""
import json
import subprocess

import pytest

from support.operator_answers import serve
from support.operator_process import PROGRAM
from support.stand_in import SYSTEM_NAMESPACE
from support.world import world

PLUGIN = PROGRAM.parent / "kubectl-modelcache"

pytestmark = pytest.mark.skipif(not PLUGIN.exists(), reason=f"{PLUGIN} is not built")


@pytest.fixture
def w(own_control_plane):
    with world(own_control_plane, nodes=2) as one:
        yield one


def plugin(w, *arguments, code=0):
    done = subprocess.run([PLUGIN, "nodes", *arguments, "--kubeconfig", w.proxy.kubeconfig()], capture_output=True, text=True, timeout=180)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nodes_tells_bytes_and_models_of_each_node_from_whichever_operator_leads(w):
    assert f"no operator runs in the namespace {SYSTEM_NAMESPACE}" in plugin(w, code=1)
    leader = w.start_operator().ready()
    w.apply()
    w.until_ready()
    follower = w.start_operator().ready()
    serve(w, a=follower)
    assert "a: " in (told := plugin(w, code=1)) and "421" in told
    serve(w, a=follower, b=leader)
    report = w.until(lambda: (one := json.loads(plugin(w, "-o", "json"))) and all(
        node["models"] and node["memory"]["usedBytes"] == 500_000 for node in one["nodes"]) and one, "both copies are told")
    assert [node["name"] for node in report["nodes"]] == w.nodes
    for node in report["nodes"]:
        held = 500_000 if node["models"][0]["isPinned"] else 0
        assert node["agent"] == "Reachable" and node["memory"] == {"budgetBytes": 1 << 40, "usedBytes": 500_000, "freeBytes": (1 << 40) - held}
        [copy] = node["models"]
        assert (copy["namespace"], copy["name"], copy["medium"], copy["state"]) == (w.namespace, "qwen", "Memory", "Ready")
        assert (copy["bytesCached"], copy["bytesTotal"], copy["readers"]) == (500_000, 500_000, 0)
    table = plugin(w).splitlines()
    assert table[0].split() == ["NODE", "AGENT", "MEMORY", "USED", "FREE", "EVICTED", "FIRST", "MODELS"]
    assert table[1].split() == ["node-0", "Reachable", "1.1", "TB", "500", "kB", "1.1", "TB", "-", f"{w.namespace}/qwen"]
    assert len(plugin(w, "node-1").splitlines()) == 2
    assert "no agent runs on node-9" in plugin(w, "node-9", code=1)
    w.agents.by_node["node-1"].silent = True
    w.until(lambda: "Unreachable" in plugin(w, "node-1"), "the node's agent is told to be unreachable")

"""`kubectl modelcache nodes`: the bytes and models of each node, as the operator that leads tells them through the API server."""
import http.server
import json
import socket
import subprocess
import threading
import urllib.request

import pytest

from support.operator_answers import ACCOUNT, AUDIENCE, HEADER, ask, serve
from support.operator_process import PROGRAM
from support.stand_in import SYSTEM_NAMESPACE
from support.world import guest_world

PLUGIN = PROGRAM.parent / "kubectl-modelcache"

pytestmark = pytest.mark.skipif(not PLUGIN.exists(), reason=f"{PLUGIN} is not built")


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane, nodes=2) as one:
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


def test_the_operator_tells_callers_without_a_token_of_its_reader_nothing(w):
    leader = w.start_operator().ready()
    w.apply()
    w.until_ready()
    for name in (ACCOUNT, "other"):
        # Another test may have made it.
        w.kubectl("create", "serviceaccount", name, "-n", SYSTEM_NAMESPACE, check=False)

    def token(account, audience, namespace=SYSTEM_NAMESPACE):
        return w.kubectl("create", "token", account, "-n", namespace, "--duration=10m", *([f"--audience={audience}"] if audience else [])).strip()

    assert (good := ask(leader, "/nodes", token(ACCOUNT, AUDIENCE))).status == 200 and len(good.body()["nodes"]) == 2
    for path in ("/nodes", "/starts/6f1c2a8e-0000-4000-8000-000000000001"):
        # Any pod of the cluster may have the last one mounted.
        for bad, status in ((None, 401), ("x", 401), ("x" * 10_000, 401), (token(ACCOUNT, None), 401), (token(ACCOUNT, "modelcache.io"), 401),
                            (token("other", AUDIENCE), 403)):
            told = ask(leader, path, bad)
            assert told.status == status and "node-0" not in told.text, (path, bad, told)
    assert ask(leader, "/metrics").status == 200
    # A caller who may not have a token is told what is missing.
    serve(w, a=leader)
    w.kubectl("create", "role", "lister", "-n", SYSTEM_NAMESPACE, "--verb=get,list", "--resource=pods,pods/proxy")
    w.kubectl("create", "rolebinding", "lister", "-n", SYSTEM_NAMESPACE, "--role=lister", f"--serviceaccount={SYSTEM_NAMESPACE}:other")
    config = w.plane.service_account_kubeconfig(SYSTEM_NAMESPACE, "other", server=w.proxy.url)
    done = subprocess.run([PLUGIN, "nodes", "--kubeconfig", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "serviceaccounts/token" in done.stderr and ACCOUNT in done.stderr, done


def own_address() -> str | None:
    """One that the API server's proxy may reach; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith(("127.", "169.254.")) else address


def test_the_api_servers_proxy_hands_the_token_on_and_keeps_the_callers_own_credentials(own_control_plane):
    if (address := own_address()) is None:
        pytest.skip("this machine has no address but loopback")
    seen = []

    class Pod(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    plane = own_control_plane
    plane.kubectl("create", "serviceaccount", "one", "-n", "default")
    with http.server.ThreadingHTTPServer((address, 0), Pod) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        plane.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "told", "namespace": "default"}, "spec": {
            "serviceAccountName": "one", "automountServiceAccountToken": False, "containers": [{"name": "one", "image": "x"}]}})
        plane.kubectl("patch", "pod", "told", "-n", "default", "--subresource=status", "--type=merge", "-p",
                      json.dumps({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}))
        request = urllib.request.Request(
            f"{plane.server}/api/v1/namespaces/default/pods/told:{server.server_port}/proxy/nodes",
            headers={"Authorization": f"Bearer {plane.admin_token}", HEADER: "the-token"})
        with urllib.request.urlopen(request, timeout=60, context=plane.tls()) as answer:
            assert answer.status == 200
        server.shutdown()
    [headers] = seen
    names = {name.lower(): value for name, value in headers.items()}
    assert names[HEADER.lower()] == "the-token" and plane.admin_token not in json.dumps(headers)
    assert "authorization" not in names

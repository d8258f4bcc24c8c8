"""hack/cluster is a cluster: nodes, pods, Services, names, volumes that stay on their node."""
import http.server
import json
import threading
import time
import urllib.request

import pytest

from support import objects
from support.cluster import wait_until

NODES = ("node-1", "node-2", "node-3")


@pytest.fixture(scope="module")
def webs(cluster, tools):
    """A namespace where each node runs a pod web-<node> behind the Services `web` and `webs` (headless)."""
    namespace = "test-webs"
    cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found")
    cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=180s")
    cluster.apply(*objects.in_namespace(
        namespace, objects.service("web", "web"), objects.service("webs", "web", headless=True),
        *(objects.web(f"web-{node}", tools, node, "web") for node in NODES)))
    for node in NODES:
        cluster.wait_for_pod(namespace, f"web-{node}")
    wait_until(lambda: len(addresses(cluster, namespace, "webs")) == 3, "three endpoints")
    yield namespace
    cluster.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def addresses(cluster, namespace, service):
    found = cluster.get("endpoints", "-n", namespace, service)
    return [a["ip"] for s in (found or {}).get("subsets") or [] for a in s.get("addresses") or []]


def test_three_nodes_are_ready_and_every_program_is_healthy(cluster):
    assert cluster.nodes() == dict.fromkeys(NODES, True)
    status = cluster.command("status")
    assert status.returncode == 0, status.stdout
    assert " no " not in status.stdout and "ended" not in status.stdout


def test_bringing_it_up_twice_changes_nothing(cluster):
    before = cluster.command("status").stdout.split("\n\n")[0]
    cluster.up()
    assert cluster.command("status").stdout.split("\n\n")[0] == before


def test_pods_on_every_node_resolve_and_reach_a_service(cluster, webs):
    for node in NODES:
        pod = f"web-{node}"
        assert cluster.get("pod", "-n", webs, pod)["spec"]["nodeName"] == node
        answers = {cluster.run(webs, pod, "wget", "-q", "-O", "-", "http://web/").strip() for _ in range(8)}
        assert answers <= {f"web-{one}" for one in NODES} and answers
        assert cluster.run(webs, pod, "wget", "-q", "-O", "-", f"http://web.{webs}.svc.cluster.local/")


def test_a_headless_service_resolves_to_every_ready_pod(cluster, webs):
    listed = cluster.run(webs, "web-node-1", "nslookup", f"webs.{webs}.svc.cluster.local")
    for address in addresses(cluster, webs, "webs"):
        assert address in listed
    missing = cluster.kubectl("exec", "-n", webs, "web-node-1", "--", "nslookup", f"nothing.{webs}.svc.cluster.local", check=False)
    assert not any(address in missing for address in addresses(cluster, webs, "webs"))


def test_pods_reach_pods_of_other_nodes_by_address(cluster, webs):
    for address in addresses(cluster, webs, "webs"):
        assert cluster.run(webs, "web-node-2", "wget", "-q", "-O", "-", f"http://{address}:8080/").startswith("web-node-")


def test_this_machine_reaches_services_and_pods(cluster, webs):
    service = cluster.get("service", "-n", webs, "web")["spec"]["clusterIP"]
    for url in (f"http://{service}/", *(f"http://{a}:8080/" for a in addresses(cluster, webs, "webs"))):
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.read().startswith(b"web-node-")


def test_pods_reach_this_machine(cluster, webs):
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello from outside")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((cluster.host_address, 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for node in NODES:
            url = f"http://{cluster.host_address}:{server.server_port}/"
            assert cluster.run(webs, f"web-{node}", "wget", "-q", "-O", "-", url) == "hello from outside"
        server.shutdown()


def test_the_api_server_reaches_services_as_it_must_for_webhooks(cluster, webs):
    assert cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{webs}/services/web:80/proxy/").startswith("web-node-")


def test_logs_and_exec_pass_through_the_api_server(cluster, webs):
    assert cluster.run(webs, "web-node-3", "hostname").strip() == "web-node-3"
    assert cluster.kubectl("logs", "-n", webs, "web-node-3") == ""


def test_a_pods_token_is_signed_by_published_keys_for_the_audience_asked(cluster, namespace):
    import base64
    token = cluster.kubectl("create", "token", "default", "-n", namespace, "--audience=modelcache.io").strip()
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    published = json.loads(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    assert head["kid"] in {key["kid"] for key in published}
    assert claims["aud"] == ["modelcache.io"]
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"


def test_requests_without_identity_are_refused(cluster):
    import ssl
    import urllib.error
    trusting = ssl.create_default_context(cafile=cluster.state / "pki" / "ca.crt")
    server = json.loads(cluster.kubectl("config", "view", "-o", "json"))["clusters"][0]["cluster"]["server"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server}/api", timeout=60, context=trusting)
    assert refused.value.code == 401


def test_a_tmpfs_of_a_privileged_pod_shows_in_another_pod_of_that_node_alone(cluster, tools, namespace):
    folder = "/run/modelcache/caches"
    reader = [objects.pod(f"reader-{node}", tools, "sleep 1000", node, [(folder, "/seen", "HostToContainer")]) for node in NODES]
    for one in reader:
        one["spec"]["volumes"][0]["hostPath"]["type"] = "DirectoryOrCreate"
    cluster.apply(*objects.in_namespace(namespace, *reader))
    for node in NODES:
        cluster.wait_for_pod(namespace, f"reader-{node}")
    mount = "mkdir -p /run/modelcache/caches/one && mount -t tmpfs one /run/modelcache/caches/one && echo here >/run/modelcache/caches/one/file && sleep 1000"
    cluster.apply(*objects.in_namespace(namespace, objects.pod(
        "writer", tools, mount, "node-1", [("/run/modelcache", "/run/modelcache", "Bidirectional")], privileged=True)))
    cluster.wait_for_pod(namespace, "writer")
    wait_until(lambda: cluster.run(namespace, "reader-node-1", "cat", "/seen/one/file", check=False) == "here\n",
               "the file in the other pod, whose mount is older")
    assert " /seen/one tmpfs " in cluster.run(namespace, "reader-node-1", "cat", "/proc/mounts")
    assert cluster.on("node-1", "cat", f"{folder}/one/file") == "here\n"
    for node in NODES[1:]:
        assert cluster.run(namespace, f"reader-{node}", "ls", "/seen") == ""
    cluster.run(namespace, "writer", "umount", "/run/modelcache/caches/one")
    assert cluster.run(namespace, "reader-node-1", "ls", "/seen/one") == ""
    cluster.run(namespace, "writer", "rm", "-r", "/run/modelcache/caches/one")


def test_a_nodes_link_can_be_shaped(cluster, webs):
    def seconds():
        start = time.monotonic()
        cluster.run(webs, "web-node-2", "sh", "-c", f"wget -q -O /dev/null http://{source}:8080/big")
        return time.monotonic() - start

    source = cluster.get("pod", "-n", webs, "web-node-1")["status"]["podIP"]
    cluster.run(webs, "web-node-1", "dd", "if=/dev/zero", "of=/tmp/www/big", "bs=1M", "count=8")
    cluster.on("node-1", "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "16mbit", "burst", "128k", "latency", "50ms")
    try:
        # 8 MiB at 16 Mbit/s take 4.2 s, of which the bucket saves a part of one.
        assert seconds() > 4
    finally:
        cluster.on("node-1", "tc", "qdisc", "del", "dev", "eth0", "root")


def test_a_node_that_lost_power_comes_back_with_its_disk_and_without_its_memory(cluster):
    cluster.on("node-3", "sh", "-c", "echo kept >/var/lib/modelcache/probe; echo lost >/run/modelcache/probe")
    started = cluster.command("status").stdout
    cluster.stop("node-3")
    try:
        wait_until(lambda: not cluster.nodes()["node-3"], "the control plane to miss the node")
    finally:
        cluster.start("node-3")
    wait_until(lambda: cluster.nodes()["node-3"], "the node to be ready again")
    assert cluster.on("node-3", "cat", "/var/lib/modelcache/probe") == "kept\n"
    assert cluster.on("node-3", "ls", "/run/modelcache") == ""
    cluster.on("node-3", "rm", "/var/lib/modelcache/probe")
    same = [line for line in started.splitlines() if line.startswith(("control", "node-1", "node-2")) and "   Ready" not in line]
    assert all(line in cluster.command("status").stdout for line in same)


def test_the_api_server_can_be_away_and_loses_nothing(cluster, webs):
    cluster.stop("kube-apiserver", "KILL")
    try:
        assert cluster.command("kubectl", "get", "nodes", "--request-timeout=5s", check=False).returncode != 0
        assert cluster.command("status", check=False).returncode == 1
    finally:
        cluster.start("kube-apiserver")
    wait_until(lambda: cluster.command("kubectl", "get", "--raw", "/readyz", check=False).stdout == "ok", "the API server")
    assert len(addresses(cluster, webs, "webs")) == 3
    wait_until(lambda: cluster.command("status", check=False).returncode == 0, "everything healthy", every=0.3)

"""The dashboard: each of its queries on a real Prometheus that scrapes a real operator and a real agent."""
import contextlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import time
import urllib.request
from xml.etree import ElementTree

import pytest

from support.control_plane import REPOSITORY, free_port
from support.operator_process import PROGRAM
from support.started_pods import set_status, start_pod
from support.world import ACCESS_KEY, ACCESS_SECRET, REGION, world

sys.path[:0] = [str(REPOSITORY / "Tests/Shared"), str(REPOSITORY / "hack/bench.d")]

import plot  # noqa: E402
from prometheus import Prometheus, check_metrics  # noqa: E402

DASHBOARD = json.loads((REPOSITORY / "charts/modelcache/files/dashboard.json").read_text())
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


class Store:
    """A store with one model of 8 MB, which sends 1 MB a second in all."""

    def __init__(self, folder: pathlib.Path):
        (folder / "models/llama").mkdir(parents=True)
        (folder / "models/llama/model.gguf").write_bytes(random.Random(1).randbytes(8_000_000))
        ready = folder / "ready"
        self._process = subprocess.Popen(
            [PROGRAM.with_name("modelcache-devstore"), "--port", "0", "--bucket", f"models={folder / 'models'}", "--key", f"{ACCESS_KEY}:{ACCESS_SECRET}",
             "--region", REGION, "--bandwidth", "1MB", "--ready-file", ready], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not ready.exists() or not ready.read_text().strip():
            assert self._process.poll() is None and time.monotonic() < deadline, "the store did not start"
            time.sleep(0.05)
        self.endpoint = f"http://127.0.0.1:{json.loads(ready.read_text())['port']}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(120)


class Agents:
    """Two real agents that share what they read."""

    def __init__(self, store: Store, folder: pathlib.Path):
        (folder / "secret").write_text("a-secret-of-two-agents-0123456789\n")
        (folder / "config.json").write_text("{}")
        peers, self.metrics = [free_port(), free_port()], [f"127.0.0.1:{free_port()}" for _ in range(2)]
        self._environments = [{
            "PATH": "/usr/bin:/bin", "HOME": str(folder), "MODELCACHE_ROOT": f"{folder}/root{number}", "MODELCACHE_SOCKET": f"{folder}/s{number}",
            "MODELCACHE_CONFIG": f"{folder}/config.json", "OSS_PATH": "oss://models/llama/", "OSS_ENDPOINT": store.endpoint,
            "OSS_REGION": REGION, "OSS_ACCESS_KEY_ID": ACCESS_KEY, "OSS_ACCESS_KEY_SECRET": ACCESS_SECRET,
            "MODELCACHE_AUTH_SECRET_FILE": f"{folder}/secret", "MODELCACHE_PEERS": "static:" + ",".join(f"127.0.0.1:{port}" for port in peers),
            "MODELCACHE_PEER_ADDRESS": f"127.0.0.1:{own}", "MODELCACHE_PEER_ADVERTISE": f"127.0.0.1:{own}"} for number, own in enumerate(peers)]
        self._log = open(folder / "agents.log", "wb")
        self._processes = [self._run(environment, "agent", "--medium", "directory", "--http", "off", "--metrics-bind-address", metrics)
                           for environment, metrics in zip(self._environments, self.metrics)]

    def _run(self, environment: dict, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen([PROGRAM.with_name("modelcache"), *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def load(self) -> list[subprocess.Popen]:
        return [self._run(environment, "warm") for environment in self._environments]

    def close(self) -> None:
        for one in self._processes:
            one.terminate()
        for one in self._processes:
            one.wait(120)
        self._log.close()


@pytest.fixture(scope="module")
def scraped(control_plane, tmp_path_factory):
    """(Prometheus, agents): it has scraped an operator that warmed three nodes, and two agents while they loaded a model together."""
    folder = tmp_path_factory.mktemp("dashboard")
    with world(control_plane) as w, contextlib.ExitStack() as stack:
        stack.callback(clean, w)
        operator = w.start_operator(through_proxy=False, webhook_port=free_port())
        w.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oss", "namespace": w.namespace}, "stringData": {
            "OSS_ACCESS_KEY_ID": ACCESS_KEY, "OSS_ACCESS_KEY_SECRET": ACCESS_SECRET,
            "OSS_CREDENTIALS_EXPIRATION": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 36_000))}})
        store = Store(folder / "store")
        stack.callback(store.close)
        agents = Agents(store, folder)
        stack.callback(agents.close)
        prometheus = Prometheus(folder / "prometheus", {"operator": [f"127.0.0.1:{operator.metrics_port}"], "agents": agents.metrics}, alerts=True)
        stack.callback(prometheus.close)
        prometheus.until(lambda: len(prometheus.query("modelcache_cached_bytes")) == 2 and prometheus.query("modelcache_nodes == 3"), "all are scraped")
        w.kubelets.fill_seconds = lambda node: 2.0 + len(node)
        w.apply()
        loads = agents.load()
        w.until_ready()
        assert [one.wait(120) for one in loads] == [0, 0], (folder / "agents.log").read_text()
        # A rate is the second's.
        for number, node in enumerate(w.nodes[:2], 1):
            start(w, f"reader-{number}", node)
            query = f'modelcache_pod_start_seconds_count{{phase="total"}} == {number}'
            prometheus.until(lambda query=query: prometheus.query(query), "the start is scraped")
        prometheus.until(lambda: prometheus.query('sum(modelcache_status_copies{state="ready"}) == 3')
                         and prometheus.query("sum(modelcache_model_complete_files) == 2"), "the end of the load is scraped")
        yield prometheus, agents


def start(w, name: str, node: str) -> None:
    """A pod waits on its node, and is ready."""
    uid = w.kubectl.get("modelcache", "qwen", "-n", w.namespace)["metadata"]["uid"]
    pod = start_pod(w.kubectl, w.namespace, name, f"Stream/{uid}", node=node, conditions=[("PodScheduled", 2)])
    set_status(w.kubectl, pod, phase="Running", started=20, conditions=[
        ("PodScheduled", 2), ("PodReadyToStartContainers", 7), ("Initialized", 3), ("ContainersReady", 95), ("Ready", 95)])


def clean(w) -> None:
    """What the next module's world must not find."""
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false", "--ignore-not-found")
    w.until(lambda: w.get() is None, "the ModelCache of the tests is gone")
    for node in w.nodes:
        w.kubectl("delete", "node", node, "--wait=false", "--ignore-not-found")
    w.kubectl("delete", "pods", "--all", "-n", "modelcache-system", "--grace-period=0", "--force", check=False)


def asked(query: str) -> str:
    """As Grafana would ask, with every variable at All."""
    query = re.sub(r"\$(namespace|name|model|node)\b", ".*", query).replace("$__rate_interval", "3s")
    assert "$" not in query, query
    return query


def test_the_file_is_what_its_description_gives():
    made = subprocess.run([sys.executable, "-B", REPOSITORY / "hack/lib/dashboard.py", "--check"], text=True, capture_output=True, check=False)
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"


def test_every_query_has_an_answer(scraped):
    prometheus, _ = scraped
    until_none(lambda: [f"{title}: {query}" for title, query in QUERIES if not prometheus.query(asked(query))])
    assert len(QUERIES) > 30


def until_none(lacking) -> None:
    """Rates are of the last seconds: on a machine that was busy in them they have no value."""
    deadline = time.monotonic() + 60
    while lacks := lacking():
        assert time.monotonic() < deadline, "\n".join(lacks)
        time.sleep(0.5)


def test_every_variable_has_values(scraped):
    prometheus, _ = scraped
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]).groups()
            query = f"count by ({label}) ({re.sub(r'[$](namespace|name)', '.*', metric)})"
            until_none(lambda query=query, name=variable["name"]: [] if prometheus.query(query) else [name])


def test_promtool_finds_no_fault_in_an_agents_metrics(scraped):
    _, agents = scraped
    with urllib.request.urlopen(f"http://{agents.metrics[0]}/metrics", timeout=60) as answer:
        check_metrics(answer.read().decode())


def test_the_picture_of_the_dashboard_has_something_in_each_panel(scraped, tmp_path):
    """MODELCACHE_DASHBOARD_PICTURE=docs/dashboard.svg renews the picture in the documents."""
    prometheus, _ = scraped
    rows: list[tuple[str, list[dict]]] = []
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            rows.append((panel["title"], []))
        elif panel["type"] != "table":
            lines = []
            for target in panel["targets"]:
                for labels, points in prometheus.history(asked(target["expr"]), 40):
                    # Ports of a test say nothing.
                    labels = {key: value if key != "instance" else f"node-{1 + sorted(scraped[1].metrics).index(value)}" for key, value in labels.items()
                              if key != "instance" or value in scraped[1].metrics}
                    lines.append((re.sub(r"\{\{(\w+)\}\}", lambda m, labels=labels: labels.get(m[1], ""), target["legendFormat"]), points))
            lines = [one for one in lines if one[1]]
            # Latencies of reviews are not a number where nobody asked the webhook.
            assert lines or panel["title"] == "Webhook", panel["title"]
            if lines:
                rows[-1][1].append({"title": panel["title"], "kind": panel["type"], "unit": panel["fieldConfig"]["defaults"]["unit"], "lines": lines})
    picture = pathlib.Path(os.environ.get("MODELCACHE_DASHBOARD_PICTURE") or tmp_path / "dashboard.svg")
    plot.panels(picture, rows)
    text = picture.read_text()
    ElementTree.fromstring(text)
    assert text.count("<polyline") > 20

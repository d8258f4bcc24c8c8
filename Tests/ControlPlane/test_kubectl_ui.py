"""`kubectl modelcache ui`: the page of a cluster in headless Chromium, read through the API server with the caller's own rights."""
import json
import re
import subprocess
import sys
import urllib.request

import pytest

from support.control_plane import REPOSITORY
from support.operator_answers import serve
from support.operator_process import PROGRAM
from support.proxy import Refusal
from support.stand_in import SYSTEM_NAMESPACE, agent_address
from support.started_pods import creation, start_pod
from support.world import guest_world

sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))
from browser import Browser  # noqa: E402

PLUGIN = PROGRAM.parent / "kubectl-modelcache"

pytestmark = pytest.mark.skipif(not PLUGIN.exists(), reason=f"{PLUGIN} is not built")


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane, nodes=3) as one:
        yield one


@pytest.fixture
def page(w):
    """page(*arguments, kubeconfig): the address of a page that runs."""
    started = []

    def start(*arguments, kubeconfig=None):
        log = w.folder / f"ui-{len(started)}.log"
        with open(log, "wb") as output:
            started.append(subprocess.Popen(
                [PLUGIN, "ui", "-n", w.namespace, *arguments, "--kubeconfig", kubeconfig or w.proxy.kubeconfig()], stdout=output, stderr=output))
        return w.until(lambda: (found := re.search(r"^http://127\.0\.0\.1:\d+/$", log.read_text(), re.M)) and found[0], "its address is printed")

    yield start
    for one in started:
        one.terminate()
        one.wait()


def data(url):
    with urllib.request.urlopen(f"{url}data.json", timeout=60) as answer:
        return json.loads(answer.read())


def plugin(w, *arguments):
    done = subprocess.run([PLUGIN, *arguments, "--kubeconfig", w.proxy.kubeconfig()], capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


def start_told_pod(w, uid):
    """On node-0, with what its agent saw of it."""
    conditions = [("PodScheduled", 2), ("PodReadyToStartContainers", 7), ("Initialized", 3), ("ContainersReady", 95), ("Ready", 95)]
    pod = start_pod(w.kubectl, w.namespace, "told", f"Stream/{uid}", node="node-0", started=20, phase="Running", conditions=conditions)
    opened = int(creation(pod).timestamp() * 1000) + 22_500
    w.agents.by_node["node-0"].readers[uid] = [
        {"pod": "told", "podUID": pod["metadata"]["uid"], "openedAt": opened, "answeredMilliseconds": 500, "firstByteMilliseconds": 1_500,
         "completeMilliseconds": 41_500, "observedMilliseconds": 99_000, "totalBytes": 253_000_000, "cacheBytes": 53_000_000, "peerBytes": 0,
         "storeBytes": 200_000_000, "waitMilliseconds": {"store": 30_400, "opening": 500}}]


def test_the_page_shows_models_nodes_flows_and_starts_with_the_numbers_of_the_other_verbs(w, page):
    leader = w.start_operator().ready()
    serve(w, a=leader)
    url = page()
    with Browser(url) as browser:
        browser.until("#models", "No model is cached.")
        w.apply()
        browser.until("#models", "qwen", "Ready", "100 %", "3/3")
        uid = w.get()["metadata"]["uid"]
        start_told_pod(w, uid)
        # node-1 gave to node-0: agents know each other by address.
        w.agents.by_node["node-0"].caches[uid].peers = [
            {"address": f"{agent_address(1)}:9418", "receivedBytes": 400_000, "bytesPerSecond": 2_000_000},
            {"address": "192.0.2.7:9418", "receivedBytes": 1_000, "bytesPerSecond": 0}]
        browser.until("#flows table", "400 kB", "2 MB/s", "192.0.2.7:9418")
        rows = browser.evaluate("[...document.querySelectorAll('#flows tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))")
        assert rows[0] == ["node-1", "node-0", f"{w.namespace}/qwen", "400 kB", "2 MB/s"], rows
        assert ["the store", "node-2", f"{w.namespace}/qwen", "500 kB", "–"] in rows, rows
        label = browser.evaluate("document.querySelector('#flows svg').getAttribute('aria-label')")
        assert label == "3 places give to 3 places, 1 of 5 arrows move bytes now; the table has the numbers"
        starts = browser.until("#starts", "told", "1m35s", "loading: reading 40s", "53 MB from the cache, 200 MB from the store", "waited for store 30s")
        assert "scheduling 2s" in starts and "volumes and sandbox 5s" in starts

        # The other verbs have the same numbers.
        told = data(url)
        for node, line in zip(told["nodes"]["items"], plugin(w, "nodes").splitlines()[1:], strict=True):
            [memory] = node["media"]
            assert line.split("   ")[0] == node["name"] and all(memory[name]["text"] in line for name in ("budget", "used", "free")), (line, node)
        [model] = told["models"]["items"]
        listed = plugin(w, "status", "-n", w.namespace).splitlines()[1]
        assert all(text in listed for text in (model["phase"], model["nodes"], f"{model['percent']}%")), listed
        traffic = w.status()["traffic"]
        assert (model["fromStore"]["value"], model["fromNodes"]["value"]) == (traffic["originBytes"], traffic["peerBytes"])
        [start] = told["starts"]["items"]
        assert start["total"]["value"] == sum(phase["time"]["value"] for phase in start["phases"]) == 95_000

        # An agent that is silent, and then the API server: the page says so and goes on.
        w.agents.by_node["node-2"].silent = True
        browser.until("#nodes", "Unreachable")
        refuse, w.proxy.refuse = w.proxy.refuse, lambda seen: refuse(seen) if "/leases" in seen.path else Refusal(503, "ServiceUnavailable")
        browser.until("#models", "Not readable since", "This is the state of", "qwen")
        browser.until("#live", "nothing can be read")
        w.proxy.refuse = refuse
        browser.until("#live", "live")
        assert "Not readable" not in browser.text()
        assert browser.complaints == []


def test_a_view_that_the_caller_may_not_read_is_named_and_the_others_are_shown(w, page):
    leader = w.start_operator().ready()
    serve(w, a=leader)
    w.apply()
    w.until_ready()
    w.kubectl("create", "serviceaccount", "reader", "-n", w.namespace)
    w.kubectl("create", "role", "reader", "-n", w.namespace, "--verb=get,list,watch", "--resource=modelcaches.modelcache.io,pods")
    w.kubectl("create", "rolebinding", "reader", "-n", w.namespace, "--role=reader", f"--serviceaccount={w.namespace}:reader")
    url = page(kubeconfig=w.plane.service_account_kubeconfig(w.namespace, "reader", server=w.proxy.url))
    told = w.until(lambda: (one := data(url)) and one["models"]["items"] and one, "the models are shown")
    assert [one["name"] for one in told["models"]["items"]] == ["qwen"] and "missing" not in told["models"] and "missing" not in told["starts"]
    for name in ("nodes", "flows"):
        why = told[name]["missing"]["why"]
        assert told[name]["items"] == [] and f"you need the Role modelcache-reader of {SYSTEM_NAMESPACE}" in why, why
    with Browser(url) as browser:
        browser.until("#nodes", "Not readable since", "modelcache-reader")
        browser.until("#live", "some views are missing")
        # Of all namespaces this caller may read nothing.
    url = page("-A", kubeconfig=w.plane.service_account_kubeconfig(w.namespace, "reader", server=w.proxy.url))
    told = data(url)
    assert "forbidden" in told["models"]["missing"]["why"] and told["models"]["items"] == []


def test_one_token_serves_many_looks(w, page):
    """The page looks every other second; the API server gives out no token for each."""
    leader = w.start_operator().ready()
    serve(w, a=leader)
    url = page()
    seen = {data(url)["time"]}
    w.until(lambda: seen.add(data(url)["time"]) or len(seen) >= 4, "four looks")
    assert len([one for one in w.proxy.requests if one.path.endswith("/serviceaccounts/modelcache-reader/token")]) == 1

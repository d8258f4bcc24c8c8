"""`modelcache ui`: the page of one node in headless Chromium, and what its server refuses."""
import re
import signal
import subprocess
import sys

import pytest

from content import MIB, make_model
from support import paths
from support.orders import NODE, definition, new_uid
from support.page import Page
from support.pod import NOBODY, volume
from support.processes import Running, clean_environment, wait_until
from support.tokens import Key, callers

sys.path.insert(0, str(paths.REPOSITORY / "Tests/Shared"))
from browser import Browser  # noqa: E402

# Read as markup, each would change the document's title.
HOSTILE_POD = "<img src=x onerror=\"document.title='taken'\">"
HOSTILE_PREFIX = "<script>document.title='taken'</script>/"


@pytest.fixture
def page(place):
    """page(*arguments): the page of the place's agent."""
    started = []

    def start(*arguments):
        environment = clean_environment(**place.settings())
        started.append(Running([paths.MODELCACHE, "ui", *arguments], place.log("ui"), environment=environment))
        return Page(started[-1])

    yield start
    for one in started:
        one.stop()


def percent(browser) -> int:
    found = re.search(r"(\d+) %", browser.text("#models"))
    return int(found[1]) if found else -1


def test_the_page_follows_a_fill_and_an_agent_that_goes_and_comes(place, node, store, bucket, container, page):
    key, uid = Key("key-1"), new_uid()
    model = make_model(bucket, HOSTILE_PREFIX, {"model.gguf": 24 * MIB + 12345})
    store.faults({"match": {"ranged": True}, "action": {"held": True}})
    agent, orders = node()
    ui = page()
    with Browser(ui.url) as browser:
        browser.until("#models", "No model is cached.")
        browser.until("#flows", "Nothing has come")
        assert browser.until("#subject", NODE) == NODE

        assert orders.put(uid, definition(store, model.prefix, model.bytes, callers=callers(key))).status == 200
        browser.until("#models", "team/qwen", "prepared", HOSTILE_PREFIX)
        view = container(volume(place, uid))
        token = view.programs / "token"
        token.write_text(key.token(**{"kubernetes.io": {"namespace": "team", "pod": {"name": HOSTILE_POD, "uid": "uid-1"}}}))
        pod = Running([view.modelcache, "warm"], place.log("warm"), prefix=view.prefix,
                      environment=view.environment(store, MODELCACHE_TOKEN_FILE=token))
        # The store gives nothing yet.
        browser.until("#models", "filling", "0 %")
        browser.until("#starts", HOSTILE_POD, "opening", "…")

        # It gives the first half: what is shown is what `modelcache status` says, and it stands still there.
        store.faults({"match": {"ranged": True, "range": f"{12 * MIB}-"}, "action": {"held": True}})
        wait_until(lambda: percent(browser) > 20, 120, "the page moves")
        half = wait_until(lambda: (lambda shown, told: shown == told and told)(
            percent(browser), next(one["presentBytes"] * 100 // one["totalBytes"] for one in place.status()["models"])), 120, "both say the same")
        assert half < 100 and "filling" in browser.text("#models")

        store.faults()
        browser.until("#models", "complete", "100 %", "25.2 MB")
        assert pod.wait(120) == 0, pod.output()
        flows = browser.until("#flows", "the store", NODE, "team/qwen")
        [flow] = [one for one in ui.data()["flows"]["items"] if one["from"]["kind"] == "store"]
        told = place.status()["models"][0]
        assert flow["bytes"]["value"] == told["originBytes"] >= model.bytes and flow["bytes"]["text"] in flows
        starts = browser.until("#starts", HOSTILE_POD, "reading", "from the store")
        assert "…" not in starts

        # The page goes on without an agent, says so, and shows what it saw.
        agent.stop()
        browser.until("#models", "Not readable since", "no agent answers", "This is the state of", "complete")
        browser.until("#live", "nothing can be read")
        node()
        wait_until(lambda: "Not readable" not in browser.text(), 120, "the next agent is seen")
        assert browser.until("#live", "live") == "live"

        # And without the program that serves it.
        ui.program.signal(signal.SIGINT)
        assert ui.program.wait(60) == -signal.SIGINT
        browser.until("#live", "no data since")
        assert "complete" in browser.text("#models")
        assert browser.evaluate("document.title").startswith("ModelCache: ") and browser.evaluate("document.images.length") == 0
        assert browser.complaints == []


@pytest.mark.parametrize("width, dark", [(1024, False), (390, True)])
def test_the_page_fits_a_laptop_and_a_phone(agent, store, bucket, place, page, width, dark):
    make_model(bucket, "a-model-with-a-long-name-that-has-no-place-to-break/", {f"part-{n}.gguf": MIB for n in range(3)})
    agent()
    environment = store.environment("a-model-with-a-long-name-that-has-no-place-to-break/")
    assert place.modelcache("warm", environment=environment).returncode == 0
    with Browser(page().url, width=width, dark=dark) as browser:
        browser.until("#models", "complete")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        # Every cell is below a heading, or carries it where rows are blocks.
        assert browser.evaluate("[...document.querySelectorAll('td[data-label]')].every(cell => cell.dataset.label)")
        assert browser.evaluate("document.querySelectorAll('table caption').length") == browser.evaluate("document.querySelectorAll('table').length") > 0
        back = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back))) < 200) == dark, back
        assert browser.complaints == []


def test_the_server_is_for_its_own_user_and_for_requests_to_this_machine(agent, page):
    agent()
    ui = page("--port", "0")
    status, headers, body = ui.request("/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8" and b"</html>" in body
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert not [name for name in headers if name.startswith("access-control")]
    # Nothing of the page comes from elsewhere.
    assert re.findall(rb"https?://[^\s\"'`]+", body) == [b"http://www.w3.org/2000/svg"]

    status, headers, body = ui.request("/data.json")
    assert status == 200 and headers["content-type"] == "application/json" and b'"models"' in body
    status, headers, nothing = ui.request("/data.json", method="HEAD")
    assert status == 200 and nothing == b"" and int(headers["content-length"]) > 100
    for host in ("localhost", f"localhost:{ui.port}", "127.0.0.1:1", "[::1]:80"):
        assert ui.request("/data.json", host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{ui.port}", "127.0.0.1.evil.example", "localhost:80@evil.example", "127.0.0.1:80x"):
        for path in ("/", "/data.json"):
            status, _, told = ui.request(path, host=host)
            assert status == 403 and b"models" not in told, (host, path)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = ui.request("/data.json", method=method)
        assert status == 405 and headers["allow"] == "GET, HEAD", method
    for path in ("/index.html", "/data", "/../etc/passwd", "/data.json/"):
        assert ui.request(path)[0] == 404, path

    # Other users of the machine reach the port, and nothing else.
    asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{ui.url}data.json"]
    other = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    assert subprocess.run([*other, *asked], text=True, capture_output=True, check=False, timeout=60).stdout == "403"
    assert subprocess.run(asked, text=True, capture_output=True, check=False, timeout=60).stdout == "200"


def test_a_port_that_is_taken_and_a_page_before_its_agent(place, agent, page):
    ui = page()
    assert "the page waits for an agent: no agent answers at" in ui.program.output()
    data = ui.data()
    assert data["models"]["items"] == [] and "seen" not in data["models"] and "no agent answers" in data["models"]["missing"]["why"]
    # The same loss is told with the same time.
    again = ui.until(lambda one: one["time"] > data["time"], "another look")
    assert again["models"]["missing"]["since"] == data["models"]["missing"]["since"]
    taken = place.modelcache("ui", "--port", ui.port)
    assert taken.returncode == 1 and f"cannot listen on 127.0.0.1:{ui.port}".encode() in taken.stderr and b"--port" in taken.stderr, taken
    agent()
    ui.until(lambda one: "missing" not in one["models"] and one["nodes"]["items"], "the agent is seen")

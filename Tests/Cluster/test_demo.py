"""The parts of hack/demo that can be tried without its four minutes."""
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time

import pytest

DEMO = pathlib.Path(__file__).resolve().parents[2] / "hack/lib/demo"
sys.path.insert(0, str(DEMO))

from drawing import pods_table  # noqa: E402
from pod_starts import PodStart, start_of  # noqa: E402
from traffic import SteadyRequests  # noqa: E402


@pytest.fixture
def server():
    """Answers as llama-server does; every third request is dropped without an answer while `drops` is set."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            server.count += 1
            if server.drops and server.count % 3 == 0:
                self.close_connection = True
                return
            body = json.dumps({"content": "blue"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.count, server.drops = 0, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("drops", (False, True))
def test_requests_without_an_answer_count_as_failed(server, drops):
    server.drops = drops
    with SteadyRequests(f"127.0.0.1:{server.server_port}", rate=50) as requests:
        while server.count < 9:
            time.sleep(0.01)
    assert bool(requests.failures) == drops and requests.seconds
    assert f"{len(requests.failures)} failed" in requests.told()


def test_a_process_start_is_known_to_hundredths():
    before = time.monotonic()
    child = subprocess.Popen(["sleep", "60"])
    after = time.monotonic()
    try:
        assert before - 0.02 <= start_of(child.pid) <= after + 0.02
    finally:
        child.kill()
        child.wait()


def test_the_table_tells_a_cold_pod_from_a_warm_one(capsys):
    cold = PodStart("cold", "1", 0.0, "gemma", 1000, node="node-4", started=1.0, ready=12.0, origin=1000)
    warm = PodStart("warm", "2", 0.0, "gemma", 1000, node="node-1", started=1.0, ready=2.0, present=1000)
    pods_table("title", [cold, warm], 100.0)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "1.100x" in lines["cold"] and "warm" in lines["warm"].split()[1:]

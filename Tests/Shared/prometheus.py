"""A real Prometheus for tests: hack/prometheus has unpacked it."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

from ports import free_port

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ALERTS = REPOSITORY / "charts/modelcache/files/alerts.yaml"
# The rules run so much faster in tests than in a cluster: 10 minutes are 5 seconds.
SPEED = 120


def program(name: str) -> str:
    cache = os.environ.get("MODELCACHE_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache"
    path = pathlib.Path(cache) / "prometheus" / name
    assert path.exists(), f"{path} is missing: run hack/prometheus"
    return str(path)


def promtool(*arguments: object, text: str | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([program("promtool"), *map(str, arguments)], input=text, text=True, capture_output=True, check=False, timeout=180)


def check_metrics(text: str) -> None:
    """promtool's own judgement on names, units, help texts and types."""
    checked = promtool("check", "metrics", text=text)
    assert checked.returncode == 0 and not checked.stderr, checked.stderr


def hurried(rules: str) -> str:
    """The rules with each `for`, range and offset SPEED times shorter; thresholds stay."""
    return re.sub(r"(for: |\[|offset )(\d+)m\b", lambda m: f"{m[1]}{int(m[2]) * 60_000 // SPEED}ms", rules)


class Prometheus:
    """Scrapes `targets` (job -> addresses) twice a second; evaluates the chart's alerts, hurried, where asked."""

    def __init__(self, folder: pathlib.Path, targets: dict[str, list[str]], alerts: bool = False):
        folder.mkdir(parents=True)
        self.log = folder / "prometheus.log"
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
                  "scrape_configs": [{"job_name": job, "honor_labels": True, "static_configs": [{"targets": addresses}]}
                                     for job, addresses in targets.items()]}
        if alerts:
            (folder / "alerts.yaml").write_text(hurried(ALERTS.read_text()))
            config["rule_files"] = [str(folder / "alerts.yaml")]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.address = f"127.0.0.1:{free_port()}"
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                [program("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={self.address}", "--log.level=warn", "--query.lookback-delta=3s"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    def _get(self, path: str, **query: str) -> dict:
        with urllib.request.urlopen(f"http://{self.address}{path}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict]:
        """The samples of an instant query; an expression that Prometheus refuses fails the test with its words.

        Before its storage is open it answers 503 to everything, an error that `until` passes over."""
        try:
            return self._get("/api/v1/query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                raise
            raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def history(self, expression: str, seconds: float) -> list[tuple[dict, list[tuple[float, float]]]]:
        """The last seconds of an expression: labels, and points of (Unix seconds, value), of each series."""
        now = time.time()
        found = self._get("/api/v1/query_range", query=expression, start=str(now - seconds), end=str(now), step="0.5")["result"]
        return [(one["metric"], [(float(at), float(value)) for at, value in one["values"] if value not in ("NaN", "+Inf", "-Inf")]) for one in found]

    def firing(self) -> dict[str, list[dict]]:
        """alert -> labels and annotations of those that fire."""
        found: dict[str, list[dict]] = {}
        for alert in self._get("/api/v1/alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"] | alert["annotations"])
        return found

    def until(self, condition, what: str, seconds: float = 120):
        """The condition's first true value."""
        deadline = time.monotonic() + seconds
        while True:
            value = None
            with contextlib.suppress(OSError):
                value = condition()
            if value:
                return value
            assert self.process.poll() is None, f"Prometheus ended\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.log.read_text()}"
            time.sleep(0.2)

    def until_firing(self, alert: str, seconds: float = 120, **labels: str) -> dict:
        def found():
            return next((one for one in self.firing().get(alert, []) if labels.items() <= one.items()), None)
        return self.until(found, f"{alert} fires for {labels}", seconds)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

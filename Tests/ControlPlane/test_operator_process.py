"""The operator as a process: flags, probes, metrics, and how it ends."""
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.control_plane import REPOSITORY, free_port
from support.operator_process import PROGRAM, Operator
from support.webhook import until


def run(*arguments, seconds=120, **environment):
    """One call that is expected to end by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELCACHE_") and name != "KUBECONFIG"}
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, env=clean | environment)


@pytest.fixture(scope="module")
def definition(control_plane):
    """The ModelCache API, as the operator itself prints it."""
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=run("print-crd").stdout)
    control_plane.kubectl.wait_established()


@pytest.fixture
def operator(control_plane, definition, namespace, tmp_path):
    """operator(*flags): a started one with a system namespace of its own."""
    started = []

    def start(*flags, kubeconfig=control_plane.admin_kubeconfig, **options):
        log = tmp_path / f"operator-{len(started)}.log"
        started.append(Operator(kubeconfig, log, f"--system-namespace={namespace}", f"--namespace={namespace}", *flags, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def samples(operator) -> dict:
    """Metrics by name and labels, read by Prometheus' own parser."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(operator.metrics())
        for sample in family.samples
    }


def answer(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


# Flags


def test_help_names_every_flag_the_environment_and_examples():
    text = run("--help").stdout
    for flag in (
        "--kubeconfig", "--namespace", "--system-namespace", "--agent-image", "--agent-port", "--leader-elect", "--metrics-bind-address",
        "--health-probe-bind-address", "--log-level", "--log-format", "EXAMPLES", "MODELCACHE_AGENT_PORT",
    ):
        assert flag in text
    assert "print-crd" not in text and "--allow-loopback-endpoints" not in text


def test_the_documentation_and_the_help_name_the_same_flags_with_the_same_defaults():
    section = (REPOSITORY / "docs/configuration.md").read_text().split("## The operator\n")[1].split("\n## ")[0]
    rows = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `--")]
    text = " ".join(run("--help").stdout.split())
    helped = {flag for flag in re.findall(r"--[a-z-]+", text.split("OPTIONS:")[1]) if not flag.startswith("--no-")} - {"--version", "--help"}
    assert {flag for flag, *_ in rows} == helped
    for flag, variable, default, _ in rows:
        assert variable == "MODELCACHE_" + flag[2:].upper().replace("-", "_")
        told = re.search(rf"{flag} <[^>]*> (.*?)Default: ([^ ]*)\.(?: |$)", text)
        if told and "--" not in told[1]:
            assert default == told[2], flag


@pytest.mark.parametrize(
    "arguments, environment, code, words",
    [
        (["--agent-port=0"], {}, 64, ["--agent-port", '"0"', "from 1 to 65535"]),
        (["--metrics-bind-address=8080"], {}, 64, ["--metrics-bind-address", '"8080"', "host:port"]),
        (["--log-level=loud"], {}, 64, ["--log-level", '"loud"', "debug"]),
        (["--log-format=xml"], {}, 64, ["--log-format", "json"]),
        (["--namespace=Not_A_Name"], {}, 64, ["--namespace", "Not_A_Name"]),
        (["--leader-elect-lease-duration=soon"], {}, 64, ["--leader-elect-lease-duration", "15s"]),
        (["--leader-elect-lease-duration=5s"], {}, 64, ["longer than the renew deadline"]),
        (["--leader-elect=perhaps"], {}, 64, ["--leader-elect"]),
        (["--no-such-flag"], {}, 64, ["--no-such-flag"]),
        ([], {"MODELCACHE_AGENT_PORT": "http"}, 78, ["MODELCACHE_AGENT_PORT", '"http"', "65535"]),
        ([], {"MODELCACHE_LEADER_ELECT": "perhaps"}, 78, ["MODELCACHE_LEADER_ELECT", "true or false"]),
        (["--kubeconfig=/nonexistent/config"], {}, 78, ["/nonexistent/config"]),
        ([], {"KUBECONFIG": "/dev/null"}, 78, ["/dev/null"]),
    ],
)
def test_a_wrong_setting_ends_with_a_message_that_names_it(arguments, environment, code, words):
    done = run(*arguments, **environment)
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr


def test_a_flag_wins_over_the_environment(operator, monkeypatch):
    monkeypatch.setenv("MODELCACHE_LOG_FORMAT", "text")
    monkeypatch.setenv("MODELCACHE_MAX_CONCURRENT_RECONCILES", "3")
    one = operator("--log-format=json", leader_elect=False).ready()
    assert all(json.loads(line)["level"] for line in one.log.read_text().splitlines())
    assert samples(one)["controller_runtime_max_concurrent_reconciles", (("controller", "modelcache"),)] == 3


def test_a_taken_port_is_named(operator):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = operator(f"--metrics-bind-address=127.0.0.1:{taken.getsockname()[1]}")
        assert one.process.wait(120) == 78
        assert "--metrics-bind-address" in one.last_words()


# The API server


def test_a_wrong_token_ends_with_a_message(control_plane, tmp_path):
    config = json.loads(control_plane.kubectl("config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": "wrong-token-of-a-test"}
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    done = run(f"--kubeconfig={path}", "--metrics-bind-address=0", "--health-probe-bind-address=0")
    assert done.returncode == 77, done.stderr
    assert "Unauthorized" in done.stderr and "credentials" in done.stderr
    assert "wrong-token-of-a-test" not in done.stderr


def test_a_missing_api_server_is_waited_for_and_told(control_plane, tmp_path):
    config = json.loads(control_plane.kubectl("config", "view", "--raw", "-o", "json"))
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    one = Operator(path, tmp_path / "log")
    try:
        deadline = time.monotonic() + 120
        while "not reached" not in one.last_words():
            assert one.alive and time.monotonic() < deadline, one.last_words()
            time.sleep(0.1)
        status, report = answer(one.health_port, "/readyz")
        assert status == 500 and "[-]api-server failed" in report
        assert answer(one.health_port, "/healthz") == (200, "ok")
        assert one.stop() == 0
    finally:
        one.close()


# Probes and metrics


def test_probes_answer(operator):
    one = operator().ready()
    assert answer(one.health_port, "/healthz") == (200, "ok")
    # A replica that waits to lead is ready; one that leads is once its caches have their first lists.
    until(lambda: "synced" in one.log.read_text(), "it leads")
    assert answer(one.health_port, "/readyz") == (200, "ok")
    status, report = answer(one.health_port, "/readyz?verbose")
    assert status == 200 and report == "[+]api-server ok\n[+]caches ok\nreadyz check passed\n"
    assert answer(one.health_port, "/metrics")[0] == 404


def test_zero_disables_a_server(operator):
    one = operator("--metrics-bind-address=0").ready()
    with pytest.raises(urllib.error.URLError):
        one.metrics()


def test_metrics_have_controller_runtimes_names_and_are_there_from_the_start(operator, control_plane):
    one = operator().ready()
    values = samples(one)
    names = {name for name, _ in values}
    assert names >= {
        "workqueue_depth", "workqueue_adds_total", "workqueue_queue_duration_seconds_bucket", "workqueue_work_duration_seconds_count",
        "workqueue_unfinished_work_seconds", "workqueue_longest_running_processor_seconds", "workqueue_retries_total",
        "controller_runtime_reconcile_time_seconds_sum", "controller_runtime_max_concurrent_reconciles", "controller_runtime_active_workers",
        "controller_runtime_reconcile_errors_total", "rest_client_requests_total", "leader_election_master_status",
        "process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds", "process_open_fds",
    }
    for result in ("success", "error", "requeue", "requeue_after"):
        assert ("controller_runtime_reconcile_total", (("controller", "modelcache"), ("result", result))) in values
    host = control_plane.server.removeprefix("https://")
    assert values["rest_client_requests_total", (("code", "200"), ("host", host), ("method", "GET"))] > 0
    assert abs(values["process_start_time_seconds", ()] - time.time()) < 60
    assert 1e6 < values["process_resident_memory_bytes", ()] < 150e6


# The end


def test_sigterm_ends_it_cleanly_with_and_without_election(operator):
    for leader_elect in (True, False):
        one = operator(leader_elect=leader_elect).ready()
        assert one.stop() == 0, one.last_words()


def test_log_lines_never_hold_the_token(operator, control_plane, namespace):
    kubeconfig = control_plane.token_kubeconfig(control_plane.admin_token, "log-test")
    one = operator("--log-level=trace", kubeconfig=kubeconfig).ready()
    assert one.stop() == 0
    assert control_plane.admin_token not in one.log.read_text()

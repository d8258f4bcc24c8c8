"""The chart's alerts: their rules by promtool, and on a real Prometheus that scrapes a real operator whose world has the fault."""
import datetime
import pathlib
import subprocess
import sys
import time

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.control_plane import REPOSITORY, free_port
from support.operator_process import PROGRAM
from support.world import world

sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))

from prometheus import ALERTS, SPEED, Prometheus, check_metrics, promtool  # noqa: E402

RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


def test_promtool_finds_no_fault_in_the_rules():
    checked = promtool("check", "rules", ALERTS)
    assert checked.returncode == 0 and "10 rules found" in checked.stdout, checked.stderr


def test_each_alert_has_a_severity_words_and_a_runbook():
    runbooks = {path.name for path in (REPOSITORY / "docs/runbooks").glob("*.md")}
    named = set()
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical") and rule["annotations"]["summary"] and rule["annotations"]["description"]
        name = pathlib.Path(rule["annotations"]["runbook_url"]).name
        assert (REPOSITORY / "docs/runbooks" / name).read_text().startswith(f"# {rule['alert']}\n")
        named.add(name)
    assert named == runbooks


OF_QWEN = {"namespace": "models", "name": "qwen"}
ON_NODE = {"model": "uid", "instance": "10.0.0.1:9419"}


def series(metric: str, values: str, /, **labels: str) -> tuple[str, str]:
    return metric + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}", values


def condition(kind: str, values: str) -> tuple[str, str]:
    return series("modelcache_status_condition", values, **OF_QWEN, type=kind, status="False" if kind == "SourceResolved" else "True")


def copies(state: str, values: str) -> tuple[str, str]:
    return series("modelcache_status_copies", values, **OF_QWEN, state=state)


# Joins agents' samples with the ModelCache.
INFO = series("modelcache_status_info", "1x90", **OF_QWEN, model="uid", medium="Memory")
# alert: series, the last minute at which it is silent, the minute at which it fires, labels beside the rule's own.
TIMES = {
    "ModelCacheSourceUnreadable": ([condition("SourceResolved", "0x5 1x80")], 10, 12, OF_QWEN),
    "ModelCacheCredentialsExpiring": ([series("modelcache_credentials_expiry_timestamp_seconds", "6000x90", **OF_QWEN)], 40, 47, OF_QWEN),
    "ModelCacheNodeOutOfCapacity": ([condition("CapacityExceeded", "0x5 1x80")], 15, 17, OF_QWEN),
    "ModelCacheCopiesLost": ([copies("ready", "3x20 2x60"), copies("desired", "3x90")], 20, 22, OF_QWEN),
    "ModelCachePeersBanned": ([series("modelcache_peer_wrong_blocks_total", "0x20 1x60", **ON_NODE), INFO], 20, 22, ON_NODE | OF_QWEN),
    "ModelCacheDigestMismatch": ([series("modelcache_refilled_files_total", "0x20 1x60", **ON_NODE)], 20, 22, ON_NODE),
    "ModelCacheWarmupStuck": ([copies("warming", "1x90"), series("modelcache_status_cached_bytes", "0+1000x20 20000x60", **OF_QWEN)], 37, 42, OF_QWEN),
    "ModelCacheInjectionMissed": ([series("modelcache_missed_pods", "0x5 2x80")], 10, 12, {}),
    "ModelCacheCertificateExpiring": ([series("modelcache_webhook_certificate_expiry_timestamp_seconds", f"{7 * 86400 + 600}x90")], 14, 17, {}),
    "ModelCacheSlowLoad": ([series("modelcache_model_users", "1x90", **ON_NODE), series("modelcache_model_present_bytes", "0+1x90", **ON_NODE),
                            series("modelcache_model_bytes", "1000x90", **ON_NODE), INFO], 14, 16, ON_NODE | OF_QWEN),
}


def test_each_alert_fires_after_its_time_and_not_before(tmp_path):
    assert TIMES.keys() == {rule["alert"] for rule in RULES}
    # Words are judged where a real fault makes them.
    bare = [{key: value for key, value in rule.items() if key != "annotations"} for rule in RULES]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "modelcache", "rules": bare}]}))
    tests = [{"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in inputs],
              "alert_rule_test": [
                  {"alertname": alert, "eval_time": f"{silent}m", "exp_alerts": []},
                  {"alertname": alert, "eval_time": f"{fires}m", "exp_alerts": [
                      {"exp_labels": labels | next(rule["labels"] for rule in RULES if rule["alert"] == alert)}]}]}
             for alert, (inputs, silent, fires, labels) in TIMES.items()]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    tested = promtool("test", "rules", tmp_path / "tests.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


# ---- faults --------------------------------------------------------------------------------------------------------

def certificate(folder: pathlib.Path, days: int) -> pathlib.Path:
    """tls.crt and tls.key of a webhook that nobody renews."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "modelcache-webhook")])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=80)).not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("modelcache-webhook.modelcache-system.svc")]), False).sign(key, hashes.SHA256()))
    folder.mkdir()
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder


@pytest.fixture(scope="module")
def watched(control_plane, tmp_path_factory):
    """(world, Prometheus): three nodes, an operator whose webhook has a certificate of two days, all alerts."""
    folder = tmp_path_factory.mktemp("alerts")
    with world(control_plane) as w:
        operator = w.start_operator(
            "--webhook-certificates=files", f"--webhook-certificate-directory={certificate(folder / 'tls', days=2)}",
            through_proxy=False, webhook_port=free_port())
        prometheus = Prometheus(folder / "prometheus", {"operator": [f"127.0.0.1:{operator.metrics_port}"]}, alerts=True)
        try:
            yield w, prometheus
        finally:
            prometheus.close()
            w.kubelets.starts = lambda node: True
            w.clear()


def fires(watched, alert: str, name: str | None = None) -> dict:
    w, prometheus = watched
    labels = {"namespace": w.namespace, "name": name} if name else {}
    fired = prometheus.until_firing(alert, **labels)
    if name:
        assert f"{w.namespace}/{name}" in fired["summary"], fired
    assert "<no value>" not in fired["summary"] + fired["description"], fired
    return fired


def test_a_source_that_cannot_be_read(watched):
    w, _ = watched
    w.secret("wrong", value="not-the-key")
    w.apply("unreadable", source__credentials={"secretRef": {"name": "wrong"}})
    fires(watched, "ModelCacheSourceUnreadable", "unreadable")


def test_credentials_that_end_soon_until_they_are_renewed(watched):
    w, prometheus = watched

    def renewed(hours: float) -> None:
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + hours * 3600))
        w.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sts", "namespace": w.namespace}, "stringData": {
            "OSS_ACCESS_KEY_ID": "LTAIcontrolplane", "OSS_ACCESS_KEY_SECRET": "control-plane-secret", "OSS_CREDENTIALS_EXPIRATION": ends}})
    renewed(0.5)
    w.apply("sts", source__credentials={"secretRef": {"name": "sts"}})
    fires(watched, "ModelCacheCredentialsExpiring", "sts")


def test_nodes_without_capacity(watched):
    w, _ = watched
    for agent in w.agents.by_node.values():
        agent.budget = agent.held() + 100_000
    try:
        w.apply("large")
        fires(watched, "ModelCacheNodeOutOfCapacity", "large")
    finally:
        for agent in w.agents.by_node.values():
            agent.budget = 1 << 40


def test_a_copy_that_a_node_lost_and_a_warm_up_that_does_not_go_on(watched):
    w, prometheus = watched
    w.apply("lost")
    w.until_ready("lost")
    # Nothing brings the copy back.
    w.kubelets.starts = lambda node: False
    # The alert compares with what was known a while ago.
    prometheus.until(lambda: prometheus.query(
        f'modelcache_status_copies{{namespace="{w.namespace}",name="lost",state="ready"}} offset {600 // SPEED}s == 3'), "three copies are on record")
    w.agents.by_node["node-1"].restart(keep=False)
    fires(watched, "ModelCacheCopiesLost", "lost")
    fires(watched, "ModelCacheWarmupStuck", "lost")
    w.kubelets.starts = lambda node: True


def test_pods_that_the_webhook_missed(watched):
    w, _ = watched
    w.kubectl.apply({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "missed", "namespace": w.namespace, "labels": {"modelcache.io/inject": "qwen"}},
        "spec": {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none"}]}})
    assert fires(watched, "ModelCacheInjectionMissed")["summary"].startswith("1 pods")


def test_a_certificate_that_nobody_renewed(watched):
    assert "1d 2" in fires(watched, "ModelCacheCertificateExpiring")["summary"]


# ---- helm test -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("there", [True, False])
def test_the_probe_of_helm_test_tells_an_operator_from_none(watched, there):
    w, _ = watched
    port = w.operator.metrics_port if there else free_port()
    result = subprocess.run([PROGRAM, "probe", f"http://127.0.0.1:{port}", "--timeout=1s"], text=True, capture_output=True, check=False, timeout=180)
    if there:
        assert result.returncode == 0 and result.stdout.startswith("operator ") and result.stdout.endswith(" is ready\n"), result.stderr
    else:
        assert result.returncode == 69 and f"no operator responded at http://127.0.0.1:{port}" in result.stderr


# ---- names and units -----------------------------------------------------------------------------------------------

def test_promtool_finds_no_fault_in_the_operators_metrics(watched):
    w, _ = watched
    w.apply("measured")
    w.until_ready("measured")
    w.until(lambda: f'modelcache_status_copies{{namespace="{w.namespace}",name="measured",state="ready"}} 3' in w.operator.metrics(), "its samples")
    text = w.operator.metrics()
    check_metrics(text)
    for line in (f'modelcache_status_condition{{namespace="{w.namespace}",name="measured",type="Ready",status="True"}} 1',
                 f'modelcache_status_condition{{namespace="{w.namespace}",name="measured",type="Ready",status="False"}} 0',
                 f'modelcache_status_model_bytes{{namespace="{w.namespace}",name="measured"}} 500000'):
        assert line in text.splitlines(), line
    w.kubectl("delete", "modelcache", "measured", "-n", w.namespace)
    w.until(lambda: '"measured"' not in w.operator.metrics(), "a ModelCache that is gone has no samples")

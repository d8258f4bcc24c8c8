"""Injection against a real API server: pods that name a ModelCache are created with it, whatever happens to the operator and its certificates.

The operator runs with its ServiceAccount's rights, so each test is also one of config/rbac.
"""
import concurrent.futures
import json
import threading
import time
import urllib.request

import pytest

from support import webhook as hooks
from support.control_plane import REPOSITORY, free_port
from support.operator_process import Operator
from support.webhook import SYSTEM_NAMESPACE, Direct, Pods, is_injected, pod, until


@pytest.fixture(scope="module")
def cluster(control_plane):
    """An API server with the ModelCache API and the operator's account."""
    if not control_plane.own:
        pytest.skip("the API server must reach the operator on this machine's loopback: not on an existing cluster")
    kubectl = control_plane.kubectl
    kubectl("apply", "--server-side", "--force-conflicts", "-k", REPOSITORY / "config/crd")
    kubectl.wait_established()
    kubectl("create", "namespace", SYSTEM_NAMESPACE, check=False)
    kubectl("apply", "-k", REPOSITORY / "config/rbac")
    yield control_plane
    kubectl("delete", "clusterrole,clusterrolebinding", "modelcache-operator")


@pytest.fixture
def world(cluster, namespace, tmp_path):
    one = World(cluster, namespace, tmp_path)
    yield one
    one.close()


class World:
    """One ModelCache, no certificate yet, and operators to start."""

    def __init__(self, plane, namespace, folder):
        self.plane, self.kubectl, self.namespace, self.folder = plane, plane.kubectl, namespace, folder
        self.port = free_port()
        self.operators = []
        self.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=120s")
        # Operators of other modules' tests leave theirs.
        self.kubectl("delete", "secret", hooks.SECRET, "-n", SYSTEM_NAMESPACE, "--ignore-not-found")
        self.kubectl.apply(hooks.model(namespace))
        self.kubectl.apply(hooks.configuration(self.port), hooks.validating_configuration(self.port))
        self.pods = Pods(plane, namespace)

    def start(self, *flags, port=None, account=True, **options) -> Operator:
        kubeconfig = self.plane.service_account_kubeconfig(SYSTEM_NAMESPACE, "modelcache-operator") if account else self.plane.admin_kubeconfig
        one = Operator(
            kubeconfig, self.folder / f"operator-{len(self.operators)}.log", f"--system-namespace={SYSTEM_NAMESPACE}", "--leader-elect-lease-duration=60s",
            "--leader-elect-renew-deadline=50s", "--leader-elect-retry-period=1s", *flags, webhook_port=port or self.port, **options)
        self.operators.append(one)
        return one

    def kill(self, operator) -> None:
        """SIGKILL; whoever comes next need not wait until the Lease runs out."""
        operator.kill()
        operator.process.wait()
        self.kubectl("delete", "lease", "modelcache-operator", "-n", SYSTEM_NAMESPACE, "--ignore-not-found")

    def bundle(self):
        return hooks.bundle(self.kubectl)

    def secret(self):
        return hooks.secret(self.kubectl)

    def change_secret(self, **entries) -> None:
        self.kubectl("patch", "secret", hooks.SECRET, "-n", SYSTEM_NAMESPACE, "--type=merge", "-p", json.dumps({"stringData": entries}))

    def close(self) -> None:
        for one in self.operators:
            one.close()
        self.pods.close()
        self.kubectl("delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", hooks.CONFIGURATION)
        self.kubectl("delete", "secret", hooks.SECRET, "-n", SYSTEM_NAMESPACE, "--ignore-not-found")


def metric(operator, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in operator.metrics().splitlines() if line.startswith(name))


# Pods


def test_labelled_pods_are_created_injected_and_others_as_they_are(world):
    operator = world.start().ready()
    made = world.pods.create(pod("labelled"))
    assert is_injected(made)
    [llama] = made["spec"]["containers"]
    assert {one["name"]: one.get("value") for one in llama["env"]}["OSS_PATH"] == "oss://models/qwen/"
    assert any("persistentVolumeClaim" in one for one in made["spec"]["volumes"])

    plain = world.pods.create(pod("plain", inject=None))
    assert not plain["metadata"].get("annotations") and "env" not in plain["spec"]["containers"][0]

    wrong = world.pods.create(pod("wrong", inject="qwem"))
    assert not is_injected(wrong) and "qwen" in wrong["metadata"]["annotations"]["modelcache.io/inject-status"]

    tried = world.pods.create(pod("tried"), dry_run=True)
    assert is_injected(tried)
    assert world.kubectl.get("pod", "tried", "-n", world.namespace) is None

    # A request may be counted a moment after its answer.
    until(lambda: metric(operator, 'controller_runtime_webhook_requests_total{webhook="/mutate-v1-pod",code="200"}') >= 3, "requests are counted")
    until(lambda: metric(operator, 'controller_runtime_webhook_latency_seconds_count{webhook="/mutate-v1-pod"}') >= 3, "latencies are counted")
    until(lambda: metric(operator, 'controller_runtime_webhook_requests_in_flight{webhook="/mutate-v1-pod"}') == 0, "none is in flight")
    until(lambda: metric(operator, 'modelcache_injections_total{outcome="stream"}') >= 2, "injections are counted")
    until(lambda: metric(operator, 'modelcache_injections_total{outcome="left_alone"}') >= 1, "a pod that was left alone is counted")


def test_a_pod_gets_all_of_its_models_or_an_event_that_names_the_missing_one(world):
    operator = world.start().ready()
    world.kubectl.apply(hooks.model(world.namespace, "qwen-draft", uri="oss://models/draft/"))
    made = until(lambda: is_injected(one := world.pods.create(pod("all", **{"modelcache.io/models": "qwen-draft=/models/draft"}), dry_run=True)) and one,
                 "both are known")
    [llama] = made["spec"]["containers"]
    values = {one["name"]: one.get("value") for one in llama["env"]}
    assert values["MODEL_DIR"] == "/models/qwen" and values["MODELCACHE_MODELS"] == "/models/draft" and values["MODELCACHE_MODEL_1_OSS_PATH"] == "oss://models/draft/"
    assert len({one["mountPath"] for one in llama["volumeMounts"]} & {"/models/qwen", "/models/draft"}) == 2

    left = world.pods.create(pod("some", **{"modelcache.io/models": "qwen-draft, lora-z"}))
    assert not is_injected(left) and not any("persistentVolumeClaim" in one for one in left["spec"].get("volumes", []))
    assert "lora-z" in left["metadata"]["annotations"]["modelcache.io/inject-status"] and operator
    assert any("lora-z" in one for one in world.pods.warnings), world.pods.warnings
    [event] = until(lambda: world.kubectl.get("events", "-n", world.namespace, "--field-selector=reason=NotInjected,involvedObject.name=some")["items"], "the Event")
    assert event["type"] == "Warning" and "lora-z" in event["message"]


def test_a_modelcache_made_in_the_same_moment_as_its_pod_is_waited_for(world):
    world.start().ready()
    models = Pods(world.plane, world.namespace, path="/apis/modelcache.io/v1alpha1", plural="modelcaches")

    def created_before_its_model(name):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            made = pool.submit(world.pods.create, pod(name, inject=name))
            time.sleep(0.2)
            models.create(hooks.model(world.namespace, name))
            return is_injected(made.result())

    # It waits a second; where this test is held up for longer, once more.
    assert any(created_before_its_model(f"late-{index}") for index in range(10))
    models.close()


def test_without_the_operator_pods_are_created_and_the_missed_one_is_told_of(world):
    world.kill(world.start().ready())
    missed = world.pods.create(pod("missed"))
    assert not is_injected(missed)
    world.start().ready()
    assert is_injected(world.pods.create(pod("later")))

    def events():
        listed = world.kubectl.get("events", "-n", world.namespace) or {"items": []}
        return [one["involvedObject"]["name"] for one in listed["items"] if one["reason"] == "InjectionMissed"]

    until(events, "an Event InjectionMissed")
    assert set(events()) == {"missed"}


# The server itself


def test_what_is_no_review_is_refused_with_a_reason(world):
    operator = world.start().ready()
    with Direct(world.port, world.bundle()) as direct:
        for body, word in [
            (b"", "JSON"), (b"garbage", "JSON"), (b"\xff\xfe" * 100, "JSON"), (b"{}", "AdmissionReview"),
            (json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}).encode(), "v1beta1"),
        ]:
            status, said = direct.post(body)
            assert status == 400 and word in said and said.count("\n") == 1, (body[:40], status, said)
        assert direct.post(b"{}", method="GET")[0] == 405
        assert direct.post(b"{}", path="/elsewhere")[0] == 404
        assert direct.post(b"{}", Content_Type="text/plain")[0] == 415
        status, said = direct.post(hooks.review("u-1", world.namespace, pod("one")))
        answer = json.loads(said)["response"]
        assert status == 200 and answer["uid"] == "u-1" and answer["allowed"] and answer["patchType"] == "JSONPatch"

        large = pod("large", note="x" * (1 << 20))
        status, said = direct.post(hooks.review("u-2", world.namespace, large))
        assert status == 200 and json.loads(said)["response"]["patch"]
    with Direct(world.port, world.bundle()) as direct:
        try:
            assert direct.post(b" " * (5 << 20))[0] == 413
        except OSError:
            # Refused by its announced length, while still being sent.
            pass
    until(lambda: metric(operator, 'controller_runtime_webhook_requests_total{webhook="/mutate-v1-pod",code="400"}') == 5, "refusals are counted")
    assert operator.alive


def test_after_sigterm_it_answers_on_while_the_cluster_turns_to_another(world):
    operator = world.start("--webhook-drain-timeout=15s").ready()
    with Direct(world.port, world.bundle()) as kept:
        assert kept.post(hooks.review("1", world.namespace, pod("a")))[0] == 200
        operator.process.terminate()
        time.sleep(1)
        assert kept.post(hooks.review("2", world.namespace, pod("b")))[0] == 200
        with Direct(world.port, world.bundle()) as new:
            assert new.post(hooks.review("3", world.namespace, pod("c")))[0] == 200
    assert operator.process.wait(120) == 0


# ModelCaches


WRONG = [
    ({"source": {"endpoint": "http://169.254.169.254"}}, ["spec.source.endpoint", "169.254.169.254", "metadata service", "write the store's endpoint"]),
    ({"source": {"endpoint": "https://store.example.com", "credentials": {"secretRef": {"name": "keys"}}}},
     ["spec.source.endpoint", "https://store.example.com", "not a store's own host", "credentialHosts"]),
    ({"source": {"uri": "oss://two..dots/x/"}}, ["spec.source.uri", "two..dots", "two dots in a row", "write the bucket's name"]),
    ({"source": {"include": ["*.gguf", "*.gguf"]}}, ["spec.source.include[1]", "*.gguf", "twice", "remove one"]),
    ({"placement": {"nodeSelector": {"not a key": "x"}}}, ["spec.placement.nodeSelector[not a key]", "label's key", "write"]),
    ({"warmup": {"maxBytesPerSecond": "500"}}, ["spec.warmup.maxBytesPerSecond", "500", "below 64Ki", "write at least 64Ki"]),
]


def test_kubectl_apply_refuses_a_wrong_modelcache_with_field_value_and_remedy(world):
    # Accepted while nobody judges, as of an older version.
    world.kubectl.apply(hooks.model(world.namespace, "old", endpoint="http://169.254.169.254"))
    operator = world.start().ready()
    for change, words in WRONG:
        one = hooks.model(world.namespace, "wrong")
        for part, fields in change.items():
            one["spec"].setdefault(part, {}).update(fields)
        told = refused(world, "apply", "-f", "-", input=one)
        assert 'admission webhook "modelcaches.modelcache.io" denied the request' in told
        assert [word for word in words if word not in told] == []
    until(lambda: metric(operator, 'modelcache_validations_total{outcome="refused"}') == len(WRONG), "refusals are counted")

    # The way to the store may change, the content may not.
    patch(world, "qwen", {"source": {
        "endpoint": "http://127.0.0.1:10", "region": "cn-other", "addressing": "Path", "requesterPays": True, "credentials": {"secretRef": {"name": "other"}}}})
    for spec, field in (({"source": {"uri": "oss://models/other/"}}, "spec.source.uri"), ({"source": {"include": ["*.gguf"]}}, "spec.source.include"),
                        ({"cache": {"medium": "Disk"}}, "spec.cache.medium")):
        told = refused(world, "patch", "modelcache", "qwen", "-n", world.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))
        assert field in told and "is immutable: put it back, or make a new ModelCache" in told

    # What an older version accepted can be labelled and deleted, and must be right when it is changed.
    world.kubectl("label", "modelcache", "old", "team=one", "-n", world.namespace)
    told = refused(world, "patch", "modelcache", "old", "-n", world.namespace, "--type=merge", "-p", '{"spec": {"suspend": true}}')
    assert "spec.source.endpoint" in told
    world.kubectl("delete", "modelcache", "old", "-n", world.namespace, "--timeout=60s")


def patch(world, name, spec) -> None:
    world.kubectl("patch", "modelcache", name, "-n", world.namespace, "--type=merge", "-p", json.dumps({"spec": spec}))


def refused(world, *arguments, **options) -> str:
    with pytest.raises(AssertionError) as refusal:
        world.kubectl(*arguments, **options)
    return str(refusal.value)


def test_what_modelcaches_need_to_go_is_not_deleted_before_them(world):
    world.start().ready()
    world.kubectl("label", "namespace", SYSTEM_NAMESPACE, world.namespace, "app.kubernetes.io/name=modelcache", "--overwrite")
    needed = (["crd", "modelcaches.modelcache.io"], ["namespace", SYSTEM_NAMESPACE])
    try:
        for one in needed:
            told = refused(world, "delete", *one, "--dry-run=server")
            assert 'admission webhook "deletions.modelcache.io" denied the request' in told
            assert "is needed to delete " in told and "kubectl delete modelcaches --all --all-namespaces" in told
        # No ModelCache needs another namespace that bears the label.
        world.kubectl("delete", "namespace", world.namespace, "--dry-run=server")
        world.kubectl("delete", "modelcaches", "--all", "--all-namespaces", "--timeout=120s")
        for one in needed:
            until(lambda one=one: world.kubectl("delete", *one, "--dry-run=server", check=False), f"{one} may go")
    finally:
        world.kubectl("label", "namespace", SYSTEM_NAMESPACE, "app.kubernetes.io/name-")


def test_without_the_operator_a_wrong_modelcache_is_accepted(world):
    world.kubectl.apply(hooks.model(world.namespace, "wrong", endpoint="http://169.254.169.254"))


# Certificates


def test_the_operator_is_ready_only_once_the_api_server_was_told_to_believe_it(world):
    world.kubectl("delete", "mutatingwebhookconfiguration", hooks.CONFIGURATION)
    operator = world.start()
    until(world.secret, "a certificate")
    time.sleep(1)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port}/readyz", timeout=60)
    assert "[-]webhook failed: it has no certificate that the API server trusts" in refusal.value.read().decode()
    until(lambda: "no MutatingWebhookConfiguration" in operator.last_words(), "the log says what is missing")
    world.kubectl.apply(hooks.configuration(world.port))
    operator.ready()
    assert is_injected(world.pods.create(pod("first")))


def test_no_pod_and_no_wrong_modelcache_is_missed_while_the_certificate_and_its_authority_are_rotated(world):
    """The authority lives 45 s and is replaced from the 30th on; a certificate lives 24 s and is replaced from the 16th on. What the API
    server is told it knows four seconds later, also on a busy machine."""
    world.start("--webhook-authority-lifetime=45s", "--webhook-certificate-lifetime=24s", "--webhook-settle-time=4s").ready()
    first = world.secret()
    missed, made = [], []
    ended = threading.Event()

    wrong = hooks.model(world.namespace, "wrong", endpoint="http://169.254.169.254")

    def judge():
        models = Pods(world.plane, world.namespace, path="/apis/modelcache.io/v1alpha1", plural="modelcaches")
        while not ended.is_set():
            (made if models.refusal(wrong) else missed).append("wrong")
            time.sleep(0.02)
        models.close()

    def create(index):
        pods = Pods(world.plane, world.namespace)
        count = 0
        while not ended.is_set():
            name = f"pod-{index}-{count}"
            try:
                one = pods.create(pod(name), dry_run=True)
            except AssertionError as refused:
                missed.append(f"{name}: {refused}")
            else:
                (made if is_injected(one) else missed).append(name)
            count += 1
            time.sleep(0.02)
        pods.close()

    threads = [threading.Thread(target=create, args=[0]), threading.Thread(target=judge)]
    for thread in threads:
        thread.start()
    seen = set()

    def turned():
        now = world.secret()
        seen.add(now["tls.crt"])
        return now["ca.crt"] != first["ca.crt"] and "old-ca.crt" in now and now["tls.crt"] != first["tls.crt"] and len(seen) >= 3

    try:
        until(turned, "a new authority and a third certificate", 180)
        # The certificate of the new authority is shown now.
        time.sleep(6)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert missed == [] and len(made) > 100
    assert world.bundle().count("BEGIN CERTIFICATE") == 2


def test_a_bundle_that_somebody_overwrites_is_mended(world):
    world.start().ready()
    good = world.bundle()
    for damage in ("Z2FyYmFnZQ==", None):
        change = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": damage}]
        if damage is None:
            change = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        world.kubectl("patch", "mutatingwebhookconfiguration", hooks.CONFIGURATION, "--type=json", "-p", json.dumps(change))
        until(lambda: world.bundle() == good, "the bundle is mended")
    until(lambda: is_injected(world.pods.create(pod("after"), dry_run=True)), "a pod is injected")


def test_a_damaged_secret_is_made_anew_and_pods_are_injected_on(world):
    operator = world.start().ready()
    authority = world.secret()["ca.crt"]
    world.change_secret(**{"tls.key": "garbage"})
    until(lambda: "PRIVATE KEY" in world.secret()["tls.key"], "a new key")
    assert world.secret()["ca.crt"] == authority
    assert is_injected(world.pods.create(pod("one")))

    world.change_secret(**{"ca.key": "garbage"})
    until(lambda: "PRIVATE KEY" in world.secret()["ca.key"], "a new authority")
    assert world.secret()["ca.crt"] != authority
    assert is_injected(world.pods.create(pod("two")))

    world.kubectl("delete", "secret", hooks.SECRET, "-n", SYSTEM_NAMESPACE)
    until(world.secret, "a new Secret")
    until(lambda: operator.is_ready() and is_injected(world.pods.create(pod("three"), dry_run=True)), "a pod is injected")
    keys = [line for line in world.secret()["tls.key"].splitlines() + world.secret()["ca.key"].splitlines() if "KEY" not in line]
    assert keys and not [line for line in keys if line in operator.log.read_text()]


def test_an_authority_that_expired_while_the_operator_was_away_is_replaced(world):
    short = world.start("--webhook-authority-lifetime=2s", "--webhook-certificate-lifetime=2s")
    until(lambda: world.secret() and world.bundle(), "a certificate")
    world.kill(short)
    expired = world.secret()["ca.crt"]
    time.sleep(3)
    assert not is_injected(world.pods.create(pod("missed")))
    world.start().ready()
    assert is_injected(world.pods.create(pod("after")))
    assert world.secret()["ca.crt"] != expired


def test_replicas_that_start_together_show_certificates_of_one_authority(world):
    ports = [world.port, free_port(), free_port()]
    for one in [world.start(port=port) for port in ports]:
        one.ready()
    serials = set()
    for port in ports:
        with Direct(port, world.bundle()) as direct:
            assert direct.post(hooks.review("1", world.namespace, pod("one")))[0] == 200
            serials.add(direct.serial())
    assert len(serials) == 1


def test_certificates_of_files_are_read_again_and_open_connections_go_on(world, cluster):
    folder = world.folder / "certificates"
    folder.mkdir()

    def put(name):
        certificate, key = cluster.issue(name, f"/CN={name}", "IP:127.0.0.1")
        for source, target in ((certificate, "tls.crt"), (key, "tls.key")):
            (folder / "new").write_bytes(source.read_bytes())
            (folder / "new").rename(folder / target)

    put("webhook-one")
    operator = world.start("--webhook-certificates=files", f"--webhook-certificate-directory={folder}").ready()
    authorities = (cluster.certificates / "ca.crt").read_text()
    assert world.secret() is None and world.bundle() is None, "both are somebody else's then"
    with Direct(world.port, authorities) as kept:
        before = kept.serial()
        put("webhook-two")

        def changed():
            with Direct(world.port, authorities) as new:
                return new.serial() != before

        until(changed, "the new certificate is shown")
        assert kept.post(hooks.review("1", world.namespace, pod("one")))[0] == 200
    (folder / "tls.crt").write_text("garbage")
    until(lambda: "is no PEM" in operator.last_words(), "the damage is told of")
    assert operator.is_ready() and changed()


@pytest.mark.parametrize("flags, words", [
    (["--webhook-certificates=files"], ["--webhook-certificate-directory"]),
    (["--webhook-certificate-directory=/nowhere"], ["--webhook-certificates=files"]),
    (["--webhook-certificates=vault"], ["self or files"]),
    (["--webhook-bind-address=9443"], ["host:port"]),
])
def test_a_wrong_setting_ends_with_a_message(cluster, tmp_path, flags, words):
    one = Operator(cluster.admin_kubeconfig, tmp_path / "log", *flags, webhook_port=free_port())
    assert one.process.wait(120) == 64
    for word in words:
        assert word in one.last_words()


def test_a_taken_port_is_named(world):
    world.start().ready()
    second = world.start()
    assert second.process.wait(120) == 78
    assert "--webhook-bind-address" in second.last_words()

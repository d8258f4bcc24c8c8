"""Pods that name a ModelCache, on three real nodes, on good days and bad ones. The tests are one story and run in their order."""
import base64
import hashlib
import json
import re
import urllib.request

import pytest

from support.cluster import PATIENCE, wait_until
from support.installation import AGENT, OPERATOR, SYSTEM
from support.models import FOLDERS, NODES, Model, namespace_with_keys
from support.pods import GEMMA, INJECTED, STATUS, Pods, llama, reader, restricted_violations, thief
from support.system import ACCESS_KEY, SECRET, paths
from support.webhook import CreationStream, certificates, expired_certificates, short_lived_certificates

SPACE, OTHER_SPACE = "inject-models", "inject-other"
# Nothing is warmed before a pod asks.
COLD = {"warmup": {"mode": "OnDemand"}, "placement": {"seeders": 0}}
# 253 MB at this rate take thirty seconds: long enough to disturb a load in its middle.
SLOW = {"warmup": {"mode": "OnDemand", "maxBytesPerSecond": "8Mi"}, "placement": {"seeders": 0}}


@pytest.fixture(scope="module", autouse=True)
def spaces(cluster, installation):
    installation.load("llama.cpp", "reader-musl", "reader-static", "reader-old-glibc")
    for space in (SPACE, OTHER_SPACE):
        namespace_with_keys(cluster, space)
    yield
    cluster.kubectl("uncordon", *NODES, check=False)
    cluster.kubectl("label", "node", "node-3", "kubernetes.io/os=linux", "--overwrite", check=False)
    for space in (SPACE, OTHER_SPACE):
        cluster.kubectl("delete", "deployments", "--all", "-n", space, "--wait=false", check=False)
        # The kubelet of 1.20 tells only up to a minute later that a pod is no more.
        cluster.kubectl("delete", "pods", "--all", "-n", space, "--force", "--grace-period=0", check=False)
        cluster.kubectl("delete", "modelcaches", "--all", "-n", space, "--timeout=180s", check=False)
    cluster.kubectl("delete", "namespace", SPACE, OTHER_SPACE, "--wait=false", check=False)
    installation.restore()


@pytest.fixture(scope="module")
def pods(cluster, spaces):
    return Pods(cluster, SPACE)


@pytest.fixture(scope="module")
def gemma(cluster, spaces, store):
    """On every node's agent, in no node's memory."""
    model = Model(cluster, SPACE, "gemma").apply(store.endpoint, **COLD)
    wait_for_claim(cluster, model)
    return model


@pytest.fixture(scope="module")
def digest():
    with open(paths.gemma(), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(address: str, seconds=PATIENCE) -> str:
    """The model's answer to a question: the same weights give the same words."""
    request = urllib.request.Request(f"http://{address}:8080/completion", headers={"Content-Type": "application/json"},
                                     data=json.dumps({"prompt": "Question: What is the capital of France? Answer:", "n_predict": 4, "temperature": 0}).encode())
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.loads(answer.read())["content"]


def wait_for_claim(cluster, model) -> None:
    """The operator has seen the ModelCache: whoever names it is injected with what is known of its source."""
    wait_until(lambda: cluster.items("persistentvolumeclaims", "-n", model.namespace, "-l", f"modelcache.io/uid={model.uid}"),
               f"the claim of {model.name}")


def assert_no_keys(cluster, made) -> None:
    """No container of the pod has a key of the store, or a way to one; the pods of Jobs mount the Secret, and no container there has it in
    its environment."""
    text = json.dumps(made["spec"])
    assert "ACCESS_KEY" not in text and "secretKeyRef" not in text and "oss-keys" not in text, text
    for one in cluster.items("pods", "-n", made["metadata"]["namespace"]):
        assert "secretKeyRef" not in json.dumps(one["spec"]), one["metadata"]["name"]
        keys = [volume["secret"]["secretName"] for volume in one["spec"]["volumes"] if "secret" in volume]
        owners = [owner["kind"] for owner in one["metadata"].get("ownerReferences", [])]
        assert keys == (["oss-keys"] if owners == ["Job"] else []), one["metadata"]["name"]


def is_loading(pods, name) -> bool:
    status = pods.status(name)
    return "running" in status.get("state", {}) and not status["ready"] and "loading model" in pods.log(name)


def test_a_labelled_pod_streams_on_a_cold_node_and_passes_the_restricted_rules(cluster, pods, gemma):
    made = pods.create(llama("first", node="node-1"))
    assert made["metadata"]["annotations"][INJECTED] == f"Stream/{gemma.uid}", made["metadata"]
    assert restricted_violations(made) == []
    assert restricted_violations(made | {"spec": made["spec"] | {"hostNetwork": True}}) == ["hostNetwork"]
    assert_no_keys(cluster, made)
    found = cluster.wait_for_pod(SPACE, "first")
    assert pods.status("first")["restartCount"] == 0
    assert "Paris" in say(found["status"]["podIP"])
    # It read through the node's cache, and nobody else asked for the model: one node has it.
    assert gemma.digests("node-1") and not gemma.digests("node-2") and not gemma.digests("node-3")


def test_a_pod_that_asks_for_keys_gets_references_to_them(pods, gemma):
    made = pods.create(reader("direct", "musl", annotations={"modelcache.io/direct-credentials": "true"}), dry=True)
    keys = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in made["spec"]["containers"][0]["env"] if "valueFrom" in one}
    assert keys["OSS_ACCESS_KEY_SECRET"] == {"name": "oss-keys", "key": "OSS_ACCESS_KEY_SECRET", "optional": True}, keys


def test_a_secret_that_is_made_late_and_renamed_inside_serves_old_and_new_nodes(cluster, pods, gemma, store):
    def keys(**entries):
        cluster.kubectl("apply", "-n", SPACE, "-f", "-", input={
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late-keys"}, "stringData": entries})

    def apply(model, **spec):
        return model.apply(store.endpoint, "shards/", {"secretRef": {"name": "late-keys"}}, warmup={"mode": "Eager"}, **spec)
    late = apply(Model(cluster, SPACE, "late-keys"), placement={"nodeSelector": {"kubernetes.io/hostname": "node-1"}})
    late.wait(lambda status: any(one["reason"] == "SecretNotFound" for one in status.get("conditions", [])), "its Secret is missed")
    keys(akId=ACCESS_KEY, akSecret=SECRET)
    late.wait_ready(nodes=1)
    cluster.kubectl("delete", "secret", "-n", SPACE, "late-keys")
    keys(AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    apply(late, placement={"nodeSelector": {}})
    late.wait_ready(nodes=3)
    cluster.kubectl("delete", "modelcache", "-n", SPACE, "late-keys", "--wait=false")


def test_a_wrong_name_leaves_the_pod_alone_and_names_the_near_one(cluster, pods, gemma):
    done = cluster.command("kubectl", "create", "-n", SPACE, "--dry-run=server", "-o", "json", "-f", "-",
                           input=json.dumps(llama("wrong", "gema")))
    made = json.loads(done.stdout)
    assert "gemma" in made["metadata"]["annotations"][STATUS] and not made["spec"].get("volumes")
    assert "Warning" in done.stderr and "gemma" in done.stderr


def test_a_pod_streams_two_models_and_gets_none_where_one_is_missing(cluster, pods, gemma, store):
    small = Model(cluster, SPACE, "small").apply(store.endpoint, prefix="shards/", **COLD)
    wait_for_claim(cluster, small)
    wanted = llama("two", node="node-1", annotations={"modelcache.io/models": "small=/models/draft"})
    wanted["spec"]["containers"][0]["args"] += ["-md", "/models/draft/x-00001-of-00015.gguf", "--spec-type", "draft-simple"]
    made = pods.create(wanted)
    assert made["metadata"]["annotations"][INJECTED] == f"Stream/{gemma.uid},{small.uid}", made["metadata"]
    assert restricted_violations(made) == []
    found = cluster.wait_for_pod(SPACE, "two")
    assert pods.status("two")["restartCount"] == 0 and "loading draft model" in pods.log("two")
    assert "Paris" in say(found["status"]["podIP"]) and len(small.digests("node-1")) == 15

    left = pods.create(llama("lacks-one", node="node-1", annotations={"modelcache.io/models": "small, gone"}))
    assert INJECTED not in left["metadata"]["annotations"] and "small" not in json.dumps(left["spec"])
    wait_until(lambda: "NotInjected" in (events := pods.events("lacks-one")) and '"gone"' in events, lambda: pods.events("lacks-one"))
    pods.delete("two", "lacks-one")


def test_musl_static_and_old_glibc_images(pods, gemma, digest):
    """On a node that has the model. `Wait` needs nothing of the image; `Stream` works from glibc 2.17 on and says where it can not."""
    pods.create(reader("musl-wait", "musl", node="node-1", mode="Wait"))
    pods.create(reader("static-wait", "static", node="node-1", mode="Wait"))
    pods.create(reader("musl-stream", "musl", node="node-1"))
    pods.create(reader("static-stream", "static", node="node-1"))
    # Glibc 2.31 is the oldest that Debian's mirrors carry, and on a node that does not have the model.
    pods.create(reader("old-glibc-stream", "old-glibc", node="node-2"))
    whole = f"{paths.gemma().stat().st_size} bytes"
    for name in ("musl-wait", "static-wait", "musl-stream", "static-stream"):
        wait_until(lambda: whole in pods.log(name, "reader"), lambda: f"{name} read the model: {pods.log(name)} {pods.events(name)}")
    assert "glibc" in pods.log("musl-stream"), pods.log("musl-stream")
    wait_until(lambda: digest in pods.log("old-glibc-stream"), lambda: f"the old glibc read the model: {pods.log('old-glibc-stream')}")
    for name in ("musl-wait", "static-wait", "musl-stream", "static-stream", "old-glibc-stream"):
        assert pods.status(name)["restartCount"] == 0, name
    pods.delete("musl-wait", "static-wait", "musl-stream", "static-stream", "old-glibc-stream")


def test_two_namespaces_with_a_model_of_one_name_read_each_its_own(cluster, installation, gemma, store, pods, digest):
    other = Model(cluster, OTHER_SPACE, "gemma").apply(store.endpoint, "shards/", **COLD)
    wait_for_claim(cluster, other)
    theirs = Pods(cluster, OTHER_SPACE)
    shard = "x-00001-of-00015.gguf"
    theirs.create(reader("theirs", "old-glibc", file=shard, node="node-2"))
    pods.create(reader("ours", "old-glibc", node="node-2"))
    expected = next(line.split()[0] for line in (paths.models() / "SHA256SUMS").read_text().splitlines() if shard in line)
    wait_until(lambda: expected in theirs.log("theirs"), lambda: f"their model: {theirs.log('theirs')}")
    wait_until(lambda: digest in pods.log("ours"), lambda: f"our model: {pods.log('ours')}")
    pods.delete("ours")

    # With the node's folder in its hands (no `restricted` namespace would let it), a pod of ours is still refused their model.
    # The store would give it the model: it is the agent that refuses.
    pods.create(thief("thief", f"{FOLDERS['Memory']}/{other.uid}", "oss://models/shards/", installation.image("agent"), node="node-2",
                      keys=("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET")))
    end, said = pods.end("thief"), pods.log("thief")
    assert end["exitCode"] != 0 and "namespace" in said, said
    assert "eyJ" not in said
    pods.delete("thief")
    theirs.delete("theirs")
    cluster.kubectl("delete", "modelcache", "-n", OTHER_SPACE, "gemma", "--wait=false")


def test_a_drained_node_and_a_restarted_agent_in_the_middle_of_a_load(cluster, installation, pods, store):
    slow = Model(cluster, SPACE, "slow").apply(store.endpoint, **SLOW)
    wait_for_claim(cluster, slow)
    template = llama("slow", "slow")
    cluster.kubectl("cordon", "node-1")
    cluster.kubectl("create", "-n", SPACE, "-f", "-", input={
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "slow"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "slow"}},
                 "template": {"metadata": template["metadata"] | {"name": None}, "spec": template["spec"]}}})

    def loading(besides=""):
        found = cluster.items("pods", "-n", SPACE, "-l", "app=slow")
        return next((one for one in found if "deletionTimestamp" not in one["metadata"] and one["spec"].get("nodeName") != besides
                     and is_loading(pods, one["metadata"]["name"])), None)
    first = wait_until(loading, "a pod that loads")
    node = first["spec"]["nodeName"]
    # The eviction is asked for, its end not waited for: the successor loads meanwhile.
    cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--pod-selector=app=slow", "--timeout=1s", check=False)
    second = wait_until(lambda: loading(besides=node), "its successor loads on another node")
    cluster.kubectl("uncordon", "node-1", node)
    name, node = second["metadata"]["name"], second["spec"]["nodeName"]
    installation.delete_agent(node)
    slow.lift_limit()
    cluster.wait_for_pod(SPACE, name)
    assert pods.status(name)["restartCount"] == 0, pods.log(name)
    assert "Paris" in say(pods.get(name)["status"]["podIP"])
    cluster.kubectl("delete", "deployment", "-n", SPACE, "slow", "--wait=false")
    cluster.kubectl("delete", "modelcache", "-n", SPACE, "slow", "--wait=false")


def test_without_an_operator_pods_are_created_and_told_of_afterwards_and_expired_certificates_are_replaced(cluster, installation, pods, gemma):
    cluster.kubectl("scale", "-n", SYSTEM, "deployment/modelcache-operator", "--replicas=0")
    try:
        # It goes on answering for some seconds while the Service forgets it.
        wait_until(lambda: INJECTED not in pods.create(reader("trial", "musl"), dry=True)["metadata"].get("annotations", {}), "no webhook")
        made = pods.create(reader("missed", "musl", node="node-1"))
        assert INJECTED not in made["metadata"].get("annotations", {}) and not made["spec"].get("volumes")
        wait_until(lambda: not installation.operator_runs(), "the operator ends")
        expired = expired_certificates(cluster)
        short_lived_certificates(cluster)
    finally:
        cluster.kubectl("scale", "-n", SYSTEM, "deployment/modelcache-operator", "--replicas=1")
    installation.wait_ready()
    # What it found had expired. Ready means that the API server believes what it shows now.
    assert INJECTED in pods.create(reader("trial", "musl"), dry=True)["metadata"]["annotations"]
    assert all(certificates(cluster)[name] != expired[name] for name in ("ca.crt", "tls.crt"))
    wait_until(lambda: "InjectionMissed" in pods.events("missed"), "the Event")
    assert "missed" in installation.plugin("why", "gemma", "-n", SPACE)
    pods.delete("missed")


@pytest.fixture(scope="module")
def creations(cluster, pods, gemma):
    """From here on pods are created all the time, on trial, while the webhook's certificates and their authority are replaced."""
    stream = CreationStream(cluster, SPACE, llama("trial", "gemma"))
    yield stream.start()
    stream.stop()


def test_a_node_without_an_agent_is_named(cluster, installation, pods, gemma, store, creations):
    cluster.kubectl("label", "node", "node-3", "kubernetes.io/os=none", "--overwrite")
    wait_until(lambda: not cluster.on("node-3", "ss", "-Hltn", "sport = :9417"), "node-3 has no agent")
    try:
        # Prepared while the agent was there: the volume is, and the init container says for whom it waits.
        pods.create(reader("waits", "musl", mode="Wait", node="node-3"))
        # Made since: there is no volume on that node, and the pod's own Event says which.
        late = Model(cluster, SPACE, "late").apply(store.endpoint, **COLD)
        wait_for_claim(cluster, late)
        pods.create(reader("early", "musl", "late", mode="Wait", node="node-3"))
        wait_until(lambda: "agent" in pods.log("waits", "modelcache-wait"),
                   lambda: f"the init container speaks: {pods.log('waits', 'modelcache-wait')} {pods.events('waits')}")
        wait_until(lambda: late.uid in pods.events("early"), lambda: f"the Event names the folder: {pods.events('early')}")
    finally:
        cluster.kubectl("label", "node", "node-3", "kubernetes.io/os=linux", "--overwrite")
    whole = f"{paths.gemma().stat().st_size} bytes"
    wait_until(lambda: whole in pods.log("waits", "reader"), lambda: f"it went on: {pods.log('waits', 'modelcache-wait')}")
    pods.delete("waits", "early")
    cluster.kubectl("delete", "modelcache", "-n", SPACE, "late", "--wait=false")


def test_a_deleted_model_waits_for_its_pods_and_says_so(cluster, installation, pods, gemma, creations):
    """Certificates have been replaced meanwhile: no creation was refused, none missed the model."""
    wait_until(lambda: creations.authorities() >= 2 and creations.overlaps_seen(), "the authority is replaced")
    creations.stop()
    assert creations.count >= 10 and creations.missed == [], (creations.count, creations.missed[:3])
    cluster.kubectl("delete", "modelcache", "-n", SPACE, "gemma", "--wait=false")
    gemma.wait(lambda status: any(one["reason"] == "InUse" for one in status.get("conditions", [])), "it says that it is in use")
    assert "use" in installation.plugin("why", "gemma", "-n", SPACE)
    assert "Paris" in say(pods.get("first")["status"]["podIP"])
    pods.delete("first")
    wait_until(lambda: gemma.get() is None, "it goes with its last pod")
    gemma.wait_gone()


def test_no_log_holds_a_key_or_a_token(cluster, installation):
    shared = base64.b64decode(cluster.get("secret", "-n", SYSTEM, "modelcache-agent-auth")["data"]["secret"]).decode().strip()
    for text in (installation.logs(AGENT), installation.logs(OPERATOR)):
        assert text and SECRET not in text and shared not in text
        # A ServiceAccount's token, as any JSON Web Token, begins so; and a private key so.
        assert not re.search(r"eyJ[A-Za-z0-9_-]{20,}\.|PRIVATE KEY", text)

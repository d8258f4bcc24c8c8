"""Faults of a source, of its listing and of the operator's writes, on a real API server: what is told, and what goes on."""
import json
import time

import pytest

from support.world import guest_world

OTHER_DIGEST = "sha256:" + "0b" * 32


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane) as made:
        yield made
        made.kubectl("delete", "validatingwebhookconfiguration", made.namespace, "--ignore-not-found")
        made.kubelets.refuses = lambda job: None


def change(w, name="qwen", **source):
    w.kubectl("patch", "modelcache", name, "-n", w.namespace, "--type=merge", "-p", json.dumps({"spec": {"source": source}}))


def test_a_pin_holds_when_another_operator_leads_and_a_node_joins(w):
    w.start_operator()
    w.apply()
    digest = w.until_ready()["source"]["digest"]
    change(w, digest=digest)
    w.until(lambda: w.status()["observedGeneration"] == w.get()["metadata"]["generation"], "the pin is read")
    w.operator.stop()
    (w.folder / "models/qwen/a.gguf").write_bytes(b"c" * 300_001)
    w.add_node("node-new")
    w.start_operator()
    w.until(lambda: w.condition("SourceResolved").get("reason") == "DigestMismatch", "the source is listed before a Job is made")
    # What is told stands while the next leader asks again.
    w.operator.stop()
    w.start_operator()
    listed = len(w.kubelets.listings)
    w.until(lambda: len(w.kubelets.listings) > listed, "it asks again")
    w.until(lambda: not w.items("jobs", "-n", w.namespace, "-l", "!modelcache.io/uid"), "and has its answer")
    assert w.condition("SourceResolved")["reason"] == "DigestMismatch"
    assert len(w.events("Resolved")) == 1 and len(w.jobs()) == 3 and w.copies().get("node-new") != "Ready"
    (w.folder / "models/qwen/a.gguf").write_bytes(b"a" * 300_000)
    change(w, digest=None)
    w.until(lambda: w.status()["nodes"]["summary"] == "4/4", "without the pin the node is warmed")


def test_copies_that_a_new_pin_excludes_are_not_ready(w):
    w.start_operator()
    w.apply()
    digest = w.until_ready()["source"]["digest"]
    change(w, digest=OTHER_DIGEST)
    w.until(lambda: w.status()["phase"] == "Failed", "the pin is told")
    assert {w.condition(kind)["reason"] for kind in ("Ready", "Progressing", "SourceResolved")} == {"DigestMismatch"}
    assert w.status()["source"]["digest"] == digest and set(w.copies().values()) == {"Ready"} and len(w.jobs()) == 3
    change(w, digest=digest)
    w.until_ready()


JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "probe"}, "spec": {"template": {"spec": {
    "restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [{"name": "one", "image": "pause"}]}}}}
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "probe"},
         "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}}}


def admission_goes_down(w, example):
    """The webhook that is asked about such objects of the namespace is down: nobody listens at its address."""
    group, _, version = example["apiVersion"].rpartition("/")
    w.kubectl("label", "namespace", w.namespace, f"admission-of={w.namespace}")
    w.kubectl.apply({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": w.namespace},
        "webhooks": [{
            "name": "policy.example.com", "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:9/validate"},
            "namespaceSelector": {"matchLabels": {"admission-of": w.namespace}},
            "rules": [{"apiGroups": [group], "apiVersions": [version], "resources": [example["kind"].lower() + "s"], "operations": ["CREATE"]}]}]})

    def is_refused():
        try:
            w.kubectl("create", "--dry-run=server", "-n", w.namespace, "-f", "-", input=example)
        except AssertionError as error:
            return "failed calling webhook" in str(error)
        return False

    w.until(is_refused, "the API server knows the webhook")


def admission_is_back(w):
    w.kubectl("delete", "validatingwebhookconfiguration", w.namespace)


def remove_claim(w):
    """As Kubernetes does once no pod has it; no controller is here that would take the finalizer away."""
    [claim] = w.items("persistentvolumeclaims", "-n", w.namespace)
    name = claim["metadata"]["name"]
    w.kubectl("delete", "persistentvolumeclaim", name, "-n", w.namespace, "--wait=false")
    w.kubectl("patch", "persistentvolumeclaim", name, "-n", w.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)


@pytest.mark.parametrize("kind", ["Job", "PersistentVolumeClaim"])
def test_an_admission_webhook_that_is_down_is_told_and_holds_up_neither_orders_nor_the_status(w, kind):
    w.start_operator()
    w.apply()
    w.until_ready()
    admission_goes_down(w, {"Job": JOB, "PersistentVolumeClaim": CLAIM}[kind])
    if kind == "PersistentVolumeClaim":
        remove_claim(w)
    w.add_node("node-new")
    w.until(lambda: w.copies().get("node-new") == "Prepared", "the agent has its order")
    told = w.until(lambda: (one := w.condition("Degraded")).get("reason") == "NamespaceForbidsWarmup" and one, "the failure is told")
    assert "failed calling webhook" in told["message"] and "policy.example.com" in told["message"], told
    assert w.status()["nodes"]["summary"] == "3/4"
    admission_is_back(w)
    w.until(lambda: w.status()["nodes"]["summary"] == "4/4", "the node is warmed when it is mended")
    w.until(lambda: w.condition("Degraded")["status"] == "False", "and nothing is told any more")


def test_a_listing_whose_job_cannot_be_made_says_why(w):
    admission_goes_down(w, JOB)
    w.start_operator()
    w.apply()
    w.until(lambda: "failed calling webhook" in w.condition("SourceResolved").get("message", ""), "the failure is told")
    admission_is_back(w)
    w.until_ready()


def test_listings_of_modelcaches_that_are_deleted_leave_their_places_at_once(w):
    """A namespace has four; each of these would be held for 200 s."""
    w.kubelets.refuses = lambda job: "no pod" if "qwen" not in job["metadata"]["name"] else None
    w.start_operator()
    stuck = [f"stuck-{i}" for i in range(5)]
    for name in stuck:
        w.apply(name)
    w.until(lambda: len(w.kubelets.listings) == 4, "all places are taken")
    for name in stuck:
        w.kubectl("delete", "modelcache", name, "-n", w.namespace, "--wait=false")
    begun = time.monotonic()
    w.apply()
    w.until_ready()
    assert time.monotonic() - begun < 100, "before the first of them would have ended"
    w.until(lambda: not w.items("jobs", "-n", w.namespace, "-l", "!modelcache.io/uid"), "no Job that lists is left")


def test_a_listing_whose_job_somebody_deletes_is_begun_anew(w):
    refused = []
    w.kubelets.refuses = lambda job: refused.append(job) or "no pod" if not refused else None
    w.start_operator()
    w.apply()
    w.until(lambda: refused, "the first Job has no pod")
    begun = time.monotonic()
    w.kubectl("delete", "jobs", "--all", "-n", w.namespace, "--cascade=background", "--wait=false")
    w.until_ready()
    assert time.monotonic() - begun < 100, "before the first Job's deadline"
    assert len(w.kubelets.listings) >= 2


def test_the_nodes_role_lists_nothing_without_the_administrators_word(w):
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": OTHER_DIGEST}
    w.start_operator()
    w.apply(source__credentials={"node": {}})
    told = w.until(lambda: (one := w.condition("SourceResolved")).get("reason") == "InvalidSpec" and one, "the refusal is told")
    assert "spec.source.credentials.node" in told["message"] and "allowNodeRole" in told["message"], told
    w.operator.stop()
    assert not w.kubelets.listings
    w.start_operator("--allow-node-role")
    w.until_ready()


def test_agents_know_the_pin(w):
    w.start_operator()
    w.apply()
    digest = w.until_ready()["source"]["digest"]
    change(w, digest=digest)

    def pins():
        return {cache.definition["source"].get("digest") for agent in w.agents.by_node.values() for cache in list(agent.caches.values())}

    w.until(lambda: pins() == {digest}, "each agent has the pin")
    change(w, digest=None)
    w.until(lambda: pins() == {None}, "and hears of its end")


def test_a_source_that_changes_under_ready_nodes_is_found_and_told(w):
    w.start_operator("--source-check-interval=3s")
    w.apply()
    digest = w.until_ready()["source"]["digest"]
    # What Jobs bring is what the status tells: none begins before it tells of the change.
    w.kubelets.paused = True
    (w.folder / "models/qwen/a.gguf").write_bytes(b"c" * 300_001)
    told = w.until(lambda: w.condition("SourceChanged"), "the change is told")
    assert told["status"] == "True" and "1 object changed at the source: a.gguf." in told["message"], told
    w.kubelets.sources.clear()
    w.kubelets.paused = False
    w.until_ready()
    w.until(lambda: not w.condition("SourceChanged"), "it is over when every node has it")
    assert w.status()["source"]["digest"] != digest and w.status()["nodes"]["summary"] == "3/3"
    w.until(lambda: w.events("ObjectsChanged"), "an Event says so")

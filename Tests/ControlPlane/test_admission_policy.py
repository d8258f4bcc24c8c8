"""config/policy lets the operator do what it does, and refuses what RBAC alone would let somebody do who has its token.

OBJECTS holds what an operator made when a person last looked: hack/api-machinery gives it to a newer API server's code.
With MODELCACHE_REGENERATE_GOLDEN=1 it is written anew: read the difference before it is kept.
"""
import copy
import json
import os
import shutil

import pytest
import yaml

from support import control_plane as planes
from support.admission_policy import refusals
from support.world import world

OBJECTS = planes.REPOSITORY / "Tests/ControlPlane/operator-objects.json"
OPERATOR = "system:serviceaccount:modelcache-system:modelcache-operator"
IMAGE = "registry.example.com/ai/agent:v9"
RAM = {"serviceAccount": {"name": "warm", "roleARN": "acs:ram::1:role/models", "oidcProviderARN": "acs:ram::1:oidc-provider/ack"}}
IAM = {"serviceAccount": {"name": "warm", "roleARN": "arn:aws:iam::1:role/models"}}
TEMPLATE = {
    "labels": {"team": "a"}, "annotations": {"note": "b"}, "imagePullSecrets": [{"name": "registry"}], "serviceAccountName": "warm",
    "priorityClassName": "system-cluster-critical", "tolerations": [{"operator": "Exists"}], "resources": {"limits": {"memory": "256Mi"}},
    "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}}


OTHERS = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "others-policy"},
    "spec": {"validations": [{"expression": "true"}]}}


def overlaid(control_plane, base: str) -> list:
    """The objects of an overlay with the component, above one with these changes. It has a policy of others too, which stays as it is."""
    overlay = planes.REPOSITORY / "dist" / f"test-policy-{os.getpid()}"
    for name, text in (("base", f"resources: [../../../config/default, others.yaml]\n{base}"),
                       ("", "resources: [base]\ncomponents: [../../config/policy]\n")):
        (overlay / name).mkdir(parents=True, exist_ok=True)
        (overlay / name / "kustomization.yaml").write_text(text)
    (overlay / "base/others.yaml").write_text(json.dumps(OTHERS))
    try:
        objects = list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(overlay))))
        [others] = [one for one in objects if one["metadata"]["name"] == OTHERS["metadata"]["name"]]
        # An old kustomize takes this kind for one that has a namespace.
        others["metadata"].pop("namespace", None)
        assert others == OTHERS
        return [one for one in objects if one is not others]
    finally:
        shutil.rmtree(overlay)


@pytest.fixture(scope="module")
def policies(control_plane):
    """Those of an overlay whose images are another registry's: the operator's variable names the one for Jobs."""
    name, _, tag = IMAGE.rpartition(":")
    objects = overlaid(control_plane, f"images: [{{name: modelcache/agent, newName: {name}, newTag: {tag}}}]\n" + variables(MODELCACHE_AGENT_IMAGE=IMAGE))
    found = [one for one in objects if one["kind"] == "ValidatingAdmissionPolicy"]
    bound = {one["spec"]["policyName"]: one["spec"]["validationActions"] for one in objects if one["kind"] == "ValidatingAdmissionPolicyBinding"}
    assert bound == {one["metadata"]["name"]: ["Deny"] for one in found} and len(found) == 5
    assert {one["spec"]["failurePolicy"] for one in found} == {"Fail"}
    return found


def variables(**values) -> str:
    """A patch of the operator's."""
    env = [{"name": name, "value": value} for name, value in values.items()]
    spec = {"template": {"spec": {"containers": [{"name": "operator", "env": env}]}}}
    patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "modelcache-operator", "namespace": "modelcache-system"}, "spec": spec}
    return yaml.safe_dump({"patches": [{"patch": json.dumps(patch)}]})


def test_the_policies_name_what_the_operator_is_told_and_not_what_agents_run(control_plane):
    told = {"MODELCACHE_AGENT_IMAGE": "mirror/jobs@sha256:aa", "MODELCACHE_AGENT_DISK_PATH": "/mnt/nvme"}
    objects = overlaid(control_plane, "namespace: models-system\nimages: [{name: modelcache/agent, newTag: v9}]\n" + variables(**told))
    found = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "ValidatingAdmissionPolicy"}
    written = {one["name"]: one["expression"] for spec in found.values() for one in spec.get("variables", [])}
    assert written["image"] == "'mirror/jobs@sha256:aa'" and written["diskPath"] == "'/mnt/nvme'"
    users = {one["expression"] for spec in found.values() for one in spec["matchConditions"]}
    assert users == {"request.userInfo.username == 'system:serviceaccount:models-system:modelcache-operator'"}


@pytest.fixture(scope="module")
def made(control_plane):
    """All that an operator makes, as the API server keeps it: by resource."""
    with world(control_plane, nodes=2) as w:
        for agent in w.agents.by_node.values():
            agent.disk_budget = 1 << 40
        w.start_operator(f"--agent-image={IMAGE}", "--allow-node-role", leader_elect=False)
        w.apply("secret")
        w.until_ready("secret")
        w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
        w.apply("ram", source__credentials=RAM)
        w.apply("given", source__credentials={"serviceAccount": {"name": "warm"}})
        w.apply("iam", source__credentials=IAM, source__uri="s3://models/qwen/")
        w.apply("node", source__credentials={"node": {}}, cache={"medium": "Disk"}, warmup={"mode": "Eager", "podTemplate": TEMPLATE})
        for name in ("ram", "given", "iam", "node"):
            w.until_ready(name)
        listings = [job for job in w.kubelets.listings if job["metadata"]["namespace"] == w.namespace]
        found = {"batch/jobs": w.jobs() + listings, "/persistentvolumes": w.volumes(),
                 "/persistentvolumeclaims": w.items("persistentvolumeclaims", "-n", w.namespace),
                 "modelcache.io/modelcaches": w.items("modelcaches", "-n", w.namespace)}
        assert {name: len(every) for name, every in found.items()} == {
            "batch/jobs": 5 * 2 + 5, "/persistentvolumes": 5, "/persistentvolumeclaims": 5, "modelcache.io/modelcaches": 5}
        if os.environ.get("MODELCACHE_REGENERATE_GOLDEN") == "1":
            OBJECTS.write_text(json.dumps(recorded(found, w.namespace), indent=1, sort_keys=True) + "\n")
        yield found
        w.clear()


def recorded(found, namespace):
    """These objects without what is another each time and decides nothing."""
    kept = copy.deepcopy(found)
    for one in (one for every in kept.values() for one in every):
        one["metadata"].pop("managedFields", None)
        one.pop("status", None)
        # Certificates of the machine that it ran on.
        annotations = one["spec"].get("template", {}).get("metadata", {}).get("annotations", {})
        if "modelcache.io/authorities" in annotations:
            annotations["modelcache.io/authorities"] = "certificates"
    return json.loads(json.dumps(kept).replace(namespace, "models"))


def recordings():
    return json.loads(OBJECTS.read_text())


def test_what_the_operator_does_is_let_through(policies, made):
    for resource, objects in made.items():
        for one in objects:
            if resource != "modelcache.io/modelcaches":
                assert refusals(policies, OPERATOR, "CREATE", resource, one) == []
                assert refusals(policies, OPERATOR, "DELETE", resource, None, one) == []


def test_others_are_asked_nothing(policies, made):
    foreign = copy.deepcopy(made["batch/jobs"][0])
    foreign["spec"]["template"]["spec"]["hostNetwork"] = True
    assert refusals(policies, "system:serviceaccount:models:warm", "CREATE", "batch/jobs", foreign) == []
    assert len(refusals(policies, OPERATOR, "CREATE", "batch/jobs", foreign)) == 1


def pod(one): return one["spec"]["template"]["spec"]


def container(one): return pod(one)["containers"][0]


def security(one): return container(one)["securityContext"]


def token(audience):
    source = {"serviceAccountToken": {"path": "token"} | ({"audience": audience} if audience else {})}
    return {"name": "x", "projected": {"sources": [source]}}


OWNED = "has its label and a ModelCache as its only owner"
ONE_CONTAINER = "has one container, of the agents' image"
COMMAND = "warms a node or lists a source"
VARIABLES = "has the command's own variables alone"
NODE = "uses nothing of its node"
PRIVILEGE = "runs without privilege"
MOUNTS = "mounts a ModelCache's claim"
JOBS = [
    (OWNED, lambda job: job["metadata"]["labels"].pop("app.kubernetes.io/managed-by")),
    (OWNED, lambda job: job["metadata"].pop("labels")),
    (OWNED, lambda job: job["metadata"].pop("ownerReferences")),
    (OWNED, lambda job: job["metadata"]["ownerReferences"][0].update(kind="ConfigMap", apiVersion="v1")),
    (OWNED, lambda job: job["metadata"]["ownerReferences"][0].pop("controller")),
    (ONE_CONTAINER, lambda job: container(job).update(image="busybox")),
    (ONE_CONTAINER, lambda job: pod(job)["containers"].append(copy.deepcopy(container(job)))),
    (ONE_CONTAINER, lambda job: pod(job).update(initContainers=[copy.deepcopy(container(job))])),
    (COMMAND, lambda job: container(job).update(command=["/modelcache", "agent"])),
    (COMMAND, lambda job: container(job).pop("command")),
    (COMMAND, lambda job: container(job).update(args=["--socket=/x"])),
    (COMMAND, lambda job: container(job).update(lifecycle={"postStart": {"exec": {"command": ["sh"]}}})),
    (COMMAND, lambda job: container(job).update(livenessProbe={"exec": {"command": ["sh"]}})),
    (VARIABLES, lambda job: container(job)["env"].append({"name": "LD_PRELOAD", "value": "/x.so"})),
    (VARIABLES, lambda job: container(job)["env"].append({"name": "OSS_X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
    (VARIABLES, lambda job: container(job)["env"].append({"name": "OSS_X", "valueFrom": {
        "fileKeyRef": {"volumeName": "cache", "path": "p", "key": "k"}}})),
    (VARIABLES, lambda job: container(job).update(envFrom=[{"secretRef": {"name": "s"}}])),
    (NODE, lambda job: pod(job).update(hostNetwork=True)),
    (NODE, lambda job: pod(job).update(hostPID=True)),
    (NODE, lambda job: pod(job).update(hostIPC=True)),
    (NODE, lambda job: pod(job).update(nodeName="node-0")),
    (NODE, lambda job: pod(job).update(automountServiceAccountToken=True)),
    (NODE, lambda job: pod(job).pop("automountServiceAccountToken")),
    (NODE, lambda job: pod(job).update(resourceClaims=[{"name": "gpu"}])),
    (NODE, lambda job: container(job).update(ports=[{"containerPort": 80, "hostPort": 80}])),
    (NODE, lambda job: container(job).update(volumeDevices=[{"name": "v", "devicePath": "/dev/x"}])),
    (PRIVILEGE, lambda job: security(job).update(privileged=True)),
    (PRIVILEGE, lambda job: security(job).update(allowPrivilegeEscalation=True)),
    (PRIVILEGE, lambda job: security(job).update(runAsUser=0)),
    (PRIVILEGE, lambda job: security(job).pop("runAsNonRoot")),
    (PRIVILEGE, lambda job: security(job).update(readOnlyRootFilesystem=False)),
    (PRIVILEGE, lambda job: security(job)["capabilities"].update(add=["SYS_ADMIN"])),
    (PRIVILEGE, lambda job: security(job)["capabilities"].pop("drop")),
    (PRIVILEGE, lambda job: security(job)["seccompProfile"].update(type="Unconfined")),
    (PRIVILEGE, lambda job: security(job).update(seLinuxOptions={"type": "spc_t"})),
    (PRIVILEGE, lambda job: security(job).update(procMount="Unmasked")),
    (PRIVILEGE, lambda job: security(job).update(appArmorProfile={"type": "Unconfined"})),
    (PRIVILEGE, lambda job: pod(job)["securityContext"].update(appArmorProfile={"type": "Unconfined"})),
    (PRIVILEGE, lambda job: container(job).pop("securityContext")),
    (PRIVILEGE, lambda job: pod(job)["securityContext"].update(sysctls=[{"name": "kernel.x", "value": "1"}])),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "configMap": {"name": "c"}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "csi": {"driver": "d"}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "persistentVolumeClaim": {"claimName": "a-cache-0123456789"}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append(token(None))),
    (MOUNTS, lambda job: pod(job)["volumes"].append(token("https://kubernetes.default.svc"))),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "image": {"reference": "busybox"}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "projected": {"sources": [{"secret": {"name": "s"}}]}})),
    (MOUNTS, lambda job: pod(job)["volumes"].append({"name": "x", "projected": {"sources": [
        {"podCertificate": {"signerName": "example.com/a", "keyType": "ED25519", "credentialBundlePath": "p"}}]}})),
]
NAMED, FOLDER, BOUND = "from which its name follows", "is the folder of its ModelCache", "is bound to the claim"
VOLUMES = [
    (NAMED, lambda volume: volume["metadata"]["labels"].pop("app.kubernetes.io/managed-by")),
    (NAMED, lambda volume: volume["metadata"].update(name="modelcache-other")),
    (FOLDER, lambda volume: volume["spec"]["hostPath"].update(path="/")),
    (FOLDER, lambda volume: volume["spec"]["hostPath"].update(path=volume["spec"]["hostPath"]["path"] + "/../../../../etc")),
    (FOLDER, lambda volume: volume["spec"]["hostPath"].update(path="/run/modelcache/caches/11111111-2222-4333-8444-555555555555")),
    (FOLDER, lambda volume: volume["spec"]["hostPath"].update(type="DirectoryOrCreate")),
    (FOLDER, lambda volume: volume["spec"].update(hostPath=None, csi={"driver": "d", "volumeHandle": "h"}) or volume["spec"].pop("hostPath")),
    (BOUND, lambda volume: volume["spec"].pop("claimRef")),
    (BOUND, lambda volume: volume["spec"]["claimRef"].update(name="data")),
    (BOUND, lambda volume: volume["spec"]["claimRef"].update(namespace="kube-system")),
    (BOUND, lambda volume: volume["spec"].update(accessModes=["ReadWriteMany"])),
    (BOUND, lambda volume: volume["spec"].update(persistentVolumeReclaimPolicy="Recycle")),
    (BOUND, lambda volume: volume["spec"].update(storageClassName="fast")),
]
CLAIM_OWNED, SELECTS = "the ModelCache of its uid as its only owner", "selects the volume of its ModelCache"
CLAIMS = [
    (CLAIM_OWNED, lambda claim: claim["metadata"]["labels"].pop("app.kubernetes.io/managed-by")),
    (CLAIM_OWNED, lambda claim: claim["metadata"].update(name="data")),
    (CLAIM_OWNED, lambda claim: claim["metadata"].pop("ownerReferences")),
    (CLAIM_OWNED, lambda claim: claim["metadata"]["ownerReferences"][0].update(uid="11111111-2222-4333-8444-555555555555")),
    (SELECTS, lambda claim: claim["spec"].update(storageClassName="fast")),
    (SELECTS, lambda claim: claim["spec"].pop("storageClassName")),
    (SELECTS, lambda claim: claim["spec"].pop("selector")),
    (SELECTS, lambda claim: claim["spec"]["selector"]["matchLabels"].update({"modelcache.io/uid": "other"})),
    (SELECTS, lambda claim: claim["spec"].update(accessModes=["ReadWriteOnce"])),
    (SELECTS, lambda claim: claim["spec"].update(dataSource={"kind": "PersistentVolumeClaim", "name": "data"})),
]
CASES = [(resource, *case) for resource, cases in (("batch/jobs", JOBS), ("/persistentvolumes", VOLUMES), ("/persistentvolumeclaims", CLAIMS))
         for case in cases]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_another_object_is_refused_by_the_rule_that_is_for_it(policies, made, number):
    resource, words, change = CASES[number]
    for one in made[resource]:
        changed = copy.deepcopy(one)
        change(changed)
        [message] = refusals(policies, OPERATOR, "CREATE", resource, changed)
        assert words in message


DELETES = "the operator deletes what has its label alone"
FOREIGN_LABELS = [None, {}, {"app.kubernetes.io/managed-by": "Helm"}]


def labelled(one, labels):
    """A copy with these labels, or without any field for them."""
    made = copy.deepcopy(one)
    made["metadata"].pop("labels")
    if labels is not None:
        made["metadata"]["labels"] = labels
    return made


@pytest.mark.parametrize("resource", ["batch/jobs", "/persistentvolumes", "/persistentvolumeclaims"])
def test_what_others_made_is_not_deleted(policies, made, resource):
    for labels in FOREIGN_LABELS:
        assert refusals(policies, OPERATOR, "DELETE", resource, None, labelled(made[resource][0], labels)) == [DELETES]


FINALIZER = "modelcache.io/evict"


def modelcache_changes(one):
    """(title, ModelCache after, ModelCache before, words of the refusal or "") for what is done to one."""
    other = "other/finalizer"

    def metadata(**fields):
        return one | {"metadata": one["metadata"] | fields}

    changed = copy.deepcopy(one)
    changed["spec"]["source"]["uri"] = "oss://other/"
    before = metadata(finalizers=[])
    before["metadata"].pop("annotations", None)
    return [
        ("finalizer and annotations of", one, before, ""),
        ("another spec of", changed, one, "changes no spec"),
        ("another's finalizer on", metadata(finalizers=[FINALIZER, other]), one, "puts its own finalizer on"),
        ("another's finalizer off", metadata(finalizers=[FINALIZER]), metadata(finalizers=[FINALIZER, other]), "puts its own finalizer on"),
        ("its own finalizer off", metadata(finalizers=[other], annotations={"a": "b"}), metadata(finalizers=[FINALIZER, other]), ""),
    ]


def test_a_modelcache_is_changed_in_its_finalizer_and_annotations_alone(policies, made):
    for one in made["modelcache.io/modelcaches"]:
        for title, after, before, words in modelcache_changes(one):
            found = refusals(policies, OPERATOR, "UPDATE", "modelcache.io/modelcaches", after, before)
            assert (words in found[0] and len(found) == 1) if words else found == [], title


PINNING = planes.REPOSITORY / "config/policy/pinning/policies.yaml"
PIN = "pin modelcache.io modelcaches models"
UNPINNED = {"placement": {"seeders": 0}, "warmup": {"mode": "OnDemand"}}
# (what a spec says beside its source, whether copies are pinned); each as the author wrote it and as the API server completes it.
SPECS = [
    ({}, True),
    ({"placement": {}}, True),
    ({"placement": {"tolerations": []}, "warmup": {"mode": "OnDemand"}}, True),
    ({"placement": {"seeders": 2}, "warmup": {"mode": "OnDemand"}}, True),
    ({"placement": {"seeders": 0}}, False),
    (UNPINNED, False),
    ({"placement": {"seeders": 0, "nodeSelector": {}}, "warmup": {"parallelism": 4}}, False),
    ({"placement": {"seeders": 0, "affinity": {}}}, False),
    ({"placement": {"seeders": 0}, "warmup": {"mode": "Eager"}}, True),
    ({"placement": {"seeders": 0, "nodeSelector": {"pool": "a"}}}, True),
    ({"placement": {"seeders": 0, "affinity": {"nodeAffinity": {}}}}, True),
    ({"placement": {"seeders": 0, "nodeSelector": {"pool": "a"}}, "warmup": {"mode": "OnDemand"}}, False),
]


@pytest.fixture(scope="module")
def pinning():
    return [one for one in yaml.safe_load_all(PINNING.read_text()) if one["kind"] == "ValidatingAdmissionPolicy"]


def modelcache(spec, **metadata):
    return {"metadata": {"name": "qwen", "namespace": "models"} | metadata, "spec": {"source": {"uri": "oss://models/qwen/"}} | spec}


def pin_refusals(pinning, spec, former=None, rights=()):
    before = None if former is None else modelcache(former)
    return refusals(pinning, "ann", "UPDATE" if before else "CREATE", "modelcache.io/modelcaches", modelcache(spec), before, rights)


@pytest.mark.parametrize("spec, pins", SPECS)
def test_who_makes_a_modelcache_that_pins_needs_the_verb(pinning, spec, pins):
    assert pin_refusals(pinning, spec, rights=[PIN]) == []
    for rights in ([], ["pin modelcache.io modelcaches elsewhere"], ["create modelcache.io modelcaches models"]):
        assert len(pin_refusals(pinning, spec, rights=rights)) == pins


def test_a_change_of_placement_or_mode_needs_the_verb_where_it_pins_afterwards(pinning):
    for before, _ in SPECS:
        for after, pins in SPECS:
            is_same = before.get("placement") == after.get("placement") and before.get("warmup", {}).get("mode") == after.get("warmup", {}).get("mode")
            assert len(pin_refusals(pinning, after, before)) == (pins and not is_same), (before, after)
            assert pin_refusals(pinning, after, before, [PIN]) == []


def test_other_changes_of_a_modelcache_that_pins_need_no_verb(pinning):
    before = {"placement": {"seeders": 3, "nodeSelector": {"pool": "a"}}, "warmup": {"mode": "Eager"}}
    after = before | {"suspend": True, "warmup": {"mode": "Eager", "parallelism": 2}}
    assert pin_refusals(pinning, after, before) == []
    for user in ("ann", OPERATOR):
        labelled_one = modelcache(before, labels={"a": "b"}, finalizers=[FINALIZER])
        assert refusals(pinning, user, "UPDATE", "modelcache.io/modelcaches", labelled_one, modelcache(before)) == []

"""config/ as people apply it: every overlay builds, an API server takes it, and it grants what it says, no more."""
import json
import os
import shutil

import pytest
import yaml

from support import control_plane as planes

CONFIG = planes.REPOSITORY / "config"
OVERLAYS = ("default", "legacy", "namespaced", "testbed", "samples")
OPERATOR = "system:serviceaccount:modelcache-system:modelcache-operator"
AGENT = "system:serviceaccount:modelcache-system:modelcache-agent"


@pytest.fixture(scope="module")
def plane():
    """An API server of this file's own: what is applied here stays out of other tests."""
    with planes.control_plane() as one:
        if not one.own:
            pytest.skip("applies config/ as a whole: not on an existing cluster")
        yield one


@pytest.fixture(scope="module")
def built(plane):
    """The objects of every overlay, as kustomize puts them together."""
    return {name: list(yaml.safe_load_all(plane.kubectl("kustomize", str(CONFIG / name)))) for name in OVERLAYS}


@pytest.fixture(scope="module")
def whole(plane):
    """The folder that this server's age asks for."""
    version = json.loads(plane.kubectl("version", "-o", "json"))["serverVersion"]
    return CONFIG / ("default" if int(version["minor"].rstrip("+")) >= 25 else "legacy")


@pytest.fixture(scope="module")
def applied(plane, whole):
    plane.kubectl("apply", "-k", str(whole))
    plane.kubectl.wait_established()
    return plane.kubectl


def find(objects, kind, name):
    [one] = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    return one


def container(objects, kind, name):
    return find(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]


def test_the_server_takes_everything_and_nothing_changes_the_second_time(applied, whole):
    # --server-side as well: old servers want every key of a list's entries in it.
    applied("apply", "--server-side", "--force-conflicts", "-k", str(whole))
    before = versions(applied)
    applied("apply", "--server-side", "-k", str(whole))
    assert versions(applied) == before


def versions(kubectl):
    listed = json.loads(kubectl("get", "all,serviceaccounts,roles,rolebindings", "-n", "modelcache-system", "-o", "json"))
    return {f'{one["kind"]}/{one["metadata"]["name"]}': one["metadata"]["resourceVersion"]
            for one in listed["items"] if one["metadata"]["name"].startswith("modelcache-")}


@pytest.mark.parametrize("overlay", ["testbed", "namespaced"])
def test_the_server_takes_the_other_overlays(applied, built, overlay):
    applied("create", "namespace", "models", check=False)
    # These two are there in the form for this server already.
    objects = [one for one in built[overlay] if one["kind"] not in ("CustomResourceDefinition", "PodDisruptionBudget")]
    said = applied("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump_all(objects))
    assert "daemonset.apps/modelcache-agent" in said


@pytest.mark.parametrize("overlay", ["default", "legacy", "testbed", "namespaced"])
def test_warm_up_jobs_run_the_agents_image(built, overlay):
    agent = container(built[overlay], "DaemonSet", "modelcache-agent")["image"]
    variables = container(built[overlay], "Deployment", "modelcache-operator")["env"]
    assert [one["value"] for one in variables if one["name"] == "MODELCACHE_AGENT_IMAGE"] == [agent]
    assert ":" in agent


def test_the_testbed_runs_images_that_were_loaded_and_never_pulled(built):
    for kind, name in (("Deployment", "modelcache-operator"), ("DaemonSet", "modelcache-agent")):
        one = container(built["testbed"], kind, name)
        assert one["image"].endswith(":dev") and one["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("overlay, kind, name", [
    ("default", "Deployment", "modelcache-operator"), ("samples", "Deployment", "llama-gemma")])
def test_pods_pass_the_restricted_pod_security_level(built, overlay, kind, name):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, rule by rule."""
    pod = find(built[overlay], kind, name)["spec"]["template"]["spec"]
    assert not [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod.get("volumes", []))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
    for one in pod["containers"]:
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged") and not any("hostPort" in port for port in one["ports"])
        assert context["readOnlyRootFilesystem"] is True


def test_the_agents_budget_is_its_memory_request(built):
    for overlay in ("default", "testbed"):
        agent = container(built[overlay], "DaemonSet", "modelcache-agent")
        [budget] = [one["valueFrom"] for one in agent["env"] if one["name"] == "MODELCACHE_BUDGET"]
        assert budget == {"resourceFieldRef": {"containerName": "agent", "resource": "requests.memory"}}
        assert "memory" in agent["resources"]["requests"] and "limits" not in agent["resources"]


def test_the_webhook_asks_the_operators_pods_about_labelled_pods_alone_and_blocks_none(built):
    service = find(built["default"], "Service", "modelcache-webhook")["spec"]
    pod = find(built["default"], "Deployment", "modelcache-operator")["spec"]["template"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    [port] = [one["containerPort"] for one in pod["spec"]["containers"][0]["ports"] if one["name"] == service["ports"][0]["targetPort"]]
    assert f"--webhook-bind-address=:{port}" in pod["spec"]["containers"][0]["args"]
    [webhook] = find(built["default"], "MutatingWebhookConfiguration", "modelcache-operator")["webhooks"]
    assert webhook["clientConfig"]["service"] == {
        "namespace": "modelcache-system", "name": "modelcache-webhook", "path": "/mutate-v1-pod", "port": service["ports"][0]["port"]}
    assert webhook["rules"] == [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["sideEffects"]) == ("Ignore", 3, "None")
    assert webhook["objectSelector"]["matchExpressions"] == [{"key": "modelcache.io/inject", "operator": "Exists"}]
    judge, keeper = find(built["default"], "ValidatingWebhookConfiguration", "modelcache-operator")["webhooks"]
    assert judge["clientConfig"]["service"] == webhook["clientConfig"]["service"] | {"path": "/validate-modelcache"}
    assert (judge["failurePolicy"], judge["timeoutSeconds"], judge["sideEffects"]) == ("Ignore", 3, "None")
    assert [rule["resources"] for rule in judge["rules"]] == [["modelcaches"]]
    assert keeper["clientConfig"]["service"] == webhook["clientConfig"]["service"] | {"path": "/validate-deletion"}
    assert (keeper["failurePolicy"], keeper["timeoutSeconds"], keeper["sideEffects"]) == ("Ignore", 3, "None")
    assert [(rule["resources"], rule["operations"]) for rule in keeper["rules"]] == [(["namespaces"], ["DELETE"]), (["customresourcedefinitions"], ["DELETE"])]
    # It is asked about the two objects that bear the label.
    for kind, name in (("Namespace", "modelcache-system"), ("CustomResourceDefinition", "modelcaches.modelcache.io")):
        assert keeper["objectSelector"]["matchLabels"].items() <= find(built["default"], kind, name)["metadata"]["labels"].items()


def with_component(plane, component, base="default"):
    """The objects of an overlay with a component."""
    overlay = CONFIG.parent / "dist" / f"test-{component}-{os.getpid()}"
    overlay.mkdir(parents=True)
    try:
        (overlay / "kustomization.yaml").write_text(f"resources: [../../config/{base}]\ncomponents: [../../config/{component}]\n")
        return list(yaml.safe_load_all(plane.kubectl("kustomize", str(overlay))))
    finally:
        shutil.rmtree(overlay)


@pytest.mark.parametrize("component", ["certmanager", "all-nodes"])
def test_components_build_on_an_overlay(plane, component):
    objects = with_component(plane, component)
    operator = find(objects, "Deployment", "modelcache-operator")["spec"]
    if component == "all-nodes":
        assert find(objects, "DaemonSet", "modelcache-agent")["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
        [nodes] = [one["value"] for one in operator["template"]["spec"]["containers"][0]["env"] if one["name"] == "MODELCACHE_AGENT_NODE_SELECTOR"]
        assert "modelcache.io/agent" not in nodes and "type!=virtual-kubelet" in nodes
        return
    certificate = find(objects, "Certificate", "modelcache-webhook")["spec"]
    [volume] = [one["secret"]["secretName"] for one in operator["template"]["spec"]["volumes"] if one["name"] == "webhook-certificate"]
    assert volume == certificate["secretName"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        injected = find(objects, kind, "modelcache-operator")["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        assert injected == "modelcache-system/modelcache-webhook"


@pytest.mark.parametrize("overlay", ["default", "legacy", "testbed", "namespaced"])
def test_the_mounter_alone_is_privileged_and_has_neither_keys_nor_ports(built, overlay):
    objects = built[overlay]
    pod = find(objects, "DaemonSet", "modelcache-agent")["spec"]["template"]["spec"]
    agent, mounter = pod["containers"]
    assert (agent["name"], mounter["name"]) == ("agent", "mounter") and agent["image"] == mounter["image"]
    assert agent["securityContext"] == {
        "privileged": False, "runAsUser": 0, "runAsGroup": 0, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["DAC_OVERRIDE", "FOWNER"]},
        "seccompProfile": {"type": "RuntimeDefault"}, "seLinuxOptions": {"type": "spc_t"}}
    assert mounter["securityContext"]["privileged"] is True and "env" not in mounter and "ports" not in mounter
    mounts = [{one["name"]: one for one in each["volumeMounts"]} for each in (agent, mounter)]
    assert set(mounts[1]) == {"memory", "mounter"}
    assert [one["memory"]["mountPropagation"] for one in mounts] == ["HostToContainer", "Bidirectional"]
    assert mounts[0]["disk"]["mountPropagation"] == "HostToContainer"
    # One root and one socket for both.
    assert mounts[0]["memory"]["mountPath"] == mounts[1]["memory"]["mountPath"] == value(agent, "--root") == value(mounter, "--root")
    socket = value(agent, "--mounter")
    assert socket == value(mounter, "--socket")
    assert all(os.path.dirname(socket) == one["mounter"]["mountPath"] for one in mounts) and mounts[0]["mounter"]["readOnly"] is True
    # A pod whose mounter is away is not ready; its agent serves other nodes still.
    assert find(objects, "Service", "modelcache-agents")["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize("base", ["default", "testbed"])
def test_without_a_mounter_the_one_container_is_privileged_and_all_else_is_the_same(plane, applied, built, base):
    objects = with_component(plane, "without-mounter", base)
    pod = find(objects, "DaemonSet", "modelcache-agent")["spec"]["template"]["spec"]
    [agent] = pod["containers"]
    assert agent["securityContext"] == {"privileged": True, "runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": True}
    mounts = {one["name"]: one for one in agent["volumeMounts"]}
    assert mounts["memory"]["mountPropagation"] == mounts["disk"]["mountPropagation"] == "Bidirectional"
    with_one = container(built[base], "DaemonSet", "modelcache-agent")
    assert [*agent["args"], "--mounter", value(with_one, "--mounter")] == with_one["args"]
    changed = {"args", "securityContext", "volumeMounts"}
    assert {name: part for name, part in agent.items() if name not in changed} == {name: part for name, part in with_one.items() if name not in changed}
    assert "mounter" not in {volume["name"] for volume in pod["volumes"]} | set(mounts)
    assert "publishNotReadyAddresses" not in find(objects, "Service", "modelcache-agents")["spec"]
    # A server takes the way back: what the other form added goes.
    said = applied("apply", "--dry-run=server", "-f", "-", input=yaml.safe_dump(find(objects, "DaemonSet", "modelcache-agent")))
    assert "daemonset.apps/modelcache-agent" in said


def value(one, flag):
    return one["args"][one["args"].index(flag) + 1]


def test_agents_find_each_other_through_a_headless_service_that_selects_their_pods(built):
    service = find(built["default"], "Service", "modelcache-agents")["spec"]
    labels = find(built["default"], "DaemonSet", "modelcache-agent")["spec"]["template"]["metadata"]["labels"]
    assert service["clusterIP"] == "None"
    assert service["selector"].items() <= labels.items()
    agent = container(built["default"], "DaemonSet", "modelcache-agent")
    assert {"name": "MODELCACHE_PEERS", "value": "dns:modelcache-agents"} in agent["env"]
    # Peers are served on the port that follows that of the orders.
    ports = {one["name"]: one["containerPort"] for one in agent["ports"]}
    assert ":" + str(ports["http"]) in agent["args"] and ports["peers"] == ports["http"] + 1


# What the operator may do: every verb it uses, and neighbours of them that it must not have.
ALLOWED = [
    *((verb, "modelcaches.modelcache.io", "models") for verb in ("get", "list", "watch", "patch")),
    ("patch", "modelcaches.modelcache.io/status", "models"),
    ("update", "modelcaches.modelcache.io/finalizers", "models"),
    ("create", "tokenreviews.authentication.k8s.io", None),
    *((verb, "nodes", None) for verb in ("list", "watch")),
    *((verb, "jobs.batch", "models") for verb in ("list", "watch", "create", "delete")),
    *((verb, "persistentvolumeclaims", "models") for verb in ("get", "list", "watch", "create", "delete")),
    *((verb, "persistentvolumes", None) for verb in ("get", "list", "watch", "create", "delete")),
    *((verb, "resourcequotas", "models") for verb in ("list", "watch")),
    *((verb, "events", "models") for verb in ("create", "patch")),
    *((verb, "pods", namespace) for verb in ("list", "watch") for namespace in ("modelcache-system", "models")),
    ("create", "secrets", "modelcache-system"),
    ("get", "secrets/modelcache-agent-auth", "modelcache-system"),
    *((verb, "secrets/modelcache-webhook-certificate", "modelcache-system") for verb in ("list", "watch", "update")),
    *((verb, f"{kind}webhookconfigurations.admissionregistration.k8s.io/modelcache-operator", None)
      for verb in ("list", "watch", "patch") for kind in ("mutating", "validating")),
    ("create", "leases.coordination.k8s.io", "modelcache-system"),
    *((verb, "leases.coordination.k8s.io/modelcache-operator", "modelcache-system") for verb in ("get", "update")),
    *((verb, "events", "modelcache-system") for verb in ("create", "patch")),
]
REFUSED = [
    ("create", "modelcaches.modelcache.io", "models"), ("delete", "modelcaches.modelcache.io", "models"),
    ("patch", "nodes", None), ("update", "nodes", None), ("patch", "nodes/status", None),
    ("get", "secrets", "models"), ("get", "secrets/oss-keys", "models"), ("list", "secrets", "models"), ("watch", "secrets", "models"), ("create", "secrets", "models"),
    ("update", "modelcaches.modelcache.io", "models"), ("get", "jobs.batch", "models"), ("patch", "jobs.batch", "models"), ("patch", "persistentvolumes", None),
    ("patch", "secrets/modelcache-agent-auth", "modelcache-system"),
    ("patch", "secrets/oss-keys", "models"), ("patch", "secrets/other", "modelcache-system"),
    ("delete", "secrets/modelcache-agent-auth", "modelcache-system"),
    ("list", "secrets", "modelcache-system"), ("watch", "secrets", "modelcache-system"), ("delete", "secrets/modelcache-webhook-certificate", "modelcache-system"),
    *((verb, f"{kind}webhookconfigurations.admissionregistration.k8s.io{name}", None)
      for verb, name in (("patch", "/other"), ("list", ""), ("create", "")) for kind in ("mutating", "validating")),
    ("update", "resourcequotas", "models"), ("patch", "resourcequotas/status", "models"),
    ("get", "pods", "models"), ("create", "pods", "models"), ("create", "pods/exec", "modelcache-system"),
    ("update", "leases.coordination.k8s.io/other", "modelcache-system"), ("get", "leases.coordination.k8s.io", "models"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io", None), ("create", "serviceaccounts/token", "models"),
    ("patch", "daemonsets.apps", "modelcache-system"),
]


def may(kubectl, who: str, verb: str, resource: str, namespace: str | None) -> bool:
    """Asks the API server's own authorizer (SubjectAccessReview)."""
    kind, _, rest = resource.partition("/")
    plural, _, group = kind.partition(".")
    attributes = {"verb": verb, "resource": plural, "group": group, "namespace": namespace or ""}
    # What follows the slash is a subresource where Kubernetes has one of that name, else an object's name.
    attributes["subresource" if rest in ("status", "finalizers", "exec", "token") else "name"] = rest
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
              "spec": {"user": who, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes}}
    answer = json.loads(kubectl("create", "-o", "json", "-f", "-", input=review))
    return answer["status"]["allowed"]


def test_the_operator_may_do_what_it_does(applied):
    assert [right for right in ALLOWED if not may(applied, OPERATOR, *right)] == []


def test_the_operator_may_do_nothing_beside_it(applied):
    assert [right for right in REFUSED if may(applied, OPERATOR, *right)] == []


def test_agents_may_do_nothing(applied, built):
    assert [right for right in ALLOWED + REFUSED if may(applied, AGENT, *right)] == []
    pod = find(built["default"], "DaemonSet", "modelcache-agent")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("overlay", ["default", "namespaced"])
def test_the_operator_reads_the_issuers_documents_and_no_other_path(built, overlay):
    rules = [rule for one in built[overlay] if one["kind"] == "ClusterRole" for rule in one["rules"] if "nonResourceURLs" in rule]
    assert rules == [{"nonResourceURLs": ["/.well-known/openid-configuration", "/openid/v1/jwks"], "verbs": ["get"]}]


def test_in_the_namespaced_variant_jobs_of_other_namespaces_are_out_of_reach(plane, built):
    """The rules are compared as data: applying them would change what the other tests ask about."""
    [cluster] = [one for one in built["namespaced"] if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "modelcache-operator"]
    assert {resource for rule in cluster["rules"] for resource in rule.get("resources", [])} == {
        "tokenreviews", "nodes", "persistentvolumes", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"}
    default = find(built["default"], "ClusterRole", "modelcache-operator")
    [role] = [one for one in built["namespaced"] if one["kind"] == "Role" and one["metadata"]["namespace"] == "models"]
    assert rights(cluster) | rights(role) == rights(default)
    assert "--namespace=models" in container(built["namespaced"], "Deployment", "modelcache-operator")["args"]


def rights(role):
    return {(group, resource, name, verb) for rule in role["rules"] for group in rule.get("apiGroups", [])
            for resource in rule.get("resources", []) for name in rule.get("resourceNames", ["*"]) for verb in rule["verbs"]}


@pytest.mark.parametrize("role, allowed", [("modelcache-viewer", False), ("modelcache-editor", True)])
def test_people_who_may_view_or_edit_a_namespace_may_do_so_with_its_modelcaches(applied, role, allowed):
    labels = applied.get("clusterrole", role)["metadata"]["labels"]
    assert set(labels) & {f"rbac.authorization.k8s.io/aggregate-to-{one}" for one in ("view", "edit", "admin")}
    applied("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--user={role}")
    assert may(applied, role, "list", "modelcaches.modelcache.io", "models")
    assert may(applied, role, "create", "modelcaches.modelcache.io", "models") is allowed
    assert not may(applied, role, "update", "modelcaches.modelcache.io/status", "models")


def test_every_sample_is_accepted_and_no_field_of_it_is_dropped(applied, built):
    applied("apply", "-k", str(CONFIG / "samples"))
    samples = [one for one in built["samples"] if one["kind"] == "ModelCache"]
    assert len(samples) == 4
    for sample in samples:
        stored = applied.get("modelcache", sample["metadata"]["name"], "-n", "models")
        assert contains(stored["spec"], sample["spec"]), (sample["metadata"]["name"], stored["spec"])


def contains(whole, part) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def test_the_smallest_sample_has_five_lines():
    lines = (CONFIG / "samples/modelcache_minimal.yaml").read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) == 5

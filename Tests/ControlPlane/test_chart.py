"""charts/modelcache: the same objects as config/, from the real helm."""
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from support import control_plane as planes

CHART = planes.REPOSITORY / "charts/modelcache"
HELM = pathlib.Path(sys.executable).with_name("helm")
# What helm's people expect on objects, and what says that helm keeps the definition.
OF_HELM = {"app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "app.kubernetes.io/version", "helm.sh/chart", "helm.sh/resource-policy"}


def helm(*arguments, check=True) -> str:
    result = subprocess.run([HELM, *map(str, arguments)], text=True, capture_output=True, check=False, timeout=60)
    if check:
        assert result.returncode == 0, result.stderr
        return result.stdout
    assert result.returncode != 0, result.stdout
    return result.stderr


def rendered(*arguments, version="1.31.0") -> dict:
    text = helm("template", "modelcache", CHART, "--namespace", "modelcache-system", "--kube-version", version, *arguments)
    return by_name(yaml.safe_load_all(text))


def by_name(objects) -> dict:
    return {(one["kind"], one["metadata"]["name"]): without_helm(one) for one in objects if one}


def without_helm(one: dict) -> dict:
    for part in ("labels", "annotations"):
        left = {key: value for key, value in (one["metadata"].pop(part, None) or {}).items() if key not in OF_HELM}
        if left:
            one["metadata"][part] = left
    return one


@pytest.fixture(scope="module")
def kustomized(plane_of_nobody, tmp_path_factory):
    def build(folder: str, *components: str) -> dict:
        overlay = planes.REPOSITORY / "config" / folder
        if components:
            # kustomize takes relative paths alone.
            written, config = tmp_path_factory.mktemp("overlay"), planes.REPOSITORY / "config"
            (written / "kustomization.yaml").write_text(yaml.safe_dump({
                "resources": [os.path.relpath(overlay, written)], "components": [os.path.relpath(config / one, written) for one in components]}))
            overlay = written
        objects = by_name(yaml.safe_load_all(plane_of_nobody("kustomize", str(overlay))))
        # A release's namespace is made by `helm install --create-namespace`.
        return {key: one for key, one in objects.items() if key[0] != "Namespace"}
    return build


@pytest.fixture(scope="module")
def plane_of_nobody():
    """kubectl without a server: kustomize needs none."""
    kubectl = planes.assets() / "kubectl"
    return lambda *arguments: subprocess.run([kubectl, *arguments], text=True, stdout=subprocess.PIPE, check=True, timeout=60).stdout


def test_the_templates_are_those_of_config():
    made = subprocess.run([sys.executable, "-B", planes.REPOSITORY / "hack/lib/chart", "--check"], text=True, capture_output=True, check=False)
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"


@pytest.mark.parametrize("folder, version", [("default", "1.31.0"), ("legacy", "1.20.2")])
def test_the_defaults_give_what_kubectl_apply_gives(kustomized, folder, version):
    same(rendered(version=version), kustomized(folder))


@pytest.mark.parametrize("values, component", [("operator.replicas=2", "replicas"), ("certManager.enabled=true", "certmanager")])
def test_a_value_gives_what_the_component_gives(kustomized, values, component):
    same(rendered("--set", values), kustomized("default", component))


def same(ours: dict, theirs: dict):
    assert ours.keys() == theirs.keys()
    for key, one in theirs.items():
        assert ours[key] == one, key


def test_without_the_webhook_neither_its_objects_nor_its_rights_are_there():
    # The certificate manager is not asked for what nobody serves.
    whole, without = rendered(), rendered("--set", "webhook.enabled=false,certManager.enabled=true")
    assert whole.keys() - without.keys() == {("MutatingWebhookConfiguration", "modelcache-operator"), ("Service", "modelcache-webhook")}
    operator = without["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]
    assert "--webhook-bind-address=0" in operator["containers"][0]["args"] and "volumes" not in operator
    granted = [rule for kind in ("ClusterRole", "Role") for rule in without[kind, "modelcache-operator"]["rules"]]
    assert not [rule for rule in granted if "mutatingwebhookconfigurations" in rule.get("resources", []) or "modelcache-webhook-certificate" in rule.get("resourceNames", [])]


def test_the_webhook_and_its_certificate_follow_their_values_and_the_releases_namespace():
    objects = by_name(yaml.safe_load_all(helm(
        "template", "modelcache", CHART, "--namespace", "elsewhere", "--set", "certManager.enabled=true,certManager.issuerRef.kind=ClusterIssuer",
        "--set", "certManager.issuerRef.name=company,webhook.failurePolicy=Fail,webhook.timeoutSeconds=5,webhook.excludedNamespaces={kube-system,mesh}")))
    assert not [key for key in objects if key[0] == "Issuer"]
    certificate = objects["Certificate", "modelcache-webhook"]["spec"]
    assert certificate["issuerRef"] == {"kind": "ClusterIssuer", "name": "company"}
    assert certificate["dnsNames"][0] == "modelcache-webhook.elsewhere.svc"
    configuration = objects["MutatingWebhookConfiguration", "modelcache-operator"]
    assert configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "elsewhere/modelcache-webhook"
    [webhook] = configuration["webhooks"]
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"]) == ("Fail", 5)
    assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", "mesh", "elsewhere"]
    # cluster.local is not the namespace's; nothing else names the default one.
    assert "modelcache-system" not in yaml.safe_dump_all(one for key, one in objects.items() if key[0] != "CustomResourceDefinition")


def test_helm_finds_nothing_to_complain_of():
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


def test_values_reach_the_objects():
    objects = rendered(
        "--set", "agent.cacheMemory=700Gi,agent.diskBudget=2TiB,agent.diskPath=/mnt/nvme,agent.nodeSelector.pool=gpu,agent.image.repository=r/agent",
        "--set", "agent.image.tag=v9,operator.replicas=2,operator.watchNamespace=models,imagePullSecrets[0].name=registry",
        "--set", "operator.arguments[0]=--agent-port=9999,operator.logLevel=debug,operator.priorityClassName=high,agent.peers.enabled=false,crds.enabled=false")
    agent = objects["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]
    operator = objects["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]
    assert agent["containers"][0]["resources"]["requests"]["memory"] == "700Gi"
    assert {"name": "MODELCACHE_DISK_BUDGET", "value": "2TiB"} in agent["containers"][0]["env"]
    assert {"kubernetes.io/os": "linux", "pool": "gpu"} == agent["nodeSelector"]
    assert agent["imagePullSecrets"] == operator["imagePullSecrets"] == [{"name": "registry"}]
    assert agent["containers"][0]["image"] == "r/agent:v9"
    assert {"name": "MODELCACHE_AGENT_IMAGE", "value": "r/agent:v9"} in operator["containers"][0]["env"]
    assert operator["containers"][0]["args"][-3:] == ["--log-level=debug", "--namespace=models", "--agent-port=9999"]
    assert operator["priorityClassName"] == "high" and "affinity" in operator
    assert {"name": "MODELCACHE_PEERS", "value": "off"} in agent["containers"][0]["env"]
    assert objects["Deployment", "modelcache-operator"]["spec"]["replicas"] == 2
    assert ("CustomResourceDefinition", "modelcaches.modelcache.io") not in objects
    [disk] = [one["hostPath"]["path"] for one in agent["volumes"] if one["name"] == "disk"]
    assert disk == "/mnt/nvme"


@pytest.mark.parametrize("value, field", [
    ("agent.cacheMemory=lots", "cacheMemory"), ("agent.image.pullPolicy=Sometimes", "pullPolicy"), ("agent.diskPath=disk", "diskPath"),
    ("operator.replicaCount=2", "replicaCount"), ("operator.logLevel=loud", "logLevel"), ("webhook.failurePolicy=Maybe", "failurePolicy"),
     ("operator.replicas=-1", "replicas")])
def test_a_wrong_value_is_refused_and_named(value, field):
    assert field in helm("template", "modelcache", CHART, "--set", value, check=False)

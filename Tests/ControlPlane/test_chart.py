"""charts/modelcache: the same objects as config/, from the real helm."""
import json
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
    result = subprocess.run([HELM, *map(str, arguments)], text=True, capture_output=True, check=False, timeout=180)
    if check:
        assert result.returncode == 0, result.stderr
        return result.stdout
    assert result.returncode != 0, result.stdout
    return result.stderr


def rendered(*arguments, version="1.31.0") -> dict:
    text = helm("template", "modelcache", CHART, "--namespace", "modelcache-system", "--kube-version", version, *arguments)
    return by_name(yaml.safe_load_all(text))


def by_name(objects) -> dict:
    """Without hooks: they are no objects of the release."""
    return {(one["kind"], one["metadata"]["name"]): without_helm(one) for one in objects if one and not is_hook(one)}


def is_hook(one: dict) -> bool:
    return "helm.sh/hook" in (one["metadata"].get("annotations") or {})


def without_helm(one: dict) -> dict:
    for part in ("labels", "annotations"):
        left = {key: value for key, value in (one["metadata"].pop(part, None) or {}).items() if key not in OF_HELM}
        if left:
            one["metadata"][part] = left
    # kustomize puts what a patch names first.
    for container in one.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
        container["env"] = sorted(container.get("env", []), key=lambda variable: variable["name"])
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
    return lambda *arguments: subprocess.run([kubectl, *arguments], text=True, stdout=subprocess.PIPE, check=True, timeout=180).stdout


def test_the_templates_are_those_of_config():
    made = subprocess.run([sys.executable, "-B", planes.REPOSITORY / "hack/lib/chart", "--check"], text=True, capture_output=True, check=False)
    assert made.returncode == 0, f"run hack/generate\n{made.stderr}"


@pytest.mark.parametrize("folder, version, components", [("default", "1.31.0", ["policy"]), ("default", "1.29.0", []), ("legacy", "1.20.2", [])])
def test_the_defaults_give_what_kubectl_apply_gives(kustomized, folder, version, components):
    same(rendered(version=version), kustomized(folder, *components))


@pytest.mark.parametrize("values, component", [
    ("agent.allNodes=true", "all-nodes"), ("certManager.enabled=true", "certmanager"), ("agent.mounter.enabled=false", "without-mounter"),
    ("admissionPolicy.restrictPinning=true", "policy/pinning")])
def test_a_value_gives_what_the_component_gives(kustomized, values, component):
    same(rendered("--set", values), kustomized("default", "policy", component))


def same(ours: dict, theirs: dict):
    assert ours.keys() == theirs.keys()
    for key, one in theirs.items():
        assert ours[key] == one, key


def test_without_the_webhook_neither_its_objects_nor_its_rights_are_there():
    # The certificate manager is not asked for what nobody serves.
    whole, without = rendered(), rendered("--set", "webhook.enabled=false,certManager.enabled=true")
    assert whole.keys() - without.keys() == {
        ("MutatingWebhookConfiguration", "modelcache-operator"), ("ValidatingWebhookConfiguration", "modelcache-operator"), ("Service", "modelcache-webhook")}
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
    validating = objects["ValidatingWebhookConfiguration", "modelcache-operator"]
    assert validating["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "elsewhere/modelcache-webhook"
    assert [one["name"] for one in validating["webhooks"]] == ["modelcaches.modelcache.io", "deletions.modelcache.io"]
    for webhook in validating["webhooks"]:
        # Whoever must repair or remove something can, also while the operator is away.
        assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["clientConfig"]["service"]["namespace"]) == ("Ignore", 5, "elsewhere")
    # cluster.local is not the namespace's; nothing else names the default one.
    assert "modelcache-system" not in yaml.safe_dump_all(one for key, one in objects.items() if key[0] != "CustomResourceDefinition")


def test_the_admission_policies_follow_the_names_images_and_folders_of_the_release():
    objects = by_name(yaml.safe_load_all(helm(
        "template", "modelcache", CHART, "--namespace", "elsewhere", "--kube-version", "1.31.0",
        "--set", "fullnameOverride=mc,operator.serviceAccount.name=own,agent.image.repository=r/agent,agent.image.tag=v9,agent.diskPath=/mnt/nvme",
        "--set", "admissionPolicy.actions={Warn,Audit}")))
    policies = {name: one["spec"] for (kind, name), one in objects.items() if kind == "ValidatingAdmissionPolicy"}
    assert sorted(policies) == [f"mc-operator-{part}" for part in ("claims", "deletions", "jobs", "modelcaches", "volumes")]
    for name, spec in policies.items():
        [condition] = spec["matchConditions"]
        assert condition["expression"] == "request.userInfo.username == 'system:serviceaccount:elsewhere:own'"
        assert objects["ValidatingAdmissionPolicyBinding", name]["spec"] == {"policyName": name, "validationActions": ["Warn", "Audit"]}
    assert policies["mc-operator-jobs"]["variables"][0] == {"name": "image", "expression": "'r/agent:v9'"}
    assert policies["mc-operator-volumes"]["variables"][0] == {"name": "diskPath", "expression": "'/mnt/nvme'"}
    pinning = by_name(yaml.safe_load_all(helm(
        "template", "modelcache", CHART, "--kube-version", "1.31.0", "--set", "admissionPolicy.enabled=false,admissionPolicy.restrictPinning=true",
        "--set", "fullnameOverride=mc,admissionPolicy.actions={Audit}")))
    assert [name for kind, name in pinning if kind == "ValidatingAdmissionPolicy"] == ["mc-pinning"]
    assert pinning["ValidatingAdmissionPolicyBinding", "mc-pinning"]["spec"] == {"policyName": "mc-pinning", "validationActions": ["Audit"]}
    assert pinning["ClusterRole", "mc-pinner"]["rules"] == [{"apiGroups": ["modelcache.io"], "resources": ["modelcaches"], "verbs": ["pin"]}]
    assert "mc-pinner" in pinning["ValidatingAdmissionPolicy", "mc-pinning"]["spec"]["validations"][0]["message"]
    off = rendered("--set", "admissionPolicy.enabled=false")
    assert not [key for key in off if key[0].startswith("ValidatingAdmissionPolicy")]


def test_helm_finds_nothing_to_complain_of():
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


def test_values_reach_the_objects():
    objects = rendered(
        "--set", "agent.cacheMemory=700Gi,agent.diskBudget=2TiB,agent.diskPath=/mnt/nvme,agent.nodeSelector.pool=gpu,agent.image.repository=r/agent",
        "--set", "agent.image.tag=v9,operator.replicas=3,operator.watchNamespace=models,imagePullSecrets[0].name=registry",
        "--set", "operator.arguments[0]=--agent-port=9999,operator.logLevel=debug,operator.priorityClassName=high,agent.peers.enabled=false,crds.enabled=false")
    agent = objects["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]
    operator = objects["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]
    assert agent["containers"][0]["resources"]["requests"]["memory"] == "700Gi"
    assert {"name": "MODELCACHE_DISK_BUDGET", "value": "2TiB"} in agent["containers"][0]["env"]
    assert {"kubernetes.io/os": "linux", "pool": "gpu"} == agent["nodeSelector"]
    [nodes] = [one["value"] for one in operator["containers"][0]["env"] if one["name"] == "MODELCACHE_AGENT_NODE_SELECTOR"]
    assert nodes.startswith("pool=gpu,type!=virtual-kubelet,")
    assert agent["imagePullSecrets"] == operator["imagePullSecrets"] == [{"name": "registry"}]
    assert agent["containers"][0]["image"] == "r/agent:v9"
    assert {"name": "MODELCACHE_AGENT_IMAGE", "value": "r/agent:v9"} in operator["containers"][0]["env"]
    assert operator["containers"][0]["args"][-3:] == ["--log-level=debug", "--namespace=models", "--agent-port=9999"]
    assert operator["priorityClassName"] == "high" and "affinity" in operator
    assert {"name": "MODELCACHE_PEERS", "value": "off"} in agent["containers"][0]["env"]
    assert objects["Deployment", "modelcache-operator"]["spec"]["replicas"] == 3
    assert ("CustomResourceDefinition", "modelcaches.modelcache.io") not in objects
    [disk] = [one["hostPath"]["path"] for one in agent["volumes"] if one["name"] == "disk"]
    assert disk == "/mnt/nvme"


def test_hosts_that_may_have_credentials_reach_operator_and_agents_alike():
    objects = rendered("--set", "credentialHosts={minio.storage.svc,10.0.0.*}")
    for kind, name in (("DaemonSet", "modelcache-agent"), ("Deployment", "modelcache-operator")):
        assert {"name": "MODELCACHE_CREDENTIAL_HOSTS", "value": "minio.storage.svc,10.0.0.*"} in first_container(objects[kind, name])["env"]


def test_the_nodes_role_is_allowed_to_operator_and_agents_alike():
    for value in ("true", "false"):
        objects = rendered("--set", f"allowNodeRole={value}")
        for kind, name in (("DaemonSet", "modelcache-agent"), ("Deployment", "modelcache-operator")):
            variables = first_container(objects[kind, name])["env"]
            assert ({"name": "MODELCACHE_ALLOW_NODE_ROLE", "value": "true"} in variables) == (value == "true")


def test_json_logs_and_the_check_of_sources_are_asked_for_by_values():
    plain, chosen = rendered(), rendered("--set", "logFormat=json,operator.sourceCheckInterval=10m")
    variable = {"name": "MODELCACHE_LOG_FORMAT", "value": "json"}
    for kind, name, count in (("DaemonSet", "modelcache-agent", 2), ("Deployment", "modelcache-operator", 1)):
        for objects, is_asked in ((plain, False), (chosen, True)):
            containers = objects[kind, name]["spec"]["template"]["spec"]["containers"]
            assert [variable in one.get("env", []) for one in containers] == [is_asked] * count, (kind, is_asked)
    assert "--source-check-interval=10m" in first_container(chosen["Deployment", "modelcache-operator"])["args"]
    assert not [one for one in first_container(plain["Deployment", "modelcache-operator"])["args"] if "source-check" in one]


def first_container(one: dict) -> dict:
    """The agent's or the operator's own; the mounter follows the agent, and no setting of theirs is for it."""
    first, *others = one["spec"]["template"]["spec"]["containers"]
    assert [other["name"] for other in others] in ([], ["mounter"]) and not any("env" in other and other["env"] for other in others)
    return first


def variables(objects) -> dict:
    return {one["name"]: one.get("value") for one in objects["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]["containers"][0]["env"]}


@pytest.mark.parametrize("path", ["/var/lib/modelcache", "/mnt/nvme", "/data/models"])
def test_the_disk_path_moves_agents_and_volumes_alike(path):
    objects = rendered("--set", f"agent.diskPath={path}")
    agent = objects["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]
    container = agent["containers"][0]
    assert container["args"][container["args"].index("--disk-root") + 1] == path
    assert [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "disk"] == [path]
    assert [one["hostPath"]["path"] for one in agent["volumes"] if one["name"] == "disk"] == [path]
    assert variables(objects)["MODELCACHE_AGENT_DISK_PATH"] == path


def test_agents_run_on_labelled_nodes_alone_and_never_on_virtual_ones():
    def chosen(*arguments):
        agent = rendered(*arguments)["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]
        keys = [one["key"] for term in agent["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
                for one in term["matchExpressions"]]
        return agent["nodeSelector"], keys

    linux = {"kubernetes.io/os": "linux"}
    virtual = ["type", "eks.amazonaws.com/compute-type", "node.kubernetes.io/instance-type"]
    assert chosen() == (linux | {"modelcache.io/agent": "true"}, virtual)
    assert chosen("--set", "agent.allNodes=true") == (linux, virtual)
    own = "agent.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]"
    assert chosen("--set", f"{own}.key=gpu,{own}.operator=Exists") == (linux, ["gpu"])
    assert chosen("--set", "agent.allNodes=true,agent.nodeSelector.a=b")[0] == linux | {"a": "b"}


def test_installing_preempts_nobody():
    objects = rendered()
    name = objects["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]["priorityClassName"]
    assert objects["PriorityClass", name]["preemptionPolicy"] == "Never" and not objects["PriorityClass", name]["globalDefault"]
    assert "priorityClassName" not in objects["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]
    own = rendered("--set", "agent.priorityClassName=mine")
    assert own["DaemonSet", "modelcache-agent"]["spec"]["template"]["spec"]["priorityClassName"] == "mine"
    assert not [key for key in own if key[0] == "PriorityClass"]


def test_two_operators_are_spread_and_kept_and_one_needs_no_budget():
    objects = rendered()
    operator = objects["Deployment", "modelcache-operator"]["spec"]
    assert operator["replicas"] == 2 and "podAntiAffinity" in operator["template"]["spec"]["affinity"]
    assert objects["PodDisruptionBudget", "modelcache-operator"]["spec"]["maxUnavailable"] == 1
    one = rendered("--set", "operator.replicas=1")
    assert not [key for key in one if key[0] == "PodDisruptionBudget"]
    assert "affinity" not in one["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]


def test_the_pod_template_of_warm_up_pods_reaches_the_operator_with_the_releases_pull_secrets():
    assert "MODELCACHE_WARMUP_POD_TEMPLATE" not in variables(rendered())
    told = variables(rendered("--set", "imagePullSecrets[0].name=registry,warmup.podTemplate.serviceAccountName=warm",
                              "--set", "warmup.podTemplate.imagePullSecrets[0].name=registry,warmup.podTemplate.imagePullSecrets[1].name=mirror",
                              "--set-string", "warmup.podTemplate.labels.cost=42"))
    assert json.loads(told["MODELCACHE_WARMUP_POD_TEMPLATE"]) == {
        "serviceAccountName": "warm", "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}], "labels": {"cost": "42"}}


def test_uninstalling_deletes_all_modelcaches_first_and_may_do_nothing_else():
    objects = [one for one in yaml.safe_load_all(helm(
        "template", "modelcache", CHART, "--namespace", "elsewhere", "--set", "imagePullSecrets[0].name=registry")) if one and is_hook(one)]
    objects = [one for one in objects if one["metadata"]["annotations"]["helm.sh/hook"] != "test"]
    assert {one["metadata"]["annotations"]["helm.sh/hook"] for one in objects} == {"pre-delete"}
    kinds = {one["kind"]: one for one in objects}
    assert set(kinds) == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"}
    assert kinds["ClusterRole"]["rules"] == [
        {"apiGroups": ["modelcache.io"], "resources": ["modelcaches"], "verbs": ["get", "list", "delete", "patch"]},
        {"apiGroups": [""], "resources": ["persistentvolumes"], "verbs": ["list", "delete"]}]
    [subject] = kinds["ClusterRoleBinding"]["subjects"]
    assert (subject["name"], subject["namespace"]) == ("modelcache-uninstall", "elsewhere")
    pod = kinds["Job"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["delete-all", "--timeout=180s", "--then-force"]
    assert pod["serviceAccountName"] == "modelcache-uninstall" and pod["imagePullSecrets"] == [{"name": "registry"}]
    assert kinds["Job"]["spec"]["activeDeadlineSeconds"] == 300
    # That is helm's own patience, where nobody says otherwise.
    kept = helm("template", "modelcache", CHART, "--set", "uninstall.deleteModelCaches=false")
    assert "modelcache-uninstall" not in kept


def pods_of(objects: dict) -> list[dict]:
    return [objects[kind, f"modelcache-{name}"]["spec"]["template"] for kind, name in (("DaemonSet", "agent"), ("Deployment", "operator"))]


def test_images_come_from_a_registry_and_by_digest():
    digest = "sha256:" + "0a" * 32
    objects = rendered("--set", f"global.imageRegistry=registry.example.com/ai/,agent.image.digest={digest},operator.image.registry=other:5000")
    images = [one["image"] for pod in pods_of(objects) for one in pod["spec"]["containers"]]
    assert images == [*[f"registry.example.com/ai/modelcache/agent@{digest}"] * 2, "other:5000/modelcache/operator:v0.1.0"]
    assert variables(objects)["MODELCACHE_AGENT_IMAGE"] == images[0]


def test_names_labels_and_accounts_can_be_chosen():
    text = helm("template", "modelcache", CHART, "--set", "fullnameOverride=mc,commonLabels.team=ai,agent.podLabels.a=b,operator.podLabels.c=d",
                "--set", "operator.serviceAccount.create=false,operator.serviceAccount.name=mine",
                "--set-string", "agent.serviceAccount.annotations.pod-identity\\.alibabacloud\\.com/role-name=role")
    every = [one for one in yaml.safe_load_all(text) if one]
    own = {(one["kind"], one["metadata"]["name"]): one for one in every}
    # Those that the programs know by name.
    kept = {"modelcache-webhook", "modelcache-operator", "modelcache-reader"}
    assert {name for kind, name in own if not name.startswith("mc-")} - {"modelcaches.modelcache.io"} == kept
    assert {kind for kind, name in own if name in kept} == {
        "Service", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ServiceAccount", "Role"}
    unlabelled = [key for key, one in own.items() if one["metadata"].get("labels", {}).get("team") != "ai" and key[0] != "CustomResourceDefinition"]
    assert not unlabelled
    agent, operator = own["DaemonSet", "mc-agent"]["spec"]["template"], own["Deployment", "mc-operator"]["spec"]["template"]
    assert agent["metadata"]["labels"].items() >= {"team": "ai", "a": "b"}.items() and operator["metadata"]["labels"].items() >= {"team": "ai", "c": "d"}.items()
    # Selectors cannot change, so they know none of these.
    assert own["Deployment", "mc-operator"]["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": "modelcache-operator"}
    assert {"name": "MODELCACHE_PEERS", "value": "dns:mc-agents"} in agent["spec"]["containers"][0]["env"] and ("Service", "mc-agents") in own
    assert operator["spec"]["serviceAccountName"] == "mine" and ("ServiceAccount", "mc-operator") not in own
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        assert own[kind, "mc-operator"]["subjects"][0]["name"] == "mine" and own[kind, "mc-operator"]["roleRef"]["name"] == "mc-operator"
    assert agent["spec"]["serviceAccountName"] == "mc-agent"
    assert own["ServiceAccount", "mc-agent"]["metadata"]["annotations"] == {"pod-identity.alibabacloud.com/role-name": "role"}


def test_volumes_variables_spread_and_strategies_reach_the_pods():
    extra = [f"{part}.{name}" for part in ("agent", "operator") for name in ("extraVolumes[0]", "extraVolumeMounts[0]", "environment[0]")]
    objects = rendered(*[one for name in extra for one in ("--set", f"{name}.name=more")], "--set", "certManager.enabled=true",
                       "--set", "agent.updateStrategy.type=OnDelete,agent.updateStrategy.rollingUpdate=null,operator.updateStrategy.type=Recreate",
                       "--set", "operator.topologySpreadConstraints[0].topologyKey=zone")
    for pod in pods_of(objects):
        container = first_container({"spec": {"template": pod}})
        for found in (pod["spec"]["volumes"], container["volumeMounts"], container["env"]):
            assert [one["name"] for one in found].count("more") == 1
    assert objects["DaemonSet", "modelcache-agent"]["spec"]["updateStrategy"] == {"type": "OnDelete"}
    operator = objects["Deployment", "modelcache-operator"]["spec"]
    assert operator["strategy"] == {"type": "Recreate"} and operator["template"]["spec"]["topologySpreadConstraints"] == [{"topologyKey": "zone"}]
    without = rendered("--set", "operator.extraVolumes[0].name=more,operator.extraVolumeMounts[0].name=more")
    assert [one["name"] for one in without["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]["volumes"]] == ["more"]


def test_a_restriction_that_the_api_server_cannot_hold_is_refused():
    said = helm("template", "modelcache", CHART, "--kube-version", "1.29.0", "--set", "admissionPolicy.restrictPinning=true", check=False)
    assert "admissionPolicy.restrictPinning needs Kubernetes 1.30" in said


def test_monitoring_is_off_until_a_value_asks_for_it():
    kinds = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy"}
    assert not [key for key in rendered() if key[0] in kinds]
    on = ",".join(f"monitoring.{one}.enabled=true" for one in ("podMonitor", "serviceMonitor", "prometheusRule", "dashboard"))
    objects = rendered("--set", f"{on},monitoring.prometheusRule.runbookURL=https://wiki/runbooks/,monitoring.serviceMonitor.labels.release=prom")
    assert {key[0] for key in objects if key[0] in kinds} == kinds - {"NetworkPolicy"}
    [agents] = objects["PodMonitor", "modelcache-agent"]["spec"]["podMetricsEndpoints"]
    [operator] = objects["ServiceMonitor", "modelcache-operator"]["spec"]["endpoints"]
    assert agents["honorLabels"] and operator["honorLabels"]
    # What is scraped is there, by the port's name.
    pod = pods_of(objects)[0]
    assert {"name": "metrics", "containerPort": 9419, "hostPort": 9419, "protocol": "TCP"} in pod["spec"]["containers"][0]["ports"]
    assert {"name": "MODELCACHE_METRICS_BIND_ADDRESS", "value": ":9419"} in pod["spec"]["containers"][0]["env"]
    assert operator["port"] in [one["name"] for one in objects["Service", "modelcache-operator-metrics"]["spec"]["ports"]]
    assert objects["ServiceMonitor", "modelcache-operator"]["metadata"]["labels"]["release"] == "prom"
    rules = objects["PrometheusRule", "modelcache"]["spec"]["groups"][0]["rules"]
    assert len(rules) == 10 and all(one["annotations"]["runbook_url"].startswith("https://wiki/runbooks/") for one in rules)
    # A relative link, once the default, leads nowhere.
    for url in ("", "docs/runbooks"):
        plain = rendered("--set", f"{on},monitoring.prometheusRule.runbookURL={url}")["PrometheusRule", "modelcache"]["spec"]["groups"][0]["rules"]
        assert [sorted(one["annotations"]) for one in plain] == [["description", "summary"]] * 10
    board = objects["ConfigMap", "modelcache-dashboard"]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1" and json.loads(board["data"]["modelcache.json"])["title"] == "ModelCache"


def test_a_network_policy_leaves_open_what_must_be_reached():
    def ports(*arguments):
        spec = rendered("--set", "networkPolicy.enabled=true", *arguments)["NetworkPolicy", "modelcache-operator"]["spec"]
        return {rule["ports"][0]["port"]: rule.get("from") for rule in spec["ingress"]}
    assert ports() == {"probes": None, "metrics": None, "webhook": None}
    closed = ports("--set", "networkPolicy.webhookFrom[0].ipBlock.cidr=10.0.0.1/32,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b")
    assert closed["webhook"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}] and len(closed["metrics"]) == 2 and closed["probes"] is None
    assert "webhook" not in ports("--set", "webhook.enabled=false")


def test_an_api_server_takes_every_object_with_every_value(control_plane, namespace):
    version = control_plane.kubectl("version", "-o", "json")
    major, minor = (json.loads(version)["serverVersion"][part].rstrip("+") for part in ("major", "minor"))
    text = helm(
        "template", "modelcache", CHART, "--namespace", namespace, "--kube-version", f"{major}.{minor}.0",
        "--set", "networkPolicy.enabled=true,monitoring.dashboard.enabled=true,agent.metrics.enabled=true,commonLabels.team=ai,fullnameOverride=mc",
        "--set", "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b,networkPolicy.webhookFrom[0].ipBlock.cidr=10.0.0.1/32",
        "--set", "agent.extraVolumes[0].name=more,agent.extraVolumeMounts[0].name=more,agent.extraVolumeMounts[0].mountPath=/more",
        "--set", "operator.extraVolumes[0].name=more,operator.extraVolumeMounts[0].name=more,operator.extraVolumeMounts[0].mountPath=/more",
        "--set", "operator.topologySpreadConstraints[0].maxSkew=1,operator.topologySpreadConstraints[0].topologyKey=zone",
        "--set", "operator.topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway,operator.updateStrategy.type=Recreate")
    taken = control_plane.kubectl("apply", "--dry-run=server", "--validate=true", "-f", "-", input=text)
    objects = [one for one in yaml.safe_load_all(text) if one]
    assert taken.count("server dry run") == len(objects) > 20


def test_helm_test_asks_the_operator_through_its_service():
    [pod] = [one for one in yaml.safe_load_all(helm("template", "modelcache", CHART, "--namespace", "elsewhere")) if one and one["kind"] == "Pod"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == ["probe", "http://modelcache-operator-metrics.elsewhere:8080"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"] and pod["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("values, words", [
    ([], ["kubectl label node NODE modelcache.io/agent=true", "2 replica(s)", "8Gi", "deletes all ModelCaches"]),
    (["agent.allNodes=true"], ["every Linux node", "get daemonset modelcache-agent"]),
    (["agent.nodeSelector.pool=gpu"], ["kubectl label node NODE pool=gpu"]),
    (["uninstall.deleteModelCaches=false"], ["leaves all ModelCaches in place"]),
])
def test_installing_says_what_it_did_and_what_comes_next(control_plane, values, words):
    # Other tests of this API server may have made the definition themselves.
    said = helm("install", "modelcache", CHART, "--dry-run=server", "--take-ownership", "--kubeconfig", control_plane.admin_kubeconfig, "--namespace", "elsewhere",
                *[one for value in values for one in ("--set", value)])
    notes = said[said.index("NOTES:"):]
    for word in [*words, "is installed in elsewhere", "pod-security.kubernetes.io/enforce=privileged"]:
        assert word in notes, notes


@pytest.mark.parametrize("value, field", [
    ("agent.cacheMemory=lots", "cacheMemory"), ("agent.image.pullPolicy=Sometimes", "pullPolicy"), ("agent.diskPath=disk", "diskPath"),
    ("agent.diskPath=/", "diskPath"), ("agent.diskPath=/a/../b", "diskPath"), ("warmup.podTemplate.image=x", "image"),
    ("uninstall.timeoutSeconds=1", "timeoutSeconds"), ("agent.image.digest=latest", "digest"), ("fullnameOverride=No_Name", "fullnameOverride"),
    ("monitoring.podMonitor.interval=often", "interval"), ("agent.metrics.port=0", "port"), ("operator.extraVolumes[0].emptyDir.sizeLimit=1", "name"),
    ("credentialHosts[0]=http://minio", "credentialHosts"), ("operator.replicaCount=2", "replicaCount"), ("operator.logLevel=loud", "logLevel"), ("webhook.failurePolicy=Maybe", "failurePolicy"),
     ("operator.replicas=-1", "replicas")])
def test_a_wrong_value_is_refused_and_named(value, field):
    assert field in helm("template", "modelcache", CHART, "--set", value, check=False)

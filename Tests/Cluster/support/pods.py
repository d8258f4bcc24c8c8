"""Pods that ask for a ModelCache by its label, as a person writes them, and what is known of them afterwards."""
import json

from .cluster import Cluster, wait_until

LABEL, MODE, INJECTED, STATUS = "modelcache.io/inject", "modelcache.io/mode", "modelcache.io/injected", "modelcache.io/inject-status"
GEMMA = "gemma-3-270m-q4_k_m.gguf"
LLAMA_IMAGE, READER_IMAGES = "modelcache/llama.cpp:dev", "modelcache/reader"


def pod(name, model, container, *, node=None, mode=None, annotations=None) -> dict:
    """One container that passes `restricted`, with the label that asks for `model`."""
    noted = dict(annotations or {}) | ({MODE: mode} if mode else {})
    spec = {
        "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 3,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container | {
            "imagePullPolicy": "Never", "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}}],
    }
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: model, "app": name}, "annotations": noted}, "spec": spec}


def llama(name, model="gemma", file=GEMMA, **more) -> dict:
    """llama-server, ready when the model is loaded."""
    return pod(name, model, {
        "name": "llama", "image": LLAMA_IMAGE,
        "args": ["-m", f"/models/{model}/{file}", "--host", "0.0.0.0", "--port", "8080", "-c", "1024", "-t", "2"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
    }, **more)


def reader(name, kind, model="gemma", file=GEMMA, **more) -> dict:
    """A program that reads the file and says what it read: `musl` and `static` by themselves, `old-glibc` through busybox."""
    path = f"/models/{model}/{file}"
    container = {"name": "reader", "image": f"{READER_IMAGES}:{kind}"}
    if kind == "old-glibc":
        container["command"] = ["/bin/busybox", "sh", "-c", f"busybox sha256sum {path} && exec busybox sleep 600"]
    else:
        container["args"] = [path]
    return pod(name, model, container, **more)


def thief(name, folder, uri, image, *, node, role_audience=None, keys=()) -> dict:
    """A pod that has a cache's folder of the node in its hands, which no `restricted` namespace would let it: a warm-up with the token of its
    own namespace, a token for STS where `role_audience` says for whom, and `keys` of the Secret `oss-keys`."""
    audiences = {"token": "modelcache.io"} | ({"role-token": role_audience} if role_audience else {})
    made = pod(name, "", {
        "name": "warm", "image": image, "command": ["/modelcache", "warm", "--json"],
        "env": [{"name": "MODELCACHE_SOCKET", "value": "/cache/.modelcache/agent.sock"}, {"name": "OSS_PATH", "value": uri},
                {"name": "MODELCACHE_TOKEN_FILE", "value": "/token/token"},
                *([{"name": "MODELCACHE_ROLE_TOKEN_FILE", "value": "/token/role-token"}] if role_audience else []),
                *({"name": key, "valueFrom": {"secretKeyRef": {"name": "oss-keys", "key": key}}} for key in keys)],
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}, {"name": "token", "mountPath": "/token"}]}, node=node)
    del made["metadata"]["labels"][LABEL]
    made["spec"] |= {"restartPolicy": "Never", "volumes": [
        {"name": "cache", "hostPath": {"path": folder}},
        {"name": "token", "projected": {"sources": [
            {"serviceAccountToken": {"audience": audience, "path": path}} for path, audience in audiences.items()]}}]}
    return made


def restricted_violations(made: dict) -> list[str]:
    """What Pod Security's level `restricted` would refuse a pod for; the 1.20 server of this cluster does not check it itself.
    https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    spec, found = made["spec"], []
    shared = spec.get("securityContext", {})
    allowed = {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    found += [f"volume {sorted(volume)}" for volume in spec.get("volumes", []) if not set(volume) <= allowed]
    found += [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    for container in spec["containers"] + spec.get("initContainers", []):
        own = shared | container.get("securityContext", {})
        told = {
            "privileged": own.get("privileged"), "escalation": own.get("allowPrivilegeEscalation") is not False,
            "capabilities": "ALL" not in own.get("capabilities", {}).get("drop", []) or set(own["capabilities"].get("add", [])) - {"NET_BIND_SERVICE"},
            "root": not own.get("runAsNonRoot") or own.get("runAsUser") == 0,
            "seccomp": own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "host ports": any(port.get("hostPort") for port in container.get("ports", [])),
            "proc": own.get("procMount", "Default") != "Default",
        }
        found += [f"{container['name']}: {what}" for what, wrong in told.items() if wrong]
    return found


class Pods:
    """The pods of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str):
        self.cluster, self.namespace = cluster, namespace

    def create(self, made: dict, dry=False) -> dict:
        """The pod as the API server took it, the webhook's edits included."""
        return json.loads(self.cluster.kubectl("create", "-n", self.namespace, "-o", "json", *(["--dry-run=server"] if dry else []), "-f", "-", input=made))

    def get(self, name) -> dict | None:
        return self.cluster.get("pod", "-n", self.namespace, name)

    def status(self, name, kind="containerStatuses") -> dict:
        """The status of its (first) container; empty while there is none."""
        return next(iter(((self.get(name) or {}).get("status") or {}).get(kind) or []), {})

    def end(self, name) -> dict:
        """How its first container ended."""
        return wait_until(lambda: self.status(name).get("state", {}).get("terminated"), lambda: f"{name} ends: {self.events(name)}")

    def log(self, name, container=None) -> str:
        """What the pod has said; empty while it can not be heard."""
        try:
            return self.cluster.reads.text(f"/api/v1/namespaces/{self.namespace}/pods/{name}/log", **({"container": container} if container else {}))
        except AssertionError:
            return ""

    def events(self, name) -> str:
        """Reason and message of each Event about the pod, one a line."""
        found = self.cluster.items("events", "-n", self.namespace, "--field-selector", f"involvedObject.name={name}")
        return "".join(f"{one['reason']}   {one['message']}\n" for one in found)

    def delete(self, *names) -> None:
        self.cluster.kubectl("delete", "pod", "-n", self.namespace, *names, "--wait=false", "--ignore-not-found")

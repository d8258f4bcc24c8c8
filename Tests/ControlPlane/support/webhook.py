"""What tests of the webhook share: reviews sent straight to it, pods created through the API server, and the configuration between the two."""
import base64
import contextlib
import http.client
import json
import ssl
import time

SYSTEM_NAMESPACE = "modelcache-system"
SECRET = "modelcache-webhook-certificate"
CONFIGURATION = "modelcache-operator"
PATH = "/mutate-v1-pod"
VERDICT_PATH, DELETION_PATH = "/validate-modelcache", "/validate-deletion"


def configuration(port: int) -> dict:
    """That of config/webhook, but by URL: an API server without a cluster's network reaches no Service. And with all the time that an API
    server gives: a machine that is busy for three seconds would make pods without their models."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": CONFIGURATION},
        "webhooks": [{
            "name": "pods.modelcache.io", "clientConfig": {"url": f"https://127.0.0.1:{port}{PATH}"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
            "objectSelector": {"matchExpressions": [{"key": "modelcache.io/inject", "operator": "Exists"}]},
            "failurePolicy": "Ignore", "timeoutSeconds": 30, "sideEffects": "None", "reinvocationPolicy": "IfNeeded", "admissionReviewVersions": ["v1"],
        }],
    }


def validating_configuration(port: int) -> dict:
    """That of config/webhook for ModelCaches and what they need, by URL and as patient."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": CONFIGURATION},
        "webhooks": [{
            "name": "modelcaches.modelcache.io", "clientConfig": {"url": f"https://127.0.0.1:{port}{VERDICT_PATH}"},
            "rules": [{"apiGroups": ["modelcache.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"], "resources": ["modelcaches"],
                       "scope": "Namespaced"}],
            "failurePolicy": "Ignore", "timeoutSeconds": 30, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }, {
            "name": "deletions.modelcache.io", "clientConfig": {"url": f"https://127.0.0.1:{port}{DELETION_PATH}"},
            "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": [resource], "scope": "Cluster"}
                      for group, resource in (("", "namespaces"), ("apiextensions.k8s.io", "customresourcedefinitions"))],
            "objectSelector": {"matchLabels": {"app.kubernetes.io/name": "modelcache"}},
            "failurePolicy": "Ignore", "timeoutSeconds": 30, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    }


def model(namespace: str, name="qwen", **source) -> dict:
    return {"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": {"uri": "oss://models/qwen/", "endpoint": "http://127.0.0.1:9", "region": "cn-test"} | source}}


def pod(name: str, inject: str | None = "qwen", **annotations) -> dict:
    labels = {"app": "llama"} | ({"modelcache.io/inject": inject} if inject else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels, "annotations": annotations},
            "spec": {"containers": [{"name": "llama", "image": "llama", "command": ["llama-server"]}]}}


def review(uid: str, namespace: str, one: dict) -> dict:
    """The API server's question about a pod, as admission.k8s.io/v1."""
    group = {"group": "", "version": "v1"}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": uid, "kind": group | {"kind": "Pod"}, "resource": group | {"resource": "pods"}, "requestKind": group | {"kind": "Pod"},
        "requestResource": group | {"resource": "pods"}, "name": one["metadata"].get("name", ""), "namespace": namespace, "operation": "CREATE",
        "userInfo": {"username": "someone", "groups": ["system:authenticated"]}, "object": one, "oldObject": None, "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}}


def is_injected(one: dict) -> bool:
    return "modelcache.io/injected" in one["metadata"].get("annotations", {})


class Pods:
    """Creates pods, or others, over one kept connection: a kubectl for each would be a process for each."""

    def __init__(self, plane, namespace, path="/api/v1", plural="pods"):
        host = plane.server.removeprefix("https://")
        self.connection = http.client.HTTPSConnection(host, context=plane.tls(), timeout=120)
        self.headers = {"Authorization": f"Bearer {plane.admin_token}", "Content-Type": "application/json"}
        self.path = f"{path}/namespaces/{namespace}/{plural}"
        self.warnings = []

    def create(self, one: dict, dry_run=False) -> dict:
        status, body = self._post(one, dry_run)
        assert status == 201, body
        return json.loads(body)

    def refusal(self, one: dict) -> str | None:
        """Why a creation, tried as a dry run, is refused; None when it is not."""
        status, body = self._post(one, dry_run=True)
        return None if status == 201 else json.loads(body)["message"]

    def _post(self, one: dict, dry_run) -> tuple[int, str]:
        path = self.path + ("?dryRun=All" if dry_run else "")
        self.connection.request("POST", path, json.dumps(one), self.headers)
        answer = self.connection.getresponse()
        self.warnings = answer.headers.get_all("Warning") or []
        return answer.status, answer.read().decode()

    def close(self) -> None:
        self.connection.close()


class Direct:
    """Straight to a webhook's port, without an API server, believing `authorities` (PEM)."""

    def __init__(self, port, authorities: str):
        context = ssl.create_default_context(cadata=authorities)
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=120)

    def post(self, body, path=PATH, method="POST", **headers) -> tuple[int, str]:
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def serial(self) -> str:
        """The certificate's serial number on this connection."""
        if self.connection.sock is None:
            self.connection.connect()
        return self.connection.sock.getpeercert()["serialNumber"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def bundle(kubectl) -> str | None:
    """The PEM that the API server believes."""
    [webhook] = kubectl.get("mutatingwebhookconfiguration", CONFIGURATION)["webhooks"]
    text = webhook["clientConfig"].get("caBundle")
    return base64.b64decode(text).decode() if text else None


def secret(kubectl) -> dict[str, str] | None:
    one = kubectl.get("secret", SECRET, "-n", SYSTEM_NAMESPACE)
    return one and {key: base64.b64decode(value).decode(errors="replace") for key, value in one["data"].items()}


def until(condition, what, seconds=120):
    """The first true answer; AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if answer := condition():
                return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)

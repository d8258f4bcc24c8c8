"""The API server's proxy to operators' pods, for those who ask an operator through it."""
import dataclasses
import json
import urllib.error
import urllib.request

from support.proxy import Refusal
from support.stand_in import SYSTEM_NAMESPACE

ACCOUNT, AUDIENCE, HEADER = "modelcache-reader", "modelcache-operator", "X-ModelCache-Token"
PODS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/"


@dataclasses.dataclass(frozen=True)
class Answer(Refusal):
    """An operator's answer."""

    text: str = ""

    def body(self):
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


def ask(operator, path, token=None) -> Answer:
    """What an operator's metrics port answers to whoever reaches it."""
    request = urllib.request.Request(f"http://127.0.0.1:{operator.metrics_port}{path}", headers={HEADER: token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as got:
            return Answer(got.status, text=got.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, text=error.read().decode())


def serve(w, **operators):
    """Pods by name, each an operator: the proxy plays the API server's own one, which reaches no loopback address."""
    w.kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": SYSTEM_NAMESPACE}})
    for name in operators:
        w.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": name, "namespace": SYSTEM_NAMESPACE, "labels": {"app.kubernetes.io/name": "modelcache-operator"}},
            "spec": {"automountServiceAccountToken": False, "containers": [
                {"name": "operator", "image": "x", "ports": [{"name": "metrics", "containerPort": 8080}]}]}})
        w.kubectl("patch", "pod", name, "-n", SYSTEM_NAMESPACE, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}))

    def answer(seen):
        name, _, rest = seen.path.removeprefix(PODS).partition(":8080/proxy")
        if not seen.path.startswith(PODS) or not rest:
            return None
        return ask(operators[name], rest, seen.token)

    w.proxy.refuse = answer

"""The pods that the patch's golden tests end with are pods to a real API server too."""
import json

from support.control_plane import REPOSITORY


def test_injected_pods_are_accepted(kubectl, namespace):
    pods = []
    for file in sorted((REPOSITORY / "Tests/AdmissionTests/Golden").glob("*.json")):
        pod = json.loads(file.read_text())["after"]
        pod["metadata"]["namespace"] = namespace
        # No pod is created with one; they are added to pods that run.
        pod["spec"].pop("ephemeralContainers", None)
        # Of its service account the server knows nothing yet.
        pod["spec"]["automountServiceAccountToken"] = False
        pods.append(pod)
    assert len(pods) >= 20
    kubectl("create", "serviceaccount", "default", "-n", namespace, check=False)
    text = kubectl(
        "create", "--dry-run=server", "--validate=false", "-o", "json", "-f", "-", input={"apiVersion": "v1", "kind": "List", "items": pods})
    created = list(documents(text))
    injected = [pod for pod in created if "modelcache.io/injected" in pod["metadata"]["annotations"]]
    assert len(created) == len(pods) and len(injected) >= 12
    for pod in injected:
        mounts = [mount for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])]
        assert any(mount.get("mountPropagation") == "HostToContainer" and mount["readOnly"] for mount in mounts)


def documents(text):
    """kubectl writes the objects of a list one after the other."""
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]

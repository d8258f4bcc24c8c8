"""Pods that have started, without a kubelet."""
import datetime
import json


def creation(pod) -> datetime.datetime:
    return datetime.datetime.fromisoformat(pod["metadata"]["creationTimestamp"].replace("Z", "+00:00"))


def start_pod(kubectl, namespace, name, injected, *, node=None, init=False, conditions=(), started=None, phase="Pending"):
    """A pod whose status was written so many seconds after its creation: the test plays scheduler and kubelet. Returns the pod."""
    container = {"name": "main", "image": "none"}
    kubectl.apply({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"modelcache.io/inject": "other"},
                     "annotations": {"modelcache.io/injected": injected}},
        "spec": {"automountServiceAccountToken": False, "containers": [container],
                 **({"nodeName": node} if node else {}), **({"initContainers": [container | {"name": "before"}]} if init else {})}})
    pod = kubectl.get("pod", name, "-n", namespace)
    set_status(kubectl, pod, conditions=conditions, started=started, phase=phase)
    return pod


def set_status(kubectl, pod, *, conditions, started=None, phase):
    created = creation(pod)

    def at(seconds):
        return (created + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    status = {"phase": phase, "conditions": [
        {"type": kind, "status": "False" if seconds is None else "True", "lastTransitionTime": at(seconds or 0)} for kind, seconds in conditions]}
    if started is not None:
        status["containerStatuses"] = [{"name": "main", "image": "none", "imageID": "", "ready": True, "restartCount": 1,
                                        "state": {"running": {"startedAt": at(started)}}}]
    kubectl("patch", "pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

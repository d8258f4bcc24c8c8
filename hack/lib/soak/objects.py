"""Kubernetes objects: how many there are of each kind, and whether all that should run does."""
import typing

# What is counted. Events end by themselves after an hour. The revisions of Deployments and DaemonSets (ReplicaSets, ControllerRevisions)
# are kept by Kubernetes, ten of each, so that they can be rolled back: neither is a leak.
KINDS = ("pods", "jobs", "persistentvolumeclaims", "persistentvolumes", "secrets", "configmaps", "leases", "serviceaccounts", "roles",
         "rolebindings", "services", "modelcaches", "namespaces")
# What `ill` looks at.
WATCHED = "nodes,daemonsets.apps,deployments.apps,modelcaches.modelcache.io"


def counted(objects: typing.Iterable[dict]) -> dict[str, int]:
    """By `namespace/kind`, or kind for those without a namespace."""
    found: dict[str, int] = {}
    for one in objects:
        space = one["metadata"].get("namespace")
        name = f"{space}/{one['kind']}" if space else one["kind"]
        found[name] = found.get(name, 0) + 1
    return found


def differences(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """What there is more of than before. Less of something is told by `ill`, where it matters."""
    return [f"{name}: {after[name]}, before {before.get(name, 0)}" for name in sorted(after) if after[name] > before.get(name, 0)]


def ill(objects: typing.Iterable[dict], replicas: dict[str, int]) -> list[str]:
    """What does not run as it should: nodes, DaemonSets, Deployments, ModelCaches. `replicas`: wanted of Deployments by name."""
    found = []
    for one in objects:
        kind, name, status = one["kind"], one["metadata"]["name"], one.get("status") or {}
        if kind == "Node":
            if not any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])):
                found.append(f"{name} is not ready")
        elif kind in ("DaemonSet", "Deployment"):
            told, wanted = status.get("observedGeneration", 0), status.get("desiredNumberScheduled", 0)
            ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
            if kind == "Deployment":
                wanted, ready, updated = replicas.get(name, one["spec"].get("replicas", 1)), status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
            if told < one["metadata"].get("generation", 0) or not wanted == ready == updated:
                found.append(f"{name}: {ready} of {wanted} ready, {updated} of this version")
        elif kind == "ModelCache" and status.get("phase") != "Ready":
            found.append(f"ModelCache {name}: {status.get('phase', 'no phase')}")
    return found

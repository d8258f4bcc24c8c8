"""A ModelCache as the tests follow it: its status, its copies on the nodes, what it left behind."""
import time

from .cluster import PATIENCE, Cluster, wait_until
from .system import ACCESS_KEY, REGION, SECRET

NODES = ("node-1", "node-2", "node-3")
FOLDERS = {"Memory": "/run/modelcache/caches", "Disk": "/var/lib/modelcache/caches"}

# What Pod Security's level `restricted` asks of a container: the 1.20 server of this cluster does not check it itself.
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


class Model:
    """One ModelCache by namespace and name."""

    def __init__(self, cluster: Cluster, namespace: str, name: str):
        self.cluster, self.namespace, self.name = cluster, namespace, name
        self.uid = ""

    def apply(self, endpoint: str, prefix="gemma/", credentials=None, **spec) -> "Model":
        self.cluster.kubectl("apply", "-n", self.namespace, "-f", "-", input={
            "apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": self.name},
            "spec": {"source": {"uri": f"oss://models/{prefix}", "endpoint": endpoint, "region": REGION,
                                "credentials": credentials or {"secretRef": {"name": "oss-keys"}}},
                     **spec, "warmup": {"mode": "Eager"} | spec.get("warmup", {})}})
        self.uid = self.get()["metadata"]["uid"]
        return self

    def get(self) -> dict | None:
        return self.cluster.get("modelcache", "-n", self.namespace, self.name)

    @property
    def status(self) -> dict:
        return (self.get() or {}).get("status") or {}

    def wait(self, condition, what, seconds=PATIENCE) -> dict:
        """The status once `condition` takes it; else an error that tells the last one, the Events and the operator's log."""
        last: dict = {}

        def met():
            last.clear()
            last.update(self.status)
            return last and condition(last)
        wait_until(met, lambda: "\n".join([
            f"{self.namespace}/{self.name}: {what}", str(last),
            self.cluster.kubectl("get", "events,pods", "-n", self.namespace, check=False)[-4000:],
            self.cluster.kubectl("logs", "-n", "modelcache-system", "deployment/modelcache-operator", "--tail=40", check=False),
        ]), seconds, every=0.2)
        return last

    def wait_ready(self, nodes=3, seconds=PATIENCE) -> dict:
        return self.wait(lambda s: s.get("phase") == "Ready" and (s.get("nodes") or {}).get("summary") == f"{nodes}/{nodes}",
                         f"Ready on {nodes} of {nodes} nodes", seconds)

    def wait_percent(self, percent) -> dict:
        return self.wait(lambda s: (s.get("progress") or {}).get("percent", 0) >= percent, f"{percent}% there")

    def digests(self, node, medium="Memory") -> dict[str, str]:
        """SHA-256 of every file a reader sees in the node's copy."""
        folder = f"{FOLDERS[medium]}/{self.uid}"
        text = self.cluster.on(node, "sh", "-c", f"cd {folder} && find . -name '.?*' -prune -o -type f -exec sha256sum {{}} +")
        return {name.removeprefix("./"): digest for digest, name in (line.split(maxsplit=1) for line in text.splitlines())}

    def jobs(self) -> list[dict]:
        found = self.cluster.get("jobs", "-n", self.namespace, "-l", f"modelcache.io/uid={self.uid}")["items"]
        return sorted(found, key=lambda job: job["metadata"]["annotations"]["modelcache.io/node"])

    def delete(self) -> float:
        """Seconds until it was gone."""
        started = time.monotonic()
        self.cluster.kubectl("delete", "modelcache", "-n", self.namespace, self.name, f"--timeout={PATIENCE:g}s")
        return time.monotonic() - started

    def lift_limit(self) -> None:
        """Ends `maxBytesPerSecond`, which held the fill for a test's disturbance; it may change while the model loads."""
        self.cluster.kubectl("patch", "modelcache", "-n", self.namespace, self.name, "--type=merge", "-p", '{"spec":{"warmup":{"maxBytesPerSecond":null}}}')

    def wait_gone(self) -> None:
        """Nothing names it any more."""
        def met():
            self._forget_ended_pods()
            return not self._objects() and not self._on_nodes()
        wait_until(met, lambda: "nothing left of {}/{}\n{}\n{}".format(
            self.namespace, self.name, "\n".join(self._objects() + self._on_nodes()),
            self.cluster.kubectl("describe", "pods", "-n", self.namespace, "-l", f"modelcache.io/uid={self.uid}", check=False)))

    def _forget_ended_pods(self) -> None:
        """As the kubelets of today: that of 1.20 looks once a minute for pods that ended before they were deleted."""
        for pod in self.cluster.items("pods", "-A", "-l", f"modelcache.io/uid={self.uid}"):
            states = [one["state"] for one in pod["status"].get("containerStatuses", [])]
            if "deletionTimestamp" in pod["metadata"] and states and all("terminated" in one for one in states):
                self.cluster.kubectl("delete", "pod", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--force", "--grace-period=0",
                                     "--ignore-not-found", "--wait=false")

    def _objects(self) -> list[str]:
        """All that names it at the API server."""
        found = self.cluster.items("jobs,pods,persistentvolumeclaims,persistentvolumes", "-A", "-l", f"modelcache.io/uid={self.uid}")
        found += [one for one in self.cluster.items("persistentvolumes") if self.uid in one["metadata"]["name"]]
        return [f"{one['kind']} {one['metadata']['name']}" for one in found]

    def _on_nodes(self) -> list[str]:
        """All that names it on the nodes: files, sockets, mounts."""
        found = []
        for node in NODES:
            seen = self.cluster.on(
                node, "sh", "-c",
                f"find {' '.join(FOLDERS.values())} -name '*{self.uid}*' 2>/dev/null; grep -h {self.uid} /proc/mounts /proc/net/unix; true")
            found += [f"{node}: {line}" for line in seen.splitlines()]
        return found


def namespace_with_keys(cluster: Cluster, name: str) -> None:
    """A namespace that only takes `restricted` pods, with the store's keys in the Secret `oss-keys`."""
    there = cluster.get("namespace", name)
    if there and "deletionTimestamp" in there["metadata"]:
        cluster.kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=180s")
    cluster.kubectl("apply", "-f", "-", input={
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    cluster.kubectl("apply", "-n", name, "-f", "-", input={
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oss-keys"},
        "stringData": {"OSS_ACCESS_KEY_ID": ACCESS_KEY, "OSS_ACCESS_KEY_SECRET": SECRET}})

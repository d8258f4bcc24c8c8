"""ModelCache installed on the cluster as docs/install.md says, with the images of hack/images."""
import json
import os
import pathlib
import subprocess
import tempfile

from .cluster import PATIENCE, REPOSITORY, Cluster, wait_until
from .system import paths

SYSTEM = "modelcache-system"
OPERATOR, AGENT = "app.kubernetes.io/name=modelcache-operator", "app.kubernetes.io/name=modelcache-agent"


class Installation:
    """config/testbed on a cluster: the operator and an agent on every node."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster

    def load(self, *images) -> None:
        """Gives every node these images of hack/images."""
        table = subprocess.run([REPOSITORY / "hack/images", *images], check=True, text=True, stdout=subprocess.PIPE).stdout
        self.cluster.load_image(*(line.split()[-1] for line in table.splitlines()[1:]))

    def install(self) -> None:
        self.load("operator", "agent")
        space = self.cluster.get("namespace", SYSTEM)
        if space and "deletionTimestamp" in space["metadata"]:
            self.cluster.kubectl("wait", "--for=delete", f"namespace/{SYSTEM}", "--timeout=180s")
        there = self.cluster.get("deployment", "-n", SYSTEM, "modelcache-operator")
        self.apply()
        if there:
            # The images keep their tag: what runs already would go on with the old ones.
            self.cluster.kubectl("rollout", "restart", "-n", SYSTEM, "deployment/modelcache-operator", "daemonset/modelcache-agent")
        self.wait_ready()

    def restore(self) -> None:
        """Undoes what a test changed in the operator's or the agents' own settings."""
        self.apply()
        self.wait_ready()

    def apply(self, *components) -> None:
        """config/testbed with these components of config/."""
        # kustomize takes relative paths alone.
        with tempfile.TemporaryDirectory(dir=REPOSITORY / "dist", prefix="overlay-") as folder:
            pathlib.Path(folder, "kustomization.yaml").write_text(json.dumps({
                "resources": ["../../config/testbed"], "components": [f"../../config/{one}" for one in components]}))
            self.cluster.kubectl("apply", "-k", folder)

    def image(self, name) -> str:
        """The image of `agent` or `operator` as the cluster runs it."""
        kind = "daemonset" if name == "agent" else "deployment"
        containers = self.cluster.get(kind, "-n", SYSTEM, f"modelcache-{name}")["spec"]["template"]["spec"]["containers"]
        return next(one["image"] for one in containers if one["name"] == name)

    def set_variables(self, **variables) -> None:
        """Sets these of operator and agents alike, or takes those away that are None, and waits until both run anew."""
        words = [f"{name}-" if value is None else f"{name}={value}" for name, value in variables.items()]
        for workload, container in (("deployment/modelcache-operator", "operator"), ("daemonset/modelcache-agent", "agent")):
            self.cluster.kubectl("set", "env", "-n", SYSTEM, workload, "-c", container, *words)
        self.wait_ready()

    def wait_ready(self, seconds=PATIENCE) -> None:
        for one in ("deployment/modelcache-operator", "daemonset/modelcache-agent"):
            self.cluster.kubectl("rollout", "status", "-n", SYSTEM, one, f"--timeout={seconds:g}s", seconds=seconds + 30)

    def remove(self) -> None:
        self.cluster.kubectl("delete", "modelcaches", "--all", "--all-namespaces", "--timeout=180s", check=False)
        self.cluster.kubectl("delete", "-k", REPOSITORY / "config/testbed", "--ignore-not-found", "--wait=false", check=False)

    def pods(self, label) -> list[dict]:
        return self.cluster.items("pods", "-n", SYSTEM, "-l", label)

    def agent_on(self, node) -> dict | None:
        """The node's agent pod that is not on its way out."""
        return next((pod for pod in self.pods(AGENT) if pod["spec"].get("nodeName") == node
                     and "deletionTimestamp" not in pod["metadata"]), None)

    def delete_agent(self, node) -> None:
        """Deletes the node's agent pod and waits until the DaemonSet's next one is ready."""
        old = self.agent_on(node)["metadata"]
        self.cluster.kubectl("delete", "pod", "-n", SYSTEM, old["name"], "--wait=false")
        wait_until(lambda: not self.cluster.on(node, "ss", "-Hltn", "sport = :9417"), f"the old agent of {node} ends")
        # The kubelet of 1.20 tells the API server only up to a minute later that the pod is no more.
        self.cluster.kubectl("delete", "pod", "-n", SYSTEM, old["name"], "--force", "--grace-period=0", "--ignore-not-found")

        def next_is_ready():
            pod = self.agent_on(node)
            return pod and pod["metadata"]["uid"] != old["uid"] and all(
                status["ready"] for status in pod["status"].get("containerStatuses") or [{"ready": False}])
        wait_until(next_is_ready, f"a new agent on {node}")

    def operator_runs(self) -> bool:
        """Whether a node has its process: the kubelet of 1.20 tells only up to a minute later that a pod is no more."""
        return any("/modelcache-operator" in self.cluster.on(node, "sh", "-c", "readlink /proc/[0-9]*/exe; true").split()
                   for node in self.cluster.nodes())

    def logs(self, label) -> str:
        """What the pods said, and their former containers. A pod on its way out is heard as far as its kubelet still has its container;
        of any other, not to be heard is an error."""
        text = ""
        for pod in self.pods(label):
            name, going = pod["metadata"]["name"], "deletionTimestamp" in pod["metadata"]
            text += self.cluster.kubectl("logs", "-n", SYSTEM, name, "--all-containers", "--tail=-1", check=not going)
            if any(status["restartCount"] for status in pod["status"].get("containerStatuses", [])):
                text += self.cluster.kubectl("logs", "-n", SYSTEM, name, "--previous", "--tail=-1", check=False)
        return text

    def plugin(self, *arguments, check=True) -> str:
        """`kubectl modelcache`, found in the PATH by kubectl itself, as a person calls it."""
        programs = (self.cluster.state / "programs").read_text().strip()
        environment = os.environ | {
            "KUBECONFIG": str(self.cluster.kubeconfig), "PATH": f"{paths.DIST / 'bin'}:{programs}:{os.environ['PATH']}"}
        done = subprocess.run(["kubectl", "modelcache", *arguments], env=environment, text=True, capture_output=True, timeout=PATIENCE)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

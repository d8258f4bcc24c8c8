"""The cluster of hack/cluster as tests see it: commands on it, on its nodes, and small images to run there."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "hack" / "cluster"
IMAGE_TAR = REPOSITORY / "hack" / "lib" / "cluster" / "image_tar.py"
TOOLS_IMAGE = "localhost/modelcache-test-tools:1"
sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))

from kubernetes_reads import KubernetesReads  # noqa: E402

# Long enough for a machine several times slower than a developer's: waits end as soon as they can.
PATIENCE = 180.0


def wait_until(condition, what, seconds=PATIENCE, every=0.1):
    """The first true value of `condition`; AssertionError that says `what` (a text, or what makes it then) after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(every)
    return value


class Cluster:
    """One cluster by name. `own` is false for one that hack/cluster did not make (USE_EXISTING_CLUSTER)."""

    own = True

    def __init__(self, name="modelcache"):
        self.name = name
        self._reads = None

    def command(self, *arguments, input=None, check=True, seconds=300) -> subprocess.CompletedProcess:
        """hack/cluster with these arguments; AssertionError with all it said when it fails and `check` is set."""
        done = subprocess.run([PROGRAM, "--name", self.name, *map(str, arguments)], input=input, capture_output=True,
                              text=True, timeout=seconds)
        if check and done.returncode != 0:
            raise AssertionError(f"hack/cluster {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done

    def up(self, nodes=None) -> None:
        # A new cluster of this name has other certificates.
        self._reads = None
        self.command("up", *(["--nodes", nodes] if nodes is not None else []), seconds=1800)

    def down(self) -> None:
        self.command("down")

    def is_up(self) -> bool:
        return (self.state / ".up").exists() and self.command("status", check=False).returncode == 0

    @property
    def state(self) -> pathlib.Path:
        base = os.environ.get("MODELCACHE_CLUSTER_DIR", "/run/modelcache-cluster")
        return pathlib.Path(base if self.name == "modelcache" else f"{base}-{self.name}")

    @property
    def kubeconfig(self) -> pathlib.Path:
        return pathlib.Path(self.command("kubeconfig").stdout.strip())

    @property
    def host_address(self) -> str:
        """This machine's address as pods reach it."""
        return self.command("address").stdout.strip()

    def address(self, node) -> str:
        return self.command("address", node).stdout.strip()

    def on(self, node, *command, check=True) -> str:
        """Runs a command in a node's namespaces; its standard output."""
        return self.command("on", node, *command, check=check).stdout

    def stop(self, part, signal="TERM") -> None:
        """Ends a program (kube-apiserver, node-1.kubelet) or, at once, a whole node (node-1)."""
        self.command("stop", part, signal)

    def start(self, part) -> None:
        self.command("start", part)

    def load_image(self, *files) -> None:
        self.command("load-image", *files)

    def kubectl(self, *arguments, input=None, check=True, seconds=PATIENCE + 20) -> str:
        if isinstance(input, (dict, list)):
            input = json.dumps(input)
        return self.command("kubectl", *arguments, input=input, check=check, seconds=seconds).stdout

    @property
    def reads(self) -> KubernetesReads:
        """Looks at the API server without a process for each."""
        if self._reads is None:
            self._reads = KubernetesReads(json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")))
        return self._reads

    def get(self, *arguments) -> dict | None:
        """An object or a list as decoded JSON; None when there is none of that name."""
        return self.reads.get(*arguments)

    def items(self, *arguments) -> list[dict]:
        """What a list holds."""
        return self.get(*arguments)["items"]

    def apply(self, *objects) -> None:
        for one in objects:
            self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=one)

    def nodes(self) -> dict[str, bool]:
        """Every node and whether it is ready."""
        return {
            node["metadata"]["name"]: any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
            for node in self.items("nodes")
        }

    def run(self, namespace, pod, *command, check=True) -> str:
        """A command in a running pod."""
        return self.kubectl("exec", "-n", namespace, pod, "--", *command, check=check)

    def wait_for_pod(self, namespace, pod) -> dict:
        """The pod once it is ready; AssertionError that tells its events when it is not in time."""
        def ready():
            found = self.get("pod", "-n", namespace, pod)
            return found if found and any(
                c["type"] == "Ready" and c["status"] == "True" for c in found["status"].get("conditions", [])) else None
        return wait_until(ready, lambda: f"pod {namespace}/{pod} ready\n{self.kubectl('describe', 'pod', '-n', namespace, pod, check=False)[-3000:]}")

    def load_tools(self) -> str:
        """Loads an image with busybox in it (/bin/busybox, and its commands in a shell) and gives its name."""
        busybox = pathlib.Path((self.state / "programs").read_text().strip()) / "busybox"
        with tempfile.TemporaryDirectory() as folder:
            image = pathlib.Path(folder) / "tools.tar"
            names = ("busybox", "sh", "sleep", "cat", "ls", "wget", "nslookup", "httpd", "mount", "umount", "mkdir", "touch",
                     "hostname", "dd", "echo", "nc", "df", "stat", "rm", "id")
            # Not a static one: the C library's resolver, as other images have it, is loaded at run time.
            needed = subprocess.run(["ldd", busybox], check=True, stdout=subprocess.PIPE, text=True).stdout
            libraries = sorted({word for word in needed.split() if word.startswith("/")})
            subprocess.run([sys.executable, IMAGE_TAR, image, TOOLS_IMAGE, f"{busybox}=/bin/busybox",
                            *(f"{os.path.realpath(one)}={one}" for one in libraries),
                            *(f"link:/bin/busybox=/bin/{one}" for one in names[1:])], check=True)
            self.load_image(image)
        return TOOLS_IMAGE

"""Where the demo and `hack/bench pod` take place: a cluster of their own, shaped links to its nodes, a store on this machine."""
import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "Tests/Cluster"))

from support.cluster import Cluster, wait_until  # noqa: E402
from support.installation import Installation  # noqa: E402
from support.models import Model, namespace_with_keys  # noqa: E402
from support.system import Store, paths  # noqa: E402

__all__ = ["Model", "Testbed", "namespace_with_keys", "paths", "say", "wait_until"]


def say(text: str, who: str = "demo") -> None:
    print(f"{who}: {text}", file=sys.stderr, flush=True)


class Testbed(contextlib.AbstractContextManager):
    """Brought up on entry; on exit all of it goes, unless `keep` is set. What an earlier run left up is used.

    `held` keeps interrupts away between the start of a program and the note of how to end it. `name` is the cluster's and says who speaks;
    `kind` is its class, `bucket` the folder that the store gives as `models` (default: the real models)."""

    def __init__(self, name: str, nodes: int, rate_mbit: int, keep: bool = False, held=contextlib.nullcontext, kind=Cluster, bucket: pathlib.Path | None = None):
        self.cluster, self.nodes, self.rate_mbit, self._keep, self._held = kind(name), nodes, rate_mbit, keep, held
        self._bucket = bucket
        self.installation = Installation(self.cluster)
        self.store: Store | None = None

    def __enter__(self) -> "Testbed":
        with contextlib.ExitStack() as stack:
            say(f"a Kubernetes of its own: {self.nodes} nodes on this machine", self.cluster.name)
            if not self._keep:
                stack.callback(self._take_down)
            if self.cluster.is_up() and len(self.cluster.nodes()) != self.nodes:
                # An earlier run's node joined late, and must again.
                self.cluster.down()
            self.cluster.up(nodes=self.nodes)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"modelcache-{self.cluster.name}-"))
            with self._held():
                self.store = Store({"models": self._bucket or paths.models()}, pathlib.Path(folder) / "store", address=self.cluster.host_address)
                stack.callback(self.store.stop)
            self.shape(*(f"node-{n + 1}" for n in range(self.nodes)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._keep:
            # A second Ctrl-C must not leave half of it there.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        say("taking down what was started" if not self._keep else f"left up: hack/cluster --name {self.cluster.name} kubectl get pods -A", self.cluster.name)
        self._stack.close()

    def _take_down(self) -> None:
        """A second Ctrl-C must not leave half of it there."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.cluster.down()

    def given(self, prefix: str) -> int:
        """Bytes that the store gave so far of the objects below `prefix`."""
        return sum(entry["bytes"] for key, entry in self.store.requests()["keys"].items() if key.startswith(f"models/{prefix}"))

    @property
    def bytes_per_second(self) -> float:
        """What TCP can carry to one node: 1448 of each 1514 bytes that the shaper counts."""
        return self.rate_mbit * 1e6 / 8 * 1448 / 1514

    def shape(self, *nodes: str) -> None:
        """What a node receives passes at the stated rate; a bucket of 2 ms, a queue of 50 ms."""
        burst = max(131072, int(self.rate_mbit * 1e6 / 8 * 0.002))
        for node in nodes:
            self.cluster.on("control", "tc", "qdisc", "replace", "dev", node, "root", "tbf",
                            "rate", f"{self.rate_mbit}mbit", "burst", burst, "latency", "50ms")

    def join(self) -> str:
        """One more node, cold, its link shaped too; its name once its agent answers."""
        self.nodes += 1
        node = f"node-{self.nodes}"
        self.cluster.up(nodes=self.nodes)
        self.shape(node)
        self.cluster.load_image(*self.images())
        wait_until(lambda: (pod := self.installation.agent_on(node)) and all(
            one["ready"] for one in pod["status"].get("containerStatuses") or [{"ready": False}]), f"an agent on {node}")
        return node

    def install(self) -> None:
        """The operator and agents as docs/install.md has them, and llama.cpp's image."""
        self.cluster.load_image(*self.images("llama.cpp"))
        self.installation.install()

    def images(self, *names: str) -> list[str]:
        """The archives of these images; those of all that a node of this cluster runs without a name."""
        table = subprocess.run([REPOSITORY / "hack/images", *(names or ("agent", "llama.cpp", "operator"))],
                               check=True, text=True, stdout=subprocess.PIPE).stdout
        return [line.split()[-1] for line in table.splitlines()[1:]]

    def sample(self) -> list[dict]:
        """config/samples/llama_deployment.yaml: the Deployment and its Service."""
        text = self.cluster.kubectl("create", "--dry-run=client", "-o", "json", "-f", str(REPOSITORY / "config/samples/llama_deployment.yaml"))
        decoder, objects, at = json.JSONDecoder(), [], 0
        while at < len(text.rstrip()):
            one, at = decoder.raw_decode(text, at)
            objects += one["items"] if one["kind"] == "List" else [one]
            at += len(text[at:]) - len(text[at:].lstrip())
        for one in objects:
            one["metadata"].pop("namespace", None)
        return objects

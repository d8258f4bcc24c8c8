"""How pods of a namespace start: when each was made, when its container's first process ran, when llama-server's /health said
ok, and how many bytes were on the node at its start.

Read off the processes themselves, since Kubernetes tells times in whole seconds: every node is made of namespaces of this
machine, so /proc here shows the container's first process, and through its root the model as the pod sees it.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.request

from testbed import Testbed

PORT = 8080


@dataclasses.dataclass
class PodStart:
    """Times on the monotonic clock, seconds."""

    name: str
    uid: str
    made: float
    model: str
    size: int
    node: str = ""
    address: str = ""
    pid: int = 0
    sandbox: float | None = None
    started: float | None = None
    ready: float | None = None
    present: int = 0
    origin: int = 0
    peers: int = 0
    restarts: int = 0
    gone: bool = False

    @property
    def seconds(self) -> float | None:
        """From the container's first process until llama-server answered that it is ready."""
        return None if self.ready is None or self.started is None else self.ready - self.started

    def wire(self, bytes_per_second: float) -> float:
        """What the link needs for what was not on the node yet."""
        return (self.size - self.present) / bytes_per_second


class PodStarts(contextlib.AbstractContextManager):
    """Follows the pods that carry the label `modelcache.io/inject`, from its entry on. `sizes`: bytes of each model by name."""

    def __init__(self, testbed: Testbed, namespace: str, sizes: dict[str, int]):
        self._testbed, self._namespace, self._sizes = testbed, namespace, sizes
        self.pods: dict[str, PodStart] = {}
        self._ended = threading.Event()

    def __enter__(self) -> "PodStarts":
        cluster = self._testbed.cluster
        kubectl = pathlib.Path((cluster.state / "programs").read_text().strip()) / "kubectl"
        self._watch = subprocess.Popen(
            [kubectl, "--kubeconfig", cluster.kubeconfig, "get", "pods", "-n", self._namespace, "-l", "modelcache.io/inject",
             "-w", "--output-watch-events", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watch.terminate()
        self._watch.wait()

    def on(self, model: str) -> list[PodStart]:
        return sorted((pod for pod in self.pods.values() if pod.model == model), key=lambda pod: pod.made)

    def _follow(self) -> None:
        # kubectl prints each event as one line.
        for line in self._watch.stdout:
            event = json.loads(line)
            self._take(event["type"], event["object"])

    def _take(self, kind: str, pod: dict) -> None:
        uid, model = pod["metadata"]["uid"], pod["metadata"]["labels"]["modelcache.io/inject"]
        known = self.pods.get(uid)
        if known is None:
            known = self.pods[uid] = PodStart(pod["metadata"]["name"], uid, time.monotonic(), model, self._sizes.get(model, 0))
            threading.Thread(target=self._observe, args=(known,), daemon=True).start()
        known.node = pod["spec"].get("nodeName", "")
        known.address = pod["status"].get("podIP", "")
        known.restarts = sum(one["restartCount"] for one in pod["status"].get("containerStatuses", []))
        known.gone = kind == "DELETED" or "deletionTimestamp" in pod["metadata"]

    def _observe(self, pod: PodStart) -> None:
        while not self._ended.is_set() and not pod.gone and pod.ready is None:
            with contextlib.suppress(OSError, ValueError):
                if not pod.pid:
                    self._find_process(pod)
                elif pod.address and answers(pod.address):
                    ready = time.monotonic()
                    after = self._traffic(pod)
                    pod.origin, pod.peers = (max(0, now - then) for now, then in zip(after, (pod.origin, pod.peers)))
                    # The last of them: who waits for it has the counters too.
                    pod.ready = ready
            self._ended.wait(0.03)

    def _find_process(self, pod: PodStart) -> None:
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                if pod.uid not in pathlib.Path(f"/proc/{entry}/cgroup").read_text():
                    continue
                program = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0]
                if program.endswith(b"llama-server"):
                    pod.started, pod.pid = start_of(int(entry)), int(entry)
                elif program.endswith(b"pause"):
                    pod.sandbox = start_of(int(entry))
        if pod.pid:
            pod.present = present(pod.pid, pod.model)
            pod.origin, pod.peers = self._traffic(pod)

    def _traffic(self, pod: PodStart) -> tuple[int, int]:
        """What the node's agent has read for the model so far: bytes from the store, bytes from other nodes."""
        netns = f"/run/netns/{self._testbed.cluster.name}-{pod.node}"
        answer = subprocess.run(["nsenter", f"--net={netns}", "curl", "-sf", "-m", "5", "http://127.0.0.1:9417/v1/status"],
                                stdout=subprocess.PIPE, text=True, check=False)
        if answer.returncode != 0:
            return 0, 0
        models = [one for one in json.loads(answer.stdout)["models"] if one.get("namespace") == self._namespace and one.get("name") == pod.model]
        return sum(one.get("originBytes", 0) for one in models), sum(one.get("peerBytes", 0) for one in models)


def start_of(pid: int) -> float:
    """When a process began, on the monotonic clock (proc_pid_stat(5), field 22, counts since boot)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK") - slept()


def slept() -> float:
    """Seconds since boot in which the machine was suspended: the monotonic clock alone does not count them."""
    # On a busy machine time passes between the two readings, which makes the difference smaller.
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic() for _ in range(20))


def present(pid: int, model: str) -> int:
    """Bytes of the model that the node has in memory, as the pod sees them: blocks of the sparse files."""
    total = 0
    for file in pathlib.Path(f"/proc/{pid}/root/models/{model}/.partial").glob("**/*"):
        with contextlib.suppress(OSError):
            state = file.stat()
            total += min(state.st_blocks * 512, state.st_size)
    return total


def answers(address: str) -> bool:
    """Whether llama-server says that it is ready; while it loads it answers 503."""
    try:
        with urllib.request.urlopen(f"http://{address}:{PORT}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False

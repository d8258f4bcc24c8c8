"""Where the soak takes place: the demo's cluster and store, llama-server on three nodes, and what the faults work on."""
import contextlib
import hashlib
import os
import pathlib
import random
import shutil
import threading
import time

from soak import objects, processes, steady
from soak.fault import AGENT
from soak.timeline import Timeline
from support.models import NODES, Model
from support.system import Running
from system_support.processes import clean_environment, free_port
from testbed import Testbed, namespace_with_keys, paths, wait_until

SPACE, DEPLOYMENT, MODEL, REPLICAS = "soak-models", "llama-gemma", "gemma", 3
# llama-server's, in pods and over plain files alike: one thread, one completion at a time, so that the same weights give the same text.
ENGINE_ARGUMENTS = ("-c", "512", "-t", "1", "-np", "1")
# Seconds after a fault within which all runs again.
RECOVERY = 240.0
# Of the folder of caches on the disk: a file system of its own on each node, that can be full without filling this machine's.
DISK_BYTES, DISK = 1 << 30, "/var/lib/modelcache"
# A ModelCache that is made and deleted.
FILES, FILE_BYTES = 8, 8 << 20


class World:
    """`bucket` is the folder that the store gives as the bucket `models`."""

    def __init__(self, testbed: Testbed, timeline: Timeline, bucket: pathlib.Path):
        self.testbed, self.cluster, self.installation = testbed, testbed.cluster, testbed.installation
        self.timeline, self.bucket, self.ended = timeline, bucket, threading.Event()
        self.replicas = REPLICAS
        self._made: dict[str, Made] = {}
        self._numbers, self._lock = 0, threading.Lock()

    # ---- prepared

    def prepare(self) -> None:
        """Everything applied, and well."""
        for node in NODES:
            self._own_disk(node)
        self.testbed.install()
        # What an earlier run with --keep left.
        self.cluster.kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--timeout=170s", seconds=180)
        namespace_with_keys(self.cluster, SPACE)
        Model(self.cluster, SPACE, MODEL).apply(self.testbed.store.endpoint, "gemma/")
        for one in self._engine():
            self.cluster.kubectl("apply", "-n", SPACE, "-f", "-", input=one)
        self.wait_well(600)

    def _own_disk(self, node: str) -> None:
        """Before the node's agent starts: it sees what is mounted then. The ballast of a full disk lies beside its folder."""
        outer = "/run/soak-disk"
        self.cluster.on(node, "sh", "-ec", f"""
            ! grep -q ' {outer} ' /proc/mounts || exit 0
            mkdir -p {outer} {DISK}
            truncate -s {DISK_BYTES} /var/lib/soak-disk.img
            mkfs.ext4 -q -F -m 0 /var/lib/soak-disk.img
            mount -o loop /var/lib/soak-disk.img {outer}
            mkdir -p {outer}/caches
            mount --bind {outer}/caches {DISK}""")

    def _engine(self) -> list[dict]:
        """The sample's Deployment and Service, one pod a node."""
        made = self.testbed.sample()
        for one in made:
            if one["kind"] == "Deployment":
                container = one["spec"]["template"]["spec"]["containers"][0]
                container["args"] += ENGINE_ARGUMENTS
                # All nodes share this machine's few cores, and a completion here takes a second.
                container["resources"]["requests"] = {"cpu": "50m", "memory": "256Mi"}
                container["readinessProbe"] |= {"timeoutSeconds": 5, "failureThreshold": 6}
                container["startupProbe"] |= {"timeoutSeconds": 5}
                one["spec"]["template"]["spec"]["topologySpreadConstraints"] = [{
                    "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": one["spec"]["selector"]["matchLabels"]}}]
        return made

    def address(self) -> str:
        service = self.cluster.get("service", "-n", SPACE, DEPLOYMENT)["spec"]
        return f"{service['clusterIP']}:{service['ports'][0]['port']}"

    def expected(self, folder: pathlib.Path) -> str:
        """The completion over plain files: the same program, without the library, on this machine."""
        port = free_port()
        server = Running([paths.llama() / "llama-server", "-m", paths.gemma(), "--host", "127.0.0.1", "--port", port, *ENGINE_ARGUMENTS],
                         folder / "plain.log", environment=clean_environment())

        def answered() -> str | None:
            server.must_live()
            with contextlib.suppress(OSError, steady.Refused):
                return steady.ask(f"127.0.0.1:{port}")
            return None
        try:
            said = wait_until(answered, "llama-server over plain files answers")
            if steady.ask(f"127.0.0.1:{port}") != said:
                raise SystemExit("soak: llama-server gives two texts for one prompt over plain files: nothing can be compared")
            return said
        finally:
            server.stop()

    # ---- looked at

    def objects(self, kinds: str, *more: str) -> list[dict]:
        return self.cluster.items(kinds, "--all-namespaces", *more)

    def ill(self) -> list[str]:
        """What does not run as it should, and processes that are missing."""
        found = objects.ill(self.objects(objects.WATCHED), {DEPLOYMENT: self.replicas})
        there = [node for _, _, node in processes.find(self.cluster.name, frozenset({AGENT}))]
        return found + [f"no agent on {node}" for node in NODES if node not in there]

    def wait_well(self, seconds: float = RECOVERY) -> float:
        """Seconds until all runs as it should; AssertionError that names what does not. The end of the soak ends it too."""
        began, last = time.monotonic(), []

        def well() -> bool:
            last[:] = self.ill()
            return not last or self.ended.is_set()
        wait_until(well, lambda: f"all runs again: {'; '.join(last)}", seconds, every=2)
        return time.monotonic() - began

    def process(self, program: str, node: str = "") -> tuple[int, str]:
        """(pid, node) of a process of this program; AssertionError when none runs within some time."""
        found = wait_until(lambda: [(pid, place) for pid, _, place in processes.find(self.cluster.name, frozenset({program})) if node in ("", place)],
                           f"a process of {program} on {node or 'a node'}", 90, every=1)
        return found[0]

    def kill(self, program: str, node: str = "") -> None:
        """SIGKILL, from which no program cleans up."""
        pid, place = self.process(program, node)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        self.timeline.note(f"killed {program} on {place}, pid {pid}")

    def pods_of_system(self, label: str) -> list[dict]:
        return [pod for pod in self.installation.pods(label) if "deletionTimestamp" not in pod["metadata"]]

    # ---- ModelCaches that come and go

    def source(self, prefix: str) -> dict[str, str]:
        """New objects at the store below `prefix`: SHA-256 by name."""
        folder = self.bucket / prefix
        folder.mkdir(parents=True)
        drawn, digests = random.Random(prefix), {}
        for number in range(FILES):
            data = drawn.randbytes(FILE_BYTES)
            (folder / f"{number}.bin").write_bytes(data)
            digests[f"{number}.bin"] = hashlib.sha256(data).hexdigest()
        return digests

    def make(self, kind: str, medium: str) -> None:
        """A ModelCache of objects that no other has, the one of this kind."""
        with self._lock:
            self._numbers += 1
            name = f"{kind}-{self._numbers}"
        digests = self.source(f"{name}/")
        model = Model(self.cluster, SPACE, name).apply(self.testbed.store.endpoint, f"{name}/", cache={"medium": medium})
        self._made[kind] = Made(self, model, medium, digests, time.monotonic())

    def unmake(self, kind: str, checked: bool = True) -> None:
        """Looks at the ModelCache of this kind, if it could be made, and deletes it, whatever it looks like."""
        made = self._made.pop(kind, None)
        if made is None:
            return
        try:
            if checked:
                made.check()
        finally:
            made.delete()


class Made:
    """One of them. To be checked and deleted."""

    def __init__(self, world: World, model: Model, medium: str, digests: dict[str, str], began: float):
        self._world, self._model, self._medium, self._digests, self._began = world, model, medium, digests, began

    def check(self) -> None:
        """It becomes Ready on all nodes, whatever happened meanwhile, and each node has the store's bytes."""
        model = self._model
        model.wait_ready(seconds=RECOVERY)
        self._world.timeline.note(f"ModelCache {model.name} ({self._medium}) is Ready on {len(NODES)} nodes after {time.monotonic() - self._began:.0f} s")
        for node in NODES:
            seen = wait_until(lambda: self._digests_on(node), f"{node} can be looked at", 60, every=2)
            if seen != self._digests:
                wrong = sorted(name for name in self._digests.keys() | seen.keys() if seen.get(name) != self._digests.get(name))
                raise AssertionError(f"ModelCache {model.name} on {node}: {', '.join(wrong)} differ from the store's objects")

    def _digests_on(self, node: str) -> dict[str, str] | None:
        # Its directory is there in every moment while it is Ready.
        return self._model.digests(node, self._medium)

    def delete(self) -> None:
        """Nothing is left of it, on any node or at the API server."""
        model = self._model
        began = time.monotonic()
        self._world.cluster.kubectl("delete", "modelcache", "-n", SPACE, model.name, "--ignore-not-found", f"--timeout={RECOVERY:g}s", seconds=RECOVERY + 30)
        model.wait_gone()
        shutil.rmtree(self._world.bucket / model.name, ignore_errors=True)
        self._world.timeline.note(f"ModelCache {model.name} is gone after {time.monotonic() - began:.0f} s")

"""What loads the model on a node of the swarm's rig. `poll` gives the seconds it took, None while it goes on."""
import pathlib
import time

from support.llama import Server
from support.processes import Running
from support.swarm import Node

# Maps the model and touches every page, in file order, as a loader does.
READER = """
import mmap, os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
for at in range(0, len(mapped), 1 << 20): mapped[at:at + (1 << 20):4096]
print(time.monotonic(), flush=True)
"""
PYTHON = "/usr/bin/python3"


class MappedRead:
    def __init__(self, node: Node, model: pathlib.Path, environment: dict[str, str]):
        self._begun = time.monotonic()
        self._reader = Running([PYTHON, "-I", "-S", "-c", READER, model], node.place.log("reader"), environment=environment)

    def poll(self) -> float | None:
        if self._reader.alive():
            return None
        self._reader.wait(1)
        if self._reader.process.returncode:
            raise SystemExit(f"bench: a reader failed:\n{self._reader.output()[-2000:]}")
        return float(self._reader.output().split()[-1]) - self._begun

    def stop(self) -> None:
        self._reader.stop()


class ServerStart:
    """A real llama-server, until /health says ok."""

    def __init__(self, node: Node, model: pathlib.Path, environment: dict[str, str]):
        self._server = Server(model, environment, node.place.log("llama-server"), "-c", "512", "--no-warmup")

    def poll(self) -> float | None:
        return time.monotonic() - self._server.process.started if self._server.is_ready() else None

    def stop(self) -> None:
        self._server.stop()

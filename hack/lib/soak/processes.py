"""The processes of ModelCache and llama-server on the nodes, read from /proc of this machine: every node is made of its namespaces."""
import contextlib
import dataclasses
import os
import pathlib
import re

from soak.fault import AGENT, ENGINE, MOUNTER, OPERATOR
from soak.judged import Ending

PROC = pathlib.Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One process at one moment. `memory` is what it has for itself (RssAnon): the pages of cached models are the node's."""

    at: float
    program: str
    node: str
    pid: int
    started: int
    """Clock ticks since the machine's boot: with the pid it names a process."""
    age: float
    memory: int
    descriptors: int
    threads: int
    mounts: int

    @property
    def key(self) -> str:
        return f"{self.pid}-{self.started}"


def program_of(words: list[str]) -> str | None:
    """The name of the program that runs with this command line, if it is one of those that are watched."""
    if not words:
        return None
    name = words[0].rpartition("/")[2]
    if name == "modelcache" and len(words) > 1 and words[1] in (AGENT, MOUNTER):
        return words[1]
    return {"modelcache-operator": OPERATOR, "llama-server": ENGINE}.get(name)


def node_of(cgroups: str, cluster: str) -> str | None:
    """The node whose control group a process is in, by its /proc/PID/cgroup."""
    found = re.search(rf"/{re.escape(cluster)}-cluster/(node-\d+)/", cgroups)
    return found[1] if found else None


def fields_of(status: str) -> dict[str, int]:
    """The numbers of a /proc/PID/status."""
    return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+)", status, re.M)}


def sample(pid: int, program: str, node: str, at: float) -> Sample:
    """OSError when it has ended."""
    folder = PROC / str(pid)
    status = fields_of((folder / "status").read_text())
    started = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
    uptime = float((PROC / "uptime").read_text().split()[0])
    return Sample(at, program, node, pid, started, uptime - started / TICKS, status.get("RssAnon", 0) * 1024, len(os.listdir(folder / "fd")),
                  status.get("Threads", 0), (folder / "mountinfo").read_text().count("\n"))


def find(cluster: str, programs: frozenset[str] | None = None) -> list[tuple[int, str, str]]:
    """(pid, program, node) of each watched process of the cluster."""
    found = []
    for entry in os.listdir(PROC):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (PROC / entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
            program = program_of(words)
            if program and (programs is None or program in programs):
                node = node_of((PROC / entry / "cgroup").read_text(), cluster)
                if node:
                    found.append((int(entry), program, node))
    return found


def look(cluster: str, at: float) -> list[Sample]:
    """A sample of each of them."""
    samples = []
    for pid, program, node in find(cluster):
        with contextlib.suppress(OSError, IndexError, ValueError):
            samples.append(sample(pid, program, node, at))
    return samples


def endings(looks: list[tuple[float, list[Sample]]]) -> list[Ending]:
    """The processes that were in one look and not in the next. A process is `run` anew by a kubelet as another one."""
    found = []
    for (before, earlier), (after, later) in zip(looks, looks[1:]):
        there = {one.key for one in later}
        found += [Ending(one.program, one.node, before, after) for one in earlier if one.key not in there]
    return found

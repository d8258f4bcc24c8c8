"""The mounts of a node, as its first process sees them, and what they are of."""
import contextlib
import pathlib
import re

# What differs from pod to pod and from container to container: identities, and the numbers of snapshots.
IDENTITY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|cni-[0-9a-f-]+")

# Network namespaces that have names, of this cluster and of others on this machine, show on every node: only those of pods are the node's.
FOREIGN = re.compile(r"/run/netns/(?!cni-).+")


def own(mountinfo: str) -> list[str]:
    """The places of a node's own mounts (proc_pid_mountinfo(5))."""
    places = [line.split()[4] for line in mountinfo.splitlines()]
    return [place for place in places if not FOREIGN.fullmatch(place)]


def shapes(mountinfo: str) -> dict[str, int]:
    """How many of them there are at each place, identities left out."""
    found: dict[str, int] = {}
    for place in own(mountinfo):
        place = IDENTITY.sub("*", place)
        found[place] = found.get(place, 0) + 1
    return found


def of_node(state: pathlib.Path, node: str) -> str:
    """Its mountinfo; empty where the node does not run."""
    with contextlib.suppress(OSError, IndexError):
        pid = (state / "pids" / node).read_text().split()[0]
        return pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
    return ""


def of_nodes(state: pathlib.Path, nodes: tuple[str, ...]) -> dict[str, int]:
    """Of all nodes together: a pod that moved to another node took its mounts along."""
    found: dict[str, int] = {}
    for node in nodes:
        for place, count in shapes(of_node(state, node)).items():
            found[f"mounts at {place}"] = found.get(f"mounts at {place}", 0) + count
    return found

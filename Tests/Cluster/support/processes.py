"""The processes of pods, read on their node: with which rights they run, and which keys they hold."""
import json
import re

from .cluster import Cluster
from .system import ACCESS_KEY, SECRET

# Keys of the store, and those that the emulator's STS and metadata services give; the role that a ModelCache of the tests names.
KEYS = {
    "access key": re.escape(ACCESS_KEY), "secret": re.escape(SECRET), "temporary key": r"STS\.\d+[0-9a-f]{16}",
    "session token": r"CAIS[0-9a-f]{64}", "role": r"acs:ram::\d+:role/",
}
# Runs on a node. A pod's processes bear its uid in their control group.
FIND = r"""
import json, os, re, sys
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
def pids(uid):
    found = (entry for entry in os.listdir("/proc") if entry.isdigit() and uid.encode() in read(f"/proc/{entry}/cgroup"))
    return {pid: read(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0") for pid in found}
"""
RIGHTS = FIND + r"""
print(json.dumps([{"command": [word.decode(errors="replace") for word in words]} | dict(
    line.split(":\t", 1) for line in read(f"/proc/{pid}/status").decode().splitlines() if ":\t" in line) for pid, words in pids(sys.argv[1]).items()]))
"""
SCAN = FIND + r"""
import base64
wanted = {name: re.compile(text.encode()) for name, text in json.loads(sys.argv[2]).items()}
token = re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.(eyJ[A-Za-z0-9_-]{10,})\.[A-Za-z0-9_-]{20,}")
found = set()
def look(place, data):
    found.update((place, name) for name, pattern in wanted.items() if pattern.search(data))
    for claims in token.findall(data):
        try:
            audience = json.loads(base64.urlsafe_b64decode(claims + b"=="))["aud"]
        except (ValueError, KeyError, TypeError):
            continue
        found.update((place, f"token for {one}") for one in ([audience] if isinstance(audience, str) else audience))
def memory(pid):
    for line in read(f"/proc/{pid}/maps").decode(errors="replace").splitlines():
        span, rights, *_ = line.split()
        if not rights.startswith("rw"):
            continue
        start, end = (int(edge, 16) for edge in span.split("-"))
        try:
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
                for at in range(start, end, 16 << 20):
                    file.seek(at)
                    # The next piece begins inside this one's end, so nothing is cut.
                    look("memory", file.read(min((16 << 20) + 8192, end - at)) or b"")
        except OSError:
            pass
def files(pid):
    root = f"/proc/{pid}/root"
    for folder, inside, names in os.walk(root):
        if folder == root:
            inside[:] = [one for one in inside if one not in ("proc", "sys")]
        for name in names:
            path = f"{folder}/{name}"
            try:
                # No pipe and no device: those would be waited for.
                if os.path.islink(path) or not os.path.isfile(path):
                    continue
            except OSError:
                continue
            look("file " + path[len(root):], read(path))
seen = pids(sys.argv[1])
for pid in seen:
    for name in ("environ", "cmdline", "mountinfo"):
        look(name, read(f"/proc/{pid}/{name}"))
    memory(pid)
    files(pid)
print(json.dumps({"processes": [words[0].decode() for words in seen.values()], "found": sorted(found)}))
"""


def rights(cluster: Cluster, node: str, pod: dict) -> dict[str, dict]:
    """/proc/PID/status of the pod's processes, by the second word of their command: `agent`, `mounter`."""
    listed = json.loads(cluster.on(node, "python3", "-c", RIGHTS, pod["metadata"]["uid"]))
    return {one["command"][1]: one for one in listed if len(one["command"]) > 1}


def held(cluster: Cluster, pod: dict) -> set[tuple[str, str]]:
    """(place, kind of key or audience of a token) of all that the pod's containers hold: environment, arguments, mounts, every file that
    they see, memory and logs. It must run."""
    node, wanted = pod["spec"]["nodeName"], json.dumps(KEYS)
    seen = json.loads(cluster.on(node, "python3", "-c", SCAN, pod["metadata"]["uid"], wanted))
    # The sandbox's process is one.
    assert len(seen["processes"]) > 1, seen
    log = cluster.kubectl("logs", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--all-containers")
    return {tuple(one) for one in seen["found"]} | in_text(log)


def in_text(text: str) -> set[tuple[str, str]]:
    """The same of a log, where a token of any audience is one too many."""
    found = {("log", name) for name, pattern in KEYS.items() if name != "role" and re.search(pattern, text)}
    return found | ({("log", "token")} if re.search(r"eyJ[A-Za-z0-9_-]{10,}\.eyJ", text) else set())

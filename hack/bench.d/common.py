"""What the benches share: a web server, a tmpfs of the cache's kind, medians, tables and the result file."""
import contextlib
import json
import mmap
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests/System"))
from support.agent import Agent, Place  # noqa: E402
from support.processes import Running, clean_environment, free_port, unmount_below, wait_until  # noqa: E402
from support.store import Store  # noqa: E402
from verdicts import verdict  # noqa: E402, F401

CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")
MIB, GIB = 1 << 20, 1 << 30

# A terminated bench cleans up like one that ended: mounts, namespaces and servers go.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def back_memory(size: int) -> None:
    """Touches `size` bytes and frees them again. A virtual machine gives long-free memory back to its host (free page
    reporting), and the next touch then waits for the host: up to ten times a page's cost, for whoever happens to touch it. A
    measured program meets pages that the machine has."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, size, 4096):
            memory[offset] = 1


@contextlib.contextmanager
def huge_tmpfs(size: str = "6g", huge: str = "always"):
    """A tmpfs mounted as the agent mounts its own; a plain folder in /dev/shm without root."""
    with tempfile.TemporaryDirectory(prefix="modelcache-bench-", dir="/dev/shm") as folder:
        mounted = os.geteuid() == 0
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},huge={huge},mode=700", "modelcache-bench", folder], check=True)
        try:
            yield pathlib.Path(folder)
        finally:
            if mounted:
                unmount_below(folder)


@contextlib.contextmanager
def nginx(root: pathlib.Path, address: str = "127.0.0.1", prefix=(), listing: str = "", hosts: dict | None = None):
    """An nginx of our own that serves `root`; gives its port. `listing`: further configuration; `hosts`:
    folders that are served under a host name of their own."""
    with tempfile.TemporaryDirectory(prefix="modelcache-nginx-") as folder:
        port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        temporary = "".join(f"{n}_temp_path {folder}/{n};" for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        named = "".join(f"server {{ listen {address}:{port}; server_name {name}; root {place}; default_type application/octet-stream; }}"
                        for name, place in (hosts or {}).items())
        pathlib.Path(folder, "nginx.conf").write_text(f"""
            {user} daemon off; pid {folder}/pid; error_log stderr; worker_processes 2;
            events {{ worker_connections 1024; }}
            http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {temporary}
              server {{ listen {address}:{port} backlog=1024; root {root}; default_type application/octet-stream; {listing} }}
              {named} }}
            """)
        server = Running(["nginx", "-c", f"{folder}/nginx.conf", "-p", folder, "-e", "stderr"], pathlib.Path(folder, "log"), prefix=prefix)
        try:
            def answers() -> bool:
                server.must_live()
                return subprocess.run([*prefix, "curl", "-s", "-o", "/dev/null", f"http://{address}:{port}/"], check=False).returncode == 0
            wait_until(answers, 10, "nginx answers")
            yield port
        finally:
            server.stop()


def random_file(path: pathlib.Path, size: int) -> pathlib.Path:
    """A file of bytes that do not compress, the same on every run."""
    import random
    block = random.Random(7).randbytes(64 * MIB)
    with open(path, "wb") as out:
        for offset in range(0, size, len(block)):
            out.write(block[: size - offset])
    return path


@contextlib.contextmanager
def one_file_rig(size: int, **settings: object):
    """A store that holds one file of random bytes and an agent with nothing cached: (folder, place, store, agent)."""
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
        bucket = work / "bucket"
        bucket.mkdir()
        random_file(bucket / "file", size)
        place = Place(work / "p")
        stack.callback(place.close)
        store = Store({"models": bucket}, place.log("store"))
        stack.callback(store.stop)
        agent = Agent(place, **settings).ready()
        stack.callback(agent.stop)
        yield work, place, store, agent


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}")
    for row in [head, ["-" * w for w in widths], *rows]:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def record(name: str, result: dict) -> None:
    """Leaves the result as JSON in the cache, beside those of other runs."""
    folder = CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    say(f"result: {folder / f'{name}.json'}")

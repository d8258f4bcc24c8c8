"""hack/bench beside: what a load, an opening and an eviction cost beside everything else that a node does.

  openings   a complete model is opened while other sources respond in seconds, beside the same openings alone
  demands    a small model's first bytes and whole, demanded beside a fill that saturates the link, beside the same alone at half the link
  share      a fill's part of the link while a reader of another model demands chunk after chunk without a pause
  evictions  `modelcache evict --force` of a model in the middle of its fill, also after a second client with other settings
  sessions   threads, descriptors and memory of the agent before and after many sessions
  restart    the answers of /healthz while a restarted agent compares a model on disk with its checksums, read from the disk itself
"""
import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import common
from common import GIB, MIB, say
from support import wire
from support.agent import Agent, Place
from support.processes import wait_until
from support.store import Store


@contextlib.contextmanager
def node(models: dict[str, int], *options: str, **settings: object):
    """A store with `models` (name -> bytes of its one file), and an agent: (place, store, agent)."""
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
        for name, size in models.items():
            (work / "bucket" / name).mkdir(parents=True)
            common.random_file(work / "bucket" / name / "file", size)
        place = Place(work / "p")
        stack.callback(place.close)
        store = Store({"models": work / "bucket"}, place.log("store"), options=options)
        stack.callback(store.stop)
        agent = Agent(place, MODELCACHE_MEDIUM="directory", **settings).ready()
        stack.callback(agent.stop)
        yield place, store, agent


def complete(place: Place, model: str) -> bool:
    return any(m["phase"] == "complete" and m["source"].endswith(f"/{model}/") for m in place.status()["models"])


def load(place: Place, store: Store, model: str) -> None:
    with wire.open_model(place, store.environment(f"{model}/")):
        wait_until(lambda: complete(place, model), 120, f"{model} is complete")


# An opening that takes longer counts as this many seconds.
PATIENCE = 20
# The agent does not list again for a caller that it saw so many seconds ago; the benches want it to.
REMEMBERED = 2.1


def timed_opening(place: Place, store: Store, model: str) -> float:
    began = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        wire.open_model(place, store.environment(f"{model}/"), PATIENCE).close()
    return time.perf_counter() - began


def openings(sources: int, delay: float, runs: int) -> dict:
    """Seconds of `runs` openings alone and beside `sources` models whose listings and HEADs take `delay` seconds."""
    slow = {f"slow{i}": 1 for i in range(sources)}
    with node({"ready": MIB, **slow}, MODELCACHE_EXPIRE_SECONDS=600) as (place, store, agent):
        load(place, store, "ready")
        alone = []
        for _ in range(runs):
            alone.append(timed_opening(place, store, "ready"))
            time.sleep(REMEMBERED)
        store.faults({"match": {"key": "slow*"}, "action": {"delayMs": delay * 1000}})
        waiting = []
        for name in slow:
            one = wire.connect(place, 60)
            one.send(wire.packet(wire.OPEN, wire.settings(store.environment(f"{name}/"))))
            waiting.append(one)
        time.sleep(0.5)
        beside = []
        for _ in range(runs):
            beside.append(timed_opening(place, store, "ready"))
            if beside[-1] >= PATIENCE:
                break
            time.sleep(REMEMBERED)
        for one in waiting:
            one.close()
        return {"alone": alone, "beside": beside}


def demanded(place: Place, store: Store, model: str) -> float:
    """Seconds from the opening of `model` until it is complete, with a reader's demand for all of it."""
    began = time.perf_counter()
    with wire.open_model(place, store.environment(f"{model}/")) as one:
        one.send(wire.demand(0, 0, 4 * MIB))
        wait_until(lambda: complete(place, model), 300, f"{model} is complete")
    return time.perf_counter() - began


def demands(rate: int, runs: int) -> dict:
    """Seconds of a demanded model of 4 MiB: alone at half of `rate` (bytes a second), and at all of it beside a large fill."""
    alone, beside = [], []
    for number in range(runs):
        with node({"small": 4 * MIB}, "--bandwidth", str(rate // 2)) as (place, store, agent):
            alone.append(demanded(place, store, "small"))
        with node({"small": 4 * MIB, "large": 60 * rate}, "--bandwidth", str(rate)) as (place, store, agent):
            with wire.open_model(place, store.environment("large/")):
                wait_until(lambda: store.requests()["bytesServed"] > 0, 30, "the large fill runs")
                time.sleep(2)
                beside.append(demanded(place, store, "small"))
        say(f"demands, run {number + 1}: alone at half the link {alone[-1]:.2f} s, beside a fill {beside[-1]:.2f} s")
    return {"alone": alone, "beside": beside}


def share(rate: int, runs: int, seconds: float = 20) -> list[float]:
    """The part of all bytes that a fill gets which nobody waits for, beside a reader that never pauses."""
    parts = []

    def received(place: Place) -> dict[str, int]:
        return {m["source"].rstrip("/").rsplit("/", 1)[1]: m["originBytes"] for m in place.status()["models"]}
    for number in range(runs):
        size = int(rate * (seconds + 10)) // MIB * MIB
        with node({"read": size, "large": size}, "--bandwidth", str(rate)) as (place, store, agent), \
                wire.open_model(place, store.environment("read/")) as reader, wire.open_model(place, store.environment("large/")):
            wait_until(lambda: received(place).get("large", 0) > 0, 30, "the fill runs")
            before, until = received(place), time.monotonic() + seconds
            while time.monotonic() < until:
                there = received(place)["read"]
                for ahead in range(8):
                    reader.send(wire.demand(0, min(there + ahead * MIB, size - 1), MIB))
            after = received(place)
            gained = {name: after[name] - before[name] for name in after}
            parts.append(gained["large"] / sum(gained.values()))
        say(f"share, run {number + 1}: the fill got {parts[-1]:.3f} of the link")
    return parts


def evictions(runs: int) -> dict:
    """Seconds of `modelcache evict --force` in the middle of a fill: with one client, and after a second with other settings."""
    result: dict[str, list[float]] = {"one client": [], "a second client": [], "a silent store": []}
    with node({"model": 400 * MIB}, "--bandwidth", "8MB") as (place, store, agent):
        for name, times in result.items():
            for _ in range(runs):
                with contextlib.ExitStack() as stack:
                    stack.enter_context(wire.open_model(place, store.environment("model/")))
                    time.sleep(REMEMBERED)
                    if name == "a second client":
                        stack.enter_context(wire.open_model(place, store.environment("model/", HTTP_SOURCE_IP="127.0.0.1")))
                    if name == "a silent store":
                        store.faults({"match": {"key": "model/*", "ranged": True}, "action": {"stallAfter": 65536}})
                    time.sleep(0.5)
                    model = place.status()["models"][0]["id"]
                    began = time.perf_counter()
                    gone = place.modelcache("evict", "--force", model)
                    times.append(time.perf_counter() - began)
                    if gone.returncode:
                        raise SystemExit(f"bench: evict failed: {gone.stderr.decode()}")
                    store.faults()
    return result


def figures(agent: Agent) -> dict[str, int]:
    return {"threads": len(os.listdir(f"/proc/{agent.pid}/task")), "descriptors": len(os.listdir(f"/proc/{agent.pid}/fd")),
            "MiB": agent.resident_anonymous_bytes() // MIB}


def sessions(count: int) -> dict:
    """The agent's figures before, during and after `count` sessions, a quarter of them with source addresses of their own."""
    with node({"ready": MIB}) as (place, store, agent):
        load(place, store, "ready")
        before = figures(agent)
        kept, refused = [], 0
        for number in range(count):
            extra = {"HTTP_SOURCE_IP": f"127.0.1.{number % 200 + 1}"} if number % 4 == 0 else {}
            try:
                kept.append(wire.open_model(place, store.environment("ready/", **extra)))
            except (RuntimeError, OSError):  # One process has at most 128 sessions.
                refused += 1
        during = figures(agent)
        for one in kept:
            one.close()

        def settled() -> bool:
            now = figures(agent)
            return now["threads"] <= before["threads"] and now["descriptors"] <= before["descriptors"]
        with contextlib.suppress(AssertionError, TimeoutError):
            wait_until(settled, 90, "threads and descriptors are back")
        return {"before": before, "during": during, "after": figures(agent), "refused": refused}


def sparse_model(folder: pathlib.Path, size: int) -> None:
    """Files of zeros that take no room in the bucket; the cache's copies are written, and take it."""
    folder.mkdir(parents=True)
    for number, offset in enumerate(range(0, size, 4 * GIB)):
        with open(folder / str(number), "wb") as file:
            file.truncate(min(4 * GIB, size - offset))


def probe_until(ended: threading.Event, address: str, times: list[float]) -> None:
    """Seconds of each answer of /healthz from its first on, two milliseconds apart."""
    while not ended.is_set():
        began = time.perf_counter()
        try:
            urllib.request.urlopen(f"http://{address}/healthz", timeout=PATIENCE).read()
            times.append(time.perf_counter() - began)
        except urllib.error.URLError as error:
            # Before the agent listens. A late or broken answer is not that.
            if times or not isinstance(error.reason, ConnectionRefusedError):
                times.append(PATIENCE)
        time.sleep(0.002)


def restart(size: int, folder: pathlib.Path) -> dict:
    """Seconds of the answers of /healthz from an agent that finds `size` bytes on disk, and of its whole check."""
    with tempfile.TemporaryDirectory(prefix="mcb-", dir=folder) as work, contextlib.ExitStack() as stack:
        place = Place(pathlib.Path(work, "p"))
        stack.callback(place.close)
        sparse_model(pathlib.Path(work, "bucket/model"), size)
        store = Store({"models": pathlib.Path(work, "bucket")}, place.log("store"))
        stack.callback(store.stop)
        first = Agent(place, MODELCACHE_MEDIUM="disk").ready()
        stack.callback(first.stop)
        with wire.open_model(place, store.environment("model/")):
            wait_until(lambda: complete(place, "model"), 3600, "the model is complete on disk")
        first.stop()
        for path in place.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        second = Agent(place, MODELCACHE_MEDIUM="disk")
        stack.callback(second.stop)
        ended, times = threading.Event(), []
        prober = threading.Thread(target=probe_until, args=(ended, second.http, times))
        prober.start()
        began = time.perf_counter()
        try:
            wait_until(lambda: "model checked" in second.process.output(), 3600, "the model is checked")
        finally:
            took = time.perf_counter() - began
            ended.set()
            prober.join()
        return {"answers": times, "check": took}


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench beside")
    parser.add_argument("--sources", type=int, default=64, help="that respond slowly")
    parser.add_argument("--delay", type=float, default=10, help="seconds of their responses")
    parser.add_argument("--rate", type=int, default=6_000_000, help="bytes a second of the link")
    parser.add_argument("--sessions", type=int, default=120)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--disk-bytes", type=int, default=8 * GIB, help="of the model that a restarted agent checks")
    parser.add_argument("--disk-folder", type=pathlib.Path, default=pathlib.Path("/var/tmp"), help="on a disk, with room for them")
    parser.add_argument("--only", choices=["restart"], help="this part alone, and no result")
    options = parser.parse_args()

    probed = restart(options.disk_bytes, options.disk_folder)
    common.table(f"/healthz while {options.disk_bytes / 1e9:.1f} GB on disk are checked in {probed['check']:.1f} s",
                 ["answers", "median ms", "slowest ms"],
                 [[str(len(probed["answers"])), f"{common.median(probed['answers']) * 1000:.1f}", f"{max(probed['answers']) * 1000:.1f}"]])
    in_time = common.verdict("slowest answer of /healthz after a restart, s", max(probed["answers"]), 0.1, False, compared=False)
    if options.only:
        return 0 if in_time else 1

    opened = openings(options.sources, options.delay, options.runs)
    fair = demands(options.rate, options.runs)
    shared = share(options.rate, min(options.runs, 3))
    evicted = evictions(options.runs)
    counted = sessions(options.sessions)

    def row(name: str, values: list[float], unit: float = 1000) -> list[str]:
        return [name, f"{common.median(values) * unit:.1f}", f"{max(values) * unit:.1f}"]
    common.table("openings of a complete model", ["", "median ms", "slowest ms"],
                 [row("alone", opened["alone"]), row(f"beside {options.sources} slow sources", opened["beside"])])
    common.table("a demanded model of 4 MiB", ["", "median s", "slowest s"],
                 [row("alone, half the link", fair["alone"], 1), row("beside a fill", fair["beside"], 1)])
    common.table("the link's part of a fill beside a reader that never pauses", ["", "median", "least"],
                 [["fill", f"{common.median(shared):.3f}", f"{min(shared):.3f}"]])
    common.table("evict --force", ["", "median ms", "slowest ms"], [row(name, times) for name, times in evicted.items()])
    common.table(f"{options.sessions} sessions, {counted['refused']} refused", ["", "threads", "descriptors", "MiB"],
                 [[when, *(str(counted[when][k]) for k in ("threads", "descriptors", "MiB"))] for when in ("before", "during", "after")])
    common.record("beside", {"openings": opened, "demands": fair, "share": shared, "evictions": evicted, "sessions": counted, "restart": probed,
                             "options": {name: value for name, value in vars(options).items() if name != "disk_folder"}})
    print()
    good = [
        in_time,
        common.verdict("slowest opening beside slow sources, s", max(opened["beside"]), 0.05, False),
        common.verdict("demanded beside a fill, of alone at half the link", common.median(fair["beside"]) / common.median(fair["alone"]), 1.5, False),
        common.verdict("a fill's part of the link beside a reader that never pauses", common.median(shared), 0.2, True),
        common.verdict("slowest evict --force, s", max(max(times) for times in evicted.values()), 0.2, False),
        common.verdict("threads after, of before", counted["after"]["threads"] / counted["before"]["threads"], 1, False, compared=False),
        common.verdict("descriptors after, of before", counted["after"]["descriptors"] / counted["before"]["descriptors"], 1, False, compared=False),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())

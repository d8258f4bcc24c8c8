"""hack/bench load: a real llama-server from its start until /health says ok.

  shaped    over a link of known speed: beside a plain parallel curl of the same bytes over the same link in this run
  unshaped  over loopback, beside the same file in plain tmpfs
  warm      a second start from the cache, beside plain tmpfs
  bench     llama-bench tokens per second from the cache, beside plain tmpfs
"""
import argparse
import contextlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import common
from common import say
from support import paths
from support.agent import Agent, Place
from support.link import ShapedLink
from support.llama import Server
from support.processes import clean_environment
from support.store import Store

SERVER = ("-c", "512")


def parallel_curl(link: ShapedLink, port: int, size: int, connections: int) -> float:
    """The wire time: equal ranges of the object with plain curl, all at once, thrown away."""
    step = (size + connections - 1) // connections
    started = time.monotonic()
    running = [
        subprocess.Popen([*link.on_client, "curl", "-sf", "-o", "/dev/null", "-r", f"{i * step}-{min(size, (i + 1) * step) - 1}",
                          f"http://{link.store_address}:{port}/gemma/gemma.gguf"])
        for i in range(connections)]
    if any([p.wait() for p in running]):
        raise SystemExit("bench: curl failed")
    return time.monotonic() - started


def ready(model: object, environment: dict[str, str], place: Place, prefix=()) -> float:
    server = Server(model, environment, place.log("llama-server"), *SERVER, prefix=prefix)
    try:
        return server.wait_ready(180)
    finally:
        server.stop()


def tokens(model: object, environment: dict[str, str]) -> float:
    out = subprocess.run([paths.llama() / "llama-bench", "-m", str(model), "-p", "0", "-n", "64", "-r", "3", "-t", "2", "-o", "json"],
                         env=environment, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return json.loads(out)[0]["avg_ts"]


def cold(bucket: pathlib.Path, work: pathlib.Path, name: str, link: ShapedLink | None) -> float:
    """A first start: store, agent and cache all new."""
    with contextlib.ExitStack() as stack:
        place = Place(work / name)
        stack.callback(place.close)
        there = {"prefix": link.on_store, "address": link.store_address} if link else {}
        here = link.on_client if link else ()
        store = Store({"models": bucket}, place.log("store"), **there)
        stack.callback(store.stop)
        stack.callback(Agent(place, prefix=here).ready().stop)
        model = work / f"{name}-model"
        return ready(model / "gemma.gguf", place.preloaded(store.environment("gemma/"), model), place, here)


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench load")
    parser.add_argument("--rate", type=int, default=96, help="Mbit/s of the shaped link")
    parser.add_argument("--connections", type=int, default=8, help="of the plain parallel curl")
    parser.add_argument("--runs", type=int, default=3, help="of the shaped link")
    parser.add_argument("--warm-runs", type=int, default=9)
    options = parser.parse_args()
    size = paths.gemma().stat().st_size
    plain = clean_environment()
    walls: dict[str, list[float]] = {k: [] for k in ("wire", "shaped", "unshaped", "tmpfs", "warm")}
    rates: dict[str, list[float]] = {"tmpfs": [], "cache": []}
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        bucket = work / "bucket"
        (bucket / "gemma").mkdir(parents=True)
        shutil.copyfile(paths.gemma(), bucket / "gemma/gemma.gguf")
        copy = stack.enter_context(common.huge_tmpfs("1g", huge="never")) / "gemma.gguf"
        shutil.copyfile(paths.gemma(), copy)

        for turn in range(options.runs):
            with ShapedLink(options.rate) as link:
                with common.nginx(bucket, link.store_address, prefix=link.on_store) as port:
                    walls["wire"].append(parallel_curl(link, port, size, options.connections))
                walls["shaped"].append(cold(bucket, work, f"s{turn}", link))
            say(f"shaped {turn + 1}/{options.runs}: wire {walls['wire'][-1]:.2f} s, ready {walls['shaped'][-1]:.2f} s")
        outside = Place(work / "o")
        for turn in range(options.warm_runs):
            walls["unshaped"].append(cold(bucket, work, f"u{turn}", None))
            walls["tmpfs"].append(ready(copy, plain, outside))

        place = Place(work / "w")
        stack.callback(place.close)
        store = Store({"models": bucket}, place.log("store"))
        stack.callback(store.stop)
        stack.callback(Agent(place).ready().stop)
        model = work / "model"
        preloaded = place.preloaded(store.environment("gemma/"), model)
        ready(model / "gemma.gguf", preloaded, place)
        common.wait_until(lambda: (model / "gemma.gguf").exists(), 60, "the model is published")
        plain_again = []
        for _ in range(options.warm_runs):
            walls["warm"].append(ready(model / "gemma.gguf", preloaded, place))
            plain_again.append(ready(copy, plain, outside))
            rates["tmpfs"].append(tokens(copy, plain))
            rates["cache"].append(tokens(model / "gemma.gguf", preloaded))
        walls["tmpfs beside warm"] = plain_again

    m = {k: common.median(v) for k, v in walls.items()}
    r = {k: common.median(v) for k, v in rates.items()}
    common.table("llama-server from start to ready, medians", ["", "seconds", "beside", "ratio"], [
        [f"cold, {options.rate} Mbit/s", f"{m['shaped']:.2f}", f"wire {m['wire']:.2f}", f"{m['shaped'] / m['wire']:.3f}"],
        ["cold, loopback", f"{m['unshaped']:.2f}", f"tmpfs {m['tmpfs']:.2f}", f"{m['unshaped'] / m['tmpfs']:.3f}"],
        ["second start", f"{m['warm']:.2f}", f"tmpfs {m['tmpfs beside warm']:.2f}", f"{m['warm'] / m['tmpfs beside warm']:.3f}"],
        ["llama-bench tokens/s", f"{r['cache']:.1f}", f"tmpfs {r['tmpfs']:.1f}", f"{r['cache'] / r['tmpfs']:.3f}"]])
    common.record("load", {"bytes": size, "rateMbit": options.rate, "seconds": walls, "tokensPerSecond": rates})
    good = common.verdict("wire time (s)", m["wire"], 20, at_least=True, compared=False)
    good &= common.verdict("cold start over the wire time", m["shaped"] / m["wire"], 1.05, at_least=False)
    good &= common.verdict("second start over plain tmpfs", m["warm"] / m["tmpfs beside warm"], 1.05, at_least=False)
    # Two medians of the same thing differ by a per cent or two on a busy machine.
    good &= common.verdict("tokens per second, cache over plain tmpfs", r["cache"] / r["tmpfs"], 0.98, at_least=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

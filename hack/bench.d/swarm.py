"""hack/bench swarm: N nodes start one model at once, each a real agent and a real reader in a network namespace of its own.

Every node's link, both ways, and what the store sends in all are shaped to one rate, so that one plain download takes `--seconds`.
For each N: how long the readers took (average and slowest) beside that one plain download in the same rig, what was read from the
store beside the model's size, and what it cost: processor seconds and memory of the agents. Draws docs/swarm.svg. With
--torrent the same with aria2 in place of the agents and readers, the store as the first one's web seed. With --servers the model is real weights and
the first nodes run llama-server.
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
import torrent
from common import MIB, REPOSITORY, say
from loaders import MappedRead, ServerStart
from plot import chart
from support import paths
from support.link import tcp_bytes_per_second
from support.processes import Running, clean_environment, resident_anonymous_bytes, wait_until
from support.swarm import SECRET, HubStore, Network, Node


def processor_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def plain_download(network: Network, store: HubStore) -> float:
    started = time.monotonic()
    subprocess.run([*network.inside(0), "curl", "-sf", "-o", "/dev/null", f"http://{store.address}:{store.port}/models/m/model"], check=True)
    return time.monotonic() - started


def one(count: int, bucket: pathlib.Path, size: int, rate: float, wants_wire: bool, medium: str, servers: int) -> dict:
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
        stack.callback(common.unmount_below, work)
        network = stack.enter_context(Network(count, rate))
        store = HubStore(network, {"models": bucket}, work / "store.log", ("--public", "models"))
        stack.callback(store.stop)
        wire = plain_download(network, store) if wants_wire else 0
        before = store.bytes_served
        secret = work / "secret"
        secret.write_text(SECRET + "\n")
        nodes = []
        for i in range(count):
            nodes.append(Node(network, i, work, secret, MODELCACHE_MEDIUM=medium, MODELCACHE_IN_FLIGHT="16MiB", MODELCACHE_THREADS=2))
            stack.callback(nodes[-1].stop)
            nodes[-1].start()
        idle = [processor_seconds(n.agent.pid) for n in nodes]
        environment = store.environment("m/")
        loads: list[MappedRead | ServerStart] = []
        started = time.monotonic()
        for i, node in enumerate(nodes):
            model = node.place.folder / "model"
            loads.append((ServerStart if i < servers else MappedRead)(node, model / "model", node.place.preloaded(environment, model)))
            stack.callback(loads[-1].stop)
        seconds, server_seconds, peak, turn = [], [], 0, 0
        deadline = time.monotonic() + 20 * max(10.0, size / network.bytes_per_second)
        left = list(loads)
        while left:
            # One agent a turn: to look at fifty at once costs what a few of them cost.
            peak = max(peak, resident_anonymous_bytes(nodes[turn % count].agent.pid))
            turn += 1
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {len(left)} of {count} readers did not end; log of the first agent:\n{nodes[0].output()[-4000:]}")
            for load in list(left):
                if (took := load.poll()) is not None:
                    left.remove(load)
                    seconds.append(took)
                    if isinstance(load, ServerStart):
                        server_seconds.append(took)
            time.sleep(0.25)
        all_seconds = time.monotonic() - started
        for node in nodes:
            wait_until(lambda node=node: node.model["phase"] == "complete", 60, "the model is whole and verified", every=0.2)
        status = [n.model for n in nodes]
        cpu = sum(processor_seconds(n.agent.pid) - i for n, i in zip(nodes, idle))
        served = store.bytes_served - before
        received = sum(s["peerBytes"] + s["originBytes"] for s in status)
        return {
            "nodes": count, "wireSeconds": wire, "readerSeconds": seconds, "serverSeconds": server_seconds, "average": sum(seconds) / count, "slowest": max(seconds),
            "allSeconds": all_seconds, "storeBytes": served, "storeRatio": served / size,
            "peerBytes": sum(s["peerBytes"] for s in status),
            "controlShare": sum(s["controlBytes"] for s in status) / received, "wasteRatio": received / size / count,
            "agentProcessorSeconds": cpu, "processorSecondsPerGB": cpu / (count * size / 1e9), "agentPeakBytes": peak,
        }


def plot(results: list[dict], rivals: list[dict], wire: float, path: pathlib.Path) -> None:
    def points(runs, key):
        return [(r["nodes"], r[key] / (1 if key == "storeRatio" else wire)) for r in runs]
    lines = [("slowest node", "#c0392b", False, points(results, "slowest")), ("average", "#1f5fa8", False, points(results, "average")),
             ("store bytes / model", "#2d8a4e", False, points(results, "storeRatio"))]
    if len(rivals) > 1:
        lines += [("aria2, slowest", "#e6a5a0", False, points(rivals, "slowest")), ("aria2, average", "#a3c1e0", False, points(rivals, "average")),
                  ("aria2, store bytes", "#a9d3b6", False, points(rivals, "storeRatio"))]
    chart(path, "Nodes that start one model at once: times and store bytes over one plain download", lines, [r["nodes"] for r in results])


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench swarm")
    parser.add_argument("--nodes", default="1,2,5,10,20,50", help="how many, comma-separated")
    parser.add_argument("--bytes", type=int, default=50_000_000, help="of the model; more than 50 MB keeps two cores busy with fifty agents")
    parser.add_argument("--seconds", type=float, default=53.0, help="that one plain download is to take")
    parser.add_argument("--medium", default="memory", help="memory or directory")
    parser.add_argument("--servers", type=int, default=0, help="nodes that run llama-server; the model is Gemma 3 270M (253 MB) then")
    parser.add_argument("--torrent", default="", help="numbers of nodes to run with BitTorrent too, comma-separated")
    parser.add_argument("--plot", type=pathlib.Path, default=REPOSITORY / "docs/swarm.svg")
    parser.add_argument("--json", action="store_true", help="print the result as JSON too")
    options = parser.parse_args()
    counts = [int(n) for n in options.nodes.split(",")]
    weights = paths.gemma() if options.servers else None
    if weights:
        options.bytes = weights.stat().st_size
    rate = options.bytes / options.seconds / tcp_bytes_per_second(1)
    results = []
    with tempfile.TemporaryDirectory(prefix="mcb-store-", dir="/dev/shm") as folder:
        bucket = pathlib.Path(folder)
        (bucket / "m").mkdir()
        if weights:
            shutil.copyfile(weights, bucket / "m/model")
        else:
            common.random_file(bucket / "m/model", options.bytes)
        wire = 0.0
        for count in counts:
            result = one(count, bucket, options.bytes, rate, not results, options.medium, options.servers)
            wire = wire or result["wireSeconds"]
            result["wireSeconds"] = wire
            results.append(result)
            say(f"{count} nodes: average {result['average'] / wire:.3f}, slowest {result['slowest'] / wire:.3f} of the wire's {wire:.1f} s, "
                f"store {result['storeRatio']:.3f}" + "".join(f", llama-server ready {s / wire:.3f}" for s in result["serverSeconds"]))
        common.table(
            f"{options.bytes / 1e6:.0f} MB at {rate:.1f} Mbit/s a link and the store; one plain download {wire:.1f} s",
            ["nodes", "average", "of wire", "slowest", "of wire", "store/model", "received/model", "control", "CPU s/GB", "agent MiB"],
            [[str(r["nodes"]), f"{r['average']:.1f}", f"{r['average'] / wire:.3f}", f"{r['slowest']:.1f}", f"{r['slowest'] / wire:.3f}",
              f"{r['storeRatio']:.3f}", f"{r['wasteRatio']:.3f}", f"{r['controlShare']:.3%}", f"{r['processorSecondsPerGB']:.2f}", f"{r['agentPeakBytes'] / MIB:.0f}"] for r in results])
        rivals = []

        def keep() -> None:
            if len(results) > 2:
                plot(results, rivals, wire, options.plot)
            common.record("swarm", {"torrent": rivals, "bytes": options.bytes, "rateMbit": rate, "wireSeconds": wire, "runs": results})

        # The rival may take an hour: what is measured already must not be lost with it.
        keep()
        for count in (int(n) for n in options.torrent.split(",") if n):
            with contextlib.ExitStack() as stack:
                work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcb-", dir="/dev/shm")))
                network = stack.enter_context(Network(count, rate))
                store = HubStore(network, {"models": bucket}, work / "store.log", ("--public", "models"))
                stack.callback(store.stop)
                try:
                    rivals.append(torrent.measure(count, bucket / "m/model", network, store, work, Running, wait_until, clean_environment()))
                except TimeoutError as error:
                    say(f"aria2, {count} nodes: {error}")
                    continue
            say(f"aria2, {count} nodes: average {rivals[-1]['average'] / wire:.3f}, slowest {rivals[-1]['slowest'] / wire:.3f}, "
                f"store {rivals[-1]['storeRatio']:.3f}")
    if rivals:
        common.table("BitTorrent (aria2, one node with the store as web seed) in the same rig", ["nodes", "average of wire", "slowest of wire", "store/model"],
                     [[str(r["nodes"]), f"{r['average'] / wire:.3f}", f"{r['slowest'] / wire:.3f}", f"{r['storeRatio']:.3f}"] for r in rivals])
        keep()
    if options.json:
        print(json.dumps(results, indent=2))
    good = True
    for r in results:
        if r["nodes"] > 1:
            good &= common.verdict(f"{r['nodes']} nodes: average over the wire", r["average"] / wire, 1.10, at_least=False)
            good &= common.verdict(f"{r['nodes']} nodes: slowest over the wire", r["slowest"] / wire, 1.15, at_least=False)
            good &= common.verdict(f"{r['nodes']} nodes: read from the store, of the model", r["storeRatio"], 1.02, at_least=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""hack/bench simulate: the planner on simulated time, from 1 to 5,000 nodes, through bad days, and of 664 GB at
100 Gbit/s. Prints the tables, leaves JSON in the cache's bench/ folder, and draws docs/swarm-simulated.svg."""
import argparse
import json
import os
import pathlib
import subprocess
import sys

from plot import chart
from verdicts import verdict

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")
LIMITS = {"average": 1.10, "slowest": 1.15, "originRatio": 1.02, "controlShare": 0.001}
# Beyond what a bad day makes unavoidable: told where missed, for the figures depend on one seed.
GOALS = {"averageExcess": 1.15, "worstExcess": 1.30}
# 664 GB at 100 Gbit/s: what the OSS Connector's figures were published for.
FULL_SCALE = ("--link", "12500e6", "--block-bytes", str(16 << 20), "--blocks", "39600", "--latency", "0.1", "--store-latency", "20")
SCENARIOS = ("seeder", "late", "joiners", "kill-third", "churn", "mixed", "spread", "slow-peer", "stalled-peer",
             "partition", "throttled", "racks", "racks-late", "racks-untold", "readers-apart", "two-models")
# Days on which a chain of nodes is compared: good ones, churn, and slow or stalled nodes.
CHAIN = ("uniform", "late", "kill-third", "churn", "spread", "mixed", "slow-peer", "stalled-peer")


def simulate(program: pathlib.Path, *options: str) -> list[dict]:
    answer = subprocess.run([program, "--json", *options], stdout=subprocess.PIPE, text=True)
    # 1: some node was slower than direct downloads, as its report says too.
    if answer.returncode not in (0, 1):
        raise SystemExit(f"{program} ended with {answer.returncode}")
    return [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]


def table(reports: list[dict]) -> None:
    """Times over one plain download. Direct: the slowest of as many downloads from the store."""
    print(f"{'scenario':14}{'nodes':>6}{'average':>9}{'bound':>7}{'slowest':>9}{'bound':>7}{'direct':>8}{'store/model':>13}"
          f"{'control':>9}{'requests':>10}{'finished':>10}")
    for r in reports:
        average, low, slowest, bound, direct = (
            f"{r[k]:.3f}" if r[k] is not None else "-" for k in ("average", "averageBound", "slowest", "bound", "slowestDirect"))
        print(f"{r['scenario']:14}{r['nodes']:>6}{average:>9}{low:>7}{slowest:>9}{bound:>7}{direct:>8}{r['originRatio']:>13.3f}"
              f"{r['controlShare']:>9.3%}{r['requestShare']:>10.3%}{r['finished']:>6}/{r['finished'] + r['unfinished']}")


def plot(reports: list[dict], path: pathlib.Path) -> None:
    """Slowdown and store bytes over the number of nodes."""
    def points(key):
        return [(r["nodes"], r[key]) for r in reports]
    chart(path, "Nodes that begin together, simulated: times and store bytes over one plain download",
          [("slowest node", "#c0392b", False, points("slowest")), ("average", "#1f5fa8", False, points("average")),
           ("store bytes / model", "#2d8a4e", False, points("originRatio")), ("store-and-forward bound", "#777", True, points("bound"))],
          [r["nodes"] for r in reports])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True, help="modelcache-sim")
    parser.add_argument("--nodes", default="1,2,5,10,20,50,100,200,500,1000,2000,5000")
    parser.add_argument("--blocks", default="480")
    parser.add_argument("--bad-days", type=int, default=50, help="nodes of the other scenarios (default 50)")
    parser.add_argument("--full-scale", default="1,10,50", help="nodes that load 664 GB at 100 Gbit/s; empty: none")
    parser.add_argument("--plot", type=pathlib.Path, default=REPOSITORY / "docs/swarm-simulated.svg")
    options = parser.parse_args()
    together = simulate(options.program, "--nodes", options.nodes, "--blocks", options.blocks)
    table(together)
    print()
    bad = simulate(options.program, "--nodes", str(options.bad_days), "--blocks", options.blocks, "--scenario", ",".join(SCENARIOS))
    table(bad)
    print("\nthe same as a chain")
    chain = simulate(options.program, "--nodes", str(options.bad_days), "--blocks", options.blocks,
                     "--scenario", ",".join(CHAIN), "--strategy", "chain")
    table(chain)
    full_scale = []
    if options.full_scale:
        print("\n664 GB at 100 Gbit/s")
        full_scale = simulate(options.program, *FULL_SCALE, "--nodes", options.full_scale)
        table(full_scale)
    (CACHE / "bench").mkdir(parents=True, exist_ok=True)
    (CACHE / "bench/simulate.json").write_text(json.dumps({"limits": LIMITS, "together": together, "bad": bad, "chain": chain, "fullScale": full_scale}, indent=1))
    plot(together, options.plot)
    missed = [f"{r['nodes']} nodes: {key} {r[key]}" for r in together + full_scale if r["nodes"] <= 50
              for key, limit in LIMITS.items() if r[key] is None or r[key] > limit]
    for r in full_scale:
        for key, limit in list(LIMITS.items())[:3]:
            if r[key] is not None:
                verdict(f"664 GB at 100 Gbit/s, {r['nodes']} nodes: {key}", r[key], limit, at_least=False)
    missed += [f"{r['scenario']}: {r['unfinished']} nodes did not finish" for r in bad if r["unfinished"]]
    missed += [f"{r['scenario']}, {r['nodes']} nodes: {r['slowerThanDirect']} took longer than with direct downloads"
               for r in together + bad + full_scale if r["slowerThanDirect"]]
    for r in bad:
        for key, goal in GOALS.items():
            if r[key] is not None and r[key] > goal:
                print(f"goal missed: {r['scenario']}: {key} {r[key]:.3f}, goal {goal}")
    for text in missed:
        print(f"limit missed: {text}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""hack/bench simulate: the planner on simulated time, from 1 to 5,000 nodes and through bad days. Prints both tables,
leaves JSON in the cache's bench/ folder, and draws docs/swarm-simulated.svg."""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")
LIMITS = {"average": 1.10, "slowest": 1.15, "originRatio": 1.02, "controlShare": 0.001}
SCENARIOS = ("seeder", "late", "joiners", "kill-third", "churn", "mixed", "spread", "slow-peer", "stalled-peer",
             "partition", "throttled", "racks", "two-models")


def simulate(program: pathlib.Path, *options: str) -> list[dict]:
    answer = subprocess.run([program, "--json", *options], check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]


def table(reports: list[dict]) -> None:
    print(f"{'scenario':14}{'nodes':>6}{'average':>9}{'slowest':>9}{'bound':>8}{'store/model':>13}{'control':>9}{'requests':>10}{'finished':>10}")
    for r in reports:
        average, slowest = (f"{r[k]:.3f}" if r[k] is not None else "-" for k in ("average", "slowest"))
        print(f"{r['scenario']:14}{r['nodes']:>6}{average:>9}{slowest:>9}{r['bound']:>8.3f}{r['originRatio']:>13.3f}"
              f"{r['controlShare']:>9.3%}{r['requestShare']:>10.3%}{r['finished']:>6}/{r['finished'] + r['unfinished']}")


def plot(reports: list[dict], path: pathlib.Path) -> None:
    """Slowdown and store bytes over the number of nodes, on a logarithmic axis."""
    width, height, left, top = 720, 360, 60, 30
    right, bottom = width - 150, height - 50
    low, high = 0.95, max(1.25, max(r["slowest"] for r in reports) + 0.05)
    most = math.log10(max(r["nodes"] for r in reports)) or 1

    def point(nodes, value):
        return left + (right - left) * math.log10(nodes) / most, bottom - (bottom - top) * (value - low) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="18" font-size="14">Nodes that begin together, simulated: times and store bytes over one plain download</text>']
    value = 1.0
    while value <= high + 1e-9:
        y = point(1, value)[1]
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        value += 0.05
    for r in reports:
        x = point(r["nodes"], low)[0]
        out.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{r["nodes"]}</text>')
    out.append(f'<text x="{(left + right) / 2}" y="{height - 12}" text-anchor="middle">nodes</text>')
    lines = (("slowest", "slowest node", "#c0392b", ""), ("average", "average", "#1f5fa8", ""),
             ("originRatio", "store bytes / model", "#2d8a4e", ""), ("bound", "store-and-forward bound", "#777", "5 4"))
    for place, (key, name, colour, dash) in enumerate(lines):
        points = " ".join("{:.1f},{:.1f}".format(*point(r["nodes"], r[key])) for r in reports)
        style = f' stroke-dasharray="{dash}"' if dash else ""
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{style}/>')
        if not dash:
            out += ['<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>'.format(*point(r["nodes"], r[key]), colour) for r in reports]
        out.append(f'<text x="{right + 10}" y="{top + 20 + place * 20}" fill="{colour}">{name}</text>')
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True, help="modelcache-sim")
    parser.add_argument("--nodes", default="1,2,5,10,20,50,100,200,500,1000,2000,5000")
    parser.add_argument("--blocks", default="480")
    parser.add_argument("--bad-days", type=int, default=50, help="nodes of the other scenarios (default 50)")
    parser.add_argument("--plot", type=pathlib.Path, default=REPOSITORY / "docs/swarm-simulated.svg")
    options = parser.parse_args()
    together = simulate(options.program, "--nodes", options.nodes, "--blocks", options.blocks)
    table(together)
    print()
    bad = simulate(options.program, "--nodes", str(options.bad_days), "--blocks", options.blocks, "--scenario", ",".join(SCENARIOS))
    table(bad)
    (CACHE / "bench").mkdir(parents=True, exist_ok=True)
    (CACHE / "bench/simulate.json").write_text(json.dumps({"limits": LIMITS, "together": together, "bad": bad}, indent=1))
    plot(together, options.plot)
    missed = [f"{r['nodes']} nodes: {key} {r[key]}" for r in together if r["nodes"] <= 50
              for key, limit in LIMITS.items() if r[key] is None or r[key] > limit]
    missed += [f"{r['scenario']}: {r['unfinished']} nodes did not finish" for r in bad if r["unfinished"]]
    for text in missed:
        print(f"limit missed: {text}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

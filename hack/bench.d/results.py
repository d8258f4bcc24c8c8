"""The record of figures: docs/results.json, the table and the picture in docs/results.md, and what `hack/bench --record` does.

A figure is a verdict of a bench. Where one is 3 % worse than the recorded one, the machine may be the cause: then the programs of the recorded
commit and those of now run in turns, and the median of the pairs decides.

usage: results.py render [--check]
       results.py record BENCH... [--pairs N] [--record FILE] [--page FILE] [--bench PROGRAM]
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "hack/lib"))
from made import settle  # noqa: E402

RECORD, PAGE = REPOSITORY / "docs/results.json", REPOSITORY / "docs/results.md"
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")
TOLERANCE = 0.03
# Simulated time has no noise, and the simulator is no program of dist/: the first run decides.
EXACT = {"simulate"}


class Figure(NamedTuple):
    """One verdict. `better` is lower or higher."""

    name: str
    value: float
    limit: float
    better: str


def worse(last: float, now: float, better: str) -> float:
    """By which part `now` is worse than `last`; negative where it is better."""
    difference = now - last if better == "lower" else last - now
    if last == 0:
        return math.inf if difference > 0 else 0.0
    return difference / abs(last)


def suspects(last: dict[str, dict], now: list[Figure]) -> list[Figure]:
    """Figures that one run shows beyond the tolerance."""
    return [one for one in now if one.name in last and worse(last[one.name]["value"], one.value, one.better) > TOLERANCE]


def decided(figure: Figure, pairs: list[tuple[float, float]]) -> float:
    """The median part by which the second of each pair is worse than the first: the verdict over machine and chance."""
    return statistics.median(worse(old, new, figure.better) for old, new in pairs)


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores{f' ({model[1].strip()})' if model else ''}, {memory:.0f} GiB, Linux {kernel}"


class Bench:
    """One bench, run by `program`; `kept` holds the programs of recorded commits."""

    def __init__(self, name: str, program: pathlib.Path, kept: pathlib.Path):
        self.name, self.program, self.kept = name, program, kept

    def figures(self, programs: pathlib.Path | None = None) -> tuple[list[Figure], bool]:
        """A run, with the programs in a folder or those of dist/: its figures, and whether all limits were kept."""
        with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
            environment = os.environ | {"MODELCACHE_BENCH_FIGURES": file.name}
            if programs:
                environment["MODELCACHE_DIST"] = str(programs)
            run = subprocess.run([self.program, self.name], env=environment, check=False)
            return [Figure(**json.loads(line)) for line in file], run.returncode == 0

    def regressions(self, last: dict[str, dict], now: list[Figure], pairs: int) -> dict[str, float]:
        """Name -> part, of each figure that is worse than the record on paired runs."""
        beyond = suspects(last, now)
        if self.name in EXACT:
            return {one.name: worse(last[one.name]["value"], one.value, one.better) for one in beyond}
        found: dict[str, float] = {}
        for commit in sorted({last[one.name]["commit"] for one in beyond}):
            those = [one for one in beyond if last[one.name]["commit"] == commit]
            say(f"{self.name}: {', '.join(one.name for one in those)}: worse than at {commit}; {pairs} pairs decide")
            seen = self.paired(programs_of(commit, self.kept), pairs)
            for one in those:
                both = [(old[one.name], new[one.name]) for old, new in seen if one.name in old and one.name in new]
                # A figure that the older program never gives can not be held against this one.
                part = decided(one, both) if both else 0.0
                if part > TOLERANCE:
                    found[one.name] = part
        return found

    def paired(self, old: pathlib.Path, pairs: int) -> list[tuple[dict[str, float], dict[str, float]]]:
        seen = []
        for turn in range(pairs):
            values = {}
            # Each goes first as often as the other.
            for which, programs in sorted({"old": old, "new": None}.items(), reverse=bool(turn % 2)):
                values[which] = {one.name: one.value for one in self.figures(programs)[0]}
            seen.append((values["old"], values["new"]))
        return seen


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", REPOSITORY, *arguments], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def programs_of(commit: str, kept: pathlib.Path) -> pathlib.Path:
    """The products of a commit, as they were kept, or built from it: some minutes."""
    folder = kept / commit
    if not (folder / "bin").exists():
        with tempfile.TemporaryDirectory(prefix="modelcache-recorded-") as work:
            say(f"building the programs of {commit}")
            git("worktree", "add", "--quiet", "--detach", f"{work}/tree", commit)
            try:
                subprocess.run(["hack/build"], cwd=f"{work}/tree", env=os.environ | {"MODELCACHE_DIST": f"{work}/dist"}, check=True, stdout=sys.stderr)
                keep(pathlib.Path(work) / "dist", folder)
            finally:
                git("worktree", "remove", "--force", f"{work}/tree")
    return folder


def keep(distribution: pathlib.Path, folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(distribution, folder, ignore=shutil.ignore_patterns("release"))


def record(benches: list[str], pairs: int, file: pathlib.Path, page: pathlib.Path, program: pathlib.Path, kept: pathlib.Path) -> list[str]:
    """Runs each bench and renews its figures; what is wrong, one line each. A figure that became worse keeps its record."""
    commit, today, here = git("rev-parse", "--short=7", "HEAD"), datetime.date.today().isoformat(), machine()
    faults = []
    for name in benches:
        say(f"== {name}")
        bench, recorded = Bench(name, program, kept), json.loads(file.read_text())
        now, good = bench.figures()
        if not good:
            faults.append(f"{name}: a limit is missed, or the bench failed")
        last = recorded.setdefault(name, {})
        became = bench.regressions(last, now, pairs)
        for one in now:
            if one.name in became:
                was = last[one.name]
                faults.append(f"{name}: {one.name}: {became[one.name]:.1%} worse than at {was['commit']} ({was['value']:.4g} then, {one.value:.4g} now)")
            else:
                last[one.name] = {"value": one.value, "limit": one.limit, "better": one.better, "date": today, "commit": commit, "machine": here}
        # After each bench: the next may take an hour.
        file.write_text(json.dumps(recorded, indent=1) + "\n")
        for path, text in rendered(file, page).items():
            path.write_text(text)
    remember(json.loads(file.read_text()), commit, kept)
    return faults


def remember(recorded: dict[str, dict], commit: str, kept: pathlib.Path) -> None:
    """The programs of this commit stay for the next record's pairs; those that no figure names any more go."""
    keep(pathlib.Path(os.environ.get("MODELCACHE_DIST") or REPOSITORY / "dist"), kept / commit)
    named = {one["commit"] for figures in recorded.values() for one in figures.values()}
    for folder in kept.iterdir():
        if folder.name not in named:
            shutil.rmtree(folder)


def rendered(file: pathlib.Path, page: pathlib.Path) -> dict[pathlib.Path, str]:
    """The page with its table anew, and the picture beside it."""
    recorded = json.loads(file.read_text())
    rows = ["| figure | measured | limit | date | commit | machine |", "| --- | --- | --- | --- | --- | --- |"]
    for bench, figures in recorded.items():
        rows.append(f"| **`hack/bench {bench}`** | | | | | |")
        for name, one in figures.items():
            sign = "at most" if one["better"] == "lower" else "at least"
            kept = worse(one["limit"], one["value"], one["better"]) <= 0
            rows.append(f"| {name} | {number(one['value'])}{'' if kept else ' (missed)'} | {sign} {number(one['limit'])} | {one['date']} | {one['commit']} | {one['machine']} |")
    begin, end = "<!-- from results.json: begin -->", "<!-- end -->"
    text, count = re.subn(rf"{begin}.*?{end}", lambda _: "\n".join([begin, "", *rows, "", end]), page.read_text(), flags=re.S)
    if count != 1:
        raise SystemExit(f"bench: {page} has no place for the table: {begin} ... {end}")
    return {page: text, page.with_suffix(".svg"): picture(recorded)}


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"


def picture(recorded: dict[str, dict[str, dict]]) -> str:
    """A bar for each figure: which part of its limit it uses. The limit is the line."""
    bars = [(f"{bench}: {name}", part_of_limit(one)) for bench, figures in recorded.items() for name, one in figures.items() if one["limit"]]
    left, unit, step, top = 400, 260, 18, 40
    height = top + step * len(bars) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + 420} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{left + 420}" height="{height}" fill="white"/>',
           '<text x="10" y="20" font-size="14">Each figure as a part of its limit: shorter is better, beyond the line it is missed</text>']
    for index, (name, part) in enumerate(bars):
        y, colour = top + index * step, "#2d8a4e" if part <= 1 else "#c0392b"
        shown = min(part, 1.4)
        short = name if len(name) <= 62 else name[:61] + "…"
        escaped = short.replace("&", "&amp;").replace("<", "&lt;")
        out += [f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escaped}</text>',
                f'<rect x="{left}" y="{y + 2}" width="{shown * unit:.1f}" height="{step - 6}" fill="{colour}"/>',
                f'<text x="{left + 1.4 * unit + 10:.0f}" y="{y + 11}" fill="#555">{part:.2f}</text>']
    out.append(f'<line x1="{left + unit}" y1="{top - 6}" x2="{left + unit}" y2="{height - 6}" stroke="#333" stroke-dasharray="4 3"/>')
    return "\n".join([*out, "</svg>"]) + "\n"


def part_of_limit(one: dict) -> float:
    if one["better"] == "lower":
        return one["value"] / one["limit"]
    return one["limit"] / one["value"] if one["value"] else math.inf


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench --record")
    parser.add_argument("verb", choices=("render", "record"))
    parser.add_argument("benches", nargs="*")
    parser.add_argument("--check", action="store_true", help="of render: write nothing, end with 1 where a file differs")
    parser.add_argument("--pairs", type=int, default=5, help="runs of both programs that decide about a figure")
    parser.add_argument("--record", type=pathlib.Path, default=RECORD)
    parser.add_argument("--page", type=pathlib.Path, default=PAGE)
    parser.add_argument("--bench", type=pathlib.Path, default=REPOSITORY / "hack/bench")
    parser.add_argument("--kept", type=pathlib.Path, default=CACHE / "bench/programs")
    options = parser.parse_args()
    if options.verb == "render":
        return settle("bench", rendered(options.record, options.page))
    faults = record(options.benches, options.pairs, options.record, options.page, options.bench, options.kept)
    for fault in faults:
        say(f"FAILED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

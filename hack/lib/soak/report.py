"""What a soak showed: a report for people, its pictures, and the same as JSON."""
import dataclasses
import json
import pathlib
import statistics
import typing

from soak import judged
from soak.fault import AGENT, ENGINE, MOUNTER, OPERATOR
from soak.growth import Growth
from soak.timeline import clock
from soak.verdicts import PROMISES, Recorded, Verdict

# Of each promise so many breaches are shown with the timeline around them; the JSON has all.
SHOWN = 5
# Seconds for which requests are put together in one point of a picture.
TOGETHER = 10.0


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def number(value: float, unit: str = "") -> str:
    return f"{value / 1e6:.1f} MB" if unit == "bytes" else f"{value:.0f}"


def table(head: list[str], rows: typing.Iterable[typing.Iterable[object]]) -> str:
    """As Markdown."""
    lines = [head, ["---"] * len(head), *([str(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def promises(verdict: Verdict) -> str:
    return table(["promise", "", "broken"], [[text, "kept" if not verdict.of(name) else "**broken**", len(verdict.of(name)) or ""] for name, text in PROMISES.items()])


def requests(recorded: Recorded, verdict: Verdict) -> str:
    seconds = [one.seconds for one in recorded.requests if not one.failure]
    failed = sum(1 for one in recorded.requests if one.failure)
    explained = sum(verdict.explained.values())
    return table(["requests", "wrong completions", "failed", "of them explained", "median", "99 %", "slowest"], [[
        len(recorded.requests), sum(1 for one in recorded.requests if one.wrong), failed, explained,
        f"{statistics.median(seconds):.2f} s" if seconds else "-", f"{quantile(seconds, 0.99):.2f} s", f"{max(seconds, default=0):.2f} s"]])


def faults(recorded: Recorded, verdict: Verdict) -> str:
    """By name, in the order in which they came first."""
    rows = []
    for name in dict.fromkeys(one.name for one in recorded.happened):
        some = [one for one in recorded.happened if one.name == name]
        lasted = [one.ended - one.began for one in some if one.ended is not None]
        recovered = [one.recovered for one in some if one.recovered is not None]
        rows.append([name, len(some), f"{statistics.median(lasted):.0f} s" if lasted else "-", f"{max(lasted, default=0):.0f} s" if lasted else "-",
                     f"{max(recovered):.0f} s" if recovered else "-", verdict.explained.get(name, "")])
    return table(["fault or change", "times", "lasted, median", "longest", "well again after, longest", "failed requests explained"], rows)


def growths(some: list[Growth]) -> str:
    def row(one: Growth) -> list[object]:
        unit = "bytes" if one.measure == "memory" else ""
        said = "not judged" if one.grown is None else "**grows**" if one.leaks else "flat"
        return [one.measure, one.of, number(one.first, unit), number(one.last, unit), number(one.most, unit),
                "-" if one.grown is None else ("+" if one.grown >= 0 else "") + number(one.grown, unit), number(one.bound, unit), said]
    return table(["measure", "of", "first", "last", "most", "grown in the second half", "at most", ""], [row(one) for one in some])


def breaches(recorded: Recorded, verdict: Verdict) -> str:
    """The first of each promise, each with the timeline around it."""
    parts = []
    for name in PROMISES:
        for one in verdict.of(name)[:SHOWN]:
            lines = "\n".join(f"{clock(at):>8}  {text.splitlines()[0][:200]}" for at, text in judged.around(recorded.timeline, one.at))
            parts.append(f"### {name}, at {clock(one.at)}\n\n```\n{one.text[:3000]}\n```\n\nThe timeline around it:\n\n```\n{lines or '(nothing)'}\n```")
        if len(verdict.of(name)) > SHOWN:
            parts.append(f"{len(verdict.of(name)) - SHOWN} more of this promise are in the JSON.")
    return "\n\n".join(parts)


def markdown(recorded: Recorded, verdict: Verdict, facts: dict[str, object]) -> str:
    """The report. `facts`: what the soak was of."""
    parts = [f"# Soak of {clock(recorded.seconds)}: {'all promises kept' if verdict.kept else 'promises broken'}",
             "\n".join(f"- {name}: {value}" for name, value in facts.items()), promises(verdict),
             "## Requests", requests(recorded, verdict), "## Faults and changes", faults(recorded, verdict),
             "## Growth", "The slope of the second half, as docs/reliability.md says. The shaded spans of the pictures are faults that explain failed requests.",
             "![pictures](soak.svg)", growths(verdict.growths)]
    if not verdict.kept:
        parts += ["## Broken promises", breaches(recorded, verdict)]
    parts += ["## Timeline", "```\n" + "\n".join(f"{clock(at):>8}  {text.splitlines()[0][:200]}" for at, text in recorded.timeline) + "\n```"]
    return "\n\n".join(parts) + "\n"


def panels(recorded: Recorded) -> list[tuple[str, list[dict]]]:
    """Rows of charts, as hack/bench.d/plot.py draws them."""
    bands = [(one.began, recorded.seconds if one.ended is None else one.ended) for one in recorded.happened if one.explains.failures]
    span = (0.0, recorded.seconds)

    def panel(title: str, unit: str, lines: list[tuple[str, list[tuple[float, float]]]]) -> dict:
        return {"title": title, "unit": unit, "kind": "chart", "lines": [line for line in lines if line[1]], "bands": bands, "span": span}

    def together(title: str, unit: str, of: typing.Callable, reduced: typing.Callable) -> dict:
        found: dict[int, list] = {}
        for one in recorded.requests:
            found.setdefault(int(one.at / TOGETHER), []).append(of(one))
        return panel(title, unit, [(f"in {TOGETHER:.0f} s", [(slot * TOGETHER, reduced(values)) for slot, values in sorted(found.items())])])

    def per_node(program: str, measure: str, unit: str, title: str) -> dict:
        lines: dict[str, dict[float, float]] = {}
        for at, look in recorded.looks:
            for one in look:
                if one.program == program:
                    # Of several on one node, as in a rolling update, the sum.
                    points = lines.setdefault(one.node, {})
                    points[at] = points.get(at, 0) + getattr(one, measure)
        return panel(title, unit, [(node, sorted(points.items())) for node, points in sorted(lines.items())])

    rows = [("Requests", [
        together("time to the completion, median", "s", lambda one: one.seconds, statistics.median),
        together("slowest", "s", lambda one: one.seconds, max),
        together("failed", "", lambda one: 1 if one.failure else 0, sum)])]
    for program in (AGENT, MOUNTER, OPERATOR, ENGINE):
        rows.append((program, [per_node(program, measure, unit, measure) for measure, unit in (("memory", "bytes"), ("descriptors", ""), ("threads", ""))]))
    rows.append(("Nodes and objects", [
        panel("mounts of a node", "", [(node, [(at, counts[node]) for at, counts in recorded.mounts]) for node in sorted({node for _, counts in recorded.mounts for node in counts})]),
        per_node(AGENT, "mounts", "", "mounts that an agent sees"),
        panel("Kubernetes objects", "", [("all counted kinds", [(at, sum(counts.values())) for at, counts in recorded.objects])])]))
    return rows


def as_json(recorded: Recorded, verdict: Verdict, facts: dict[str, object]) -> dict:
    def plain(one: object) -> object:
        return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in dataclasses.asdict(one).items()}
    return {
        "facts": facts, "kept": verdict.kept,
        "promises": {name: {"promise": text, "kept": not verdict.of(name)} for name, text in PROMISES.items()},
        "broken": [plain(one) for one in verdict.broken], "explained": verdict.explained,
        "growth": [plain(one) for one in verdict.growths],
        "faults": [{"name": one.name, "node": one.node, "began": one.began, "ended": one.ended, "recovered": one.recovered} for one in recorded.happened],
        "requests": [plain(one) for one in recorded.requests],
        "samples": [plain(one) for _, look in recorded.looks for one in look],
        "mounts": recorded.mounts, "objects": recorded.objects, "before": recorded.before, "after": recorded.after, "timeline": recorded.timeline,
    }


def write(folder: pathlib.Path, json_file: pathlib.Path | None, recorded: Recorded, verdict: Verdict, facts: dict[str, object],
          draw: typing.Callable[[pathlib.Path, list], None]) -> pathlib.Path:
    """report.md, soak.svg and soak.json in the folder, and the JSON where it was asked for; the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(recorded, verdict, facts), indent=1, default=str) + "\n"
    for file in filter(None, (folder / "soak.json", json_file)):
        file.write_text(text)
    (folder / "report.md").write_text(markdown(recorded, verdict, facts))
    draw(folder / "soak.svg", panels(recorded))
    return folder / "report.md"

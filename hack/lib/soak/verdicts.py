"""The promises of a soak, each with what was seen of it: a pure function of what was recorded."""
import dataclasses
import typing

from soak import judged, objects
from soak.fault import ENGINE, OPERATOR, Happened
from soak.growth import Growth, Point, growth
from soak.judged import Broken
from soak.processes import Sample, endings
from soak.steady import Request

PROMISES = {
    "completions": "each completion is the one of plain files",
    "requests": "no request fails that no fault explains",
    "faults": "a ModelCache that is made becomes Ready with the store's bytes, a deleted one leaves nothing, an update ends",
    "recovery": "all runs again within four minutes of a fault",
    "processes": "no process ends that no fault ends",
    "growth": "memory, descriptors, threads, mounts and objects stay flat",
    "remains": "after the soak there is no more than before it",
}


@dataclasses.dataclass
class Recorded:
    """All that a soak of `seconds` left."""

    seconds: float
    requests: list[Request]
    happened: list[Happened]
    broken: list[Broken]
    looks: list[tuple[float, list[Sample]]]
    mounts: list[tuple[float, dict[str, int]]]
    objects: list[tuple[float, dict[str, int]]]
    before: dict[str, int]
    after: dict[str, int]
    timeline: list[tuple[float, str]]


@dataclasses.dataclass
class Verdict:
    growths: list[Growth]
    broken: list[Broken]
    explained: dict[str, int]
    """Failed requests by the fault that explains them."""

    @property
    def kept(self) -> bool:
        return not self.broken

    def of(self, promise: str) -> list[Broken]:
        return [one for one in self.broken if one.promise == promise]


def series(recorded: Recorded) -> typing.Iterator[tuple[str, str, list[Point]]]:
    """(measure, of what, samples): of each program on each node, of all nodes, and of the API server."""
    found: dict[tuple[str, str], list[Point]] = {}
    for at, look in recorded.looks:
        for one in look:
            # llama-server has each request's memory for itself; of the library in it, descriptors, threads and mounts would tell.
            for measure in ("descriptors", "threads", "mounts") if one.program == ENGINE else ("memory", "descriptors", "threads", "mounts"):
                # There is one operator, wherever it runs.
                found.setdefault((measure, one.program if one.program == OPERATOR else f"{one.program} on {one.node}"), []).append(Point(at, one.key, one.age, getattr(one, measure)))
    for at, counts in recorded.mounts:
        # Together: a pod that moves takes its mounts along.
        found.setdefault(("mounts", "all nodes"), []).append(Point(at, "", float("inf"), sum(counts.values())))
    for at, counts in recorded.objects:
        found.setdefault(("objects", "the API server"), []).append(Point(at, "", float("inf"), sum(counts.values())))
    for (measure, of), points in sorted(found.items()):
        yield measure, of, points


def judge(recorded: Recorded) -> Verdict:
    growths = [growth(measure, of, points, recorded.seconds) for measure, of, points in series(recorded)]
    broken = list(recorded.broken)
    broken += judged.broken_requests(recorded.requests, recorded.happened)
    broken += judged.broken_endings(endings(recorded.looks), recorded.happened)
    broken += [Broken("growth", recorded.seconds, f"{one.measure} of {one.of} grew by {one.grown:,.0f} in {one.seconds:.0f} s; at most {one.bound:,.0f}")
               for one in growths if one.leaks]
    broken += [Broken("remains", recorded.seconds, text) for text in objects.differences(recorded.before, recorded.after)]
    explained: dict[str, int] = {}
    for one in recorded.requests:
        if one.failure and (because := judged.explains_request(one, recorded.happened)):
            explained[because.name] = explained.get(because.name, 0) + 1
    return Verdict(growths, sorted(broken, key=lambda one: one.at), explained)

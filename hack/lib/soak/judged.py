"""What a fault explains, and what is a broken promise: pure functions of what happened."""
import dataclasses
import typing

from soak.fault import Happened
from soak.steady import Request

# Seconds of the timeline that are shown on either side of a broken promise.
AROUND = 60.0


@dataclasses.dataclass(frozen=True)
class Broken:
    """A promise that was not kept, at a second of the soak."""

    promise: str
    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Ending:
    """A process that was there at `seen` and not any more at `missed`."""

    program: str
    node: str
    seen: float
    missed: float


def explains_request(request: Request, happened: typing.Iterable[Happened]) -> Happened | None:
    """The fault that excuses a failed request: one that explains this kind of failure, at a time when the request was under way."""
    return next((one for one in happened if request.failure in one.explains.failures and one.covers(request.at, request.at + request.seconds)), None)


def explains_ending(ending: Ending, happened: typing.Iterable[Happened]) -> Happened | None:
    """The fault that excuses the end of a process: on its own node, where the fault has one."""
    return next((one for one in happened if ending.program in one.explains.ends and one.node in ("", ending.node) and one.covers(ending.seen, ending.missed)), None)


def broken_requests(requests: typing.Iterable[Request], happened: list[Happened]) -> list[Broken]:
    """Wrong completions, which nothing excuses, and failures that no fault explains."""
    found = []
    for one in requests:
        if one.wrong:
            found.append(Broken("completions", one.at, f"a completion differs from the one of plain files: {one.wrong!r}"))
        elif one.failure and not explains_request(one, happened):
            found.append(Broken("requests", one.at, f"a request failed after {one.seconds:.1f} s, which no fault explains: {one.failure}: {one.text}"))
    return found


def broken_endings(endings: typing.Iterable[Ending], happened: list[Happened]) -> list[Broken]:
    return [Broken("processes", one.missed, f"a process of {one.program} on {one.node} ended between {one.seen:.0f} s and {one.missed:.0f} s, which no fault explains")
            for one in endings if not explains_ending(one, happened)]


def around(timeline: list[tuple[float, str]], at: float) -> list[tuple[float, str]]:
    """The lines of the timeline that may have to do with what happened then."""
    return [(when, text) for when, text in timeline if abs(when - at) <= AROUND]

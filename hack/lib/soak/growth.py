"""Whether something grows that should be flat: a verdict on samples, by the slope of their second half.

A process that is restarted begins anew, and a series of restarts would hide what each of them gathers. So only samples of one process are
compared with each other, and none from its first two minutes, in which a program takes what it then keeps. The slope is the median of the
slopes between all pairs of such samples (Theil and Sen): a ModelCache that comes and goes, or one odd sample, does not move it. What is
judged is what that slope makes of the length of the second half, beside a bound that has two parts: what is noise whatever the length, and
what may be gathered in an hour.
"""
import dataclasses
import statistics
import typing

# A process' age in seconds from which its samples count.
SETTLED = 120.0
# Fewer samples than these, or a shorter time from the first to the last, say nothing.
FEWEST, SHORTEST = 8, 60.0
# More samples than these of one series are thinned out: the number of pairs is their square.
MOST = 400
# Pairs that are closer to each other, in seconds, tell of noise alone.
APART = 30.0


@dataclasses.dataclass(frozen=True)
class Bound:
    """What may be more at the end of the second half than at its beginning: `noise`, and `an_hour` for each hour of it."""

    noise: float
    an_hour: float
    unit: str = ""

    def over(self, seconds: float) -> float:
        return self.noise + self.an_hour * seconds / 3600


MB = 1e6
# By what is measured. A slow leak of 4 MB an hour is 100 MB a day, which the agent's request of memory has.
BOUNDS = {
    "memory": Bound(8 * MB, 4 * MB, "bytes"),
    "descriptors": Bound(6, 3),
    "threads": Bound(4, 2),
    "mounts": Bound(2, 1),
    "objects": Bound(6, 2),
}


class Point(typing.NamedTuple):
    """A sample: at a second of the soak, of a process by its key, which is that old."""

    at: float
    process: str
    age: float
    value: float


@dataclasses.dataclass(frozen=True)
class Growth:
    """Of one series: by how much it grew in the second half, what the bound is, and over how many seconds. `grown` is None when there are
    too few samples of one process to say."""

    measure: str
    of: str
    grown: float | None
    bound: float
    seconds: float
    first: float
    last: float
    most: float

    @property
    def leaks(self) -> bool:
        return self.grown is not None and self.grown > self.bound


def thinned(points: list[Point]) -> list[Point]:
    """At most MOST of them, evenly."""
    step = -(-len(points) // MOST)
    return points[::step] if step > 1 else points


def slope(points: list[Point]) -> float | None:
    """A second; None when there is too little to say."""
    by_process: dict[str, list[Point]] = {}
    for point in thinned(points):
        by_process.setdefault(point.process, []).append(point)
    slopes = []
    for of_one in by_process.values():
        if len(of_one) >= FEWEST and of_one[-1].at - of_one[0].at >= SHORTEST:
            slopes += [(later.value - earlier.value) / (later.at - earlier.at)
                       for index, earlier in enumerate(of_one) for later in of_one[index + 1:] if later.at - earlier.at >= APART]
    return statistics.median(slopes) if slopes else None


def growth(measure: str, of: str, points: list[Point], seconds: float) -> Growth:
    """The verdict on a series of a soak of so many seconds."""
    half = seconds / 2
    a_second = slope([point for point in points if point.at >= half and point.age >= SETTLED])
    values = [point.value for point in points]
    return Growth(measure, of, None if a_second is None else a_second * half, BOUNDS[measure].over(half), half,
                  values[0] if values else 0, values[-1] if values else 0, max(values, default=0))

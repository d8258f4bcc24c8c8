"""The faults carried out: two lanes side by side, each with one thing after the other, and what came of each of them."""
import threading
import typing

from soak.fault import Happened, Planned
from soak.judged import Broken


class Record:
    """What happened so far; lanes write it side by side."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._happened: list[Happened] = []
        self._broken: list[Broken] = []

    @property
    def happened(self) -> list[Happened]:
        with self._lock:
            return list(self._happened)

    @property
    def broken(self) -> list[Broken]:
        with self._lock:
            return list(self._broken)

    def began(self, one: Happened) -> None:
        with self._lock:
            self._happened.append(one)

    def breaks(self, one: Broken) -> None:
        with self._lock:
            self._broken.append(one)


class Lane(threading.Thread):
    """Carries out a plan until `seconds` of the soak are over; what lasts then has its end."""

    def __init__(self, name: str, plan: typing.Iterator[Planned], world, record: Record, seconds: float, recovers: bool):
        super().__init__(name=name, daemon=True)
        self._plan, self._world, self._record, self._seconds, self._recovers = plan, world, record, seconds, recovers

    def run(self) -> None:
        for planned in self._plan:
            if self._over(planned):
                return
            self._carry_out(planned)
            self._world.ended.wait(min(planned.pause, max(0.0, self._seconds - self._world.timeline.now)))

    def _over(self, planned: Planned) -> bool:
        # What can not last as long as it should is not begun.
        return self._world.ended.is_set() or self._world.timeline.now + planned.hold > self._seconds

    def _carry_out(self, planned: Planned) -> None:
        world, timeline, fault = self._world, self._world.timeline, planned.fault
        one = Happened(fault.name, planned.node, fault.explains, timeline.now)
        self._record.began(one)
        timeline.say(f"{planned} begins" + (f", for {planned.hold:.0f} s" if planned.hold else ""))
        begun = self._kept(planned, fault.begin)
        world.ended.wait(planned.hold if begun else 0)
        # Also where the beginning failed: nothing of it may stay.
        self._kept(planned, fault.end)
        one.ended = timeline.now
        timeline.say(f"{planned} is over after {one.ended - one.began:.0f} s")
        if self._recovers and not world.ended.is_set():
            try:
                one.recovered = world.wait_well()
            except Exception as error:
                self._breaks("recovery", planned, error)

    def _kept(self, planned: Planned, step: typing.Callable) -> bool:
        try:
            step(self._world, planned)
            return True
        except Exception as error:
            self._breaks("faults", planned, error)
            return False

    def _breaks(self, promise: str, planned: Planned, error: Exception) -> None:
        # After Ctrl-C the cluster goes down under it.
        if not self._world.ended.is_set():
            text = f"{planned}: {error}"
            self._record.breaks(Broken(promise, self._world.timeline.now, text))
            self._world.timeline.say(f"BROKEN {text.splitlines()[0][:300]}")

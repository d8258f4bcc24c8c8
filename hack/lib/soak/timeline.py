"""What happened, in order: lines of seconds since the soak began, for the person who waits and for the report."""
import sys
import threading
import time


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Timeline:
    """Lanes and samplers write it side by side."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._lock = threading.Lock()
        self._lines: list[tuple[float, str]] = []

    def restart(self) -> None:
        """The soak begins now: what was before it, its preparation, has no place here."""
        with self._lock:
            self.began, self._lines = time.monotonic(), []

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @property
    def lines(self) -> list[tuple[float, str]]:
        with self._lock:
            return sorted(self._lines)

    def say(self, text: str) -> None:
        """A line that is shown and kept."""
        self.note(text)
        print(f"soak: {clock(self.now)} {text}", file=sys.stderr, flush=True)

    def note(self, text: str, at: float | None = None) -> None:
        """A line that is kept alone."""
        with self._lock:
            self._lines.append((self.now if at is None else at, text))

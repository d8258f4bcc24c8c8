"""Progress and tables: bars that move on a terminal, plain lines elsewhere; and an end at Ctrl-C that leaves nothing behind."""
import contextlib
import shutil
import signal
import sys
import time

MB = 1e6


def fitted(line: str) -> str:
    """A line that wraps on the terminal would stay there when the next one is drawn over it."""
    return line[:shutil.get_terminal_size().columns - 1]


class Interrupts:
    """The first Ctrl-C or SIGTERM raises KeyboardInterrupt, but not while something is being made that must be undone: then at the end of that.

    What follows is cleaning up, which no further one cuts short. A child of the same terminal hears Ctrl-C too, and ends: whatever fails
    once one was `heard` fails because of it."""

    def __init__(self) -> None:
        self._depth, self._pending, self._ended = 0, False, False
        self.heard = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, *_: object) -> None:
        if self._ended:
            return
        self.heard = self._pending = True
        self.stop()
        self._raise()

    def _raise(self) -> None:
        if self._pending and not self._depth:
            self._pending = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self):
        """Between the making of a thing and the note of how to undo it."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self._raise()

    def stop(self) -> None:
        """This process hears no further one. The programs that it starts to clean up do not hear Ctrl-C."""
        self._ended = True
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])


class Progress:
    """The state of a few named things, drawn in place on a terminal, else as a line when something changed, every two seconds at most."""

    def __init__(self) -> None:
        self._drawn, self._last, self._said = 0, "", 0.0

    def show(self, rows: list[tuple[str, float, str]]) -> None:
        """Each row: a name, a share from 0 to 1, and words beside it."""
        if sys.stderr.isatty():
            width = max((len(name) for name, *_ in rows), default=0)
            lines = [f"  {name:<{width}} [{'#' * int(share * 30):<30}] {share:4.0%}  {text}" for name, share, text in rows]
            up = f"\x1b[{self._drawn}A" if self._drawn else ""
            lines += [""] * (self._drawn - len(lines))
            print(up + "".join(f"\x1b[2K{fitted(line)}\n" for line in lines), end="", file=sys.stderr, flush=True)
            self._drawn = len(lines)
            return
        line = "; ".join(f"{name} {share:.0%} {text}".rstrip() for name, share, text in rows) or "nothing yet"
        if line != self._last and time.monotonic() - self._said > 2:
            print(f"  {line}", file=sys.stderr, flush=True)
            self._last, self._said = line, time.monotonic()


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}")
    for row in [head, ["-" * width for width in widths], *rows]:
        print("  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))))
    sys.stdout.flush()


def pods_table(title: str, pods: list, bytes_per_second: float) -> None:
    """Of each pod: where its bytes came from, and how long it took beside what the link needs for those that were not there."""
    rows = []
    for pod in pods:
        wire = pod.wire(bytes_per_second)
        whole = pod.size - pod.present > pod.size / 2
        rows.append([
            pod.name, pod.node, f"{pod.present / MB:.0f} MB", f"{pod.origin / MB:.0f} MB", f"{pod.peers / MB:.0f} MB",
            "-" if pod.started is None else f"{pod.started - pod.made:.1f} s", "-" if pod.seconds is None else f"{pod.seconds:.2f} s",
            f"{wire:.2f} s", f"{pod.seconds / wire:.3f}x" if whole and pod.seconds else "warm"])
    table(title, ["pod", "node", "there", "store", "peers", "sandbox", "ready", "wire", "ready/wire"], rows)
    print("  there: bytes in the node's cache when the container started; store, peers: where the node read the rest from;\n"
          "  sandbox: from the pod's creation to its first process, image included (every node has it); ready: from there until\n"
          "  llama-server's /health said ok; wire: what the node's link needs for the rest.")
    restarted = [f"{pod.name} {pod.restarts} times" for pod in pods if pod.restarts]
    print(f"  restarts: {', '.join(restarted) or 'none'}")

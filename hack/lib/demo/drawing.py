"""Progress and tables: bars that move on a terminal, plain lines elsewhere."""
import sys
import time

MB = 1e6


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
            print(up + "".join(f"\x1b[2K{line}\n" for line in lines), end="", file=sys.stderr, flush=True)
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

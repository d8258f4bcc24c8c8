"""TCP ports for programs that must be told one."""
import functools
import itertools
import socket

# Below the kernel's range (ip_local_port_range, ip(7)), from which every connection beside a test gets the port of its own end: such
# a port may be taken before the program listens there.
FIRST, COUNT, EACH = 20_000, 10_000, 200
_calls = itertools.count()


@functools.cache
def _own() -> tuple[int, socket.socket]:
    """The first of EACH ports that no other process of tests gives out: it has the name of this part of them for as long as it lives."""
    for first in range(FIRST, FIRST + COUNT, EACH):
        name = socket.socket(socket.AF_UNIX)
        try:
            # An abstract address (unix(7)): nothing is left of it when the process ends.
            name.bind(f"\0modelcache-test-ports-{first}")
            return first, name
        except OSError:
            name.close()
    raise OSError(f"{COUNT // EACH} processes give out ports already")


def free_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment, and that no other process of tests gives out; the next call gives another."""
    first, _ = _own()
    for number in itertools.islice(_calls, EACH):
        with socket.socket() as probe:
            try:
                probe.bind((address, first + number % EACH))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError(f"every port from {first} to {first + EACH - 1} of {address} is taken")

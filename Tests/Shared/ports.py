"""TCP ports for programs that must be told one."""
import itertools
import os
import socket

# Below the kernel's range (ip_local_port_range, ip(7)), from which every connection beside a test gets the port of its own end: such
# a port may be taken before the program listens there.
FIRST, COUNT = 20_000, 10_000
# Processes that run beside each other begin at different places.
_numbers = itertools.count(os.getpid() * 97)


def free_port(address: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment; the next call gives another."""
    for number in itertools.islice(_numbers, COUNT):
        with socket.socket() as probe:
            try:
                probe.bind((address, FIRST + number % COUNT))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError(f"every port from {FIRST} to {FIRST + COUNT - 1} of {address} is taken")

"""A link of known speed between two network namespaces (the twin of hack/lib/link.sh). Needs root."""
import os
import subprocess


def tcp_bytes_per_second(rate_mbit: float) -> float:
    """What TCP can carry: 1448 of each 1514 bytes that the shaper counts."""
    return rate_mbit * 1e6 / 8 * 1448 / 1514


class ShapedLink:
    """A veth pair whose store side sends at `rate_mbit` Mbit/s, and whose client side at the same."""

    _made = 0

    def __init__(self, rate_mbit: int):
        if os.geteuid() != 0:
            raise PermissionError("a shaped link needs root (network namespaces)")
        ShapedLink._made += 1
        mark = f"{os.getpid()}{'abcdefghijklmnopqrstuvwxyz'[ShapedLink._made % 26]}"
        number = (os.getpid() * 7 + ShapedLink._made) % 16000
        subnet = f"10.{128 + number // 250}.{number % 250}"
        self.rate_mbit = rate_mbit
        self.store, self.client = f"mcs{mark}", f"mcc{mark}"
        self.store_address, self.client_address = f"{subnet}.1", f"{subnet}.2"
        self._store_device, self._client_device = f"vs{mark}", f"vc{mark}"

    @property
    def bytes_per_second(self) -> float:
        return tcp_bytes_per_second(self.rate_mbit)

    def __enter__(self) -> "ShapedLink":
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        _run("ip", "netns", "add", self.store)
        _run("ip", "netns", "add", self.client)
        _run("ip", "-n", self.store, "link", "add", self._store_device, "type", "veth", "peer", "name", self._client_device,
             "netns", self.client)
        for space, device, address in (
            (self.store, self._store_device, self.store_address), (self.client, self._client_device, self.client_address)):
            _run("ip", "-n", space, "address", "add", f"{address}/30", "dev", device)
            _run("ip", "-n", space, "link", "set", "lo", "up")
            _run("ip", "-n", space, "link", "set", device, "up")
        # A bucket of 2 ms (at least two 64 KiB segments), a queue of 50 ms.
        burst = max(131072, int(self.rate_mbit * 1e6 / 8 * 0.002))
        _run("tc", "-n", self.store, "qdisc", "add", "dev", self._store_device, "root", "tbf",
             "rate", f"{self.rate_mbit}mbit", "burst", str(burst), "latency", "50ms")

    def __exit__(self, *_: object) -> None:
        for space in (self.store, self.client):
            subprocess.run(["ip", "netns", "delete", space], check=False, stderr=subprocess.DEVNULL)

    # nsenter and not `ip netns exec`: the latter makes a mount namespace of its own, in which the
    # agent's tmpfs would not be seen by others.
    @property
    def on_store(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.store}"]

    @property
    def on_client(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.client}"]


def _run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, text=True, stderr=subprocess.PIPE)

"""Nodes in network namespaces of their own on one bridge, each with a real agent, and a store beside them. Needs root."""
import json
import os
import pathlib
import subprocess
import typing

from . import paths
from .agent import Agent, Place
from .link import tcp_bytes_per_second
from .processes import Running, wait_until
from .store import Store

PORT = 9418
# 400 segments of 1,500 bytes: less than a port's share (1 MB) of a usual switch of 32 ports at 100 Gbit/s with 32 MB.
QUEUE_BYTES = 600_000
# tc's classes below a node's link.
URGENT, OTHERS = "10", "20"
# What the agents mark with (linuxshim.h).
URGENT_CLASS = 0x50
SECRET = "a-secret-of-the-swarm-0123456789abcdef"


class Network:
    """A bridge in a namespace, where the store runs, and `count` nodes; `rate_mbit` shapes every node's link, both ways, and
    what the store sends in all."""

    _made = 0

    def __init__(self, count: int, rate_mbit: float | None = None):
        if os.geteuid() != 0:
            raise PermissionError("network namespaces need root")
        Network._made += 1
        self._mark = f"{os.getpid() % 100000}{'abcdefghijklmnopqrstuvwxyz'[Network._made % 26]}"
        number = (os.getpid() * 7 + Network._made) % 16000
        self._subnet = f"10.{64 + number // 250}.{number % 250}"
        self.count, self.rate_mbit = count, rate_mbit
        self.hub = f"mch{self._mark}"
        self.store_address = f"{self._subnet}.1"

    def namespace(self, node: int) -> str:
        return f"mcn{self._mark}{node}"

    def address(self, node: int) -> str:
        return f"{self._subnet}.{10 + node}"

    def inside(self, node: int | None = None) -> list[str]:
        """The prefix of a command on a node; None: on the store's side. nsenter, so that mounts stay shared."""
        return ["nsenter", f"--net=/run/netns/{self.hub if node is None else self.namespace(node)}"]

    @property
    def addresses(self) -> list[str]:
        return [self.address(i) for i in range(self.count)]

    @property
    def bytes_per_second(self) -> float:
        return tcp_bytes_per_second(self.rate_mbit or 0)

    def __enter__(self) -> "Network":
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        # Every neighbour is permanent: the kernel's table of learnt ones is shared by all namespaces and full at 1,024 entries (arp(7)).
        # Every route names cubic, as Debian has it: what a machine's own default makes of a link of 15 Mbit/s is not what is measured.
        everyone = {self.store_address: self._hardware(0), **{self.address(n): self._hardware(n + 1) for n in range(self.count)}}
        def place(device: str, own: str) -> list[str]:
            return [f"address add {own}/24 dev {device}", "link set lo up", f"link set {device} up",
                    f"route replace {self._subnet}.0/24 dev {device} src {own} congctl cubic",
                    *(f"neighbour replace {a} lladdr {h} dev {device} nud permanent" for a, h in everyone.items() if a != own)]

        _run("ip", "netns", "add", self.hub)
        lines = [f"link add br0 address {self._hardware(0)} type bridge", *place("br0", self.store_address)]
        for node in range(self.count):
            space = self.namespace(node)
            _run("ip", "netns", "add", space)
            lines += [f"link add v{node} type veth peer name eth0 address {self._hardware(node + 1)} netns {space}",
                      f"link set v{node} master br0", f"link set v{node} up"]
        _batch(self.hub, lines)
        for node in (None, *range(self.count)):
            # Segments come in bunches, as from a network card of a fast link: two at a time would keep the processors busy with little else.
            _run(*self.inside(node), "sysctl", "-qw", "net.ipv4.tcp_min_tso_segs=8")
        for node in range(self.count):
            _batch(self.namespace(node), place("eth0", self.address(node)))
        if self.rate_mbit:
            self.shape(None, self.rate_mbit)
            for node in range(self.count):
                self.shape(node, self.rate_mbit)

    @staticmethod
    def _hardware(number: int) -> str:
        """A locally administered address (IEEE 802): 0 is the store's."""
        return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"

    def shape(self, node: int | None, rate_mbit: float) -> None:
        """One node's link, both ways; None: what the store sends in all."""
        # A bucket of 2 ms (at least two 64 KiB segments).
        burst = max(131072, int(rate_mbit * 1e6 / 8 * 0.002))
        rule = ["root", "handle", "1:", "tbf", "rate", f"{int(rate_mbit * 1000)}kbit", "burst", str(burst), "latency", "50ms"]
        if node is None:
            _run("tc", "-n", self.hub, "qdisc", "replace", "dev", "br0", *rule)
        else:
            # A switch's port: a queue for what is marked urgent (DSCP AF22, RFC 4594) and one of QUEUE_BYTES for the rest, or of 50 ms if
            # that is more. Its length has to be one of segments, which is what connections share: at 100 Gbit/s it lasts for microseconds
            # and nobody's messages wait for it, here for half a second.
            queue = max(QUEUE_BYTES, int(rate_mbit * 1e6 / 8 * 0.05))
            rate = f"{int(rate_mbit * 500)}kbit ceil {int(rate_mbit * 1000)}kbit burst {burst} cburst {burst} quantum 60000"
            # HTB cannot be changed in place (tc-htb(8)).
            subprocess.run(["tc", "-n", self.hub, "qdisc", "delete", "dev", f"v{node}", "root"], check=False, stderr=subprocess.DEVNULL)
            _batch(self.hub, [
                f"qdisc replace dev v{node} root handle 1: htb default {OTHERS}",
                f"class replace dev v{node} parent 1: classid 1:1 htb rate {int(rate_mbit * 1000)}kbit burst {burst} cburst {burst}",
                f"class replace dev v{node} parent 1:1 classid 1:{URGENT} htb prio 0 rate {rate}",
                f"class replace dev v{node} parent 1:1 classid 1:{OTHERS} htb prio 1 rate {rate}",
                *(f"qdisc replace dev v{node} parent 1:{band} bfifo limit {queue}" for band in (URGENT, OTHERS)),
                f"filter replace dev v{node} parent 1: protocol ip prio 1 u32 match ip tos {URGENT_CLASS:#x} 0xfc flowid 1:{URGENT}"], "tc")
            # What leaves a host waits in the host's own queue, which tells urgent packets from others (tc-pfifo_fast(8)).
            _run("tc", "-n", self.namespace(node), "qdisc", "replace", "dev", "eth0", *rule)
            _run("tc", "-n", self.namespace(node), "qdisc", "replace", "dev", "eth0", "parent", "1:1", "pfifo_fast")

    def received(self, node: int) -> tuple[int, int]:
        """Bytes of urgent packets and of others that went down a shaped node's link."""
        out = subprocess.run(["tc", "-n", self.hub, "-s", "-j", "qdisc", "show", "dev", f"v{node}"], check=True, stdout=subprocess.PIPE).stdout
        queues = {one.get("parent"): one["bytes"] for one in json.loads(out)}
        return queues[f"1:{URGENT}"], queues[f"1:{OTHERS}"]

    def link(self, node: int, up: bool) -> None:
        """Pulls a node's cable, or puts it back."""
        _run("ip", "-n", self.hub, "link", "set", f"v{node}", "up" if up else "down")

    def __exit__(self, *_: object) -> None:
        for space in [self.hub, *(self.namespace(i) for i in range(self.count))]:
            subprocess.run(["ip", "netns", "delete", space], check=False, stderr=subprocess.DEVNULL)


class HubStore(Store):
    """The store emulator in the bridge's namespace."""

    def __init__(self, network: Network, buckets: dict[str, pathlib.Path], log: pathlib.Path, options: tuple[str, ...] = ()):
        super().__init__(buckets, log, address=network.store_address, prefix=network.inside(), options=options)

    def _admin(self, method: str, what: str, body: dict | None = None) -> dict:
        command = [*self._prefix, "curl", "-sf", "-X", method, f"http://127.0.0.1:{self._admin_port}/{what}"]
        if body is not None:
            command += ["-d", json.dumps(body)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        return json.loads(out or b"{}")

    @property
    def bytes_served(self) -> int:
        return self.requests()["bytesServed"]


class Node:
    """One node's agent, and whoever loads a model on it."""

    def __init__(self, network: Network, number: int, folder: pathlib.Path, secret: pathlib.Path | None, peers: str | None = None,
                 **settings: object):
        self.network, self.number = network, number
        self.place = Place(folder / f"n{number}")
        self.address = network.address(number)
        self._settings = {
            "MODELCACHE_PEERS": peers or "static:" + ",".join(network.addresses), "MODELCACHE_PEER_ADDRESS": f"0.0.0.0:{PORT}",
            "MODELCACHE_AUTH_SECRET_FILE": secret, **settings}
        self.agent: Agent | None = None
        self._loads: list[Running] = []

    def start(self) -> "Node":
        self.agent = Agent(self.place, prefix=self.network.inside(self.number), **self._settings).ready()
        return self

    def load(self, environment: dict[str, str]) -> Running:
        """Begins to load; the program ends when the model is whole."""
        run = Running([paths.MODELCACHE, "warm", "--json"], self.place.log("warm"),
                      environment=environment | {k: str(v) for k, v in self.place.settings().items()})
        self._loads.append(run)
        return run

    @property
    def model(self) -> dict:
        """The status of the one model."""
        return self.place.status()["models"][0]

    def wait(self, seconds: float = 60) -> None:
        for run in self._loads:
            try:
                code = run.wait(seconds)
            except AssertionError:
                code = f"still loads after {seconds:g} s; {self.place.modelcache('swarm', '--json').stdout.decode()}"
            assert code == 0, f"node {self.number}: {code}\n{run.output()[-2000:]}\n{self.output()[-6000:]}"

    def wait_last(self, seconds: float) -> int:
        """The exit code of the load begun last."""
        return self._loads[-1].wait(seconds)

    def output(self) -> str:
        return "\n".join(p.read_text(errors="replace") for p in sorted(self.place.folder.glob("*-agent.log")))

    def kill(self) -> None:
        if self.agent:
            self.agent.kill()

    def stop(self) -> None:
        for run in self._loads:
            run.stop(1)
        if self.agent:
            self.agent.stop()
        self.place.close()


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, check=False, text=True, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")


def _batch(space: str, lines: typing.Iterable[str], program: str = "ip") -> None:
    done = subprocess.run([program, "-n", space, "-batch", "-"], input="\n".join(lines), check=False, text=True, stderr=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"{program} -batch in {space}: {done.stderr.strip()}")

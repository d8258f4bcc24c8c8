"""A swarm for tests: a network of nodes, a store that sends so much in all, and one model that all nodes load."""
import contextlib
import json
import pathlib
import subprocess

from content import MIB, make_model

from . import paths
from .processes import Running, wait_until
from .swarm import PORT, SECRET, HubStore, Network, Node

# A shard, a larger file with an odd end, an empty one.
FILES = {"a.gguf": 5 * MIB + 17, "model.gguf": 27 * MIB + 12345, "empty": 0}
PYTHON = "/usr/bin/python3"


class Swarm:
    def __init__(self, stack: contextlib.ExitStack, work: pathlib.Path, bucket: pathlib.Path, count: int, bandwidth: str | None):
        self.stack, self.work = stack, work
        self.network = stack.enter_context(Network(count))
        self.bucket = bucket
        self.model = make_model(bucket, "m/", FILES)
        self.store = HubStore(self.network, {"models": bucket}, work / "store.log", ("--bandwidth", bandwidth) if bandwidth else ())
        stack.callback(self.store.stop)
        self.secret = work / "secret"
        self.secret.write_text(SECRET + "\n")
        self.environment = self.store.environment("m/")
        self.nodes: list[Node] = []

    def node(self, number: int, secret: pathlib.Path | None = None, **settings: object) -> Node:
        node = Node(self.network, number, self.work, secret or self.secret, **settings)
        self.nodes.append(node)
        self.stack.callback(node.stop)
        return node.start()

    def bad(self, number: int, mode: str, old: pathlib.Path) -> Node:
        """A real node behind a proxy that spoils what it sends."""
        address = self.network.address(number)
        node = self.node(number, MODELCACHE_PEER_ADDRESS="127.0.0.1:19418", MODELCACHE_PEER_ADVERTISE=f"{address}:{PORT}")
        proxy = Running([PYTHON, pathlib.Path(__file__).parent / "bad_peer.py", address, PORT, 19418, mode, old],
                        self.work / "proxy.log", prefix=self.network.inside(number))
        self.stack.callback(proxy.stop)
        wait_until(lambda: subprocess.run([*self.network.inside(number), "curl", "-s", "-o", "/dev/null", f"http://{address}:{PORT}/"],
                                          check=False).returncode == 0, 120, "the proxy answers")
        return node

    def start(self, *numbers: int, **settings: object) -> list[Node]:
        """Agents that begin to load at once."""
        nodes = [self.node(i, **settings) for i in numbers]
        for node in nodes:
            node.load(self.environment)
        return nodes

    def until(self, node: Node, share: float) -> None:
        wait_until(lambda: self.present(node) >= share, 120, f"node {node.number} has {share:.0%} of the model")

    def ratio(self, *nodes: Node) -> float:
        """Bytes that these nodes received from the store, of the model's."""
        return self.origin(*nodes) / self.model.bytes

    def view(self, node: Node) -> dict | None:
        """What `modelcache swarm` shows of the one model; None while the node has none."""
        out = subprocess.run([paths.MODELCACHE, "swarm", "--json"], check=True, stdout=subprocess.PIPE,
                             env=self.environment | {k: str(v) for k, v in node.place.settings().items()}).stdout
        return next(iter(json.loads(out)), None)

    def offers_all(self, node: Node) -> bool:
        """Whether others can have every block of it; not before a restarted node has checked them."""
        view = self.view(node)
        return view is not None and view["heldBlocks"] == view["blocks"]

    def cut(self, one: list[Node], other: list[Node], apart: bool) -> None:
        """Two groups of nodes that cannot reach each other, while both reach the store; or can again."""
        for here, there in ((one, other), (other, one)):
            for node in here:
                for peer in there:
                    subprocess.run(["ip", "-n", self.network.namespace(node.number), "route", "add" if apart else "del", "blackhole",
                                    f"{peer.address}/32"], check=True)

    def check(self, *nodes: Node) -> None:
        for node in nodes:
            node.wait(120)
            self.model.assert_whole(node.model["directory"])

    def check_all(self, nodes: list[Node]) -> None:
        for node in nodes:
            node.wait(120)

    def origin(self, *nodes: Node) -> int:
        return sum(node.model["originBytes"] for node in nodes)

    def present(self, node: Node) -> float:
        models = node.place.status()["models"]
        return models[0]["presentBytes"] / self.model.bytes if models else 0

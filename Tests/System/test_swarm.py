"""Real agents in network namespaces load one model together: right bytes everywhere, the store read once, bad days survived."""
import contextlib
import pathlib
import subprocess
import time

import pytest

from content import MIB, make_model
from support.processes import Running, wait_until
from support.swarm import PORT, SECRET, HubStore, Network, Node

# A shard, a larger file with an odd end, an empty one.
FILES = {"a.gguf": 5 * MIB + 17, "model.gguf": 27 * MIB + 12345, "empty": 0}
PYTHON = "/usr/bin/python3"


class Swarm:
    def __init__(self, stack: contextlib.ExitStack, work: pathlib.Path, bucket: pathlib.Path, count: int, bandwidth: str | None):
        self.stack, self.work = stack, work
        self.network = stack.enter_context(Network(count))
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

    def bad(self, number: int, mode: str) -> Node:
        """A real node behind a proxy that spoils what it sends."""
        address = self.network.address(number)
        node = self.node(number, MODELCACHE_PEER_ADDRESS="127.0.0.1:19418", MODELCACHE_PEER_ADVERTISE=f"{address}:{PORT}")
        proxy = Running([PYTHON, pathlib.Path(__file__).parent / "support/bad_peer.py", address, PORT, 19418, mode],
                        self.work / "proxy.log", prefix=self.network.inside(number))
        self.stack.callback(proxy.stop)
        wait_until(lambda: subprocess.run([*self.network.inside(number), "curl", "-s", "-o", "/dev/null", f"http://{address}:{PORT}/"],
                                          check=False).returncode == 0, 15, "the proxy answers")
        return node

    def check(self, *nodes: Node) -> None:
        for node in nodes:
            node.wait(120)
            self.model.assert_whole(node.model["directory"])

    def origin(self, *nodes: Node) -> int:
        return sum(node.model["originBytes"] for node in nodes)

    def present(self, node: Node) -> float:
        models = node.place.status()["models"]
        return models[0]["presentBytes"] / self.model.bytes if models else 0


@pytest.fixture
def swarm(work, bucket):
    """swarm(count, bandwidth): a network with a store that sends so much in all."""
    with contextlib.ExitStack() as stack:
        yield lambda count, bandwidth=None: Swarm(stack, work, bucket, count, bandwidth)


def test_nodes_that_start_together_read_the_store_once(swarm):
    world = swarm(3, "20MB")
    nodes = [world.node(i) for i in range(3)]
    for node in nodes:
        node.load(world.environment)
    world.check(*nodes)
    ratio = world.origin(*nodes) / world.model.bytes
    assert ratio <= 1.15, f"{ratio:.3f} of the model came from the store"
    for node in nodes:
        status = node.model
        assert status["peerBytes"] > 0 and status["wrongPeerBlocks"] == 0, status
    assert sum(n.model["servedBytes"] for n in nodes) >= world.model.bytes


def test_who_comes_late_reads_nothing_from_the_store_even_after_the_holder_was_restarted(swarm):
    world = swarm(3)
    seeder = world.node(0)
    seeder.load(world.environment)
    world.check(seeder)
    late = world.node(1)
    late.load(world.environment)
    world.check(late)
    assert late.model["originBytes"] == 0, late.output()
    # What a restarted agent finds it serves without being asked to open it.
    late.kill()
    seeder.agent.stop()
    seeder.start()
    last = world.node(2)
    last.load(world.environment)
    world.check(last)
    assert last.model["originBytes"] == 0, last.output()


def test_a_node_killed_in_the_middle_disturbs_nobody(swarm):
    world = swarm(4, "8MB")
    nodes = [world.node(i) for i in range(4)]
    for node in nodes:
        node.load(world.environment)
    wait_until(lambda: world.present(nodes[0]) > 0.25, 60, "a quarter is there")
    nodes[3].kill()
    world.check(*nodes[:3])
    ratio = world.origin(*nodes[:3]) / world.model.bytes
    assert ratio <= 1.4, f"{ratio:.3f} of the model came from the store"


@pytest.mark.parametrize("mode", ["corrupt", "truncate", "stall"])
def test_a_peer_that_sends_rubbish_is_found_out(swarm, mode):
    world = swarm(3)
    bad = world.bad(0, mode)
    bad.load(world.environment)
    world.check(bad)
    good = [world.node(i) for i in (1, 2)]
    for node in good:
        node.load(world.environment)
    world.check(*good)
    if mode == "corrupt":
        assert sum(node.model["wrongPeerBlocks"] for node in good) > 0
        assert any(f"{bad.address}:{PORT}" in node.output() and "not to be trusted" in node.output() for node in good)


def test_who_lacks_the_secret_learns_nothing(swarm):
    world = swarm(3)
    holder = world.node(0)
    holder.load(world.environment)
    world.check(holder)

    def ask(path: str, *headers: str) -> str:
        out = subprocess.run(
            [*world.network.inside(1), "curl", "-s", "-i", *(x for h in headers for x in ("-H", h)), f"http://{holder.address}:{PORT}{path}"],
            check=True, text=True, stdout=subprocess.PIPE).stdout
        return out

    for path in ("/", "/swarm/v1/models", "/swarm/v1/models/" + "0" * 32 + "/map", "/swarm/v1/models/" + "0" * 32 + "/files/0"):
        answer = ask(path, "Authorization: Bearer 1.00000000000000000000000000000000")
        head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
        assert head.splitlines()[0].split()[1] == "404" and body == "", answer
        assert "modelcache" not in head.lower(), answer

    other = world.work / "other-secret"
    other.write_text("another-secret-0123456789abcdef\n")
    stranger = world.node(1, secret=other)
    stranger.load(world.environment)
    world.check(stranger)
    status = stranger.model
    assert status["peerBytes"] == 0 and status["originBytes"] >= world.model.bytes
    assert holder.model["servedBytes"] == 0


def test_a_secret_is_rotated_in_the_middle_of_a_load(swarm):
    world = swarm(2, "8MB")
    secrets = []
    nodes = []
    for i in range(2):
        secret = world.work / f"secret-{i}"
        secret.write_text(SECRET + "\n")
        secrets.append(secret)
        nodes.append(world.node(i, secret=secret))
        nodes[-1].load(world.environment)
    wait_until(lambda: world.present(nodes[0]) > 0.2, 60, "a part is there")
    new = "the-next-secret-0123456789abcdef"
    # First one node knows both, then both, then the old one goes.
    for text, which in ((f"{new}\n{SECRET}\n", 0), (f"{new}\n{SECRET}\n", 1), (f"{new}\n", 0), (f"{new}\n", 1)):
        secrets[which].write_text(text)
        time.sleep(0.3)
    world.check(*nodes)
    ratio = world.origin(*nodes) / world.model.bytes
    assert ratio <= 1.2, f"{ratio:.3f} of the model came from the store"

"""Bad days of a swarm, with real agents in network namespaces: every node that lives ends with the right bytes."""
import sys
import time

import pytest

from content import make_model
from support.processes import Running, wait_until
from support.swarm import PORT
from support.swarm_world import FILES

# Maps a file and touches its last page, then reads it all: a reader that waits for what comes last.
READER = """
import hashlib, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
mapped[len(mapped) - 9 * (1 << 20)]
print(hashlib.sha256(mapped).hexdigest(), flush=True)
"""


def told(what: str, world, *nodes) -> None:
    """Slowdown and extra bytes are reported, not judged: they depend on the machine."""
    print(f"{what}: {world.ratio(*nodes):.3f} of the model from the store", file=sys.stderr)


def test_a_third_of_the_nodes_dies_at_once_and_comes_back(swarm):
    world = swarm(6, "8MB")
    nodes = world.start(*range(6))
    world.until(nodes[0], 0.25)
    for node in nodes[4:]:
        node.kill()
    world.check(*nodes[:4])
    told("a third dies", world, *nodes[:4])
    assert world.ratio(*nodes[:4]) <= 1.5
    again = [node.start() for node in nodes[4:]]
    for node in again:
        node.load(world.environment)
        assert node.wait_last(120) == 0, node.output()[-4000:]
        world.model.assert_whole(node.model["directory"])


def test_the_owner_of_what_a_reader_waits_for_dies(swarm):
    world = swarm(4, "2MB")
    nodes = world.start(*range(4))
    world.until(nodes[0], 0.05)
    link = nodes[0].place.folder / "model"
    reader = Running(["/usr/bin/python3", "-c", READER, link / "model.gguf"], nodes[0].place.log("reader"),
                     environment=nodes[0].place.preloaded(world.environment, link))
    world.stack.callback(reader.stop)

    def owner():
        for awaited in world.view(nodes[0])["awaited"]:
            for node in nodes[1:]:
                if awaited.get("owner") == f"{node.address}:{PORT}":
                    return node
        return None
    victim = wait_until(owner, 120, "the reader waits for a block of another node", every=0.02)
    victim.kill()
    world.store.faults(bandwidth=8e6)
    world.check(*(node for node in nodes if node is not victim))
    assert reader.wait(120) == 0, reader.output()[-2000:]
    assert reader.output().split()[-1] == world.model.digests["model.gguf"]
    told("the owner dies", world, *(node for node in nodes if node is not victim))


@pytest.mark.parametrize("mode", ["corrupt", "truncate", "stall", "reset", "replay"])
def test_a_peer_that_sends_rubbish_is_found_out(swarm, mode):
    world = swarm(3)
    old = make_model(world.bucket, "old/", FILES, seed=2)
    bad = world.bad(0, mode, world.bucket / old.prefix / "model.gguf")
    bad.load(world.environment)
    world.check(bad)
    good = world.start(1, 2)
    world.check(*good)
    told(f"a peer that does {mode}", world, *good)
    if mode in ("corrupt", "replay"):
        assert sum(node.model["wrongPeerBlocks"] for node in good) > 0
        assert any(f"{bad.address}:{PORT}" in node.output() and "not to be trusted" in node.output() for node in good)
        assert any(f"{bad.address}:{PORT}" in (node.model["wrongPeers"] or {}) for node in good)


def test_who_holds_an_older_version_gives_nothing_of_it(swarm):
    world = swarm(2)
    old = world.start(0)[0]
    world.check(old)
    world.model = make_model(world.bucket, "m/", FILES, seed=2)
    new = world.start(1)[0]
    world.check(new)
    assert new.model["peerBytes"] == 0 and old.model["servedBytes"] == 0


def test_halves_that_lose_each_other_go_on_and_find_each_other_again(swarm):
    world = swarm(4, "6MB")
    nodes = world.start(*range(4))
    world.until(nodes[0], 0.2)
    world.cut(nodes[:2], nodes[2:], apart=True)
    time.sleep(2)
    world.cut(nodes[:2], nodes[2:], apart=False)
    world.check(*nodes)
    told("a partition of half", world, *nodes)
    assert world.ratio(*nodes) <= 2.2


def test_the_store_throttles_to_a_tenth_while_nodes_join(swarm):
    world = swarm(6, "16MB")
    nodes = world.start(0, 1, 2)
    world.until(nodes[0], 0.1)
    world.network.shape(None, 13)
    for number in (3, 4, 5):
        nodes += world.start(number)
        time.sleep(1)
    world.network.shape(None, 1000)
    world.check(*nodes)
    told("a throttled store, a joiner every second", world, *nodes)
    assert world.ratio(*nodes) <= 1.3
    assert nodes[-1].model["peerBytes"] > 0.5 * world.model.bytes


def test_a_node_with_little_bandwidth_holds_nobody_up(swarm):
    world = swarm(4, "20MB")
    # Half a minute for the model.
    world.network.shape(3, 8)
    nodes = world.start(*range(4))
    world.check_all(nodes[:3])
    assert world.present(nodes[3]) < 1, "the slow node was not slower than the others"
    told("a slow node", world, *nodes[:3])
    world.network.shape(3, 1000)
    world.check(*nodes[:3])
    world.check(nodes[3])
    assert world.ratio(*nodes) <= 1.5


def test_two_models_at_once(swarm):
    world = swarm(3, "16MB")
    second = make_model(world.bucket, "second/", FILES, seed=3)
    nodes = world.start(0, 1, 2)
    loads = [node.load(world.store.environment("second/")) for node in nodes]
    world.check_all(nodes)
    assert all(run.wait(120) == 0 for run in loads)
    for node in nodes:
        by_source = {model["source"]: model for model in node.place.status()["models"]}
        world.model.assert_whole(by_source["oss://models/m/"]["directory"])
        second.assert_whole(by_source["oss://models/second/"]["directory"])
    total = sum(m["originBytes"] for n in nodes for m in n.place.status()["models"]) / (world.model.bytes + second.bytes)
    print(f"two models: {total:.3f} of them from the store", file=sys.stderr)
    assert total <= 1.4

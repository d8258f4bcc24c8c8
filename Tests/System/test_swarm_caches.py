"""ModelCaches on nodes that share: each is a swarm of its own, also two of the same objects on the same nodes."""
import pytest

from content import one_file
from support import paths
from support.agent import Agent, Place
from support.orders import NODE, SECRET, Orders, definition, new_uid
from support.page import Page
from support.pod import volume
from support.processes import Running, clean_environment, free_port, wait_until


@pytest.fixture
def nodes(work, store, secret_file, container):
    """nodes(listed): one for each element, which says whether the node's own list of peers names it at first; all name the others."""
    started = []

    def start(*listed):
        ports = [free_port() for _ in listed]
        for port, is_listed in zip(ports, listed):
            started.append(SharingNode(Place(work / f"n{port}"), port, ports, is_listed, store, secret_file, container))
        return started

    yield start
    for one in started:
        one.close()


@pytest.fixture
def pair(nodes):
    """Two nodes that know each other."""
    return nodes(True, True)


class SharingNode:
    """An agent that takes orders and shares, and the warm-ups of its ModelCaches."""

    def __init__(self, place, port, ports, is_listed, store, secret_file, container):
        self.place, self._store, self._container = place, store, container
        self.port, self._ports, self._list = port, ports, place.folder / "peers"
        self.list(itself=is_listed)
        self._settings = {
            "MODELCACHE_PEERS": f"file:{self._list}", "MODELCACHE_PEER_ADDRESS": f"127.0.0.1:{port}",
            "MODELCACHE_AUTH_SECRET_FILE": secret_file, "MODELCACHE_NODE_NAME": NODE, "MODELCACHE_ALLOW_LOOPBACK_ENDPOINTS": 1,
            "MODELCACHE_CREDENTIAL_HOSTS": "*"}
        self._warming = {}
        self.start()

    def list(self, itself):
        """Writes the node's list of peers, with or without this node."""
        self._list.write_text("".join(f"127.0.0.1:{p}\n" for p in self._ports if itself or p != self.port))

    def start(self):
        self.agent = Agent(self.place, **self._settings).ready()
        self.orders = Orders(self.agent.http, SECRET)
        wait_until(self.orders.answers, 120, "the agent answers over HTTP")

    def warm(self, uid, model, name="qwen"):
        answer = self.orders.put(uid, definition(self._store, model.prefix, model.bytes, name=name))
        assert answer.status == 200, answer
        view = self.view(uid)
        self._warming[uid] = Running([view.modelcache, "warm", "--json"], self.place.log("warm"), environment=view.environment(self._store),
                                     prefix=view.prefix)

    def view(self, uid):
        """As a pod sees the ModelCache."""
        return self._container(volume(self.place, uid))

    def check(self, uid, model):
        """The warm-up ends well."""
        job = self._warming[uid]
        assert job.wait(120) == 0, f"{job.output()[-2000:]}\n{self.orders.cache(uid)}"
        model.assert_whole(volume(self.place, uid))

    def cached(self, uid) -> int:
        return self.orders.cache(uid)["bytesCached"]

    def close(self):
        for job in self._warming.values():
            job.stop(1)
        self.agent.stop()
        self.place.close()


def test_two_of_one_source_fill_side_by_side_on_the_same_nodes(pair, store, bucket):
    """As two namespaces have them. Neither holds up the other, and each is read from the store once."""
    model = one_file(bucket)
    store.faults(bandwidth=8e6)
    first, second = new_uid(), new_uid()
    for node in pair:
        node.warm(first, model, "first")
    wait_until(lambda: all(node.cached(first) for node in pair), 60, "the first has begun on both nodes")
    for node in pair:
        node.warm(second, model, "second")
    for node in pair:
        node.check(first, model)
        node.check(second, model)
    reads = store.requests()["bytesServed"] / model.bytes
    assert reads <= 2 * 1.15, f"two ModelCaches read the store {reads:.2f} times"


def test_a_fill_goes_on_after_a_restart_beside_a_whole_one_of_the_same_source(pair, store, bucket):
    """The restarted agent takes up both at once."""
    model = one_file(bucket)
    whole, half = new_uid(), new_uid()
    here, there = pair
    for node in pair:
        node.warm(whole, model, "whole")
    for node in pair:
        node.check(whole, model)
    store.faults(bandwidth=8e6)
    for node in pair:
        node.warm(half, model, "half")
    wait_until(lambda: here.cached(half) > model.bytes / 4, 60, "a quarter of the second is there")
    here.agent.kill()
    here.start()
    for node in pair:
        node.check(half, model)
        model.assert_whole(volume(node.place, whole))


def test_who_joins_later_is_fed_by_a_node_that_has_two_of_the_same_source(pair, store, bucket):
    """Either ModelCache's holder still serves it, whichever came last."""
    model = one_file(bucket)
    here, there = pair
    uids = [new_uid(), new_uid()]
    for number, uid in enumerate(uids):
        here.warm(uid, model, f"cache-{number}")
        here.check(uid, model)
    before = store.requests()["bytesServed"]
    for number, uid in enumerate(uids):
        there.warm(uid, model, f"cache-{number}")
        there.check(uid, model)
    assert store.requests()["bytesServed"] == before, "the store was read though a peer holds everything"


def test_a_node_tells_who_gave_it_what(pair, store, bucket):
    """In its report, in its status and on its page; a pod is not told of other nodes."""
    model, uid = one_file(bucket), new_uid()
    here, there = pair
    for node in pair:
        node.warm(uid, model)
        node.check(uid, model)
    giver = f"127.0.0.1:{here.port}"
    told = there.orders.cache(uid)
    assert [one["address"] for one in told["peers"]] == [giver], told
    # Repeated bytes count in the sum alone.
    assert 0 < told["peers"][0]["receivedBytes"] <= told["peerBytes"] and told["peers"][0]["bytesPerSecond"] == 0, told
    assert here.orders.cache(uid)["peers"] == []
    [status] = there.place.status()["models"]
    assert status["peers"] == told["peers"]
    view = there.view(uid)
    shown = there.place.run(*view.prefix, view.modelcache, "status", "--json", environment=view.environment(store))
    assert shown.returncode == 0 and giver.encode() not in shown.stdout, shown
    program = Running([paths.MODELCACHE, "ui"], there.place.log("ui"), environment=clean_environment(**there.place.settings()))
    try:
        flows = Page(program).data()["flows"]["items"]
    finally:
        program.stop()
    assert [(one["from"]["name"], one["bytes"]["value"]) for one in flows if one["from"]["kind"] == "node"] == [(giver, told["peers"][0]["receivedBytes"])]


def test_a_node_that_its_peers_are_not_told_of_at_first_agrees_with_them_later(nodes, store, bucket):
    """As a restarted agent finds it, which DNS names only when it is ready: by its address all agree which blocks it reads."""
    model = one_file(bucket)
    store.faults(bandwidth=8e6)
    uid = new_uid()
    three = nodes(False, True, True)
    for node in three:
        node.warm(uid, model)
    wait_until(lambda: three[0].cached(uid) > 0, 60, "the first node has begun")
    three[0].list(itself=True)
    for node in three:
        node.check(uid, model)

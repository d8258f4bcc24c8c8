"""The chart's alerts on agents: a real Prometheus scrapes real agents whose store or peer has the fault."""
import pathlib
import sys
import urllib.request

import pytest

from content import one_file
from support import paths
from support.agent import Agent, Place
from support.processes import Running, free_port, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Shared"))

from prometheus import Prometheus, check_metrics  # noqa: E402

PYTHON = "/usr/bin/python3"


@pytest.fixture
def scraped(place, agent, work):
    """scraped(): an agent and a Prometheus that scrapes it."""
    started = []

    def start():
        metrics = f"127.0.0.1:{free_port()}"
        agent("--metrics-bind-address", metrics)
        started.append(Prometheus(work / "prometheus", {"agents": [metrics]}, alerts=True))
        return metrics, started[0]

    yield start
    for one in started:
        one.close()


def loading(place, environment) -> Running:
    return Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=environment | {k: str(v) for k, v in place.settings().items()})


def model_of(place) -> str:
    """By what the unsigned port calls a standalone model."""
    [model] = place.status()["models"]
    return model["id"][-16:]


def test_a_file_that_differed_from_the_stores_checksum(place, scraped, store, bucket):
    model = one_file(bucket, mebibytes=30)
    metrics, prometheus = scraped()
    store.faults({"match": {"method": "GET", "ranged": True}, "action": {"flipByte": 5 << 20}, "count": 1})
    load = loading(place, store.environment(model.prefix))
    fired = prometheus.until_firing("ModelCacheDigestMismatch", instance=metrics)
    assert load.wait(120) == 0 and fired["model"] == model_of(place) and metrics in fired["summary"]
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    check_metrics(text)
    assert f'modelcache_refilled_files_total{{model="{fired["model"]}"}} 1' in text


def test_a_program_that_still_waits_for_bytes(place, scraped, store, bucket):
    model = one_file(bucket, mebibytes=100)
    store.faults(bandwidth=0.5e6)  # three minutes and a half
    metrics, prometheus = scraped()
    load = loading(place, store.environment(model.prefix))
    try:
        fired = prometheus.until_firing("ModelCacheSlowLoad", instance=metrics)
        assert fired["model"] == model_of(place) and load.process.poll() is None
    finally:
        load.stop()


def test_a_node_that_sends_wrong_blocks(work, store, bucket):
    """Two agents on loopback; what one sends is spoilt on the way."""
    model = one_file(bucket, mebibytes=20)
    secret = work / "secret"
    secret.write_text("a-secret-of-two-agents-0123456789\n")
    real, proxy, own = free_port(), free_port(), free_port()
    peers = f"static:127.0.0.1:{proxy},127.0.0.1:{own}"
    places, agents, metrics = [Place(work / "a"), Place(work / "b")], [], []
    spoiler = Running([PYTHON, pathlib.Path(__file__).parent / "support/bad_peer.py", "127.0.0.1", proxy, real, "corrupt"], work / "proxy.log")
    prometheus = None
    try:
        for place, listens, advertised in zip(places, (real, own), (proxy, own)):
            metrics.append(f"127.0.0.1:{free_port()}")
            agents.append(Agent(
                place, "--metrics-bind-address", metrics[-1], MODELCACHE_PEERS=peers, MODELCACHE_AUTH_SECRET_FILE=secret,
                MODELCACHE_PEER_ADDRESS=f"127.0.0.1:{listens}", MODELCACHE_PEER_ADVERTISE=f"127.0.0.1:{advertised}").ready())
        first = loading(places[0], store.environment(model.prefix))
        assert first.wait(120) == 0, first.output()
        prometheus = Prometheus(work / "prometheus", {"agents": metrics}, alerts=True)
        store.faults(bandwidth=4e6)
        second = loading(places[1], store.environment(model.prefix))
        fired = prometheus.until_firing("ModelCachePeersBanned", instance=metrics[1])
        assert second.wait(120) == 0, second.output()
        model.assert_whole(second.output().split()[-1])
        assert fired["model"] == model_of(places[1])
        wait_until(lambda: places[1].status()["models"][0]["wrongPeers"].keys() == {f"127.0.0.1:{proxy}"}, 120, "the status names the sender")
    finally:
        if prometheus:
            prometheus.close()
        for one in agents:
            one.stop()
        spoiler.stop()
        for place in places:
            place.close()

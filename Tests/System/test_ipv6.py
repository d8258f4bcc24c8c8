"""Stores, source addresses and proxies with IPv6 addresses, on this machine's ::1."""
import sys

import pytest

from content import PYTHON, one_file
from support import paths
from support.orders import definition, new_uid
from support.processes import wait_until
from support.store import Store

sys.path.insert(0, str(paths.REPOSITORY / "Tests/Shared"))

from forward_proxy import Proxy  # noqa: E402

READ = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"


@pytest.fixture
def store6(bucket, place):
    one = Store({"models": bucket}, place.log("store6"), address="::1")
    yield one
    one.stop()


def warm(place, environment):
    result = place.modelcache("warm", environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().splitlines()[-1]


@pytest.mark.parametrize("scheme", ["oss", "s3"])
def test_a_store_at_an_ipv6_address_is_read(scheme, place, agent, store6, bucket):
    model = one_file(bucket, mebibytes=9)
    agent()
    environment = store6.environment(OSS_PATH=f"{scheme}://models/{model.prefix}")
    assert environment["OSS_ENDPOINT"].startswith("http://[::1]:")
    assert place.modelcache("ls", environment=environment).returncode == 0
    model.assert_whole(warm(place, environment))


def test_connections_leave_from_an_ipv6_source_and_the_library_takes_it(place, agent, store6, bucket, work):
    model = one_file(bucket, mebibytes=3)
    agent()
    environment = place.preloaded(store6.environment(model.prefix), work / "model", HTTP_SOURCE_IP="::1")
    name = model.names[0]
    result = place.run(PYTHON, "-c", READ, work / "model" / name, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == model.digests[name]


def test_a_name_of_both_families_leads_to_the_one_that_answers(place, agent, store6, bucket):
    """libcurl gives localhost both loopback addresses; the store listens at one of them."""
    model = one_file(bucket, mebibytes=3)
    agent()
    environment = store6.environment(model.prefix, OSS_ENDPOINT=f"http://localhost:{store6.port}")
    model.assert_whole(warm(place, environment))
    model.assert_whole(warm(place, environment | {"HTTP_SOURCE_IP": "::1"}))


@pytest.mark.parametrize("source", ["127.0.0.1", "2001:db8::77"])
def test_a_source_that_cannot_reach_the_store_is_named(source, place, agent, store6, bucket):
    model = one_file(bucket, mebibytes=1)
    agent()
    result = place.modelcache("warm", environment=store6.environment(model.prefix, HTTP_SOURCE_IP=source))
    assert result.returncode in (69, 78) and source in result.stderr.decode(), result.stderr.decode()


def test_a_proxy_at_an_ipv6_address_is_used(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=3)
    proxy = Proxy({"models.store.example": ("127.0.0.1", store.port)}, address="::1")
    try:
        agent(HTTP_PROXY=proxy.url)
        model.assert_whole(warm(place, store.environment(model.prefix, OSS_ENDPOINT="http://store.example")))
        assert proxy.url.startswith("http://[::1]:") and proxy.asked("models.store.example") >= 2
    finally:
        proxy.close()


def test_a_modelcache_may_have_a_store_at_an_ipv6_address(place, node, store6, bucket):
    model = one_file(bucket, mebibytes=3)
    _, orders = node()
    uid = new_uid()
    answer = orders.put(uid, definition(store6, model.prefix, model.bytes))
    assert answer.status == 200, answer
    socket = place.root / "caches" / uid / ".modelcache" / "agent.sock"
    wait_until(socket.exists, 120, "the cache's socket is there")
    result = place.modelcache("warm", "--socket", socket, environment=store6.environment(model.prefix))
    assert result.returncode == 0, result.stderr.decode()
    model.assert_whole(result.stdout.decode().splitlines()[-1])

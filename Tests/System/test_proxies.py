"""Stores behind a proxy and behind a certificate authority of one's own: each place that may name them reaches the store."""
import pathlib
import subprocess
import sys

import pytest

from content import PYTHON, digest, one_file
from support import paths
from support.authority import Authority
from support.processes import wait_until
from support.store import Store

sys.path.insert(0, str(paths.REPOSITORY / "Tests/Shared"))

from forward_proxy import Proxy  # noqa: E402

HOST = "oss-cn-test.example"
READ = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"


@pytest.fixture
def authority(work):
    return Authority(work / "authority", "authority of the test")


@pytest.fixture
def secure(bucket, place, authority):
    """The emulator with HTTPS besides; its certificate has the names under which the proxy knows it."""
    certificate, key = authority.certificate("store", f"models.{HOST}", HOST)
    one = Store({"models": bucket}, place.log("store"), options=("--tls-port", "0", "--tls-cert", str(certificate), "--tls-key", str(key)))
    yield one
    one.stop()


@pytest.fixture
def proxy(secure):
    plain, encrypted = ("127.0.0.1", secure.port), ("127.0.0.1", secure.tls_port)
    one = Proxy({f"models.{HOST}": encrypted, HOST: encrypted, f"models.plain.{HOST}": plain})
    yield one
    one.close()


def warm(place, environment, *arguments) -> pathlib.Path:
    result = place.modelcache("warm", *arguments, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    return pathlib.Path(result.stdout.decode().splitlines()[-1])


def test_the_agents_proxy_and_authority_reach_the_store(place, agent, secure, proxy, authority, bucket):
    model = one_file(bucket, mebibytes=9)
    user = proxy.url.replace("http://", "http://zelda:hunter2@")
    one = agent(HTTPS_PROXY=user, SSL_CERT_FILE=authority.path)
    model.assert_whole(warm(place, secure.environment(model.prefix, OSS_ENDPOINT=f"https://{HOST}")))
    assert proxy.asked(f"models.{HOST}") >= 2, proxy.log
    assert all("authorization: oss" not in head.lower() for head in proxy.heads), "the store's signature went to the proxy"
    output = one.process.output()
    assert f"https by {proxy.url}" in output and "hunter2" not in output and "zelda" not in output, output


@pytest.mark.parametrize("style, host", [("Auto", "store.example"), ("Path", "store.example"), ("Virtual", "models.store.example")])
@pytest.mark.parametrize("way", ["flag", "variable"])
def test_the_command_addresses_a_bucket_as_it_is_told(style, host, way, place, store, proxy, bucket):
    """The proxy sees which host is asked for."""
    model = one_file(bucket, mebibytes=1)
    proxy.hosts |= {name: ("127.0.0.1", store.port) for name in ("store.example", "models.store.example")}
    environment = store.environment(
        OSS_PATH=f"s3://models/{model.prefix}", OSS_ENDPOINT="http://store.example", HTTP_PROXY=proxy.url,
        **({"MODELCACHE_ADDRESSING": style} if way == "variable" else {}))
    model.assert_whole(warm(place, environment, *(["--addressing", style] if way == "flag" else [])))
    assert {line.split()[1] for line in proxy.log} == {host}, proxy.log


def test_a_domain_of_the_buckets_own_is_asked_without_the_bucket(place, proxy, store):
    proxy.hosts["models.example.com"] = ("127.0.0.1", store.port)
    place.modelcache("ls", "--addressing", "CNAME", environment=store.environment("m/", OSS_ENDPOINT="http://models.example.com", HTTP_PROXY=proxy.url))
    # The bucket's name is neither in the host nor in the path.
    asked = {head.split()[1].partition("?")[0] for head in proxy.heads}
    assert asked == {"http://models.example.com/", "http://models.example.com/m"}, asked


def test_a_plain_store_is_read_through_http_proxy(place, agent, secure, proxy, bucket):
    model = one_file(bucket, mebibytes=9)
    agent(HTTP_PROXY=proxy.url)
    model.assert_whole(warm(place, secure.environment(model.prefix, OSS_ENDPOINT=f"http://plain.{HOST}")))
    assert proxy.asked(f"models.plain.{HOST}") >= 2, proxy.log


def test_an_agent_that_the_command_starts_has_its_proxy_and_folder_of_authorities(place, secure, proxy, authority, bucket, work):
    model = one_file(bucket, mebibytes=3)
    folder = work / "certificates"
    folder.mkdir()
    (folder / "store.pem").write_bytes(authority.path.read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    environment = secure.environment(
        model.prefix, OSS_ENDPOINT=f"https://{HOST}", https_proxy=proxy.url, SSL_CERT_DIR=folder)
    # ls asks the store itself, warm an agent.
    listed = place.modelcache("ls", environment=environment)
    assert listed.returncode == 0, listed.stderr.decode()
    model.assert_whole(warm(place, environment))


def test_an_agent_that_the_library_starts_has_its_proxy_and_authority(place, secure, proxy, authority, bucket, work):
    model = one_file(bucket, mebibytes=3)
    environment = place.preloaded(
        secure.environment(model.prefix, OSS_ENDPOINT=f"https://{HOST}", HTTPS_PROXY=proxy.url, SSL_CERT_FILE=authority.path),
        work / "model")
    name = model.names[0]
    result = place.run(PYTHON, "-c", READ, work / "model" / name, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == model.digests[name]


def test_the_librarys_authority_reaches_an_agent_that_runs(place, agent, secure, proxy, authority, bucket, work):
    model = one_file(bucket, mebibytes=3)
    agent(HTTPS_PROXY=proxy.url)
    environment = place.preloaded(
        secure.environment(model.prefix, OSS_ENDPOINT=f"https://{HOST}", SSL_CERT_FILE=authority.path), work / "model")
    result = place.run(PYTHON, "-c", READ, work / "model" / model.names[0], environment=environment)
    assert result.returncode == 0, result.stderr.decode()


def test_an_authority_that_is_not_named_is_told_with_its_setting(place, agent, secure, proxy, bucket):
    model = one_file(bucket, mebibytes=1)
    agent(HTTPS_PROXY=proxy.url)
    result = place.modelcache("warm", environment=secure.environment(model.prefix, OSS_ENDPOINT=f"https://{HOST}"))
    assert result.returncode != 0 and b"SSL_CERT_FILE" in result.stderr, result.stderr.decode()


def test_a_store_on_this_machine_is_read_without_the_proxy(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=1)
    # Nothing listens there: whatever goes through the proxy fails.
    agent(HTTP_PROXY="http://192.0.2.1:9")
    model.assert_whole(warm(place, store.environment(model.prefix)))


@pytest.mark.parametrize("status, words", [(407, "wants a name and a password"), (403, "does not let us connect to")])
def test_a_proxy_that_refuses_is_named(status, words, place, agent, secure, proxy, bucket):
    model = one_file(bucket, mebibytes=1)
    proxy.refused[f"models.{HOST}"] = status
    agent(HTTPS_PROXY=proxy.url)
    result = place.modelcache("warm", environment=secure.environment(model.prefix, OSS_ENDPOINT=f"https://{HOST}"))
    assert result.returncode == 78, result.stderr.decode()
    assert f"the proxy {proxy.url} {words}" in result.stderr.decode(), result.stderr.decode()


def test_a_malformed_proxy_ends_the_agent_without_showing_it(place):
    result = place.modelcache("agent", environment={"HTTPS_PROXY": "ftp://zelda:hunter2@proxy"})
    assert result.returncode == 78, result.stderr.decode()
    assert b"HTTPS_PROXY" in result.stderr and b"hunter2" not in result.stderr, result.stderr.decode()


# ---- an accelerator and its region's own endpoint, whose names the proxy knows ------------------------------------

PLAIN = "models.oss-cn-test-internal.aliyuncs.com"
FAST = "models.cn-test-a-internal.oss-data-acc.aliyuncs.com"
ACCELERATOR = "http://" + FAST.removeprefix("models.")


def test_an_accelerator_that_is_away_is_replaced_by_its_region_and_said_once(place, agent, secure, proxy, bucket):
    model = one_file(bucket, mebibytes=9)
    proxy.hosts[PLAIN] = ("127.0.0.1", secure.port)
    one = agent(HTTP_PROXY=proxy.url)
    model.assert_whole(warm(place, secure.environment(model.prefix, OSS_ENDPOINT=ACCELERATOR)))
    assert proxy.asked(FAST) == 1 and proxy.asked(PLAIN) >= 3, proxy.log
    output = one.process.output()
    assert output.count("http://oss-cn-test-internal.aliyuncs.com is read in its place") == 1, output


def test_an_accelerator_that_goes_away_during_a_load_is_replaced(place, agent, secure, proxy, bucket):
    model = one_file(bucket, mebibytes=40)
    proxy.hosts |= {PLAIN: ("127.0.0.1", secure.port), FAST: ("127.0.0.1", secure.port)}
    one = agent(HTTP_PROXY=proxy.url, MODELCACHE_CONNECTIONS=2)
    # By the S3 dialect: in OSS's own the emulator takes the accelerator's name for another region's.
    environment = secure.environment(OSS_PATH=f"s3://models/{model.prefix}", OSS_ENDPOINT=ACCELERATOR)
    listed = place.modelcache("ls", environment=environment | {"HTTP_PROXY": proxy.url})
    assert listed.returncode == 0, listed.stderr.decode()
    assert proxy.asked(PLAIN) == 0
    # Listing and HEAD are still answered by it, the ranges are not.
    proxy.after[FAST] = 3
    model.assert_whole(warm(place, environment))
    assert proxy.asked(PLAIN) >= 2, proxy.log
    assert "is read in its place" in one.process.output()

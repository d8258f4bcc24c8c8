"""Wrong key, secret, region, bucket, prefix, clock, endpoint: each its own message and exit code."""
import pytest

from content import one_file
from support.processes import free_port
from support.store import Store

CASES = {
    "wrong key": ({"OSS_ACCESS_KEY_ID": "LTAInobody"}, 78, ["OSS_ACCESS_KEY_ID"]),
    "wrong secret": ({"OSS_ACCESS_KEY_SECRET": "not-the-secret"}, 78, ["OSS_ACCESS_KEY_SECRET"]),
    "wrong region": ({"OSS_REGION": "cn-elsewhere"}, 78, ["OSS_REGION", "region of the signature"]),
    "wrong bucket": ({"OSS_PATH": "oss://nobucket/one/"}, 78, ["bucket", "OSS_PATH"]),
    "empty prefix": ({"OSS_PATH": "oss://models/nothing/here/"}, 78, ["OSS_PATH", "nothing/here"]),
    "no keys for a private bucket": ({"OSS_ACCESS_KEY_ID": "", "OSS_ACCESS_KEY_SECRET": ""}, 78, ["denied"]),
}


@pytest.mark.parametrize("verb", ["warm", "ls", "program"])
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting_for_the_source_is_named(case, verb, place, agent, store, bucket, work):
    change, code, words = CASES[case]
    one_file(bucket, mebibytes=1)
    agent()
    environment = store.environment("one/") | change
    if verb == "program":
        result = place.run("cat", work / "model/model.gguf", environment=place.preloaded(environment, work / "model"))
    else:
        result = place.modelcache(verb, environment=environment)
        if verb == "ls" and case == "empty prefix":
            # Nothing there is an answer, not an error, to one who asks what is there.
            assert result.returncode == 0 and b"0 objects" in result.stdout
            return
    text = result.stderr.decode()
    assert result.returncode == code, (result.returncode, text)
    assert text.count("\n") == 1 and all(word in text for word in words), text
    assert "not-the-secret" not in text and "system-tests-secret" not in text


def test_the_messages_differ_from_each_other(place, agent, store, bucket):
    one_file(bucket, mebibytes=1)
    agent()
    said = {}
    for case, (change, _, _) in CASES.items():
        result = place.modelcache("warm", environment=store.environment("one/") | change)
        said[case] = result.stderr.decode().split("(HTTP")[0]
    assert len(set(said.values())) == len(said), said


@pytest.mark.parametrize("signature", ["v1", "v4"])
@pytest.mark.parametrize("verb", ["warm", "ls"])
def test_a_skewed_clock_is_named(verb, signature, place, agent, bucket):
    one_file(bucket, mebibytes=1)
    store = Store({"models": bucket}, place.log("store"), options=("--clock-offset", "3600"))
    try:
        agent()
        result = place.modelcache(verb, environment=store.environment("one/", MODELCACHE_SIGNATURE=signature))
        assert result.returncode == 78, result
        assert b"clock" in result.stderr and b"NTP" in result.stderr
    finally:
        store.stop()


@pytest.mark.parametrize("endpoint, word", [("port", "127.0.0.1"), ("name", "no-such-host.invalid")])
@pytest.mark.parametrize("verb", ["warm", "ls"])
def test_an_endpoint_that_does_not_answer_gives_69(verb, endpoint, word, place, agent, store):
    agent()
    where = f"http://127.0.0.1:{free_port()}" if endpoint == "port" else "http://no-such-host.invalid"
    result = place.modelcache(verb, environment=store.environment("one/", OSS_ENDPOINT=where))
    assert result.returncode == 69, result
    assert word in result.stderr.decode() and result.stderr.count(b"\n") == 1


def test_an_https_endpoint_that_speaks_http_is_a_clear_error(place, agent, store):
    agent()
    result = place.modelcache("ls", environment=store.environment("one/", OSS_ENDPOINT=f"127.0.0.1:{store.port}"))
    assert result.returncode in (69, 78) and b"127.0.0.1" in result.stderr, result


def test_no_secret_reaches_a_log(place, agent, store, bucket):
    one_file(bucket, mebibytes=1)
    one = agent("--log-level", "0")
    for change in ({}, {"OSS_ACCESS_KEY_SECRET": "not-the-secret", "OSS_SESSION_TOKEN": "the-session-token"}):
        place.modelcache("warm", environment=store.environment("one/") | change)
    text = one.process.output()
    for secret in ("system-tests-secret", "not-the-secret", "the-session-token"):
        assert secret not in text

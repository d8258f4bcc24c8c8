"""Objects come from OSS and S3 stores under every kind of signature, key and size, byte for byte."""
import http.client
import json
import os
import pathlib
import sys
import time

import pytest

from content import MIB, digest, fifteen_shards, make_model, one_file
from support import paths
from support.processes import Running, clean_environment, free_port, wait_until
from support.store import ACCESS_KEY, REGION, SECRET, Store


def warm(place, environment, *arguments, seconds=120) -> pathlib.Path:
    """Warms the model; gives its cache directory, the last line of standard output."""
    result = place.modelcache("warm", *arguments, environment=environment, seconds=seconds)
    assert result.returncode == 0, result.stderr.decode()
    return pathlib.Path(result.stdout.decode().splitlines()[-1])


def listed(place, environment, *arguments) -> dict[str, int]:
    result = place.modelcache("ls", "--json", *arguments, environment=environment, seconds=120)
    assert result.returncode == 0, result.stderr.decode()
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return {row["key"]: row["size"] for row in rows}


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_an_oss_model_arrives_whole_under_either_signature(signature, place, agent, store, bucket):
    model = fifteen_shards(bucket)
    agent()
    environment = store.environment(model.prefix, MODELCACHE_SIGNATURE=signature)
    assert listed(place, environment) == model.sizes
    model.assert_whole(warm(place, environment))


def test_without_a_region_signature_v1_is_used(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=5)
    agent()
    model.assert_whole(warm(place, store.environment(model.prefix, OSS_REGION=None)))


def test_a_public_bucket_is_read_without_keys(place, agent, bucket):
    model = fifteen_shards(bucket)
    store = Store({"models": bucket}, place.log("store"), anonymous=("models",))
    try:
        agent()
        environment = store.environment(model.prefix, OSS_ACCESS_KEY_ID=None, OSS_ACCESS_KEY_SECRET=None)
        assert listed(place, environment) == model.sizes
        model.assert_whole(warm(place, environment))
    finally:
        store.stop()


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_a_session_token_is_sent_and_needed(signature, place, agent, bucket):
    model = one_file(bucket, mebibytes=8)
    store = Store({"models": bucket}, place.log("store"), options=("--key", "STS.tests:sts-secret:the-token+/="))
    try:
        agent()
        keys = {"OSS_ACCESS_KEY_ID": "STS.tests", "OSS_ACCESS_KEY_SECRET": "sts-secret", "MODELCACHE_SIGNATURE": signature}
        refused = place.modelcache("ls", environment=store.environment(model.prefix, **keys))
        assert refused.returncode == 78, refused
        environment = store.environment(model.prefix, OSS_SESSION_TOKEN="the-token+/=", **keys)
        assert listed(place, environment) == model.sizes
        model.assert_whole(warm(place, environment))
    finally:
        store.stop()


ODD_NAMES = {
    "plain.gguf": 3 * MIB + 1, "with space.gguf": 70_001, "plus+sign.gguf": 70_002, "per%cent%20.gguf": 70_003,
    "模型/权重 文件.gguf": 5 * MIB + 7, "a/b/c/deep.bin": 11, "empty.json": 0, "a/empty": 0, "tilde~'()*!&=?#:@;,$.bin": 99,
    "é-nfc.bin": 12, "e\u0301-nfd.bin": 13, "exactly-2MiB": 2 * MIB, "exactly-8MiB": 8 * MIB,
}


@pytest.mark.parametrize("signature", ["v1", "v4"])
def test_keys_with_spaces_plus_percent_and_chinese_and_empty_objects_arrive(signature, place, agent, store, bucket):
    model = make_model(bucket, "odd ones+%/中文/", ODD_NAMES)
    agent()
    environment = store.environment(model.prefix, MODELCACHE_SIGNATURE=signature)
    assert listed(place, environment) == model.sizes
    model.assert_whole(warm(place, environment))


def test_a_prefix_does_not_bring_its_neighbours(place, agent, store, bucket):
    model = make_model(bucket, "qwen/", {"a.gguf": 1000, "sub/b.gguf": 2000})
    make_model(bucket, "qwen-large/", {"a.gguf": 3000})
    agent()
    assert listed(place, store.environment("qwen/")) == model.sizes
    folder = warm(place, store.environment("qwen/"))
    model.assert_whole(folder)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and not p.relative_to(folder).parts[0].startswith(".")} == set(model.names)


def test_include_patterns_choose_keys(place, agent, store, bucket):
    model = make_model(bucket, "mixed/", {"q4.gguf": 5000, "q8.gguf": 6000, "README.md": 7})
    agent()
    assert listed(place, store.environment(model.prefix), "--include", "*q4*") == {"q4.gguf": 5000}
    folder = warm(place, store.environment(model.prefix), "--include", "*q4*", "--include", "*.md")
    assert digest(folder / "q4.gguf") == model.digests["q4.gguf"]
    assert digest(folder / "README.md") == model.digests["README.md"]
    assert not (folder / "q8.gguf").exists()


def test_more_than_a_thousand_objects_are_listed_in_pages(place, agent, store, bucket):
    model = make_model(bucket, "many/", {f"part-{i:04}.bin": i % 7 for i in range(1203)})
    agent()
    assert listed(place, store.environment(model.prefix)) == model.sizes


def test_offsets_past_four_gibibytes_are_right(place, agent, store, bucket):
    """4.2 GiB, sparse at the store, with marks before, at and after the 32-bit limits."""
    size = (4 << 30) + 200 * MIB + 777
    marks = {0: b"head", (2 << 30) - 3: b"at-2-GiB", (4 << 30) - 5: b"across-4-GiB", size - 8: b"the tail"}
    folder = bucket / "large"
    folder.mkdir()
    with open(folder / "large.bin", "wb") as file:
        file.truncate(size)
        for offset, text in marks.items():
            file.seek(offset)
            file.write(text)
    agent("--medium", "memory")
    cached = warm(place, store.environment("large/"), seconds=270) / "large.bin"
    assert cached.stat().st_size == size
    with open(cached, "rb") as file:
        for offset, text in marks.items():
            file.seek(offset)
            assert file.read(len(text)) == text
            file.seek(max(0, offset - 4096))
            before = file.read(min(offset, 4096))
            assert not before.strip(b"\0"), f"bytes before {offset} are not zero"


# ---- S3 ----------------------------------------------------------------------------------------------------------

S3_KEYS = {"OSS_ACCESS_KEY_ID": None, "OSS_ACCESS_KEY_SECRET": None, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.mark.parametrize("family", ["OSS", "AWS"])
def test_the_emulator_is_read_as_s3(family, place, agent, store, bucket):
    model = make_model(bucket, "s3 models/", ODD_NAMES)
    agent()
    keys = S3_KEYS if family == "AWS" else {}
    environment = store.environment(model.prefix, **keys) | {"OSS_PATH": f"s3://models/{model.prefix}"}
    assert listed(place, environment) == model.sizes
    model.assert_whole(warm(place, environment))


def s3_environment(port: int, region: str = "us-east-1") -> dict[str, str]:
    return clean_environment(
        OSS_ENDPOINT=f"http://127.0.0.1:{port}", OSS_REGION=region, OSS_PATH="s3://models/m/",
        OSS_ACCESS_KEY_ID="AKIDSYSTEMTEST", OSS_ACCESS_KEY_SECRET="s3-secret")


@pytest.fixture
def moto(place):
    """moto's S3 server; its put(key, bytes) needs no client."""
    port = free_port()
    process = Running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], place.log("moto"))

    def put(path: str, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        # Any scope does: moto does not verify signatures, it looks for the service's name.
        connection.request("PUT", path, body=body, headers={
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"})
        assert connection.getresponse().status == 200

    wait_until(lambda: process.listens(port), 120, "moto listens")
    put("/models", b"")
    yield port, put
    process.stop()


def test_folder_marker_objects_do_not_hinder_a_model(moto, place, agent, bucket):
    """Consoles make empty objects named `prefix/` and `prefix/sub/` for folders."""
    port, put = moto
    model = make_model(bucket, "m/", {"sub/a.gguf": 5000})
    put("/models/m/", b"")
    put("/models/m/sub/", b"")
    put("/models/m/sub/a.gguf", (bucket / "m/sub/a.gguf").read_bytes())
    agent()
    model.assert_whole(warm(place, s3_environment(port)))


# ---- keys of a person's home --------------------------------------------------------------------------------------

PROFILES = {
    ".aws/credentials": ("s3", f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n"),
    ".ossutilconfig": ("oss", f"[Credentials]\naccessKeyID={ACCESS_KEY}\naccessKeySecret={SECRET}\n"),
    ".aliyun/config.json": ("oss", json.dumps({"current": "a", "profiles": [
        {"name": "a", "mode": "AK", "access_key_id": ACCESS_KEY, "access_key_secret": SECRET}]})),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_command_has_the_keys_of_a_home_and_the_agent_reads_none(name, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=1)
    scheme, text = PROFILES[name]
    file = work / "home" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    one = agent(HOME=work / "home")
    environment = store.environment(
        OSS_ACCESS_KEY_ID=None, OSS_ACCESS_KEY_SECRET=None, OSS_PATH=f"{scheme}://models/{model.prefix}", HOME=work / "home")
    # The library hands on its environment, where no key is, and the agent of this home has none either.
    read = place.run("cat", work / "model/model.gguf", environment=place.preloaded(environment, work / "model"))
    assert read.returncode != 0 and b"denied" in read.stderr, read.stderr.decode()
    assert listed(place, environment) == model.sizes
    model.assert_whole(warm(place, environment))
    assert SECRET not in one.process.output()


# ---- source addresses ------------------------------------------------------------------------------------------

def test_connections_leave_evenly_from_both_source_addresses(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=60)
    agent()
    model.assert_whole(warm(place, store.environment(model.prefix, HTTP_SOURCE_IP="127.0.0.2,127.0.0.3")))
    remotes = store.requests()["remotes"]
    assert set(remotes) == {"127.0.0.2", "127.0.0.3"}, remotes
    shares = [remotes[address]["bytes"] / model.bytes for address in sorted(remotes)]
    # AddressSharesTests says how even the shares are; a transfer that is repeated counts twice here.
    assert all(share > 0.25 for share in shares), shares


def test_a_source_address_that_is_not_on_the_machine_is_named(place, agent, store, bucket):
    model = one_file(bucket, mebibytes=2)
    agent()
    result = place.modelcache("warm", environment=store.environment(model.prefix, HTTP_SOURCE_IP="127.0.0.2,203.0.113.9"))
    assert result.returncode == 78, result
    assert b"203.0.113.9" in result.stderr and b"HTTP_SOURCE_IP" in result.stderr


# ---- credentials that end in the middle --------------------------------------------------------------------------

def credentials_file(path: pathlib.Path, key: str, secret: str, token: str, expires: float) -> None:
    text = json.dumps({
        "AccessKeyId": key, "AccessKeySecret": secret, "SecurityToken": token,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))})
    aside = path.with_suffix(".new")
    aside.write_text(text)
    os.replace(aside, path)


def test_a_credentials_file_is_read_again_when_it_expires_in_mid_load(place, agent, bucket, work):
    model = one_file(bucket, mebibytes=40)
    running_agent = agent("--connections", "2")  # so that requests remain to be signed
    first = int(time.time()) + 12
    store = Store({"models": bucket}, place.log("store"), options=(
        "--key", f"STS.first:secret-one:token-one:{first}", "--key", f"STS.second:secret-two:token-two:{first + 3600}"))
    file = work / "credentials.json"
    try:
        # The second half comes when the first token has expired.
        store.faults({"match": {"ranged": True, "range": f"{20 * MIB}-"}, "action": {"held": True}})
        credentials_file(file, "STS.first", "secret-one", "token-one", first)
        environment = store.environment(model.prefix, OSS_ACCESS_KEY_ID=None, OSS_ACCESS_KEY_SECRET=None, OSS_CREDENTIALS_FILE=file)
        job = Running([paths.MODELCACHE, "warm"], place.log("warm"), environment=environment | {k: str(v) for k, v in place.settings().items()})
        wait_until(lambda: store.requests()["bytesServed"] > 0, 120, "the load has begun")
        credentials_file(file, "STS.second", "secret-two", "token-two", first + 3600)
        wait_until(lambda: time.time() > first + 1, 120, "the first token has expired")
        assert job.alive(), job.output()
        store.faults()
        assert job.wait(120) == 0, job.output()
        model.assert_whole(pathlib.Path(job.output().splitlines()[-1]))
        for secret in ("secret-one", "secret-two", "token-one", "token-two"):
            assert secret not in running_agent.process.output(), "a secret in the agent's log"
    finally:
        store.stop()

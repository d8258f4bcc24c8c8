"""Stores as people have them, one row of support/store_table.py a case: the model loads, or one line names the object or the
setting and what to do."""
import hashlib
import io
import pathlib
import random
import sys
import time

import boto3
import botocore.config
import pytest

from support import store_table
from support.processes import Running, clean_environment, free_port, wait_until
from support.store import Store
from support.store_table import BIG, KEYS, LOADS, MIB, REFUSED, SERVERS, UNREADABLE, UNVERIFIED

# All that can be read must be there within this time, and all that cannot must be told.
SECONDS = 120
DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/stores.md"

MODEL = {"model.bin": random.Random(4).randbytes(5 * MIB + 77), "config.json": b'{"a": 1}\n', "empty.json": b""}
# For servers that speak for themselves, with keys that they must sign and code as we do.
NAMES = {
    "plain.gguf": 20 * MIB + 1, "with space.gguf": 70_001, "plus+sign.gguf": 70_002, "模型/权重 文件.gguf": 5 * MIB + 7, "a/b/c/deep.bin": 11,
    "empty.json": 0,
}
CHECKSUMS = {"with space.gguf": "SHA1", "plus+sign.gguf": "SHA256"}


def rows(cases):
    return pytest.mark.parametrize("case", cases, ids=[case.label for case in cases])


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One emulator for every row: m/ and many/ have the model, and links have their targets."""
    folder = tmp_path_factory.mktemp("table")
    bucket = folder / "bucket"
    content = {f"{prefix}{name}": body for prefix in ("m/", "many/") for name, body in MODEL.items()}
    content |= {f"many/p/{i:05}.txt": b"" for i in range(1100)} | {"targets/model.bin": MODEL["model.bin"]}
    for key, body in content.items():
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(body)
    store = Store({"models": bucket}, folder / "store.log")
    yield store
    store.stop()


@pytest.fixture
def emulated(shared):
    """emulated(case): the emulator with what is odd of the case; gives the environment that reads from it."""
    def start(case):
        bucket = shared.buckets["models"]
        (bucket / store_table.OTHER).unlink(missing_ok=True)
        if store_table.OTHER in case.objects:
            (bucket / store_table.OTHER).write_bytes(b"z" * 100_000)
        shared.oddities(**case.oddities)
        shared.faults(*case.faults)
        return shared.environment(case.prefix, OSS_PATH=f"{case.scheme}://models/{case.prefix}", **case.settings)

    yield start
    shared.oddities()
    shared.faults()


def warm(place, environment):
    """`modelcache warm`, which must end in time."""
    began = time.monotonic()
    result = place.modelcache("warm", environment=environment, seconds=SECONDS + 30)
    assert time.monotonic() - began < SECONDS, result.stderr.decode()
    return result


def assert_model(folder, model=MODEL):
    for name, body in model.items():
        assert pathlib.Path(folder, name).read_bytes() == body, name


def assert_read_while_it_arrives(place, environment, folder, model=MODEL):
    names = [name for name, body in model.items() if body]
    result = place.run("sha256sum", *(folder / name for name in names), environment=place.preloaded(environment, folder), seconds=SECONDS)
    assert result.returncode == 0, result.stderr.decode()
    assert [line.split()[0].lstrip("\\") for line in result.stdout.decode().splitlines()] == \
        [hashlib.sha256(model[name]).hexdigest() for name in names]


def assert_warm(place, environment, model=MODEL, unverified=None):
    """`unverified`: why model.bin is not verified, "" where it is; None: not known."""
    result = warm(place, environment)
    assert result.returncode == 0, result.stderr.decode()
    warnings = [line for line in result.stderr.decode().splitlines() if "warning: " in line]
    assert unverified is None or bool(unverified) == bool(warnings), warnings
    if unverified:
        assert sum(f"warning: model.bin: not verified: {unverified}" in line for line in warnings) == 1, warnings
    assert_model(result.stdout.decode().splitlines()[-1], model)
    again = warm(place, environment)
    assert again.returncode == 0 and "replaced" not in again.stderr.decode(), again.stderr.decode()


@rows(LOADS + UNVERIFIED)
def test_an_odd_store_is_read_while_it_arrives_and_warmed(case, emulated, place, agent, work):
    environment = emulated(case)
    one = agent()
    assert_read_while_it_arrives(place, environment, work / "model")
    assert_warm(place, environment, unverified=case.unverified)
    log = one.process.output().splitlines()
    assert sum("could not be verified" in line and "model.bin" in line for line in log) == bool(case.unverified), log
    assert not any(" error" in line for line in log), log


@rows(KEYS)
def test_a_key_that_cannot_be_a_file_is_left_out_and_named(case, emulated, place, agent, work):
    environment = emulated(case)
    one = agent()
    assert_read_while_it_arrives(place, environment, work / "model")
    result = warm(place, environment)
    assert result.returncode == 0, result.stderr.decode()
    assert_model(result.stdout.decode().splitlines()[-1])
    assert "cannot be files and are left out" in one.process.output(), one.process.output()


@rows(UNREADABLE)
def test_an_object_that_cannot_be_read_is_named_and_the_rest_loads(case, emulated, place, agent, work):
    environment = emulated(case)
    one = agent()
    assert_read_while_it_arrives(place, environment, work / "model")
    result = warm(place, environment)
    told = result.stderr.decode() + one.process.output()
    assert "other.bin" in told and case.told in told, told
    assert_model(place.status()["models"][0]["directory"])
    # Left out, as the message says.
    result = warm(place, environment | {"MODELCACHE_INCLUDE": "model.bin,*.json"})
    assert result.returncode == 0, result.stderr.decode()


@rows(REFUSED)
def test_a_store_that_refuses_says_why_to_warm_and_to_a_reader(case, emulated, place, agent, work):
    environment = emulated(case)
    agent(*(["--verify", "strict"] if case.strict else []))
    result = warm(place, environment)
    assert result.returncode != 0 and case.told in result.stderr.decode(), result.stderr.decode()
    preloaded = place.preloaded(environment, work / "model")
    read = place.run("sha256sum", work / "model/model.bin", environment=preloaded, seconds=SECONDS)
    assert read.returncode != 0 and case.told in read.stderr.decode(), read.stderr.decode()


# ---- servers of other people --------------------------------------------------------------------------------------

ACCESS, SECRET = "AKIDSYSTEMTEST", "s3-secret-of-tests"


def program(name: str) -> pathlib.Path:
    """A program of requirements.txt. (Debian's own builds of rclone leave `serve s3` out.)"""
    return pathlib.Path(sys.executable).parent / name


def commands(folder: pathlib.Path, port: int) -> dict[str, list[object]]:
    """By name: a server at this port, whose buckets are in the folder where it has any."""
    return {
        "moto": [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
        "rclone": [program("rclone"), "serve", "s3", "--config", folder / "rclone.conf", "--addr", f"127.0.0.1:{port}",
                   "--auth-key", f"{ACCESS},{SECRET}", folder],
        "localbucket": [program("localbucket"), "--port", port, folder],
        "nanio": [program("nanio"), "serve", "--host", "127.0.0.1", "--port", port, "--data-dir", folder],
        # It reads alone, so its bucket is written as files.
        "hadro": [program("hadro"), "--port", port, "--region", "us-east-1", "--access-key", ACCESS, "--secret-key", SECRET, folder],
    }


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """server(name): its port, with the bucket `models`, filled by boto3 once."""
    started = {}

    def start(name):
        if name in started:
            return started[name][1]
        folder, port = tmp_path_factory.mktemp(name), free_port()
        if name == "hadro":
            write(folder / "models/m")
        environment = clean_environment(HOME=folder, NANIO_ACCESS_KEY=ACCESS, NANIO_SECRET_KEY=SECRET)
        process = Running(commands(folder, port)[name], folder.parent / f"{folder.name}.log", environment=environment)
        started[name] = process, port

        wait_until(lambda: process.listens(port), 120, f"{name} listens")
        if name != "hadro":
            upload(port)
        return port

    yield start
    for process, _ in started.values():
        process.stop()


def contents() -> dict[str, bytes]:
    generator = random.Random(5)
    return {name: generator.randbytes(size) for name, size in NAMES.items()}


def write(folder: pathlib.Path) -> None:
    for name, body in contents().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


def upload(port: int) -> None:
    client = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id=ACCESS, aws_secret_access_key=SECRET,
        config=botocore.config.Config(s3={"addressing_style": "path"}))
    client.create_bucket(Bucket="models")
    for name, body in contents().items():
        # The SDK's own way: checksums in trailers, CRC-32 where none is named, and parts above 8 MiB.
        chosen = {"ChecksumAlgorithm": CHECKSUMS[name]} if name in CHECKSUMS else None
        client.upload_fileobj(io.BytesIO(body), "models", f"m/{name}", ExtraArgs=chosen)


@rows(SERVERS)
def test_a_model_is_read_from_other_peoples_servers(case, server, place, agent, work):
    environment = clean_environment(
        OSS_ENDPOINT=f"http://127.0.0.1:{server(case.server)}", OSS_REGION="us-east-1", OSS_PATH="s3://models/m/", AWS_ACCESS_KEY_ID=ACCESS,
        AWS_SECRET_ACCESS_KEY=SECRET)
    agent()
    assert_read_while_it_arrives(place, environment, work / "model", contents())
    assert_warm(place, environment, contents())


def test_the_document_has_this_table():
    assert store_table.markdown() in DOCUMENT.read_text(), \
        "docs/stores.md has another table: put the output of Tests/System/support/store_table.py there"

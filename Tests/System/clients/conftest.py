"""The store emulator against the real clients: each store is a process of its own, stopped by its pid.

Stands alone: needs requirements.txt and `modelcache-devstore` in dist/bin (or MODELCACHE_DIST/bin), nothing else.
Host names below `.test` resolve to loopback inside this process, so that SDKs that insist on `bucket.endpoint`
need no name server.
"""
import http.client
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

DIST = pathlib.Path(os.environ.get("MODELCACHE_DIST", pathlib.Path(__file__).parents[3] / "dist"))
DEVSTORE = DIST / "bin" / "modelcache-devstore"

KEY_ID, SECRET = "LTAIexample", "a-secret+with/odd=signs"
STS_ID, STS_SECRET, STS_TOKEN = "STS.example", "another-secret", "CAISexample+token/with=signs"
OLD_ID, OLD_SECRET, OLD_TOKEN = "STS.old", "old-secret", "oldtoken"
REGION = "cn-hangzhou"
OSS_HOST, S3_HOST = "oss-cn-hangzhou.test", "s3.test"
GIB = 1 << 30

ODD_KEYS = [
    "plain.bin",
    "with space.txt",
    "plus+sign",
    "percent%41 100%",
    "中文/模型-00001-of-00015.gguf",
    "quotes'\"&<>.xml",
    "sub/~!*()-._/leaf",
    "query?x=1&y=2",
    "hash#fragment",
    "equals=;:@,$",
    "emoji-🦙",
    "back\\slash",
    "tab\tnewline\n",
]

_resolve = socket.getaddrinfo


def _loopback(host, *rest, **more):
    if isinstance(host, str) and host.endswith(".test"):
        host = "127.0.0.1"
    return _resolve(host, *rest, **more)


socket.getaddrinfo = _loopback


def pytest_sessionstart(session):
    if not DEVSTORE.exists():
        pytest.exit(f"not built: {DEVSTORE} (run hack/build)", returncode=2)


class DevStore:
    """One running store."""

    def __init__(self, folder, *arguments):
        ready = pathlib.Path(tempfile.mkdtemp(prefix="ready-", dir=folder)) / "ready.json"
        self.log = ready.with_name("log.txt")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(DEVSTORE), "--admin", "0", "--ready-file", str(ready), *map(str, arguments)],
                stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the store did not start: {self.log.read_text()}")
            time.sleep(0.01)
        ports = json.loads(ready.read_text())
        self.port, self.admin_port = ports["port"], ports["adminPort"]
        self.tls_port = ports.get("tlsPort")
        self.identity_port, self.identity_tls_port = ports.get("identityPort"), ports.get("identityTLSPort")
        self.pid = ports["pid"]
        self.address = f"http://127.0.0.1:{self.port}"
        self.oss = f"http://{OSS_HOST}:{self.port}"
        self.s3 = f"http://{S3_HOST}:{self.port}"

    def admin(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return json.loads(text)
        finally:
            connection.close()

    def faults(self, *rules, **plan):
        return self.admin("PUT", "/faults", {"rules": list(rules), **plan})

    def acted(self):
        return self.admin("GET", "/faults")["acted"]

    def stats(self):
        return self.admin("GET", "/stats")

    def clear(self):
        self.admin("DELETE", "/faults")
        self.admin("DELETE", "/stats")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="mcc-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def content():
    """Key to bytes, of every object in the bucket `models` but the sparse one."""
    dice = random.Random(20261121)
    made = {key: dice.randbytes(100 + 977 * index) for index, key in enumerate(ODD_KEYS)}
    made["empty"] = b""
    made["big.bin"] = dice.randbytes((1 << 20) * 9 + 12345)
    for index in range(25):
        made[f"many/{index:03d}.bin"] = dice.randbytes(index)
    return made


@pytest.fixture(scope="session")
def root(folder, content):
    """The buckets' directories: models (private), open (public), scratch (for uploads)."""
    root = folder / "root"
    for bucket, objects in {"models": content, "open": {"hello.txt": b"hello"}, "scratch": {}}.items():
        (root / bucket).mkdir(parents=True)
        for key, data in objects.items():
            path = root / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    with open(root / "models" / "sparse.gguf", "wb") as sparse:
        sparse.truncate(5 * GIB + 7)
        for offset in (0, 4 * GIB - 8, 5 * GIB):
            sparse.seek(offset)
            sparse.write(b"%-7d" % (offset // 1024))
    return root


@pytest.fixture(scope="session")
def sparse_marks():
    return {offset: b"%-7d" % (offset // 1024) for offset in (0, 4 * GIB - 8, 5 * GIB)}


@pytest.fixture(scope="session")
def start(folder):
    """start(*arguments): a store that runs to the end of the session."""
    running = []

    def one(*arguments):
        running.append(DevStore(folder, *arguments))
        return running[-1]

    yield one
    for store in running:
        store.stop()


@pytest.fixture(scope="session")
def signing():
    """The arguments of a store that verifies signatures."""
    return ["--key", f"{KEY_ID}:{SECRET}", "--key", f"{STS_ID}:{STS_SECRET}:{STS_TOKEN}:2100-01-01T00:00:00Z",
            "--key", f"{OLD_ID}:{OLD_SECRET}:{OLD_TOKEN}:2020-01-01T00:00:00Z",
            "--public", "open", "--region", REGION, "--base-host", OSS_HOST, "--base-host", S3_HOST]


@pytest.fixture(scope="session")
def signed(start, root, signing):
    return start("--root", root, *signing)


@pytest.fixture(scope="session")
def skewed(start, root, signing):
    """A store whose clock is an hour ahead."""
    return start("--root", root, "--clock-offset", 3600, *signing)


@pytest.fixture(scope="session")
def open_store(start, root):
    """A store without keys."""
    return start("--root", root)


@pytest.fixture
def store(open_store):
    """The same, with no fault left from the test before."""
    open_store.clear()
    yield open_store
    open_store.clear()

"""Whatever is posted to the webhook's port, and however, the operator's memory is bounded and pods are injected afterwards."""
import json
import pathlib
import re
import socket
import ssl
import threading
import time

import pytest

from support import webhook as hooks
from support.webhook import Direct, is_injected, pod, until
from test_webhook import cluster, world  # noqa: F401 (fixtures)

MIB = 1 << 20
MOST_RESIDENT = 150 * MIB
BODY_LIMIT = 4 * MIB


def filled(head: bytes, unit: bytes, tail: bytes = b"", size=BODY_LIMIT) -> bytes:
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def object_of(value: bytes) -> bytes:
    """A review whose pod has `value` in it."""
    text = json.dumps(hooks.review("hostile", "models", pod("hostile"))).encode()
    return text.replace(b'"spec": {', b'"spec": {"x": ' + value + b", ", 1)


# Each is as large as is read, or a little less; what each would do unbounded is its name.
BODIES = {
    "deep lists": filled(b"", b"["), "deep objects": filled(b"", b'{"a":'), "many numbers": filled(b"[", b"0,", b"0]"),
    "many empty objects": filled(b"[", b"{},", b"0]"), "many small objects": filled(b"[", b'{"":0},', b"0]"),
    "many small lists": filled(b"[", b"[[]],", b"0]"), "many members": b"{" + b",".join(b'"%d":0' % i for i in range(300_000)) + b"}",
    "one member again and again": filled(b"{", b'"a":0,', b'"a":0}'), "one string": filled(b'"', b"x", b'"'),
    "one string of escapes": filled(b'"', b"\\n", b'"'), "many strings": filled(b"[", b'"sixteen letters.",', b"0]"),
    "one number": filled(b"", b"9"), "spaces": filled(b"", b" "), "not UTF-8": filled(b'"', b"\xff", b'"'),
    "a review of many values": object_of(filled(b"[", b'{"":0},', b"0]", 700_000)),
    "a review of one mebibyte": json.dumps(hooks.review("large", "models", pod("large", note="x" * MIB))).encode(),
    "a review of many containers": json.dumps(hooks.review("wide", "models", {
        "metadata": {"name": "wide", "labels": {"modelcache.io/inject": "qwen"}, "annotations": {
            "modelcache.io/container": ",".join(f"c{i}" for i in range(4000))}},
        "spec": {"containers": [{"name": f"c{i}"} for i in range(4000)]}})).encode(),
    "a review that waits for its ModelCache": json.dumps(hooks.review("absent", "models", pod("absent", inject="absent", note="x" * MIB))).encode(),
}


class Attacker:
    """Connections to one port, in TLS, by threads that end when told."""

    def __init__(self, port):
        self.port = port
        self.context = ssl._create_unverified_context()
        self.ended = threading.Event()
        self.threads = []
        self.statuses = {}

    def connect(self, seconds=60):
        return self.context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=seconds))

    def run(self, number, work) -> None:
        def repeat():
            while not self.ended.is_set():
                try:
                    work()
                except OSError:
                    time.sleep(0.05)

        self.threads += [threading.Thread(target=repeat) for _ in range(number)]
        for thread in self.threads[-number:]:
            thread.start()

    def post(self, body: bytes, head=b"") -> int:
        with self.connect() as one:
            length = b"" if head else b"Content-Length: %d\r\n" % len(body)
            request = b"POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + length + head + b"\r\n"
            try:
                one.sendall(request)
                one.sendall(body)
            except OSError:
                # Refused while it is still being sent: the answer may be there all the same.
                pass
            answer = one.recv(4096)
            status = int(re.match(rb"HTTP/1.1 (\d+)", answer)[1]) if answer else 0
            self.statuses[status] = self.statuses.get(status, 0) + 1
            return status

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Resident:
    """The largest resident memory of a process, as the kernel counts it."""

    def __init__(self, process):
        self.folder = pathlib.Path(f"/proc/{process.pid}")
        (self.folder / "clear_refs").write_text("5")

    def most(self) -> int:
        return int(re.search(r"VmHWM:\s+(\d+) kB", (self.folder / "status").read_text())[1]) << 10


def chunked(body: bytes, chunk: int):
    return b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + chunk]), body[at:at + chunk]) for at in range(0, len(body), chunk))


@pytest.fixture
def operator(world):  # noqa: F811
    one = world.start().ready()
    world.operator, world.resident = one, Resident(one.process)
    world.attacker = Attacker(world.port)
    yield one
    world.attacker.stop()


def is_well(world) -> None:  # noqa: F811
    """Alive, within its memory, and pods are injected."""
    assert world.operator.alive, world.operator.last_words()
    most = world.resident.most()
    print(f"largest resident memory: {most / MIB:.1f} MiB; answers: {world.attacker.statuses}")
    assert most < MOST_RESIDENT
    with Direct(world.port, world.bundle()) as direct:
        status, said = direct.post(hooks.review("after", world.namespace, pod("after")))
        assert status == 200 and json.loads(said)["response"]["patchType"] == "JSONPatch"


def test_each_hostile_body_gets_its_status(world, operator):  # noqa: F811
    for name, body in BODIES.items():
        status = world.attacker.post(body)
        wanted = {200} if name.startswith("a review of") and "values" not in name or "waits" in name else {400, 413}
        assert status in wanted, (name, status)
    assert world.attacker.post(b" " * (BODY_LIMIT + 1)) == 413
    is_well(world)


def test_hostile_bodies_all_at_once(world, operator):  # noqa: F811
    bodies = list(BODIES.values())
    turn = iter(range(1 << 30))
    world.attacker.run(64, lambda: world.attacker.post(bodies[next(turn) % len(bodies)]))
    # Long enough for each body many times over; the memory is what is measured.
    deadline = time.monotonic() + 60
    while sum(world.attacker.statuses.values()) < 40 * len(bodies) and time.monotonic() < deadline:
        time.sleep(0.5)
    world.attacker.stop()
    assert set(world.attacker.statuses) <= {0, 200, 400, 413, 429}, world.attacker.statuses
    is_well(world)


@pytest.mark.parametrize("chunk", [1, 100_000])
def test_chunked_bodies_without_end(world, operator, chunk):  # noqa: F811
    piece = chunked(b"[" * 400_000, chunk)

    def endless():
        with world.attacker.connect() as one:
            one.sendall(b"POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not world.attacker.ended.is_set():
                one.sendall(piece)

    world.attacker.run(48, endless)
    time.sleep(8)  # The time in which they send is the test.
    is_well_while_attacked(world)
    world.attacker.stop()
    is_well(world)


def is_well_while_attacked(world) -> None:  # noqa: F811
    assert world.operator.alive, world.operator.last_words()
    assert world.resident.most() < MOST_RESIDENT, world.resident.most()
    until(world.operator.is_ready, "it is ready")


SLOW = {
    "no word": b"", "half a head": b"POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n[[[",
    "half a chunk": b"POST /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n[",
    "refused, then half a body": b"PUT /mutate-v1-pod HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n[[[",
}


@pytest.mark.parametrize("words", SLOW.values(), ids=SLOW.keys())
def test_a_caller_that_stops_in_the_middle_is_disconnected(world, operator, words):  # noqa: F811
    with world.attacker.connect(60) as one:
        one.sendall(words)
        began = time.monotonic()
        while one.recv(65536):
            pass
        assert time.monotonic() - began < 40
    is_well(world)


def test_a_caller_that_sends_a_byte_now_and_then_is_disconnected(world, operator):  # noqa: F811
    with world.attacker.connect(60) as one:
        began = time.monotonic()
        with pytest.raises(OSError):
            for byte in SLOW["half a head"] + b"X: " + b"x" * 200:
                one.sendall(bytes([byte]))
                time.sleep(0.2)
        assert time.monotonic() - began < 40


def test_more_connections_than_are_taken(world, operator):  # noqa: F811
    """Each holds what an attacker can make it hold; afterwards there is room again."""
    held = []

    def hold(words):
        def one():
            with world.attacker.connect() as connection:
                connection.sendall(words)
                held.append(1)
                while connection.recv(65536):
                    pass
        return one

    pieces = [SLOW["half a head"] + b"X: " + b"y" * 15_000, SLOW["half a body"] + b"[" * 500_000, SLOW["half a chunk"] + b"1\r\n[\r\n" * 5000,
              b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5000]
    for words in pieces:
        world.attacker.run(100, hold(words))
    deadline = time.monotonic() + 120
    while len(held) <= 256:
        assert time.monotonic() < deadline, len(held)
        time.sleep(0.2)
    time.sleep(12)  # Twice as long as a body may take.
    is_well_while_attacked(world)
    world.attacker.stop()
    is_well(world)


def test_connections_that_rest_do_not_keep_the_api_server_out(world, operator):  # noqa: F811
    """Each has had an answer and is within its deadline of two minutes; there are more of them than the server takes."""
    held = []

    def hold():
        one = world.attacker.connect()
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"404" in one.recv(4096)
        held.append(one)

    for _ in range(300):
        hold()
    try:
        assert is_injected(world.pods.create(pod("beside"), dry_run=True))
        is_well(world)
    finally:
        for one in held:
            one.close()


@pytest.mark.parametrize("port", ["metrics_port", "health_port"])
def test_the_other_ports_are_bounded_too(world, operator, port):  # noqa: F811
    def slow():
        with socket.create_connection(("127.0.0.1", getattr(operator, port)), timeout=60) as one:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n[\r\n" * 50_000)
            while one.recv(65536):
                pass

    world.attacker.run(100, slow)
    time.sleep(8)
    assert operator.alive and world.resident.most() < MOST_RESIDENT
    world.attacker.stop()
    is_well(world)

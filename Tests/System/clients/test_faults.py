"""Every fault of the plan over real sockets, and what HTTP/1.1 asks of a server that carries them out."""
import concurrent.futures
import errno
import hashlib
import http.client
import json
import socket
import time
import xml.etree.ElementTree as xml

import pytest

from conftest import GIB

KEY = "/models/big.bin"


class Answer:
    def __init__(self, raw, body):
        self.status, self.headers, self.body = raw.status, raw.headers, body

    @property
    def code(self):
        return xml.fromstring(self.body).findtext("Code")


class Client:
    """One connection."""

    def __init__(self, port, timeout=60):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __call__(self, method="GET", path=KEY, body=None, **headers):
        self.connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        raw = self.connection.getresponse()
        return Answer(raw, raw.read())

    @property
    def local_port(self):
        return self.connection.sock.getsockname()[1]


@pytest.fixture
def client(store):
    made = Client(store.port)
    yield made
    made.connection.close()


@pytest.fixture
def big(content):
    return content["big.bin"]


def raw(store, request, timeout=60):
    """A socket on which the request is sent."""
    made = socket.create_connection(("127.0.0.1", store.port), timeout=timeout)
    made.sendall(request)
    return made


def get(key=KEY, *lines):
    return ("\r\n".join([f"GET {key} HTTP/1.1", "Host: 127.0.0.1", *lines]) + "\r\n\r\n").encode()


def drain(connection):
    """Every byte until the peer ends the stream, and the error if it was not ended in order."""
    received = bytearray()
    while True:
        try:
            part = connection.recv(1 << 20)
        except OSError as failure:
            return bytes(received), failure
        if not part:
            return bytes(received), None
        received += part


# What an answer's head says


def test_an_error_status_with_throttling_headers(store, client, big):
    store.faults({"action": {"status": 503, "qosDelayMs": 250, "retryAfter": 2}, "count": 1})
    answer = client()
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    assert answer.headers["x-oss-qos-delay-time"] == "250" and answer.headers["Retry-After"] == "2"
    assert client().body == big and store.acted() == [1]


@pytest.mark.parametrize("status,code", [(400, "InvalidArgument"), (403, "AccessDenied"), (404, "NoSuchKey"),
                                         (412, "PreconditionFailed"), (429, "TooManyRequests"), (500, "InternalError")])
def test_each_status_has_its_code(store, client, status, code):
    store.faults({"action": {"status": status}}, {"action": {"status": status, "code": "Never"}})
    answer = client()
    assert (answer.status, answer.code) == (status, code)
    assert client("HEAD").status == status


def test_a_code_may_be_chosen_and_s3_has_its_own(store, client):
    store.faults({"action": {"status": 503, "code": "Busy"}, "count": 1}, {"action": {"status": 503}})
    assert client().code == "Busy"
    assert client(x_amz_date="now").code == "SlowDown"


def test_an_expired_token(store, client):
    store.faults({"action": {"expireToken": True}})
    answer = client()
    assert (answer.status, answer.code) == (403, "SecurityTokenExpired")
    assert client(x_amz_date="now").code == "ExpiredToken"


def test_200_in_place_of_206(store, client, big):
    store.faults({"action": {"ok200": True}, "count": 1})
    answer = client(Range="bytes=10-19")
    assert answer.status == 200 and answer.body == big and "Content-Range" not in answer.headers
    assert client(Range="bytes=10-19").status == 206


def test_a_wrong_content_range(store, client, big):
    store.faults({"action": {"wrongContentRange": True}})
    answer = client(Range="bytes=10-19")
    assert answer.headers["Content-Range"] == f"bytes 11-20/{len(big)}" and answer.body == big[10:20]


def test_a_changed_etag_is_what_if_match_is_judged_by(store, client):
    honest = client("HEAD").headers["ETag"]
    store.faults({"action": {"changedETag": True}})
    changed = client("HEAD").headers["ETag"]
    assert changed != honest
    assert client(If_Match=honest).status == 412
    assert client(If_Match=changed, Range="bytes=0-0").status == 206


def test_the_crc_left_out_or_wrong(store, client):
    honest = client("HEAD").headers["x-oss-hash-crc64ecma"]
    store.faults({"action": {"dropCRC": True}, "count": 1}, {"action": {"wrongCRC": True}, "count": 1})
    assert "x-oss-hash-crc64ecma" not in client("HEAD").headers
    assert int(client("HEAD").headers["x-oss-hash-crc64ecma"]) == ~int(honest) & (1 << 64) - 1
    assert client("HEAD").headers["x-oss-hash-crc64ecma"] == honest


def test_a_delay_before_the_head(store, client, big):
    store.faults({"action": {"delayMs": 300}, "count": 1})
    started = time.monotonic()
    assert client(Range="bytes=0-9").body == big[:10]
    assert 0.29 < time.monotonic() - started


def test_a_held_response_comes_when_the_plan_holds_it_no_more(store, client, big):
    store.faults({"match": {"range": "5000000-"}, "action": {"held": True}})
    assert client(Range="bytes=0-9").body == big[:10]
    connection = raw(store, get(KEY, "Range: bytes=5000000-5000009", "Connection: close"), timeout=0.5)
    received, failure = drain(connection)
    assert not received and isinstance(failure, TimeoutError)
    # Another plan that holds something holds it still.
    store.faults({"match": {"key": "plain.bin"}, "action": {"held": True}})
    received, failure = drain(connection)
    assert not received and isinstance(failure, TimeoutError)
    store.faults({"action": {"status": 500}})
    connection.settimeout(60)
    received, failure = drain(connection)
    assert failure is None and received.endswith(b"\r\n\r\n" + big[5_000_000:5_000_010])


# What happens to a body


def test_a_flipped_byte_in_every_range_that_holds_it(store, client, big):
    at = 4_321_987
    store.faults({"action": {"flipByte": at}})
    wrong = bytearray(big)
    wrong[at] ^= 0xFF
    assert client().body == wrong
    assert client(Range=f"bytes={at}-{at}").body == wrong[at:at + 1]
    assert client(Range=f"bytes={at - 5}-{at + 5}").body == wrong[at - 5:at + 6]
    assert client(Range=f"bytes=0-{at - 1}").body == big[:at]
    assert store.acted() == [3]


def test_other_content(store, client, root):
    store.faults({"action": {"replaceWith": str(root / "models" / "plain.bin")}})
    assert client().body == (root / "models" / "plain.bin").read_bytes()


def test_a_truncated_body(store, big):
    store.faults({"action": {"truncateAfter": 100_000}})
    received, failure = drain(raw(store, get()))
    head, _, body = received.partition(b"\r\n\r\n")
    assert failure is None and body == big[:100_000]
    assert f"Content-Length: {len(big)}".encode() in head


@pytest.mark.parametrize("wrong", [-5, 5])
def test_a_wrong_length(store, content, wrong):
    store.faults({"action": {"wrongLength": wrong}})
    received, failure = drain(raw(store, get("/models/plain.bin")))
    head, _, body = received.partition(b"\r\n\r\n")
    assert failure is None and body == content["plain.bin"]
    assert f"Content-Length: {len(body) + wrong}".encode() in head and b"Connection: close" in head


@pytest.mark.parametrize("after", [0, 1, 5_000_000])
def test_a_reset_is_a_rst(store, big, after):
    store.faults({"action": {"resetAfter": after}})
    received, failure = drain(raw(store, get()))
    assert failure is not None and failure.errno == errno.ECONNRESET
    assert big.startswith(received.partition(b"\r\n\r\n")[2])


def test_a_stall_for_a_while(store, client, big):
    store.faults({"action": {"stallAfter": 1_000_000, "stallSeconds": 0.5}})
    started = time.monotonic()
    assert client().body == big
    assert 0.49 < time.monotonic() - started


def test_a_stall_for_ever_lasts_until_the_client_leaves(store, big):
    store.faults({"action": {"stallAfter": 65_536}})
    connection = raw(store, get())
    received = b""
    while len(received.partition(b"\r\n\r\n")[2]) < 65_536:
        received += connection.recv(65_536)
    connection.settimeout(1)
    more, failure = drain(connection)
    assert isinstance(failure, TimeoutError) and not more and received.partition(b"\r\n\r\n")[2] == big[:65_536]
    connection.close()
    deadline = time.monotonic() + 60
    while store.stats()["liveConnections"] != 0:
        assert time.monotonic() < deadline, "the stalled connection is held"
        time.sleep(0.02)


def test_slow_bytes(store, client, big):
    store.faults({"action": {"bytesPerSecond": 2_000_000}})
    started = time.monotonic()
    assert client(Range="bytes=0-1999999").body == big[:2_000_000]
    assert 0.9 < time.monotonic() - started


def test_a_listing_and_an_upload_meet_faults_too(store, client):
    store.faults({"match": {"listing": True}, "action": {"truncateAfter": 50}, "count": 1},
                 {"match": {"listing": True}, "action": {"resetAfter": 0}, "count": 1},
                 {"match": {"method": "PUT"}, "action": {"status": 500}, "count": 1})
    received, failure = drain(raw(store, get("/models?list-type=2")))
    assert failure is None and len(received.partition(b"\r\n\r\n")[2]) == 50
    _, failure = drain(raw(store, get("/models?list-type=2")))
    assert failure.errno == errno.ECONNRESET
    assert client("PUT", "/scratch/x", b"data").status == 500
    assert client("PUT", "/scratch/x", b"data").status == 200
    assert client("GET", "/models?list-type=2").status == 200


def test_an_object_cut_while_it_is_sent_ends_its_connection(store, root):
    path = root / "scratch" / "cut.bin"
    path.write_bytes(bytes(64 << 20))
    connection = raw(store, get("/scratch/cut.bin"))
    assert connection.recv(1000)
    time.sleep(0.2)
    path.write_bytes(b"new")
    received, failure = drain(connection)
    assert not isinstance(failure, TimeoutError) and len(received) < 64 << 20
    assert Client(store.port)(path="/scratch/cut.bin").body == b"new"


# Which requests a rule concerns


def test_rules_choose_by_key_method_range_and_number(store, client):
    store.faults({"match": {"key": "many/*"}, "action": {"status": 500}},
                 {"match": {"method": "HEAD"}, "action": {"status": 503}},
                 {"match": {"range": "5000000-"}, "action": {"status": 429}},
                 {"match": {"key": "plain.bin", "request": "2-3"}, "action": {"status": 500}},
                 {"match": {"ranged": False, "key": "empty"}, "action": {"status": 400}})
    assert client(path="/models/many/003.bin").status == 500
    assert client("HEAD").status == 503
    assert client(Range="bytes=0-4999999").status == 206
    assert client(Range="bytes=0-5000000").status == 429
    assert [client(path="/models/plain.bin").status for _ in range(4)] == [200, 500, 500, 200]
    assert client(path="/models/empty").status == 400
    assert store.acted() == [1, 1, 1, 2, 1]


def test_a_probability_is_repeated_by_its_seed(store, client):
    def statuses():
        store.faults({"match": {"probability": 0.5}, "action": {"status": 500}}, seed=42)
        return [client(path="/models/plain.bin").status for _ in range(40)]

    first = statuses()
    assert first == statuses() and 8 < first.count(500) < 32


def test_a_plan_that_is_none_is_refused_and_the_old_one_stays(store, client):
    store.faults({"action": {"status": 500}})
    connection = http.client.HTTPConnection("127.0.0.1", store.admin_port, timeout=60)
    for text in (b"", b"{", b"[]", b'{"rules": [{"action": {"status": "x"}}]}'):
        connection.request("PUT", "/faults", text)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 400, text
    assert client().status == 500


# Rates


def rates(store, connections, seconds=2):
    """Bytes per second that each of so many connections got."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        totals = list(pool.map(lambda _: pull(store, started + seconds), range(connections)))
    passed = time.monotonic() - started
    return [total / passed for total in totals]


def pull(store, deadline):
    """Bytes of one connection until the time."""
    connection = raw(store, get("/models/sparse.gguf", "Range: bytes=0-2147483647"))
    total = 0
    while time.monotonic() < deadline:
        total += len(connection.recv(1 << 18))
    connection.close()
    return total


def holds(cap, measure):
    """Never more than the cap; all of it in one of a few attempts, for a busy machine may give less."""
    for _ in range(30):
        share = [rate / cap for rate in measure()]
        assert max(share) < 1.05, share
        if min(share) > 0.95:
            return
    raise AssertionError(f"the cap is never reached: {share}")


def test_the_cap_over_all_connections_holds_within_5_percent(store):
    store.faults(bandwidth=40e6)
    holds(40e6, lambda: [sum(rates(store, 4))])
    store.faults(bandwidth=0)


def test_the_cap_of_each_connection_holds_within_5_percent(store):
    store.faults(connectionBandwidth=10e6)
    holds(10e6, lambda: rates(store, 3))


# HTTP


def test_statistics_count_what_happened(store, client, big):
    client(Range="bytes=0-99")
    client("HEAD")
    client(path="/models/none")
    client("PUT", "/scratch/counted", b"12345")
    # Connections of the tests before are closed a moment after their clients'.
    deadline = time.monotonic() + 60
    while (stats := store.stats())["liveConnections"] != 1:
        assert time.monotonic() < deadline, stats
        time.sleep(0.02)
    assert stats["requests"] == 4 and stats["bytesServed"] == 100 and stats["bytesReceived"] == 5
    assert stats["methods"] == {"GET": 2, "HEAD": 1, "PUT": 1}
    assert stats["statuses"] == {"206": 1, "200": 2, "404": 1}
    assert stats["keys"]["models/big.bin"] == {"requests": 2, "bytes": 100}
    assert stats["remotes"]["127.0.0.1"] == {"requests": 4, "bytes": 100}
    assert stats["connections"] == 1 and stats["liveConnections"] == 1
    store.admin("DELETE", "/stats")
    assert store.stats()["requests"] == 0 and store.stats()["liveConnections"] == 1


def test_whole_objects_past_4_gib_have_the_right_bytes(store, sparse_marks):
    """5 GiB through one answer: sendfile with offsets that 32 bits do not hold."""
    connection = raw(store, get("/models/sparse.gguf", "Range: bytes=7-"), timeout=60)
    position = 7 + len(connection.recv(1 << 16).partition(b"\r\n\r\n")[2])
    size = 5 * GIB + 7
    found = {}
    view = memoryview(bytearray(1 << 22))
    while position < size:
        count = connection.recv_into(view)
        assert count > 0
        for offset, mark in sparse_marks.items():
            for place in range(max(offset, position), min(offset + 7, position + count)):
                found[place] = view[place - position]
        position += count
    assert position == size
    for offset, mark in list(sparse_marks.items())[1:]:
        assert bytes(found[offset + n] for n in range(7)) == mark


def test_a_connection_lives_on_after_errors(store, client, big):
    store.faults({"match": {"request": "2"}, "action": {"status": 503}})
    statuses, ports = [], set()
    for path, headers in [(KEY, {}), (KEY, {}), ("/models/none", {}), ("/none/none", {}), (KEY, {"If-Match": '"0"'}),
                          (KEY, {"Range": "bytes=99999999-", "x-oss-range-behavior": "standard"}), ("/models/%zz", {}),
                          (KEY, {"Range": "bytes=1-2"})]:
        statuses.append(client(path=path, **headers).status)
        ports.add(client.local_port)
    assert statuses == [200, 503, 404, 404, 412, 416, 400, 206] and len(ports) == 1


def test_pipelined_requests_are_answered_in_order(store, big):
    store.faults({"match": {"range": "0-0", "ranged": True}, "action": {"delayMs": 200}})
    ranges = [(n * 100_000, n * 100_000 + 99_999) for n in range(20)]
    requests = [get(KEY, f"Range: bytes={first}-{last}") for first, last in ranges]
    requests.append(get("/models/none"))
    requests.append(get(KEY, "Range: bytes=5-9", "Connection: close"))
    received, failure = drain(raw(store, b"".join(requests)))
    assert failure is None
    rest = received
    for first, last in ranges:
        head, _, rest = rest.partition(b"\r\n\r\n")
        assert f"Content-Range: bytes {first}-{last}/".encode() in head
        assert rest[:100_000] == big[first:last + 1]
        rest = rest[100_000:]
    assert b" 404 " in rest[:20] and rest.endswith(b"\r\n\r\n" + big[5:10])


def test_a_head_has_the_length_and_no_body(store, big):
    received, failure = drain(raw(store, get().replace(b"GET", b"HEAD") + get("/models/none", "Connection: close").replace(b"GET", b"HEAD")))
    heads = received.split(b"\r\n\r\n")
    assert failure is None and len(heads) == 3 and heads[2] == b""
    assert f"Content-Length: {len(big)}".encode() in heads[0] and b" 404 " in heads[1]


def test_http_1_0_and_connection_close_end_the_connection(store, content):
    received, failure = drain(raw(store, b"GET /models/plain.bin HTTP/1.0\r\n\r\n"))
    assert failure is None and received.endswith(content["plain.bin"])
    received, failure = drain(raw(store, get("/models/plain.bin", "Connection: close")))
    assert failure is None and received.endswith(content["plain.bin"])


@pytest.mark.parametrize("garbage", [b"\x00\xff\x16\x03\x01" * 20, b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 40 + b"?"])
def test_garbage_closes_its_connection_and_no_other(store, client, content, garbage):
    connection = raw(store, garbage, timeout=2)
    connection.shutdown(socket.SHUT_WR)
    drain(connection)
    assert client(path="/models/plain.bin").body == content["plain.bin"]


def test_many_connections_at_once(store, big):
    """Two hundred ranges in flight give the object, byte for byte."""
    step = len(big) // 200 + 1

    def part(n):
        own = Client(store.port)
        try:
            return own(Range=f"bytes={n * step}-{min(len(big), n * step + step) - 1}").body
        finally:
            own.connection.close()

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        got = b"".join(pool.map(part, range(200)))
    assert hashlib.sha256(got).digest() == hashlib.sha256(big).digest()


def test_names_that_would_leave_the_bucket_are_no_objects(store):
    for path in ["/models/../open/hello.txt", "/models/%2e%2e/open/hello.txt", "/models//etc/passwd", "/models/a/./b",
                 "/%2e%2e/models/plain.bin", "/models/.devstore-x", "/models/plain.bin%00"]:
        received, _ = drain(raw(store, get(path, "Connection: close")))
        assert received.split(b" ")[1] in (b"400", b"404"), path


def test_lazy_digests_answer_before_a_large_object_is_read_and_the_log_names_each_request(start, root, folder):
    log = folder / "access.log"
    store = start("--root", root, "--lazy-digests", "--access-log", log)
    client = Client(store.port)
    assert "x-oss-hash-crc64ecma" not in client("HEAD", "/models/sparse.gguf").headers
    for _ in range(1200):
        if "x-oss-hash-crc64ecma" in client("HEAD", "/models/sparse.gguf").headers:
            break
        time.sleep(0.1)
    assert client("HEAD", "/models/sparse.gguf").headers["x-oss-hash-crc64ecma"]
    assert client(Range="bytes=0-9").status == 206
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["method"], last["bucket"], last["key"], last["range"], last["status"], last["length"], last["fault"]) \
        == ("GET", "models", "big.bin", "bytes=0-9", 206, 10, False)
    assert abs(last["time"] - time.time()) < 60

"""BitTorrent in the swarm's rig: aria2 on every node, the store as web seed, a tracker of a few lines beside the store.

The first node alone knows the web seed: where all do, each reads the whole model from it, and ten take four times as long.

    torrent.py <address>       runs the tracker and prints its port
"""
import contextlib
import hashlib
import http.server
import pathlib
import socket
import struct
import sys
import time
import urllib.parse

PIECE = 512 << 10
PYTHON = "/usr/bin/python3"


class Tracker(http.server.BaseHTTPRequestHandler):
    """Answers every announcement with all others that announced (BEP 3, compact lists of BEP 23)."""
    protocol_version = "HTTP/1.1"
    peers: set[bytes] = set()

    def do_GET(self):
        query = urllib.parse.parse_qs(self.path.partition("?")[2], encoding="latin-1")
        own = socket.inet_aton(self.client_address[0]) + struct.pack(">H", int(query.get("port", ["0"])[0]))
        self.peers.add(own)
        body = bencode({b"interval": 2, b"min interval": 1, b"peers": b"".join(p for p in sorted(self.peers) if p != own)})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def bencode(value) -> bytes:
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"


def information(content: pathlib.Path) -> dict:
    with open(content, "rb") as file:
        pieces = b"".join(hashlib.sha1(piece).digest() for piece in iter(lambda: file.read(PIECE), b""))
    return {b"name": content.name.encode(), b"length": content.stat().st_size, b"piece length": PIECE, b"pieces": pieces}


def measure(count: int, content: pathlib.Path, network, store, work: pathlib.Path, running, wait_until, environment) -> dict:
    """Seconds of each node from start to the whole file, and bytes of the store. TimeoutError when not all have it in ten wire times."""
    with contextlib.ExitStack() as stack:
        tracker = running([PYTHON, __file__, store.address], work / "tracker.log", prefix=network.inside())
        stack.callback(tracker.stop)
        port = wait_until(lambda: tracker.output().strip(), 10, "the tracker answers").split()[0]
        first, others = work / "first.torrent", work / "model.torrent"
        swarm = {b"announce": f"http://{store.address}:{port}/announce".encode(), b"info": information(content)}
        others.write_bytes(bencode(swarm))
        first.write_bytes(bencode({**swarm, b"url-list": [f"http://{store.address}:{store.port}/models/m/model".encode()]}))
        done = work / "done.sh"
        done.write_text(f'#!/bin/sh\n{PYTHON} -c "import time; print(time.monotonic())" > "$PWD/finished.new"\nmv "$PWD/finished.new" "$PWD/finished"\n')
        done.chmod(0o755)
        before, begun = store.bytes_served, {}
        for node in range(count):
            folder = work / f"t{node}"
            folder.mkdir()
            begun[folder] = time.monotonic()
            # Seeds on to the end, as agents do; connects quickly and to all, since nobody is far.
            client = running(
                ["/bin/sh", "-c", f"cd {folder} && exec aria2c -q --dir={folder} --seed-ratio=0 --bt-max-peers=0 --enable-dht=false "
                 "--bt-enable-lpd=false --enable-peer-exchange=true --file-allocation=none --bt-request-peer-speed-limit=1000M "
                 f"--bt-tracker-interval=2 --check-integrity=false --allow-overwrite=true --on-bt-download-complete={done} {others if node else first}"],
                work / f"t{node}.log", prefix=network.inside(node), environment=environment)
            stack.callback(client.stop)
        deadline = time.monotonic() + 10 * max(10.0, content.stat().st_size / network.bytes_per_second)
        while not all((folder / "finished").exists() for folder in begun):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sum((folder / 'finished').exists() for folder in begun)} of {count} had the file after ten wire times")
            time.sleep(0.25)
        seconds = [float((folder / "finished").read_text()) - start for folder, start in begun.items()]
        return {"nodes": count, "readerSeconds": seconds, "average": sum(seconds) / count, "slowest": max(seconds),
                "storeRatio": (store.bytes_served - before) / content.stat().st_size}


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Tracker)
    print(server.server_address[1], flush=True)
    server.serve_forever()

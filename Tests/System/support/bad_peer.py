"""A proxy before a real agent's peer server that spoils what goes through it. Run as a program:

    bad_peer.py <listen> <port> <target port> corrupt|truncate|stall|reset|replay [file of an older version]

Only bodies of files are touched; maps and control connections pass.
"""
import socket
import struct
import sys
import threading
import time


def main() -> None:
    listen, port, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    mode, old = sys.argv[4], (open(sys.argv[5], "rb").read() if len(sys.argv) > 5 else b"")
    server = socket.create_server((listen, port), backlog=128)
    while True:
        client, _ = server.accept()
        threading.Thread(target=serve, args=(client, target, mode, old), daemon=True).start()


def serve(client: socket.socket, target: int, mode: str, old: bytes) -> None:
    with client:
        try:
            upstream = socket.create_connection(("127.0.0.1", target))
        except OSError:
            return
        with upstream:
            threading.Thread(target=forward, args=(client, upstream), daemon=True).start()
            try:
                answers(upstream, client, mode, old)
            except OSError:
                pass


def forward(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def answers(upstream: socket.socket, client: socket.socket, mode: str, old: bytes) -> None:
    reader = upstream.makefile("rb")
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return
            head += line
        fields = {k.lower(): v.strip() for k, _, v in (x.partition(b":") for x in head.split(b"\r\n")[1:])}
        client.sendall(head)
        if b"transfer-encoding" in fields:
            while data := reader.read1(65536):
                client.sendall(data)
            return
        length = int(fields.get(b"content-length", 0))
        is_file = head.startswith(b"HTTP/1.1 206")
        sent = 0
        while sent < length:
            data = reader.read1(min(65536, length - sent))
            if not data:
                return
            if is_file and mode == "replay":
                first = int(fields[b"content-range"].split()[1].split(b"-")[0]) + sent
                data = (old[first:first + len(data)] + data)[:len(data)]
            if is_file and sent + len(data) > length // 2 >= sent:
                at = length // 2 - sent
                if mode == "corrupt":
                    data = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1:]
                elif mode == "truncate":
                    client.sendall(data[:at])
                    return
                elif mode == "stall":
                    client.sendall(data[:at])
                    time.sleep(600)
                elif mode == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
            client.sendall(data)
            sent += len(data)


if __name__ == "__main__":
    main()

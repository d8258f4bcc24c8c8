"""A forward proxy in this process (RFC 9110, 3.7 and 9.3.6): plain requests and CONNECT, with names of its own."""
import socket
import threading


class Proxy:
    def __init__(self, hosts: dict[str, tuple[str, int]], address: str = "127.0.0.1"):
        """`hosts`: where a name leads, without its port; a name that is not there is answered with 502."""
        self.hosts = hosts
        # host -> the status that its requests get in place of the host's answer.
        self.refused: dict[str, int] = {}
        # host -> how many of its requests are passed on before it is away.
        self.after: dict[str, int] = {}
        self.log: list[str] = []
        self.heads: list[str] = []
        self._listener = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._address = address
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self._listener.getsockname()[1]}"

    def asked(self, host: str) -> int:
        """How many requests were for the host."""
        return sum(1 for line in self.log if line.split()[1] == host)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            lines = head.decode("latin-1").split("\r\n")
            method, target, _ = lines[0].split(" ", 2)
            place = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
            host = place.rpartition(":")[0] if place.rpartition(":")[2].isdigit() else place
            self.heads.append(head.decode("latin-1"))
            self.log.append(f"{method} {host}")
            isThere = host in self.hosts and self.asked(host) <= self.after.get(host, len(self.log))
            status = self.refused.get(host) or (None if isThere else 502)
            if status:
                client.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                return
            with socket.create_connection(self.hosts[host]) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    # One request a connection: the next may be for another host.
                    path = "/" + target.removeprefix("http://").partition("/")[2]
                    kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:"))]
                    server.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Connection: close", *kept]).encode("latin-1"))
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 20):
            sink.sendall(data)
    except OSError:
        pass
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass

"""A reverse proxy before the API server, where tests cut watches, refuse requests and see what is written.

It ends TLS with a certificate of the cluster's CA. Callers come with a bearer token, which is passed on:

    proxy = Proxy(control_plane)
    operator = Operator(proxy.kubeconfig(), ...)
"""
import dataclasses
import http.client
import http.server
import json
import re
import select
import socket
import ssl
import threading
import time
import urllib.parse

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length"}


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An answer of our own in the API server's place, with the reason its Status would carry."""

    status: int
    reason: str = ""
    retry_after: int | None = None
    message: str = "refused by the test"

    def body(self) -> dict:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.status,
                "reason": self.reason, "message": self.message}


@dataclasses.dataclass(frozen=True)
class Seen:
    """One request. `path` has the query; `status` is None until it is answered. Of the headers only those of callers that tests look at."""

    time: float
    method: str
    path: str
    status: int | None = None
    token: str | None = None

    @property
    def is_watch(self) -> bool:
        return bool(re.search(r"[?&]watch=(1|true)", self.path))

    @property
    def is_write(self) -> bool:
        """Anything that changes the cluster, a leader's Lease apart: that is written for ever."""
        return self.method not in ("GET", "HEAD") and "/leases" not in self.path


def describe(requests) -> str:
    """Requests for a person, one a line."""
    return "\n".join(f"{one.method} {one.path} -> {one.status}" for one in requests)


class Proxy:
    """Listens on loopback.

    refuse: called with each request before it is passed on; a Refusal is answered in the server's place.
    after: called when the API server has answered and before the caller hears of it; an OSError loses the answer.
    names: what its certificate is for, as for ControlPlane.issue.
    requests, writes: what was passed on and answered, oldest first (a watch when it begins).
    delay: seconds each request waits first.
    """

    def __init__(self, plane, *names):
        self._plane = plane
        names = names or ("IP:127.0.0.1", "DNS:localhost")
        certificate, key = plane.issue("-".join(["proxy", *names]).replace(":", "-"), "/CN=proxy", *names)
        self.target, self.target_tls = urllib.parse.urlsplit(plane.server), plane.tls()
        self.refuse = lambda seen: None
        self.after = lambda seen: None
        self.delay = 0.0
        self.requests, self.writes = [], []
        self._watches, self._lock = set(), threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def kubeconfig(self):
        """A kubeconfig for cluster-admin through this proxy."""
        return self._plane.token_kubeconfig(self._plane.admin_token, f"proxy-{self._server.server_port}", server=self.url)

    def cut_watches(self, pattern=".*", last=b"") -> int:
        """Breaks the open watches whose path matches, as a lost connection does, after the bytes `last` (half an
        event, say); how many there were."""
        with self._lock:
            chosen = [one for one in self._watches if re.search(pattern, one.path)]
        for one in chosen:
            one.cut(last)
        return len(chosen)

    def end_watches_with(self, refusal, pattern=".*") -> int:
        """Ends the open watches that match with an ERROR event, as the API server does with 410."""
        return self.cut_watches(pattern, json.dumps({"type": "ERROR", "object": refusal.body()}).encode() + b"\n")

    def watching(self, pattern=".*") -> int:
        """How many matching watches are open."""
        with self._lock:
            return sum(bool(re.search(pattern, one.path)) for one in self._watches)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.cut_watches()

    def note(self, seen) -> None:
        with self._lock:
            self.requests.append(seen)
            if seen.is_write:
                self.writes.append(seen)
        self.after(seen)

    def opened(self, watch) -> None:
        with self._lock:
            self._watches.add(watch)

    def ended(self, watch) -> None:
        with self._lock:
            self._watches.discard(watch)


class _Handler(http.server.BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    # A body follows its head at once, and not 40 ms later when the caller has acknowledged that (tcp(7), TCP_NODELAY).
    disable_nagle_algorithm = True

    def setup(self):
        # The handshake is this connection's own thread's: a slow client holds up no other.
        self.request.settimeout(30)
        self.request = self.proxy.tls.wrap_socket(self.request, server_side=True)
        self.request.settimeout(None)
        self.write_lock = threading.Lock()
        self.upstream = None
        super().setup()

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            pass

    def log_message(self, *_):
        pass

    def serve(self):
        proxy, method = self.proxy, self.command
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if proxy.delay:
            time.sleep(proxy.delay)
        seen = Seen(time.monotonic(), method, self.path, token=self.headers.get("X-ModelCache-Token"))
        if refusal := proxy.refuse(seen):
            headers = {"Content-Type": "application/json"}
            if refusal.retry_after is not None:
                headers["Retry-After"] = str(refusal.retry_after)
            return self._send(refusal.status, headers, json.dumps(refusal.body()).encode())
        upstream = http.client.HTTPSConnection(proxy.target.hostname, proxy.target.port, context=proxy.target_tls)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP | {"host"}}
            upstream.request(method, self.path, body or None, headers)
            self.upstream = upstream.sock
            answer = upstream.getresponse()
            proxy.note(dataclasses.replace(seen, status=answer.status))
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
            if seen.is_watch and answer.status == 200:
                return self._stream(answer, headers)
            return self._send(answer.status, headers, answer.read())
        except (OSError, http.client.HTTPException):
            # The API server is away: so is the connection.
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def _send(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, answer, headers):
        self.close_connection = True
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.proxy.opened(self)
        self.streams = True
        threading.Thread(target=self._end_with_caller, daemon=True).start()
        try:
            while data := answer.read1(65536):
                self._chunk(data)
            self._chunk(b"")
        finally:
            self.streams = False
            self.proxy.ended(self)

    def _end_with_caller(self):
        """A caller of a watch says nothing more but that it goes, and then waits for this end to close: an operator for five seconds."""
        try:
            while self.streams:
                if select.select([self.connection], [], [], 1)[0]:
                    self.cut(b"")
                    return
        except (OSError, ValueError):
            # Closed meanwhile.
            pass

    def _chunk(self, data):
        with self.write_lock:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    def cut(self, last):
        try:
            if last:
                self._chunk(last)
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        try:
            if self.upstream:
                self.upstream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

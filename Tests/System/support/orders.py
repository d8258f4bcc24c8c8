"""What the operator says to an agent: signed requests to /v1/caches."""
import hashlib
import hmac
import http.client
import json
import time
import typing
import uuid

from .processes import wait_until

NODE = "node-of-the-test"
SECRET = "a-secret-of-the-test-0123456789abcdef"


class Answer:
    def __init__(self, status: int, headers: dict[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:600]!r}"


class Orders:
    """Signs as Sources/DataPlane/AgentAPI/RequestSignature.swift does."""

    def __init__(self, address: str, secret: str, node: str = NODE, patience: float = 60):
        self.address, self.secret, self.node, self.patience = address, secret, node, patience

    def sign(self, method: str, target: str, body: bytes = b"", skew: float = 0) -> str:
        timestamp = int(time.time() + skew)
        text = "\n".join([method, target, str(timestamp), self.node, hashlib.sha256(body).hexdigest()])
        signature = hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"MODELCACHE-HMAC-SHA256 Timestamp={timestamp}, Signature={signature}"

    def request(self, method: str, target: str, body: bytes = b"", authorization: str | None = "", skew: float = 0) -> Answer:
        """`authorization` None: none is sent; empty: the right one."""
        headers = {}
        if authorization is not None:
            headers["Authorization"] = authorization or self.sign(method, target, body, skew)
        connection = http.client.HTTPConnection(self.address, timeout=self.patience)
        try:
            connection.request(method, target, body=body or None, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether the agent is there and ready."""
        try:
            return self.request("GET", "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def put(self, uid: str, definition: dict) -> Answer:
        return self.request("PUT", f"/v1/caches/{uid}", json.dumps(definition).encode())

    def delete(self, uid: str, force: bool = False) -> Answer:
        return self.request("DELETE", f"/v1/caches/{uid}" + ("?force=true" if force else ""))

    def report(self) -> dict:
        answer = self.request("GET", "/v1/caches")
        assert answer.status == 200, answer
        return answer.json

    def cache(self, uid: str) -> dict | None:
        return next((c for c in self.report()["caches"] if c["uid"] == uid), None)

    def until(self, uid: str, condition: typing.Callable[[dict], bool], what: str) -> dict:
        """The cache's first report that `condition` takes."""
        def met() -> dict | None:
            one = self.cache(uid)
            return one if condition(one) else None
        return wait_until(met, 120, what)

    def until_failed(self, uid: str) -> dict:
        return self.until(uid, lambda one: one["state"] == "Failed", "the cache has failed")


def definition(store, prefix: str, size: int, **changes) -> dict:
    return {
        "namespace": "team", "name": "qwen",
        "source": {"uri": f"oss://models/{prefix}", "endpoint": store.endpoint, "region": "cn-test", "include": []},
        "medium": "Memory", "sizeBytes": size, "pinned": True, "idleSeconds": 0, **changes}


def new_uid() -> str:
    return str(uuid.uuid4())

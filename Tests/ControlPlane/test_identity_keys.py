"""The operator tells agents how to verify who opens a ModelCache: by the keys that this API server signs tokens with."""
import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from support.control_plane import ISSUER
from support.proxy import Refusal
from support.world import guest_world

KEYS = "/openid/v1/jwks"


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane) as made:
        yield made


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(decoded(text), "big")


def callers(w, node="node-0") -> dict | None:
    """Of the definition at one stand-in agent."""
    found = [cache.definition.get("callers") for cache in w.agents.by_node[node].caches.values()]
    return found[0] if found else None


def test_agents_get_the_keys_that_verify_this_clusters_tokens_and_wait_for_them(w):
    # At first the keys cannot be read: nothing is warmed, and the resource says why.
    w.proxy.refuse = lambda seen: Refusal(403, "Forbidden") if seen.path == KEYS else None
    operator = w.start_operator()
    w.apply()
    w.until(lambda: callers(w) == {"issuer": "", "audience": "modelcache.io", "keys": ""}, "agents are told that nobody is known")
    condition = w.until(lambda: next((c for c in w.status().get("conditions", []) if c["type"] == "Ready" and c["reason"] == "TokenKeysUnknown"), None),
                        "the condition names what is missing")
    assert "token keys" in condition["message"] and not w.jobs()
    w.proxy.refuse = lambda seen: None
    status = w.until_ready()
    assert status["nodes"]["ready"] == 3
    policies = [callers(w, node) for node in w.nodes]
    assert all(p == policies[0] for p in policies) and policies[0]["issuer"] == ISSUER and policies[0]["audience"] == "modelcache.io"
    # A token of a real TokenRequest verifies with them.
    answer = w.kubectl("create", "--raw", f"/api/v1/namespaces/{w.namespace}/serviceaccounts/default/token", "-f", "-", input={
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["modelcache.io"], "expirationSeconds": 600}})
    token = json.loads(answer)["status"]["token"]
    header, claims, signature = token.split(".")
    kid = json.loads(decoded(header))["kid"]
    [key] = [k for k in json.loads(policies[0]["keys"])["keys"] if k["kid"] == kid]
    public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
    public.verify(decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
    said = json.loads(decoded(claims))
    assert said["iss"] == ISSUER and "modelcache.io" in said["aud"] and said["kubernetes.io"]["namespace"] == w.namespace
    # The Job's pod carries such a token.
    [pod] = [j["spec"]["template"]["spec"] for j in w.jobs()][:1]
    [volume] = [v for v in pod["volumes"] if v["name"] == "modelcache-token"]
    assert volume["projected"]["sources"] == [{"serviceAccountToken": {"audience": "modelcache.io", "expirationSeconds": 3600, "path": "token"}}]
    assert {"name": "MODELCACHE_TOKEN_FILE", "value": "/var/run/secrets/modelcache.io/token"} in pod["containers"][0]["env"]
    assert pod["automountServiceAccountToken"] is False
    # An agent that has other keys is told again, once.
    agent = w.agents.by_node["node-1"]
    for cache in agent.caches.values():
        cache.definition["callers"] = {**policies[0], "keys": '{"keys":[]}'}
    w.until(lambda: callers(w, "node-1") == policies[0], "the agent has the cluster's keys again")
    assert 'modelcache_token_keys_reads_total{outcome="success"}' in operator.metrics()

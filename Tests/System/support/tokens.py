"""ServiceAccount tokens as an API server signs them, and as it would not."""
import base64
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

ISSUER = "https://kubernetes.default.svc"
AUDIENCE = "modelcache.io"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Key:
    """A cluster's signing key."""

    def __init__(self, kid: str, kind: str = "RSA"):
        self.kid, self.kind = kid, kind
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if kind == "RSA" else ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> dict:
        numbers = self._key.public_key().public_numbers()
        if self.kind == "RSA":
            return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": _number(numbers.n), "e": _number(numbers.e)}
        return {"kty": "EC", "use": "sig", "alg": "ES256", "crv": "P-256", "kid": self.kid,
                "x": base64url(numbers.x.to_bytes(32, "big")), "y": base64url(numbers.y.to_bytes(32, "big"))}

    def token(self, namespace: str = "team", lifetime: float = 3600, **changes) -> str:
        """`changes` go over the claims; header_... over the header."""
        now = int(time.time())
        header = {"alg": "RS256" if self.kind == "RSA" else "ES256", "kid": self.kid}
        header |= {name.removeprefix("header_"): value for name, value in changes.items() if name.startswith("header_")}
        claims = {
            "aud": [AUDIENCE], "exp": now + int(lifetime), "iat": now, "nbf": now - 10, "iss": ISSUER,
            "sub": f"system:serviceaccount:{namespace}:default",
            "kubernetes.io": {"namespace": namespace, "pod": {"name": "llama-0", "uid": "u"}, "serviceaccount": {"name": "default", "uid": "v"}},
        } | {name: value for name, value in changes.items() if not name.startswith("header_")}
        signed = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(claims).encode())}"
        if self.kind == "RSA":
            signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{base64url(signature)}"


def callers(*keys: Key) -> dict:
    """CacheDefinition.callers."""
    return {"issuer": ISSUER, "audience": AUDIENCE, "keys": json.dumps({"keys": [key.public for key in keys]})}

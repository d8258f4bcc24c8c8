"""The admission webhook under test: certificates that have expired or live for a minute, and a stream of creations meanwhile."""
import base64
import datetime
import json
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .cluster import Cluster
from .installation import SYSTEM
from .pods import INJECTED

# An authority is replaced after two thirds of its life; the old one leaves ten settle times later.
FLAGS = ("--webhook-authority-lifetime=60s", "--webhook-certificate-lifetime=45s", "--webhook-settle-time=2s")


CERTIFICATE_SECRET = "modelcache-webhook-certificate"


def expired_certificates(cluster: Cluster) -> dict[str, str]:
    """What an operator that was away for long finds in its Secret: an authority and a certificate whose time is over."""
    def pem(key) -> bytes:
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    def certificate(name, key, issuer, issuer_key, authority) -> bytes:
        now = datetime.datetime.now(datetime.timezone.utc)
        names = [x509.DNSName(f"modelcache-webhook.{SYSTEM}.svc")]
        return (x509.CertificateBuilder()
                .subject_name(x509.Name.from_rfc4514_string(f"CN={name}")).issuer_name(x509.Name.from_rfc4514_string(f"CN={issuer}"))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=400)).not_valid_after(now - datetime.timedelta(hours=1))
                .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    entries = {
        "ca.crt": certificate("expired", ca_key, "expired", ca_key, True), "ca.key": pem(ca_key),
        "tls.crt": certificate("modelcache-webhook", key, "expired", ca_key, False), "tls.key": pem(key)}
    data = {name: base64.b64encode(value).decode() for name, value in entries.items()}
    cluster.kubectl("patch", "secret", "-n", SYSTEM, CERTIFICATE_SECRET, "--type=merge", "-p", json.dumps({"data": data}))
    return data


def certificates(cluster: Cluster) -> dict[str, str]:
    return cluster.get("secret", "-n", SYSTEM, CERTIFICATE_SECRET)["data"]


def short_lived_certificates(cluster: Cluster) -> None:
    """The next operator's certificates are to be replaced every minute. To be called while none runs."""
    cluster.kubectl("patch", "deployment", "-n", SYSTEM, "modelcache-operator", "--type=json", "-p", json.dumps(
        [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": flag} for flag in FLAGS]))


class CreationStream:
    """Creates one pod after another on trial (--dry-run=server asks the webhook as a real creation does) and notes what missed."""

    def __init__(self, cluster: Cluster, namespace: str, pod: dict):
        self._cluster, self._namespace, self._pod = cluster, namespace, pod
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._bundles: set[str] = set()
        self.count, self.missed = 0, []

    def start(self) -> "CreationStream":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._ended.wait(0.4):
            try:
                text = self._cluster.kubectl("create", "-n", self._namespace, "--dry-run=server", "-o", "json", "-f", "-", input=self._pod)
                self.count += 1
                made = json.loads(text)
                if INJECTED not in made["metadata"].get("annotations", {}):
                    self.missed.append(json.dumps(made["metadata"]))
                if self.count % 3 == 0:
                    self._note_bundle()
            except (AssertionError, ValueError, subprocess.SubprocessError) as error:
                self.missed.append(str(error))

    def _note_bundle(self) -> None:
        found = self._cluster.get("mutatingwebhookconfiguration", "modelcache-operator")
        self._bundles.add(base64.b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", "")).decode())

    def authorities(self) -> int:
        """How many certificate authorities the API server was given so far."""
        return len({part for bundle in self._bundles for part in bundle.split("-----END CERTIFICATE-----") if part.strip()})

    def overlaps_seen(self) -> bool:
        """Whether it once had two at a time, and then one again."""
        return {1, 2} <= {bundle.count("-----BEGIN CERTIFICATE-----") for bundle in self._bundles}

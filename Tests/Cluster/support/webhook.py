"""The admission webhook under test: certificates that live for a minute, and a stream of creations meanwhile."""
import base64
import json
import subprocess
import threading

from .cluster import Cluster
from .installation import SYSTEM
from .pods import INJECTED

# An authority is replaced after two thirds of its life; the old one leaves ten settle times later.
FLAGS = ("--webhook-authority-lifetime=60s", "--webhook-certificate-lifetime=45s", "--webhook-settle-time=2s")


def short_lived_certificates(cluster: Cluster) -> None:
    """The next operator makes its certificates anew, to be replaced every minute. To be called while none runs."""
    cluster.kubectl("delete", "secret", "-n", SYSTEM, "modelcache-webhook-certificate", "--ignore-not-found")
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

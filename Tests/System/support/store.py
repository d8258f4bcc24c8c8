"""The store emulator as a process: a folder of buckets, keys, faults on request."""
import json
import pathlib
import urllib.request

from . import paths
from .processes import Running, clean_environment, wait_until

ACCESS_KEY = "LTAIsystemtests"
SECRET = "system-tests-secret"
REGION = "cn-test"


class Store:
    """modelcache-devstore over `buckets` (name -> folder). All of its command line is in this class."""

    def __init__(self, buckets: dict[str, pathlib.Path], log: pathlib.Path, address: str = "127.0.0.1", port: int = 0,
                 anonymous: tuple[str, ...] = (), options: tuple[str, ...] = (), prefix: list[str] | tuple[str, ...] = ()):
        self.buckets, self.address, self._prefix = buckets, address, list(prefix)
        self._ready_file = pathlib.Path(f"{log}.ready")
        self._ready_file.unlink(missing_ok=True)
        arguments: list[object] = [
            paths.DEVSTORE, "--host", address, "--port", port, "--admin", 0, "--ready-file", self._ready_file,
            "--key", f"{ACCESS_KEY}:{SECRET}", "--region", REGION,
        ]
        for name, folder in buckets.items():
            arguments += ["--bucket", f"{name}={folder}"]
        for name in anonymous:
            arguments += ["--public", name]
        self.process = Running([*arguments, *options], log, prefix=self._prefix)
        try:
            ready = wait_until(self._announced, 120, "the store emulator says where it listens")
        except BaseException:
            # Nobody else knows of it yet.
            self.process.stop()
            raise
        self.port, self._admin_port = ready["port"], ready["adminPort"]
        self.identity_port, self.identity_tls_port = ready.get("identityPort"), ready.get("identityTLSPort")
        # With the options --tls-port, --tls-cert and --tls-key.
        self.tls_port = ready.get("tlsPort")

    def _announced(self) -> dict | None:
        self.process.must_live()
        return json.loads(self._ready_file.read_text()) if self._ready_file.exists() else None

    @property
    def endpoint(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"

    def environment(self, prefix: str = "", bucket: str | None = None, **extra: object) -> dict[str, str]:
        """The documented environment that reads `bucket`/`prefix` from this store."""
        name = bucket or next(iter(self.buckets))
        settings: dict[str, object] = {
            "OSS_ACCESS_KEY_ID": ACCESS_KEY, "OSS_ACCESS_KEY_SECRET": SECRET, "OSS_ENDPOINT": self.endpoint,
            "OSS_REGION": REGION, "OSS_PATH": f"oss://{name}/{prefix}",
        }
        return clean_environment(**(settings | extra))

    def faults(self, *rules: dict, **plan: object) -> None:
        """Replaces the fault plan (Sources/DataPlane/DevStore/Faults); no arguments: none any more."""
        self._admin("PUT", "faults", {"rules": list(rules), **plan})

    def oddities(self, *rules: dict, **plan: object) -> None:
        """Replaces what is odd of the store (Sources/DataPlane/DevStore/Oddities); no arguments: nothing any more."""
        self._admin("PUT", "oddities", {"rules": list(rules)} | plan)

    def requests(self) -> dict:
        """What it was asked so far: counts and bytes."""
        return self._admin("GET", "stats")

    def identity(self, plan: dict) -> None:
        """Replaces the roles (Sources/DataPlane/DevStore/Identity/IdentityPlan.swift)."""
        self._admin("PUT", "identity", plan)

    def exchanges(self) -> dict[str, int]:
        """How often each party gave credentials or refused."""
        return self._admin("GET", "identity")

    def _admin(self, method: str, what: str, body: dict | None = None) -> dict:
        """The admin port is on the loopback of the store's own network namespace."""
        if self._prefix:
            raise RuntimeError("the store is in another network namespace: give the plan at its start")
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._admin_port}/{what}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"{}")

    def stop(self) -> None:
        self.process.stop()

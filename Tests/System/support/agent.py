"""The agent with a root and socket of its own, and programs that run under the preload against it."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import typing

from . import paths
from .processes import Running, clean_environment, free_port, is_running, processes_with, resident_anonymous_bytes, unmount_below, wait_until


class Place:
    """A cache root and socket for one test, and the clean up of whatever ran there: agents that the
    library started on its own, and mounts."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir(exist_ok=True)
        self.socket = self.root / "agent.sock"
        (folder / "config.json").write_text("{}")
        self._logs = 0

    def log(self, name: str) -> pathlib.Path:
        self._logs += 1
        return self.folder / f"{self._logs:02d}-{name}.log"

    def settings(self, **extra: object) -> dict[str, object]:
        return {
            "MODELCACHE_ROOT": self.root, "MODELCACHE_SOCKET": self.socket, "MODELCACHE_AGENT": paths.MODELCACHE,
            # The machine's own file must not reach the test.
            "MODELCACHE_CONFIG": self.folder / "config.json", **extra}

    def preloaded(self, environment: dict[str, str], model_directory: pathlib.Path, **extra: object) -> dict[str, str]:
        """`environment` (of Store.environment) with everything the preload needs."""
        added = self.settings(LD_PRELOAD=paths.PRELOAD, ENABLE_CONNECTOR="1", MODEL_DIR=f"{model_directory}/", **extra)
        return {k: v for k, v in (environment | {k: None if v is None else str(v) for k, v in added.items()}).items() if v is not None}

    def run(self, *command: object, environment: dict[str, str], seconds: float = 120) -> subprocess.CompletedProcess:
        """Runs to its end, output captured as bytes; never waits longer than `seconds`."""
        return subprocess.run([*map(str, command)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds, check=False)

    def modelcache(self, *arguments: object, environment: dict[str, str] | None = None, seconds: float = 120) -> subprocess.CompletedProcess:
        base = clean_environment() if environment is None else environment
        return self.run(paths.MODELCACHE, *arguments, environment=base | {k: str(v) for k, v in self.settings().items()}, seconds=seconds)

    def status(self) -> dict:
        result = self.modelcache("status", "--json")
        assert result.returncode == 0, result.stderr.decode()
        return json.loads(result.stdout)

    def agents(self) -> list[int]:
        """Agents that run at this root, whoever started them."""
        found = []
        for pid in processes_with("MODELCACHE_ROOT", self.root):
            try:
                arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(arguments) > 1 and arguments[0].endswith(b"modelcache") and arguments[1] == b"agent":
                found.append(pid)
        return found

    def close(self) -> None:
        """Ends what runs here, also a program that the library has just forked and that is no agent yet."""
        while running := processes_with("MODELCACHE_ROOT", self.root):
            for pid in running:
                _end(pid)
        unmount_below(self.folder)


class Agent:
    """`modelcache agent` in the foreground."""

    def __init__(self, place: Place, *arguments: object, environment: dict[str, str] | None = None, prefix: typing.Sequence[str] = (), **settings: object):
        self.place = place
        self.http = f"127.0.0.1:{free_port()}"
        base = clean_environment() if environment is None else environment
        own = {k: str(v) for k, v in place.settings(MODELCACHE_HTTP=self.http, **settings).items() if v is not None}
        self.process = Running([paths.MODELCACHE, "agent", *arguments], place.log("agent"), environment=base | own, prefix=prefix)

    def ready(self, seconds: float = 120) -> "Agent":
        def listens() -> bool:
            self.process.must_live()
            # The file is there from bind(2) on; only listen(2) lets clients in.
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                return probe.connect_ex(str(self.place.socket)) == 0
        wait_until(listens, seconds, "the agent's socket appears")
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def resident_anonymous_bytes(self) -> int:
        return resident_anonymous_bytes(self.pid)

    def kill(self) -> None:
        self.process.kill()

    def stop(self, seconds: float = 60) -> int:
        return self.process.stop(seconds)


def _end(pid: int) -> None:
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_running(pid):
                return
            time.sleep(0.02)

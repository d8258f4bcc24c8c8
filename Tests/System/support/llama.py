"""llama.cpp's programs, run on a model file, with or without the preload."""
import json
import pathlib
import subprocess
import time
import typing
import urllib.error
import urllib.request

from . import paths
from .processes import Running, free_port

PROMPT = "The capital of France is"


def completion(model: object, environment: dict[str, str], *arguments: str, tokens: int = 12, seconds: float = 180) -> subprocess.CompletedProcess:
    """Greedy completion: the same weights give the same text.

    llama-completion ends without waiting for its logging thread, which prints: on a busy machine it loses the tail of its output.
    Then it is asked again, and what it did say must be the beginning of that."""
    said = []
    while True:
        result = subprocess.run(
            [paths.llama() / "llama-completion", "-m", str(model), "-p", PROMPT, "-n", str(tokens), "--temp", "0", "-no-cnv", "-t", "2", *arguments],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, check=False, text=True)
        if result.returncode != 0 or result.stdout.endswith("\n\n") or len(said) == 5:
            assert all(result.stdout.startswith(part) for part in said), (said, result)
            return result
        said.append(result.stdout)


class Server:
    """llama-server; `seconds_to_ready` counts from its start until /health says ok."""

    def __init__(self, model: object, environment: dict[str, str], log: pathlib.Path, *arguments: str, prefix: typing.Sequence[str] = ()):
        self._prefix = list(prefix)
        self.port = free_port()
        self.process = Running(
            [paths.llama() / "llama-server", "-m", model, "--host", "127.0.0.1", "--port", self.port, "-t", "2", *arguments],
            log, environment=environment, prefix=prefix)

    def wait_ready(self, seconds: float) -> float:
        deadline = self.process.started + seconds
        while time.monotonic() < deadline:
            if self.is_ready():
                return time.monotonic() - self.process.started
            time.sleep(0.02)
        raise AssertionError(f"llama-server is not ready after {seconds:g} s:\n{self.process.output()[-4000:]}")

    def is_ready(self) -> bool:
        """AssertionError when it ended."""
        self.process.must_live()
        return self._get("/health") is not None

    def complete(self, tokens: int = 12, prompt: str = PROMPT) -> str:
        return json.loads(self._post("/completion", {"prompt": prompt, "n_predict": tokens, "temperature": 0}))["content"]

    def _get(self, path: str) -> str | None:
        # In another network namespace its loopback is not ours: curl goes there.
        if self._prefix:
            result = subprocess.run([*self._prefix, "curl", "-sf", "-m", "5", f"http://127.0.0.1:{self.port}{path}"], check=False, text=True, stdout=subprocess.PIPE)
            return result.stdout if result.returncode == 0 else None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except (OSError, urllib.error.HTTPError):
            return None

    def _post(self, path: str, body: dict) -> str:
        return subprocess.run(
            [*self._prefix, "curl", "-sf", "-m", "120", "-H", "Content-Type: application/json", "-d", json.dumps(body),
             f"http://127.0.0.1:{self.port}{path}"], check=True, text=True, stdout=subprocess.PIPE).stdout

    def stop(self) -> None:
        self.process.stop()

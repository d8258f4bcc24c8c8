"""Steady requests to the Service while its pods change: each on a connection of its own, so that each is routed anew."""
import contextlib
import json
import threading
import time
import urllib.request


def complete(address: str, prompt: str, tokens: int, seconds: float = 120) -> dict:
    """llama-server's answer to a completion; a base model goes on with the text rather than answer in a chat."""
    request = urllib.request.Request(
        f"http://{address}/completion", data=json.dumps({"prompt": prompt, "n_predict": tokens, "temperature": 0}).encode(),
        headers={"Content-Type": "application/json", "Connection": "close"})
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.loads(answer.read())


class SteadyRequests(contextlib.AbstractContextManager):
    """Up to `rate` requests a second from entry to exit, `most` at a time: a slow machine is asked less often, never piled upon."""

    def __init__(self, address: str, rate: float, most: int = 4):
        self._address, self._rate, self._most = address, rate, most
        self._began = time.monotonic()
        self._ended, self._lock = threading.Event(), threading.Lock()
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._running: list[threading.Thread] = []

    def __enter__(self) -> "SteadyRequests":
        self._clock = threading.Thread(target=self._start_in_time, daemon=True)
        self._clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._clock.join()
        for one in self._running:
            one.join()
        self.lasted = time.monotonic() - self._began

    def _start_in_time(self) -> None:
        while not self._ended.wait(1 / self._rate):
            self._running = [one for one in self._running if one.is_alive()]
            if len(self._running) < self._most:
                thread = threading.Thread(target=self._ask, daemon=True)
                self._running.append(thread)
                thread.start()

    def _ask(self) -> None:
        began = time.monotonic()
        try:
            complete(self._address, "The sky is", 2)
            with self._lock:
                self.seconds.append(time.monotonic() - began)
        except (OSError, ValueError) as error:
            with self._lock:
                self.failures.append(f"after {time.monotonic() - began:.1f} s: {error!r}")

    def told(self) -> str:
        ordered = sorted(self.seconds) or [0.0]
        count = len(self.seconds) + len(self.failures)
        return (f"{count} requests in {self.lasted:.0f} s, {count / self.lasted:.1f} a second, {len(self.failures)} failed; "
                f"median {ordered[len(ordered) // 2]:.2f} s, slowest {ordered[-1]:.2f} s")

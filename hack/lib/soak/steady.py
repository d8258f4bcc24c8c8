"""Steady requests to llama-server through its Service: each with the same prompt, at temperature 0, on a connection of its own."""
import contextlib
import dataclasses
import errno
import http.client
import json
import threading
import time

PROMPT, TOKENS = "The capital of France is", 8
# Seconds without an answer after which a client gives up.
PATIENCE = 45.0


@dataclasses.dataclass(frozen=True)
class Request:
    """One request. `failure` is its kind, or empty; `wrong` is a completion that differs from the expected one."""

    at: float
    seconds: float
    failure: str = ""
    text: str = ""
    wrong: str = ""


class Refused(Exception):
    """llama-server answered with an error."""


def ask(address: str, seconds: float = PATIENCE) -> str:
    """The completion. The prompt is computed anew each time, alone: the same program on the same weights then gives the same text."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=seconds)
    with contextlib.closing(connection):
        connection.request("POST", "/completion", json.dumps({"prompt": PROMPT, "n_predict": TOKENS, "temperature": 0, "cache_prompt": False}),
                           {"Content-Type": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise Refused(f"status {answer.status}: {body[:200].decode(errors='replace')}")
    return json.loads(body)["content"]


def kind_of(error: Exception) -> str:
    """The kind of a failure: what a client of the Service saw."""
    if isinstance(error, Refused):
        return "error status"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (ConnectionError, http.client.HTTPException)):
        return "broken off"
    if isinstance(error, OSError):
        return "unreachable" if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH) else "error of the network"
    return "no completion"


class SteadyRequests(contextlib.AbstractContextManager):
    """`rate` requests a second from entry to exit, `most` at a time: a slow machine is asked less often, never piled upon."""

    def __init__(self, address: str, expected: str, rate: float, began: float, most: int = 12):
        self._address, self._expected, self._rate, self._began = address, expected, rate, began
        self._ended, self._places, self._lock = threading.Event(), threading.Semaphore(most), threading.Lock()
        self._requests: list[Request] = []

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return list(self._requests)

    def __enter__(self) -> "SteadyRequests":
        self._clock = threading.Thread(target=self._start_in_time, daemon=True)
        self._clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Requests that are under way then are part of no result."""
        self._ended.set()
        self._clock.join()

    def finish(self) -> None:
        """The last requests have their answers."""
        self.__exit__()
        deadline = time.monotonic() + PATIENCE + 5
        while self._running() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _running(self) -> bool:
        with self._lock:
            return self._under_way > 0

    _under_way = 0

    def _start_in_time(self) -> None:
        while not self._ended.wait(1 / self._rate):
            if self._places.acquire(blocking=False):
                with self._lock:
                    self._under_way += 1
                threading.Thread(target=self._one, daemon=True).start()

    def _one(self) -> None:
        began = time.monotonic()
        failure = text = wrong = ""
        try:
            said = ask(self._address)
            wrong = said if said != self._expected else ""
            if said == "" and self._expected:
                wrong = "(nothing)"
        except (OSError, ValueError, KeyError, Refused, http.client.HTTPException) as error:
            failure, text = kind_of(error), repr(error)
        with self._lock:
            self._requests.append(Request(began - self._began, time.monotonic() - began, failure, text, wrong))
            self._under_way -= 1
        self._places.release()

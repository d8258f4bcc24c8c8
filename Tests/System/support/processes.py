"""Programs under test: started with a clean environment, stopped by pid, waited for with deadlines."""
import contextlib
import http.client
import os
import pathlib
import signal
import subprocess
import sys
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Shared"))

from ports import free_port  # noqa: E402, F401

# Settings of the person who runs the tests must not reach the programs under test.
_OURS = ("OSS_", "MODELCACHE_", "AWS_", "OSSUTIL_", "ALIBABA_CLOUD_")
_NAMES = {
    "LD_PRELOAD", "ENABLE_CONNECTOR", "MODEL_DIR", "HTTP_SOURCE_IP",
    "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
}


def clean_environment(**extra: object) -> dict[str, str]:
    """This process's environment without any setting of ours, and with `extra` (None removes)."""
    environment = {k: v for k, v in os.environ.items() if k not in _NAMES and not k.startswith(_OURS)}
    for name, value in extra.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    return environment


def wait_until(condition: typing.Callable[[], typing.Any], seconds: float, what: str, every: float = 0.02):
    """The first true value of `condition`; AssertionError that says `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


class Running:
    """A started program in a session of its own, whose output goes to a file."""

    def __init__(self, arguments: typing.Sequence[object], log: pathlib.Path, environment: dict[str, str] | None = None,
                 directory: object = None, prefix: typing.Sequence[str] = ()):
        self.log = pathlib.Path(log)
        self.arguments = [*prefix, *map(str, arguments)]
        self.started = time.monotonic()
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=clean_environment() if environment is None else environment, cwd=directory, start_new_session=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def must_live(self) -> None:
        if not self.alive():
            raise AssertionError(f"{self.arguments[0]} ended with {self.process.returncode}:\n{self.output()[-4000:]}")

    def listens(self, port: int) -> bool:
        """Whether somebody accepts connections at the port; it must live meanwhile."""
        self.must_live()
        with contextlib.suppress(OSError):
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return True
        return False

    def wait(self, seconds: float) -> int:
        """Its exit code; AssertionError with its output when it does not end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.arguments[0]} still runs after {seconds:g} s:\n{self.output()[-4000:]}") from None

    def signal(self, number: int) -> None:
        if self.alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and reaped."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 10) -> int:
        """SIGTERM; after `seconds` SIGKILL to all that is left of its session."""
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()


def resident_anonymous_bytes(pid: int) -> int:
    """RssAnon of a process: its memory without the cache's shared pages (proc_pid_status(5))."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def is_running(pid: int) -> bool:
    """False for one that has ended, also where nobody has waited for it yet (a zombie)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_with(name: str, value: object) -> list[int]:
    """Processes that have `name=value` in their environment: those a library started on its own."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/environ", "rb") as environ:
                    if wanted in environ.read().split(b"\0"):
                        found.append(int(entry))
    return found


def unmount_below(folder: object) -> None:
    """Detaches every mount at or under `folder`, innermost first."""
    root = os.path.realpath(str(folder))
    with open("/proc/self/mountinfo") as lines:
        points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in sorted((p for p in points if p == root or p.startswith(root + "/")), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], check=False)

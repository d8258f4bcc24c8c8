"""The operator as a process."""
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

from .control_plane import REPOSITORY, free_port

PROGRAM = pathlib.Path(os.environ.get("MODELCACHE_DIST", REPOSITORY / "dist")) / "bin/modelcache-operator"


class Operator:
    """modelcache-operator on one kubeconfig. All of its command line is in this class. Without `webhook_port` it injects no pods."""

    def __init__(self, kubeconfig, log, *flags, agent_port=9417, leader_elect=True, webhook_port=None):
        self.log = pathlib.Path(log)
        self.metrics_port, self.health_port = free_port(), free_port()
        self.arguments = [
            str(PROGRAM), f"--kubeconfig={kubeconfig}", f"--agent-port={agent_port}", "--agent-image=modelcache/agent:dev",
            f"--metrics-bind-address=127.0.0.1:{self.metrics_port}", f"--health-probe-bind-address=127.0.0.1:{self.health_port}",
            "--webhook-bind-address=" + (f"127.0.0.1:{webhook_port}" if webhook_port else "0"), "--webhook-extra-names=127.0.0.1",
            "--allow-loopback-endpoints", "--credential-hosts=127.0.0.1",
            # Tests look at what else the operator does; an option of a test comes last and wins.
            "--source-check-interval=0",
            # No Service turns to another replica here, for which an end waits five seconds.
            "--webhook-drain-timeout=0s", *(["--leader-elect"] if leader_elect else []), *map(str, flags),
        ]
        self.process = None
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing is handed over, the Lease stays held until it expires."""
        self.process.send_signal(signal.SIGKILL)

    def stop(self, seconds=120) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the operator did not end within {seconds} s of SIGTERM: {self.last_words()}") from None

    def close(self) -> None:
        """Ends it, with a moment to give the Lease back: the next one leads at once."""
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=20) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def ready(self, seconds=120) -> "Operator":
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            assert self.alive, f"the operator ended with {self.process.returncode}: {self.last_words()}"
            assert time.monotonic() < deadline, f"the operator is not ready after {seconds} s: {self.last_words()}"
            time.sleep(0.1)
        return self

    def last_words(self) -> str:
        return f"{self.log}:\n" + self.log.read_text(errors="replace")[-4000:]

"""A cluster whose API server may be away for some seconds: commands to it are tried again, as a person would."""
import json
import subprocess
import time

from soak.away import is_away
from support.cluster import Cluster

# Seconds for which a command is tried again.
PATIENCE = 120.0


class PatientCluster(Cluster):
    """Of kubectl's commands alone: whoever stops a part of the cluster wants to know whether that worked."""

    def command(self, *arguments, input=None, check=True, seconds=300) -> subprocess.CompletedProcess:
        if not arguments or arguments[0] != "kubectl":
            return super().command(*arguments, input=input, check=check, seconds=seconds)
        deadline = time.monotonic() + PATIENCE
        while True:
            done = super().command(*arguments, input=input, check=False, seconds=seconds)
            if done.returncode == 0 or not is_away(done.stderr) or time.monotonic() > deadline:
                break
            time.sleep(1)
        if check and done.returncode != 0:
            raise AssertionError(f"hack/cluster {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done

    def list_once(self, kinds: str) -> list[dict] | None:
        """The objects of all namespaces; None where the API server does not answer now."""
        done = super().command("kubectl", "get", kinds, "--all-namespaces", "-o", "json", "--request-timeout=8s", check=False)
        return json.loads(done.stdout)["items"] if done.returncode == 0 else None

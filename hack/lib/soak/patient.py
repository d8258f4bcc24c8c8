"""A cluster whose API server may be away for some seconds: commands to it are tried again, as a person would."""
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

"""The API server is away for some seconds. Pods run on and answer; an operator that can not renew its Lease ends and is started again."""
from soak.fault import OPERATOR, Explains, Fault


def stop(world, planned) -> None:
    world.cluster.stop("kube-apiserver", "KILL")


def start(world, planned) -> None:
    world.cluster.start("kube-apiserver")


FAULTS = (
    # Shorter than the preStop hook of llama-server: a pod that is deleted just before leaves the Service's list in time.
    Fault("API server away", stop, start, hold=(4, 14), explains=Explains(ends=frozenset({OPERATOR}), after=60)),
)

"""Agents, mounters and operators that die, or whose pods are deleted. No request may notice: llama-server has its pages."""
from soak.fault import AGENT, MOUNTER, OPERATOR, Explains, Fault

# A deleted pod has its grace period; the kubelet tells its end up to a minute later.
GRACE = 75.0


def killed(program: str):
    return lambda world, planned: world.kill(program, planned.node)


def agent_pod_deleted(world, planned) -> None:
    pod = world.installation.agent_on(planned.node)
    if pod:
        world.cluster.kubectl("delete", "pod", "-n", "modelcache-system", pod["metadata"]["name"], "--wait=false", "--ignore-not-found")


def operator_pod_deleted(world, planned) -> None:
    """Without grace, as a node that is gone for good."""
    for pod in world.pods_of_system("app.kubernetes.io/name=modelcache-operator"):
        world.cluster.kubectl("delete", "pod", "-n", "modelcache-system", pod["metadata"]["name"], "--grace-period=0", "--force", "--ignore-not-found")


FAULTS = (
    Fault("agent killed", killed(AGENT), explains=Explains(ends=frozenset({AGENT}), after=15), needs_node=True),
    Fault("mounter killed", killed(MOUNTER), explains=Explains(ends=frozenset({MOUNTER}), after=15), needs_node=True),
    Fault("operator killed", killed(OPERATOR), explains=Explains(ends=frozenset({OPERATOR}), after=15)),
    Fault("agent's pod deleted", agent_pod_deleted, explains=Explains(ends=frozenset({AGENT, MOUNTER}), after=GRACE), needs_node=True),
    Fault("operator's pod deleted", operator_pod_deleted, explains=Explains(ends=frozenset({OPERATOR}), after=GRACE)),
)

"""What people do to a cluster all day: rolling updates, more and fewer replicas, ModelCaches made and deleted. No request may fail."""
from soak.fault import AGENT, ENGINE, MOUNTER, OPERATOR, Explains, Fault
from soak.faults.kills import GRACE

SYSTEM, SPACE, DEPLOYMENT = "modelcache-system", "soak-models", "llama-gemma"
# Seconds until a rolling update has to be through, another fault beside it included.
UPDATE = 300


def rolled(space: str, workload: str):
    def roll(world, planned) -> None:
        world.cluster.kubectl("rollout", "restart", "-n", space, workload)
        world.cluster.kubectl("rollout", "status", "-n", space, workload, f"--timeout={UPDATE}s", seconds=UPDATE + 30)
    return roll


def scale(world, replicas: int) -> None:
    world.replicas = replicas
    world.cluster.kubectl("scale", "-n", SPACE, f"deployment/{DEPLOYMENT}", f"--replicas={replicas}")
    world.cluster.kubectl("rollout", "status", "-n", SPACE, f"deployment/{DEPLOYMENT}", f"--timeout={UPDATE}s", seconds=UPDATE + 30)


def scaled(replicas: int):
    return lambda world, planned: scale(world, replicas)


def made(medium: str):
    return lambda world, planned: world.make("made", medium)


def deleted(world, planned) -> None:
    world.unmake("made")


def deleted_early(world, planned) -> None:
    """In the middle of its fill: nobody waits for it."""
    world.unmake("made", checked=False)


CHANGES = (
    Fault("ModelCache in memory made and deleted", made("Memory"), deleted, hold=(0, 5)),
    Fault("rolling update of agents", rolled(SYSTEM, "daemonset/modelcache-agent"), explains=Explains(ends=frozenset({AGENT, MOUNTER}), after=GRACE)),
    Fault("scale down and up", scaled(2), scaled(3), hold=(10, 20), explains=Explains(ends=frozenset({ENGINE}), after=GRACE)),
    Fault("ModelCache on disks made and deleted", made("Disk"), deleted, hold=(0, 5)),
    Fault("rolling update of the operator", rolled(SYSTEM, "deployment/modelcache-operator"), explains=Explains(ends=frozenset({OPERATOR}), after=GRACE)),
    Fault("scale up and down", scaled(4), scaled(3), hold=(5, 15), explains=Explains(ends=frozenset({ENGINE}), after=GRACE)),
    Fault("ModelCache deleted while it is filled", made("Memory"), deleted_early, hold=(1, 6)),
    Fault("rolling update of llama-server", rolled(SPACE, f"deployment/{DEPLOYMENT}"), explains=Explains(ends=frozenset({ENGINE}), after=GRACE)),
)

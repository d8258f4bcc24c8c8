"""A disk that is full while a ModelCache is made on it: the ModelCache waits, and becomes Ready when there is space again."""
from soak.fault import Fault

BALLAST = "/run/soak-disk/ballast"


def begin(world, planned) -> None:
    # The rest goes byte by byte: fallocate takes what there is only up to its last blocks.
    world.cluster.on(planned.node, "sh", "-c", f"fallocate -l $(df --output=avail -B1 /run/soak-disk | tail -n 1) {BALLAST}; cat /dev/zero >>{BALLAST}; true")
    world.make("full", "Disk")


def end(world, planned) -> None:
    world.cluster.on(planned.node, "rm", "-f", BALLAST)
    world.unmake("full")


FAULTS = (Fault("disk full", begin, end, hold=(20, 40), needs_node=True),)

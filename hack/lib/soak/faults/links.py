"""A node's link: unplugged until Kubernetes gives the node up, cut for a moment, or slow.

Its end in the control plane's namespace is set down: the node sees that its cable is out, and keeps its addresses and routes. Requests that
the Service sends to a node without a link get no answer until it is back, or until the node counts as lost and leaves the Service's list.
"""
from soak.fault import OPERATOR, SILENT, Explains, Fault
from soak.steady import PATIENCE

# Of a slow link; 40 to 50 seconds of silence make a node NotReady.
SLOW_MBIT = 8


def down(world, planned) -> None:
    world.cluster.on("control", "ip", "link", "set", planned.node, "down")


def up(world, planned) -> None:
    world.cluster.on("control", "ip", "link", "set", planned.node, "up")


def slow(world, planned) -> None:
    """Both ways: what the node receives and what it sends."""
    shape = ("root", "tbf", "rate", f"{SLOW_MBIT}mbit", "burst", "32768", "latency", "300ms")
    world.cluster.on("control", "tc", "qdisc", "replace", "dev", planned.node, *shape)
    world.cluster.on(planned.node, "tc", "qdisc", "replace", "dev", "eth0", *shape)


def fast(world, planned) -> None:
    world.testbed.shape(planned.node)
    world.cluster.on(planned.node, "tc", "qdisc", "del", "dev", "eth0", "root")


# A connection that was made before the end may wait for its next try: TCP doubles the time between them.
SILENCE = Explains(failures=SILENT, ends=frozenset({OPERATOR}), after=PATIENCE)

FAULTS = (
    Fault("node unplugged", down, up, hold=(50, 80), explains=SILENCE, needs_node=True),
    Fault("link cut", down, up, hold=(2, 8), explains=SILENCE, needs_node=True),
    Fault("link slow", slow, fast, hold=(15, 40), needs_node=True),
)

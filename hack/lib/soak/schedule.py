"""Which fault comes when: a pure function of the seed. The same seed gives the same faults, nodes and lengths, whatever the machine's speed.

There are two lanes, faults and changes, that go on beside each other: a node is unplugged in the middle of a rolling update. Inside a lane
one thing follows the other. Each round of a lane has each of its kinds once, in an order of its own: no kind is left out for long.
"""
import itertools
import random
import typing

from soak.fault import Fault, Planned

# Seconds of quiet between two faults of a lane, the fewest and the most.
PAUSE = (5.0, 15.0)


def schedule(kinds: typing.Sequence[Fault], nodes: typing.Sequence[str], seed: int) -> typing.Iterator[Planned]:
    """Without end. No node is hit twice in a row while there are others."""
    chosen, last = random.Random(seed), ""
    numbers = itertools.count(1)
    while True:
        for fault in chosen.sample(kinds, len(kinds)):
            # Drawn for each, so that one kind more or less changes no other's.
            node, share, rest = chosen.choice([one for one in nodes if one != last] or list(nodes)), chosen.random(), chosen.uniform(*PAUSE)
            last = node if fault.needs_node else last
            yield Planned(next(numbers), fault, node if fault.needs_node else "", fault.hold[0] + (fault.hold[1] - fault.hold[0]) * share, rest)

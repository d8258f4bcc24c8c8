"""Random sequences of calls that read files give what plain files give, or an error that docs/semantics.md allows.

A failure prints its seed and, shortened, a script: `hack/readers --script FILE` runs it again. The sequences are the same in each
run of the tests; `hack/readers` takes others.
"""
import os

import pytest

from support import sequence_worlds as worlds

SEQUENCES = int(os.environ.get("MODELCACHE_TESTS_SEQUENCES", 1000))
SEED = int(os.environ.get("MODELCACHE_TESTS_SEED", 1))


# semantics 3, 4, 5, 8, 9, 10, 16
@pytest.mark.parametrize("name", worlds.WORLDS)
def test_any_sequence_of_reads_gives_what_plain_files_give(name):
    share = SEQUENCES // len(worlds.WORLDS)
    seed = SEED + [*worlds.WORLDS].index(name) * share
    print("seed", seed)
    with worlds.world(name, seed) as one:
        failures = worlds.check(one, name, range(seed, seed + share), most=1)
        shown = [worlds.made_short(one, failure) for failure in failures[:1]]
    assert not failures, f"world {name}: {shown[0]}"

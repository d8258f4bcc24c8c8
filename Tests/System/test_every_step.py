"""An agent or a command that is killed, or gets an error, at any step comes to a whole cache or none, and leaves nothing behind.

The steps are drawn from a seed and are the same in each run of the tests, with those at which something was wrong once. `hack/steps` runs
every one.
"""
import os
import random

import pytest

from support import step_scenarios as scenarios, steps

SEED = int(os.environ.get("MODELCACHE_TEST_SEED", 1))
# Where something was wrong once: the scenario, the fault, and the step (steps.c), which does not hang on how threads share the others.
WRONG_ONCE = [
    ("change", "EIO", "1:unlinkat .*/models/[^/]+/config[.]json$"),
    ("change", "EIO", "1:unlinkat .*/models/[^/]+/old/gone[.]bin$"),
    ("delete", "EIO", "1:umount2 .*/caches/"),
    ("delete", "EIO", "1:unlinkat .*/definitions/[^/]*[.]json$"),
    ("evict", "EIO", "1:rmdir .*/models/one-[^/]*$"),
    ("fill", "numbers", "1:accept4"),
    ("edit", "numbers", "1:accept4"),
]


@pytest.fixture(scope="module")
def world():
    with steps.world() as one:
        yield one


def expect_right(world, name, fault, remains):
    outcome = scenarios.check(world, name, fault, remains)
    # A run may have fewer steps than another: threads share some.
    print(f"{name}, {fault}: {outcome.hit}")
    assert not outcome.wrong, "\n".join([f"{name}, {fault}: {outcome.hit}", *outcome.wrong, outcome.said[-2000:]])
    return outcome


# semantics 1, 8, 15, 19
@pytest.mark.parametrize("name", scenarios.SCENARIOS)
def test_a_fault_at_a_step_leaves_a_whole_cache_or_none(name, world):
    chance = random.Random(f"{SEED}/{name}")
    whole = scenarios.check(world, name, None)
    assert not whole.wrong, whole.wrong
    for kind in ("kill", chance.choice([k for k in steps.FAULTS if k != "kill" and steps.Fault.count(k, whole.steps)])):
        expect_right(world, name, steps.Fault.named(kind, chance.randint(1, steps.Fault.count(kind, whole.steps))), whole.remains)


@pytest.mark.parametrize("name, kind, step", WRONG_ONCE)
def test_what_was_wrong_at_a_step_once_is_right(name, kind, step, world):
    outcome = expect_right(world, name, steps.Fault.named(kind, step), scenarios.check(world, name, None).remains)
    assert outcome.hit, "there is no such step any more"

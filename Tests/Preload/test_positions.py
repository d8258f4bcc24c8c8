"""Readers that share a position: threads, forked children, and programs that exec makes, while the file fills."""
import subprocess
import pytest
from preload_world import HERE, LIBRARY, MIB

TAKEN = ["read", "readv", "preadv2", "stream"]
MOVED = ["sendfile", "copy_file_range", "splice"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", folder / "positions", HERE + "/positions.c"], check=True)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "late.so", HERE + "/late.c"], check=True)
    return folder


@pytest.mark.parametrize("shared", ["threads", "forks", "execs"])
@pytest.mark.parametrize("call", TAKEN + MOVED)
# semantics 4, 10
def test_readers_of_one_position_get_each_byte_once_and_no_hole(world, programs, shared, call):
    # A chunk at a time: a look at one chunk is no good for the read of the next.
    world.agent("--only-demands")
    # Beside the cache's files, since not every kernel copies a range to another file system.
    r = world.run(programs / "positions", shared, call, world.model + "/a.bin", world.source + "/a.bin", str(2 * MIB), world.cache + "/given",
                  LD_PRELOAD=f"{LIBRARY}:{programs}/late.so")
    assert (r.returncode, r.stdout) == (0, b"right\n"), (r.stdout, r.stderr)

"""Readers that share a position: threads, forked children, and programs that exec makes, while the file fills."""
import os, subprocess, sys
import pytest
from preload_world import HERE, LIBRARY, MIB

TAKEN = ["read", "readv", "preadv2", "stream"]
MOVED = ["sendfile", "copy_file_range", "splice"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", folder / "positions", HERE + "/positions.c"], check=True)
    if os.uname().machine == "x86_64":
        subprocess.run(["gcc", "-O1", "-pthread", "-o", folder / "seeks", HERE + "/seeks.c"], check=True)
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


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the registers are those of x86-64")
@pytest.mark.parametrize("moves,fails,place", [(0, 0, 0), (1, 0, MIB), (0, 1, -4096), (1, 1, MIB)])
# semantics 4
def test_a_reader_that_waits_leaves_the_position_where_another_puts_it(world, programs, moves, fails, place):
    """The reader takes more than the file has, at a place where its bytes are yet to come."""
    world.agent("--only-demands", "--stop-after", "1")
    p = subprocess.Popen([programs / "seeks", world.model + "/a.bin", world.source + "/a.bin", str(moves), str(fails)],
                         env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = p.stdout.readline()
    world.kill()
    world.agent()
    out, error = p.communicate(timeout=120)
    if p.returncode == 77:
        pytest.skip(error)
    assert (p.returncode, first, out) == (0, "waits\n", f"{place}\n"), error


# semantics 10
def test_a_library_behind_may_make_dup2_of_a_call_that_has_a_hook(world, programs):
    """Of an arriving file, onto a number of one, from a number that is not open, and of a plain file."""
    world.agent("--stop-after", "2")
    program = ("import os,sys\na,b=[os.open(p,os.O_RDONLY) for p in sys.argv[1:]]; none=os.open('/dev/null',os.O_RDONLY); os.lseek(a,1000,0); os.lseek(b,2000,0)\n"
               "at=lambda: os.lseek(50,0,1)\nos.dup2(a,50); print(at()); os.dup2(b,50); print(at())\n"
               "try: os.dup2(99,50)\nexcept OSError as e: print(e.errno)\n"
               "print(at()); os.dup2(none,50); print(at(),os.read(50,1)); os.dup2(a,50); os.lseek(50,7,0); print(os.lseek(a,0,1))")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin", world.model + "/模型.bin", LD_PRELOAD=f"{LIBRARY}:{programs}/late.so")
    assert r.stdout.split() == [b"1000", b"2000", b"9", b"2000", b"0", b"b''", b"7"], (r.stdout, r.stderr)

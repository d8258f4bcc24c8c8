"""Children of posix_spawn go on where their parent stopped, whatever its file actions close: CPython 3.13 closes all from 3 on."""
import os, subprocess, sys
import pytest
from preload_world import HERE, faults

AT = 1000000


@pytest.fixture(scope="session")
def spawn(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "spawn")
    subprocess.run(["gcc", "-O1", "-o", out, HERE + "/spawn.c"], check=True)
    return out


def truth(world):
    with open(world.source + "/a.bin", "rb") as f:
        f.seek(AT)
        return f.read(8)


@faults
@pytest.mark.parametrize("way", ["dup2", "closefrom", "closefrom twice", "inherited", "chain", "exchange", "taken", "loop", "inherited loop", "inherited lowered"])
# semantics 10
def test_a_child_of_posix_spawn_goes_on_where_its_parent_stopped(world, spawn, mode, way):
    world.agent()
    r = world.run(spawn, way, world.model + "/a.bin", str(AT), MODELCACHE_FAULTS=mode)
    assert (r.returncode, r.stdout) == (0, truth(world) + b"%d" % (AT + 8)), (r.stdout, r.stderr)


@pytest.mark.parametrize("way", ["named earlier", "named open", "named dup2", "inherited named open", "inherited named dup2"])
# semantics 10
def test_what_a_program_puts_beside_its_childs_number_is_there(world, spawn, way):
    world.agent()
    r = world.run(spawn, way, world.model + "/a.bin", str(AT))
    assert (r.returncode, r.stdout) == (0, truth(world) + b"/dev/null%d" % (AT + 8)), (r.stdout, r.stderr)


def test_a_copy_whose_readable_one_would_be_above_the_limit(world, spawn):
    world.agent()
    r = world.sh(f"ulimit -n 600; exec {spawn} high {world.model}/a.bin {AT}")
    assert (r.returncode, r.stdout) == (0, truth(world) + b"%d" % (AT + 8)), (r.stdout, r.stderr)


def test_only_what_the_child_keeps_is_open_there(world, spawn):
    """Of the numbers from 3 on the child has the one beside its standard input alone."""
    world.agent("--stop-after", "0")
    program = ("import ctypes,os,sys\nl=ctypes.CDLL(None); fd=os.open(sys.argv[1],os.O_RDONLY); os.set_inheritable(fd,True); os.dup2(1,600)\n"
               "a=ctypes.create_string_buffer(200); l.posix_spawn_file_actions_init(a); l.posix_spawn_file_actions_adddup2(a,fd,0); l.posix_spawn_file_actions_addclosefrom_np(a,3)\n"
               "p=ctypes.c_int(); v=(ctypes.c_char_p*4)(b'sh',b'-c',b'echo /proc/self/fd/*'); e=(ctypes.c_char_p*1)()\n"
               "assert l.posix_spawn(ctypes.byref(p),b'/bin/sh',a,None,v,e)==0; os.waitpid(p.value,0)")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    numbers = {os.path.basename(name) for name in r.stdout.decode().split()}
    assert {"0", "1", "2", "512"} <= numbers and not {n for n in numbers if int(n) > 3} - {"512"}, (r.stdout, r.stderr)

"""The library's thread has no rights that the program has given up."""
import os, sys
import pytest

CALLS = {
    "setuid": "os.setuid(65534)", "seteuid": "os.seteuid(65534)", "setreuid": "os.setreuid(65534,65534)", "setresuid": "os.setresuid(65534,65534,65534)",
    "setgid": "os.setgid(65534)", "setegid": "os.setegid(65534)", "setregid": "os.setregid(65534,65534)", "setresgid": "os.setresgid(65534,65534,65534)",
    "setgroups": "os.setgroups([7,9])", "initgroups": "os.initgroups('root',5)", "all": "os.setgroups([]); os.setgid(65534); os.setuid(65534)",
    "there and back": "os.seteuid(65534); os.seteuid(0); os.setgroups([3])", "capset": "drop()",
    "in a child": "c=os.fork()\nif c: sys.exit(os.waitpid(c,0)[1]!=0)\nos.pread(fd,1,5<<20); os.setgid(65534); os.setuid(65534)",
}
# What each thread has of the program's user, groups and capabilities.
PROGRAM = ("import ctypes,os,sys\nfd=os.open(sys.argv[1],os.O_RDONLY); os.pread(fd,1,0)\n"
           "def drop():\n  l=ctypes.CDLL(None); head=(ctypes.c_uint32*2)(0x20080522,0); sets=(ctypes.c_uint32*6)(); assert l.capset(head,sets)==0\n"
           "def threads():\n  return [[x for x in open(f'/proc/self/task/{t}/status') if x.split(':')[0] in ('Uid','Gid','Groups','CapEff','CapPrm')] for t in os.listdir('/proc/self/task')]\n"
           "before=threads()\n{call}\nafter=threads()\n"
           "print([x==after[0] for x in after], after[0]!=before[0])")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
@pytest.mark.parametrize("call", list(CALLS))
# semantics 10
def test_the_librarys_thread_follows(world, call):
    world.agent("--only-demands")
    program = PROGRAM.replace("{call}", CALLS[call])
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    changes = call not in ("initgroups", "there and back")
    assert r.returncode == 0 and r.stdout.decode().startswith("[True, True] "), (r.stdout, r.stderr)
    assert not changes or r.stdout.decode().endswith(" True\n"), r.stdout

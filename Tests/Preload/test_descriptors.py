"""Descriptors copied, closed and handed on in every way a program may, while their file fills."""
import os, shutil, signal, subprocess, sys
import pytest
from preload_world import HERE, faults, only

PROGRAMS = {
    "our own numbers taken by dup2": "m=mapped()\nfor own in owns(): os.dup2(null,own)\nh(m[:])",
    "our own numbers closed": "m=mapped()\nfor own in owns():\n  try: os.close(own)\n  except OSError: pass\nh(m[:])",
    "closefrom": "m=mapped(); libc.closefrom(3); h(m[:])",
    "close_range": "m=mapped(); assert libc.close_range(3,0xffffffff,0)==0; h(m[:])",
    "close_range by syscall": "m=mapped(); assert libc.syscall(436,3,0xffffffff,0)==0; h(m[:])",
    "close by syscall": "m=mapped()\nfor own in owns(): assert libc.syscall(CLOSE,own)==-1\nh(m[:])",
    "our own numbers taken by syscall": "m=mapped()\nfor own in owns(): assert libc.syscall(DUP3,null,own,0)==own\nh(m[:])",
    "a number used again": "os.close(fd); other=os.open('/proc/self/cmdline',os.O_RDONLY); assert other==fd and os.read(other,6); h(open(p,'rb').read())",
    "a child by vfork closes its copies": "subprocess.run(['/bin/true'],check=True); h(whole(fd))",
    "a child by vfork takes the number": "subprocess.run(['/bin/cat'],stdin=null,check=True); os.set_inheritable(fd,True)\n"
        "s=subprocess.run(['/usr/bin/sha256sum'],stdin=fd,stdout=subprocess.PIPE,check=True).stdout.decode(); os.lseek(fd,0,0); h(whole(fd)); assert s.startswith(open(t).read())",
    "handed to a thread of a forked child": "import threading\nif os.fork()==0:\n  x=threading.Thread(target=lambda:h(whole(fd))); x.start(); x.join(); os._exit(0)\nsys.exit(os.wait()[1]!=0)",
    "opened through /proc": "h(open('/proc/self/fd/%d'%fd,'rb').read())",
    "copied by many threads while it becomes complete": "import threading\nn=os.fstat(fd).st_size; os.pread(fd,1,n-1); bad=[]\n"
        "def copy():\n  for i in range(3000):\n    d=os.dup(fd) if i%2 else fcntl.fcntl(fd,fcntl.F_DUPFD,30)\n    try: os.pread(d,1,n-1)\n    except OSError as e: bad.append(e)\n    os.close(d)\n"
        "x=[threading.Thread(target=copy) for _ in range(8)]\n[i.start() for i in x]; [i.join() for i in x]; assert not bad, bad\nh(whole(fd))",
    "copy_file_range": "o=os.open(os.readlink('/proc/self/fd/%d'%fd)+'.copy',os.O_RDWR|os.O_CREAT,0o600)\nwhile os.copy_file_range(fd,o,1<<30): pass\nos.lseek(o,0,0); h(whole(o))",
}
PREAMBLE = """import ctypes,fcntl,hashlib,mmap,os,resource,subprocess,sys
p,t=sys.argv[1:]
libc=ctypes.CDLL(None,use_errno=True)
def h(b):
  s=hashlib.sha256(b).hexdigest(); open(t,'w').write(s); print(s,flush=True)
def whole(d):
  n=os.fstat(d).st_size; b=b''
  while len(b)<n: b+=os.read(d,n-len(b)) or sys.exit('short')
  return b
def mapped():
  os.pread(fd,1,0); return mmap.mmap(fd,0,prot=mmap.PROT_READ)
def owns():
  found=[int(n) for n in os.listdir('/proc/self/fd') if n not in ('0','1','2') and os.path.exists('/proc/self/fd/'+n) or n.isdigit() and int(n)>=512]
  return [n for n in found if n>=512]
CLOSE,DUP3=(3,292) if os.uname().machine=='x86_64' else (57,24)
null=os.open('/dev/null',os.O_RDWR)
fd=os.open(p,os.O_RDONLY)
"""


@faults
@pytest.mark.parametrize("how", list(PROGRAMS))
def test_every_byte_is_right_with(world, mode, how):
    world.agent()
    r = world.run(sys.executable, "-c", PREAMBLE + PROGRAMS[how], world.model + "/a.bin", world.base + "/sum", MODELCACHE_FAULTS=mode)
    assert only(r) == world.sums["a.bin"]


@pytest.fixture(scope="session")
def small_table(tmp_path_factory):
    """The library with a table of 40 descriptors, since few machines allow a process more than 65,536."""
    if not shutil.which("swiftc"):
        pytest.skip("needs swiftc to build the library with a small table")
    out = tmp_path_factory.mktemp("lib")
    subprocess.run([HERE + "/../../hack/build-preload", out], check=True, env=dict(os.environ, PRELOAD_DEFINES="-DOSSC_TABLE_ENTRIES=40"))
    return str(out / "libossc_preload.so")


@faults
@pytest.mark.parametrize("how", ["os.dup2(fd,70); os.close(fd); h(whole(70))", "d=fcntl.fcntl(fd,fcntl.F_DUPFD,66); assert d>=66; h(whole(d))",
                                 "[os.dup(null) for _ in range(60)]; h(open(p,'rb').read())", "[os.dup(null) for _ in range(60)]; h(whole(os.dup(fd)))",
                                 "os.set_inheritable(fd,True); os.dup2(fd,70)\nif os.fork()==0: os.execv('/bin/bash',['bash','-c','exec sha256sum <&70'])\nsys.exit(os.wait()[1])"])
def test_numbers_beyond_the_table_are_waited_for_as_a_whole(world, small_table, mode, how):
    world.agent()
    r = world.run(sys.executable, "-c", PREAMBLE + how, world.model + "/a.bin", world.base + "/sum", MODELCACHE_FAULTS=mode, LD_PRELOAD=small_table)
    assert only(r) == world.sums["a.bin"]


def test_a_clone_of_a_file_with_holes_is_refused(world):
    world.agent("--only-demands")
    r = world.sh(f"cp --reflink=always {world.model}/a.bin {world.base}/copy")
    assert r.returncode != 0 and b"failed to clone" in r.stderr


def test_a_forked_child_whose_file_is_gone_gets_a_message_and_sigbus(world, reader):
    world.agent("--only-demands")
    name = world.cache + "/.partial/a.bin"
    r = world.run(reader, "fork-lost", world.model + "/a.bin", world.source + "/a.bin", LOST=name, LOST_AS=name + ".moved", MODELCACHE_FAULTS="userfaultfd")
    assert r.returncode == 0, (r.returncode, r.stderr)
    assert b"a.bin: cannot be mapped again in a forked process" in r.stderr


def test_a_fork_does_not_wait_for_a_reconnect(world):
    world.agent("--stop-after", "0")
    slow, started = world.base + "/modelcache", world.base + "/started"
    open(slow, "w").write(f"#!/bin/sh\necho $$ > {started}.new; mv {started}.new {started}; exec sleep 300\n")
    os.chmod(slow, 0o755)
    program = ("import os,sys,time,threading\nfd=os.open(sys.argv[1],os.O_RDONLY)\n"
               "threading.Thread(target=lambda:os.read(fd,1<<30),daemon=True).start()\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.01)\nb=time.time()\n"
               "if os.fork()==0: os._exit(0)\nos.wait(); print(time.time()-b,flush=True); os._exit(0)")
    p = subprocess.Popen([sys.executable, "-c", program, world.model + "/a.bin", started], stdout=subprocess.PIPE, text=True,
                         env=world.environment(MODELCACHE_AGENT=slow, MODELCACHE_AGENT_DEADLINE_SECONDS="60"))
    world.await_demand()
    world.kill()
    out = p.communicate(timeout=120)[0]
    os.kill(int(open(started).read()), signal.SIGKILL)
    assert float(out) < 20, out

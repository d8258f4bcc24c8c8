"""The library in signal handlers and forked children: no heap, no lock that another thread left, nobody asked."""
import os, random, signal, subprocess, sys, time
import pytest
from preload_world import HERE, MIB, faults, only


def compiled(folder, name, *flags):
    out = str(folder / name)
    subprocess.run(["gcc", "-O1", "-pthread", *flags, "-o", out, f"{HERE}/{name}.c"], check=True)
    return out


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    return {name: compiled(folder, name) for name in ("heap", "handler", "forks", "touches")}


@faults
# semantics 9
def test_no_call_takes_memory_from_the_programs_heap(world, programs, mode):
    world.agent()
    r = world.run(programs["heap"], world.model, "a.bin", MODELCACHE_FAULTS=mode)
    assert (r.returncode, r.stderr) == (0, b"")


@pytest.mark.parametrize("alternate", ["0", "1"])
def test_async_signal_safe_functions_stay_so(world, programs, alternate):
    # The file never becomes complete: only its first chunk is asked for.
    world.agent("--only-demands")
    seed = str(random.randrange(1 << 30))
    print("seed", seed)
    for turn in range(3):
        r = world.run(programs["handler"], str(int(seed) + turn), "1500", alternate, world.model + "/a.bin", world.source + "/a.bin")
        assert r.returncode == 0 and b"signals" in r.stdout and r.stderr == b"", (r.returncode, r.stdout, r.stderr)
        assert int(r.stdout.split()[0]) > 0, r.stdout


def test_a_handler_opens_the_model_first(world, programs):
    world.agent("--only-demands")
    program = "import os,signal,sys\nsignal.signal(signal.SIGALRM,lambda *_: (os.write(1,os.read(os.open(sys.argv[1],0),5)),os._exit(0)))\nsignal.setitimer(signal.ITIMER_REAL,0.05)\nopen(sys.argv[1],'rb').read()\nwhile True: pass"
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    assert r.stdout == open(world.source + "/a.bin", "rb").read(5), r.stderr


@pytest.mark.parametrize("kind", ["fork", "_Fork", "clone"])
def test_children_of_a_threaded_program_open_read_and_map(world, programs, kind):
    world.agent("--only-demands")
    r = world.run(programs["forks"], kind, world.model + "/a.bin", world.source + "/a.bin")
    assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)


CHILDREN = ["fork", "_Fork", "clone", "clone memory", "SYS_clone", "SYS_clone3", *(["SYS_fork"] if os.uname().machine == "x86_64" else [])]


def touch(world, programs, kind, *more, **environment):
    r = world.run(programs["touches"], kind, world.model + "/a.bin", world.source + "/a.bin", str(6 * MIB + 777), *more,
                  MODELCACHE_FAULTS="userfaultfd", **environment)
    assert r.returncode == 0, (r.returncode, r.stderr)
    return r.stdout.decode().strip()


# A child that had no mapping got the signal, or its own memory lay in the mapping's place.
@pytest.mark.parametrize("kind", CHILDREN)
# semantics 9
def test_a_child_that_only_touches_a_mapping_finds_the_bytes(world, programs, kind):
    world.agent("--only-demands")
    assert touch(world, programs, kind) == "right"
    assert touch(world, programs, kind, "takes memory") == "right"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the instruction is written for x86-64")
# semantics 9
def test_a_child_of_the_instruction_itself_has_no_mapping(world, programs):
    world.agent("--only-demands")
    assert touch(world, programs, "instruction") == f"signal {signal.SIGSEGV.value}"


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_child_that_only_touches_a_mapping_waits_until_the_deadline(world, programs, kind):
    world.agent("--stop-after", "0")
    assert touch(world, programs, kind, MODELCACHE_DEADLINE_SECONDS="1") == f"signal {signal.SIGBUS.value}"


@pytest.mark.parametrize("how", ["if os.fork()==0: os.execv('/bin/true',['true'])\nos.wait()", "if os.fork()==0: os._exit(0)\nos.wait()", "os.system('true')", "subprocess.run(['/bin/true'])"])
def test_a_fork_asks_no_agent(world, how):
    world.agent("--only-demands")
    program = ("import mmap,os,signal,subprocess,sys,time\nfd=os.open(sys.argv[1],os.O_RDONLY); m=mmap.mmap(fd,0,prot=mmap.PROT_READ); m[0]\n"
               f"os.kill(int(sys.argv[2]),signal.SIGSTOP); b=time.time()\n{how}\nprint(time.time()-b)")
    try:
        r = world.run(sys.executable, "-c", program, world.model + "/a.bin", str(world.process.pid), MODELCACHE_FAULTS="userfaultfd")
    finally:
        world.process.send_signal(signal.SIGCONT)
    # The stopped agent answers nobody within the deadline of 60 s.
    assert float(r.stdout) < 20, (r.stdout, r.stderr)


def test_a_child_forked_while_the_agent_is_away_reads_when_it_is_back(world):
    world.agent("--stop-after", "0")
    program = ("import hashlib,mmap,os,sys\nfd=os.open(sys.argv[1],os.O_RDONLY); m=mmap.mmap(fd,0,prot=mmap.PROT_READ); print('mapped',flush=True); sys.stdin.readline()\n"
               "if os.fork()==0:\n  print(hashlib.sha256(m[:]).hexdigest(),flush=True); n=os.fstat(fd).st_size; b=b''\n  while len(b)<n: b+=os.read(fd,n-len(b))\n  print(hashlib.sha256(b).hexdigest(),flush=True); os._exit(0)\n"
               "print('forked',flush=True); sys.exit(os.wait()[1]!=0)")
    p = subprocess.Popen([sys.executable, "-c", program, world.model + "/a.bin"], env=world.environment(MODELCACHE_FAULTS="userfaultfd"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "mapped\n"
    world.kill()
    p.stdin.write("\n")
    p.stdin.flush()
    assert p.stdout.readline() == "forked\n"
    world.agent()
    assert p.stdout.read().split() == [world.sums["a.bin"]] * 2
    assert p.wait() == 0


# Half of a call of madvise fails, or no hook sees it.
@pytest.mark.parametrize("how", ["part", "raw"])
# semantics 9
def test_a_mapping_that_a_program_wants_in_its_children_has_the_bytes_there(world, how):
    world.agent("--only-demands")
    program = ("import ctypes,mmap,os,sys\nl=ctypes.CDLL(None,use_errno=True); l.mmap.restype=ctypes.c_void_p; V,L=ctypes.c_void_p,ctypes.c_long\n"
               "fd=os.open(sys.argv[1],os.O_RDONLY); n=9<<20; a=l.mmap(None,L(n),1,1,fd,L(0)); p=mmap.PAGESIZE\n"
               "if sys.argv[2]=='part': l.munmap(V(a+p),L(p)); r=l.madvise(V(a),L(n),11); assert r==-1 and ctypes.get_errno()==12\n"
               "else: assert l.syscall(L(28 if os.uname().machine=='x86_64' else 233),V(a),L(n),L(11))==0\n"
               "if os.fork()==0: os.write(1,ctypes.string_at(a+n-64,64)); os._exit(0)\nsys.exit(os.wait()[1]!=0)")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin", how, MODELCACHE_FAULTS="userfaultfd")
    with open(world.source + "/a.bin", "rb") as f:
        assert (r.returncode, r.stdout) == (0, f.read()[(9 << 20) - 64:9 << 20]), r.stderr


# semantics 9
def test_a_mapping_that_a_program_wants_in_no_child_is_in_none(world):
    """Of the first 4 MiB, while the file fills, and when the library has given the mapping back to the kernel."""
    world.agent("--only-demands")
    program = ("import mmap,os,sys\nfd=os.open(sys.argv[1],os.O_RDONLY); m=mmap.mmap(fd,0,prot=mmap.PROT_READ); m[0]; half=4<<20\n"
               "def parts():\n  return sorted(tuple(int(x,16) for x in line.split()[0].split('-')) for line in open('/proc/self/maps') if 'a.bin' in line)\n"
               "start,end=parts()[0][0],parts()[-1][1]\n"
               "def child():\n  r,w=os.pipe()\n  if os.fork()==0:\n    p=parts(); os.write(w,b'%d%d' % (any(a<start+half for a,_ in p), any(b==end for _,b in p))); os._exit(0)\n"
               "  os.wait(); return os.read(r,2).decode()\n"
               "def guarded():\n  flags='';ours=False\n  for line in open('/proc/self/smaps'):\n    if '-' in line.split()[0]: ours='a.bin' in line\n    elif ours and line.startswith('VmFlags'): flags+=line\n  return ' um' in flags\n"
               "def advise(): m.madvise(mmap.MADV_DONTFORK,0,half)\n"
               "assert guarded(); print(child()); advise(); print(child()); m.madvise(mmap.MADV_DOFORK,0,half); print(child()); advise(); print(child())\n"
               "while os.read(fd,1<<20): pass\nwhile guarded(): os.sched_yield()\nprint(child()); m.madvise(mmap.MADV_DOFORK,0,half); print(child())")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin", MODELCACHE_FAULTS="userfaultfd")
    assert r.stdout.split() == [b"11", b"01", b"11", b"01", b"01", b"11"], (r.stdout, r.stderr)

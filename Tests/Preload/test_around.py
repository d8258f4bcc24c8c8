"""Readers around the library get the bytes or an error, never the zeros of a hole; copies of a descriptor share one position, through exec too."""
import hashlib, os, subprocess, sys
import pytest
from preload_world import FILES, HERE, MIB, faults, only

OFFSET = 6 * MIB + 777
KEPT = ["pread", "aio_read", "lio_listio"]
REFUSED = ["raw-pread", "raw-read", "raw-preadv", "raw-mmap", "raw-sendfile", "io_uring", "passed", "copied"]


@pytest.fixture(scope="session")
def around(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "around")
    subprocess.run(["gcc", "-O1", "-o", out, HERE + "/around.c", "-lrt"], check=True)
    subprocess.run(["gcc", "-O1", "-static", "-o", out + "-static", HERE + "/stdin.c"], check=True)
    return out


def truth(world, offset=OFFSET):
    with open(world.source + "/a.bin", "rb") as f:
        f.seek(offset)
        return f.read(8).hex()


@faults
@pytest.mark.parametrize("way", KEPT)
# semantics 10
def test_bytes_are_waited_for_by(world, around, mode, way):
    world.agent("--only-demands")
    r = world.run(around, way, world.model + "/a.bin", str(OFFSET), MODELCACHE_FAULTS=mode)
    assert r.stdout.decode().split() == [truth(world)], (r.stdout, r.stderr)


@pytest.mark.parametrize("way", REFUSED)
def test_a_hole_is_an_error_to(world, around, way):
    world.agent("--stop-after", "0")
    r = world.run(around, way, world.model + "/a.bin", str(OFFSET))
    if way == "io_uring" and r.stdout in (b"error 38\n", b"error 1\n"):
        pytest.skip("this kernel has no io_uring for us")
    assert r.stdout == b"error 9\n", (r.stdout, r.stderr)


@pytest.mark.parametrize("way", [w for w in REFUSED if w != "io_uring"])
def test_a_complete_file_is_read_by(world, around, way):
    world.agent("--delay", "0")
    only(world.sh(f"sha256sum {world.model}/a.bin"))
    world.await_whole()
    r = world.run(around, way, world.model + "/a.bin", str(OFFSET))
    assert r.stdout.decode().split() == [truth(world)], (r.stdout, r.stderr)


def test_a_number_becomes_readable_by_itself_when_its_file_is_complete(world):
    world.agent("--only-demands")
    program = ("import ctypes,os,sys,time\nl=ctypes.CDLL(None,use_errno=True)\nfd=os.open(sys.argv[1],os.O_RDONLY); os.lseek(fd,1000,0); b=ctypes.create_string_buffer(8)\n"
               "first=l.syscall(0 if os.uname().machine=='x86_64' else 63,fd,b,8)\nopen(sys.argv[1],'rb').read(); end=time.time()+100\n"
               "while time.time()<end and l.syscall(0 if os.uname().machine=='x86_64' else 63,fd,b,8)<0: time.sleep(0.01)\nprint(first,b.raw[:8].hex())")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    assert r.stdout.decode().split() == ["-1", truth(world, 1000)], (r.stdout, r.stderr)


def test_a_static_child_gets_an_error(world, around):
    world.agent("--stop-after", "0")
    r = world.run(around, "child", world.model + "/a.bin", str(OFFSET), around + "-static")
    assert r.stdout == b"error 9\n", (r.stdout, r.stderr)


IN_FOLDER = {
    "chdir": "os.chdir(folder)", "fchdir": "os.fchdir(os.open(folder,os.O_RDONLY))", "chdir twice": "os.chdir(folder); os.chdir('.')",
    "there and back": "os.chdir(folder); d=os.open('.',os.O_RDONLY); os.chdir('/'); os.fchdir(d)",
}


@pytest.mark.parametrize("how", IN_FOLDER)
# semantics 2, 10
def test_a_static_child_in_the_models_folder_finds_complete_files_alone(world, around, how):
    world.agent("--stop-after", "0")
    program = ("import os,subprocess,sys\nfolder=sys.argv[1]; " + IN_FOLDER[how] + "\n"
               "r=subprocess.run([sys.argv[2],'raw-open','a.bin',sys.argv[3]],stdout=subprocess.PIPE)\n"
               "print(r.stdout.decode().strip(), os.path.getsize('a.bin'), 'a.bin' in os.listdir('.'), '.partial' in os.getcwd())")
    r = world.run(sys.executable, "-c", program, world.model, around + "-static", str(OFFSET))
    assert r.stdout.decode() == f"error 2 {FILES['a.bin']} True False\n", (r.stdout, r.stderr)


@pytest.mark.parametrize("name", ["a.bin", "sub/b with space.bin", "sub", "."])
def test_a_resolved_path_is_good_when_the_file_is_complete(world, name):
    world.agent("--only-demands")
    program = ("import ctypes,os,sys\nl=ctypes.CDLL(None); l.realpath.restype=l.canonicalize_file_name.restype=l.__realpath_chk.restype=ctypes.c_char_p\n"
               "b=ctypes.create_string_buffer(4096); p=os.fsencode(sys.argv[1])\n"
               "print(os.fsdecode(l.realpath(p,b))); print(os.fsdecode(l.canonicalize_file_name(p)))\n"
               "print(os.fsdecode(l.__realpath_chk(p,b,ctypes.c_size_t(4096)))); print(os.statvfs(sys.argv[1]).f_bsize > 0)\n"
               "print(l.__readlink_chk(p,b,ctypes.c_size_t(4096),ctypes.c_size_t(4096)), ctypes.get_errno())")
    r = world.run(sys.executable, "-c", program, f"{world.model}/{name}")
    expected = os.path.normpath(f"{os.path.realpath(world.cache)}/{name}")
    assert r.stdout.decode().splitlines() == [expected] * 3 + ["True", "-1 0"], (r.stdout, r.stderr)


@pytest.mark.parametrize("text", [
    "exec 7< {f}; head -c 1000000 <&7 >/dev/null; dd bs=8 count=1 status=none <&7 | od -An -tx1",  # head seeks back what it read too much
    "{{ dd bs=1000000 count=1 status=none of=/dev/null; dd bs=8 count=1 status=none; }} < {f} | od -An -tx1",
    "( dd bs=1000000 count=1 status=none of=/dev/null; exec dd bs=8 count=1 status=none ) < {f} | od -An -tx1",
    "exec 9< {f}; dd bs=1000000 count=1 status=none of=/dev/null <&9; exec 8<&9 9<&-; sh -c 'dd bs=8 count=1 status=none' <&8 | od -An -tx1",
])
def test_programs_of_one_shell_share_a_position(world, text):
    world.agent()
    r = world.run("/bin/bash", "-c", text.format(f=world.model + "/a.bin"))
    assert r.stdout.decode().replace(" ", "").strip() == truth(world, 1000000), (r.stdout, r.stderr)


@pytest.mark.parametrize("arguments", ["", ",close_fds=False", ",pass_fds=(fd,)", ",preexec_fn=lambda:None"])
def test_a_child_goes_on_where_its_parent_stopped(world, arguments):
    world.agent()
    program = ("import os,subprocess,sys\nfd=os.open(sys.argv[1],os.O_RDONLY)\nn=0\nwhile n<1000000: n+=len(os.read(fd,1000000-n))\n"
               f"r=subprocess.run(['/bin/dd','bs=8','count=1','status=none'],stdin=fd,stdout=subprocess.PIPE{arguments})\nprint(r.stdout.hex(),os.lseek(fd,0,1))")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    assert r.stdout.decode().split() == [truth(world, 1000000), "1000008"], (r.stdout, r.stderr)


def test_a_file_is_always_ready(world):
    world.agent("--stop-after", "0")
    program = ("import os,select,sys,errno\nfd=os.open(sys.argv[1],os.O_RDONLY); r,w=os.pipe()\nprint(select.select([fd,r],[],[])[0]==[fd])\n"
               "p=select.poll(); p.register(fd,select.POLLIN); p.register(r,select.POLLIN); print(p.poll()==[(fd,select.POLLIN)])\n"
               "os.write(w,b'x'); print(select.select([r,fd],[w],[])[0]==[r,fd]); print(len(p.poll()))\n"
               "e=select.epoll()\ntry: e.register(fd)\nexcept OSError as x: print(x.errno==errno.EPERM)")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    assert r.stdout.split() == [b"True", b"True", b"True", b"2", b"True"], (r.stdout, r.stderr)


def test_what_is_asked_of_an_open_file_is_answered_as_ever(world):
    world.agent("--stop-after", "0")
    program = ("import fcntl,os,stat,sys,struct,array,termios\nfd=os.open(sys.argv[1],os.O_RDONLY)\n"
               "print(fcntl.fcntl(fd,fcntl.F_GETFL)&os.O_ACCMODE==0, fcntl.fcntl(fd,fcntl.F_GETFL)&os.O_PATH==0)\n"
               "fcntl.flock(fd,fcntl.LOCK_SH); fcntl.lockf(fd,fcntl.LOCK_SH); os.posix_fadvise(fd,0,0,os.POSIX_FADV_SEQUENTIAL)\n"
               "b=array.array('i',[0]); fcntl.ioctl(fd,termios.FIONREAD,b); print(b[0]==os.fstat(fd).st_size, os.isatty(fd))\n"
               "os.set_inheritable(fd,True); print(os.get_inheritable(fd)); os.set_inheritable(fd,False); print(os.get_inheritable(fd))\n"
               "print(os.lseek(fd,0,os.SEEK_END)==os.fstat(fd).st_size, os.lseek(fd,5,os.SEEK_DATA))")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin")
    assert r.stdout.decode().split() == ["True", "True", "True", "False", "True", "False", "True", "5"], (r.stdout, r.stderr)


STALE = {
    "read": "os.read(d,1000)", "pread": "os.pread(d,1000,0)", "readv": "(lambda b:(os.readv(d,[b]),bytes(b))[1])(bytearray(1000))",
    "preadv": "(lambda b:(os.preadv(d,[b],0),bytes(b))[1])(bytearray(1000))", "mmap": "mmap.mmap(d,1000,prot=mmap.PROT_READ)[:]",
    "sendfile": "(os.sendfile(o,d,0,1000),os.pread(o,1000,0))[1]", "sendfile twice": "(os.sendfile(o,d,None,500),os.sendfile(o,d,None,500),os.pread(o,1000,0))[2]",
    "copy_file_range": "(os.copy_file_range(d,o,1000,0),os.pread(o,1000,0))[1]", "splice": "(os.splice(d,w,1000),os.read(r,1000))[1]",
    "fdopen": "os.fdopen(d,'rb').read(1000)", "dup": "os.read(os.dup(d),1000)", "dup2": "(os.dup2(d,90),os.read(90,1000))[1]",
    "F_DUPFD": "os.read(fcntl.fcntl(d,fcntl.F_DUPFD,80),1000)", "lseek": "(os.lseek(d,0,0),os.read(d,1000))[1]",
    "libc fdopen": "(lambda b,f:(l.fread(b,1,1000,f),b.raw)[1])(ctypes.create_string_buffer(1000),ctypes.c_void_p(l.fdopen(d,b'r')))",
    "exec": "subprocess.run(['/bin/dd','bs=1000','count=1','status=none'],stdin=d,stdout=subprocess.PIPE).stdout",
    "close": "(os.close(d),os.read(os.open(sys.argv[2],os.O_RDONLY),1000))[1]",
}


@pytest.mark.parametrize("how", list(STALE))
def test_a_number_closed_behind_the_librarys_back_is_not_the_models(world, how):
    world.agent("--stop-after", "0")
    other = world.base + "/other"
    open(other, "wb").write(os.urandom(5000))
    program = ("import ctypes,fcntl,mmap,os,subprocess,sys\nl=ctypes.CDLL(None); l.fdopen.restype=ctypes.c_void_p\nr,w=os.pipe(); o=os.open(sys.argv[2]+'.copy',os.O_RDWR|os.O_CREAT,0o600)\n"
               "fd=os.open(sys.argv[1],os.O_RDONLY); ctypes.CDLL('libc.so.6').syscall(3 if os.uname().machine=='x86_64' else 57,fd)\n"
               "d=os.open(sys.argv[2],os.O_RDONLY); assert d==fd\n"
               f"print(({STALE[how]}).hex())")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin", other)
    assert r.stdout.decode().strip() == open(other, "rb").read(1000).hex(), r.stderr


@pytest.mark.parametrize("how", ["read", "pread", "sendfile", "mmap"])
def test_a_size_above_ssize_max_is_the_kernels_to_judge(world, how):
    world.agent("--delay", "0")
    program = ("import ctypes,os,sys\nl=ctypes.CDLL(None,use_errno=True); l.mmap.restype=l.read.restype=l.pread.restype=l.sendfile.restype=ctypes.c_long\n"
               "fd=os.open(sys.argv[1],os.O_RDONLY); big=ctypes.c_size_t(2**64-4096); b=ctypes.create_string_buffer(10<<20); n=os.open('/dev/null',os.O_WRONLY)\n"
               "r={'read':lambda:l.read(fd,b,big),'pread':lambda:l.pread(fd,b,big,ctypes.c_long(0)),'sendfile':lambda:l.sendfile(n,fd,None,big),\n"
               "   'mmap':lambda:l.mmap(None,big,1,2,fd,ctypes.c_long(0))}[sys.argv[2]]()\nprint(r,ctypes.get_errno() if r<0 else 0)")
    plain = subprocess.run([sys.executable, "-c", program, world.source + "/a.bin", how], capture_output=True)
    under = world.run(sys.executable, "-c", program, world.model + "/a.bin", how)
    assert under.returncode == 0, under.stderr
    if how != "sendfile":
        assert under.stdout == plain.stdout

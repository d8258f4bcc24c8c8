"""A name of an arriving file in the calls of other programs: as for a plain file, but that nobody may write where it is to be."""
import os, subprocess, sys
import pytest
from preload_world import FILES, MIB, only

PREAMBLE = """import ctypes,errno,os,struct,sys
folder=sys.argv[1]; p=folder+'/a.bin'; l=ctypes.CDLL(None,use_errno=True); l.syscall.restype=ctypes.c_long
x86=os.uname().machine=='x86_64'
def code(call):
  try: call(); return 'right'
  except OSError as e: return errno.errorcode[e.errno]
def c(result): return errno.errorcode[ctypes.get_errno()] if result<0 else result
def at(d,offset): return os.pread(d,8,offset).hex()
os.pread(os.open(p,0),1,0)
"""


def run(world, program, *more):
    return only_text(world.run(sys.executable, "-c", PREAMBLE + program, world.model, *more))


def only_text(r):
    assert r.returncode == 0 and r.stderr == b"", (r.returncode, r.stdout, r.stderr)
    return r.stdout.decode().split()


def truth(world, name, offset):
    with open(f"{world.source}/{name}", "rb") as f:
        f.seek(offset)
        return f.read(8).hex()


# semantics 3
def test_a_descriptor_that_is_a_path_alone(world):
    world.agent("--only-demands")
    program = ("d=os.open(p,os.O_PATH); print(os.fstat(d).st_size, code(lambda:os.read(d,8)), at(os.open('/proc/self/fd/%d'%d,0),6<<20))\n"
               "s=os.open(folder+'/sub',os.O_PATH); print(at(os.open('b with space.bin',0,dir_fd=s),3<<20), code(lambda:os.open(p,os.O_PATH|os.O_DIRECTORY)))")
    assert run(world, program) == [str(FILES["a.bin"]), "EBADF", truth(world, "a.bin", 6 * MIB), truth(world, "sub/b with space.bin", 3 * MIB), "ENOTDIR"]


LINKS = {"to the file": ("link", "{m}/a.bin"), "to a link": ("one", "link"), "to the folder": ("folder", "{m}"), "to a folder by a relative path": ("near", "./folder/sub/..")}


# semantics 3
@pytest.mark.parametrize("own", [False, True])
def test_links_elsewhere_lead_to_arriving_files(world, own):
    if own:
        os.makedirs(world.model)
    world.agent("--only-demands")
    for name, target in LINKS.values():
        os.symlink(target.format(m=world.model), f"{world.base}/{name}")
    os.symlink("loop", world.base + "/loop"), os.symlink("nowhere", world.base + "/lost")
    for path in ("link", "one", "folder/a.bin", "near/a.bin"):
        whole = f"{world.base}/{path}"
        r = world.sh(f"sha256sum {whole}; stat -Lc %s {whole}; tail -c 1 {whole} | wc -c; test -r {whole} && echo there; perl -e 'open F,shift; print -s F' {whole}")
        assert r.stdout.decode().split() == [world.sums["a.bin"], whole, str(FILES["a.bin"]), "1", "there", str(FILES["a.bin"])], (path, r.stderr)
    program = "import errno,sys\nfor p in sys.argv[1:]:\n  try: open(p)\n  except OSError as e: print(errno.errorcode[e.errno])"
    paths = [f"{world.base}/{name}" for name in ("loop", "lost", "folder/missing", "link/below")]
    assert world.run(sys.executable, "-c", program, *paths).stdout.split() == [b"ELOOP", b"ENOENT", b"ENOENT", b"ENOTDIR"]


# semantics 2, 3
def test_nobody_writes_where_an_arriving_file_is_to_have_its_name(world):
    world.agent("--only-demands")
    os.symlink(world.model + "/a.bin", world.base + "/link")
    program = ("for f in (os.O_RDWR,os.O_WRONLY|os.O_CREAT,os.O_WRONLY|os.O_TRUNC,os.O_RDONLY|os.O_TRUNC,os.O_RDWR|os.O_APPEND,os.O_WRONLY|os.O_CREAT|os.O_EXCL): print(code(lambda:os.open(p,f)))\n"
               "print(code(lambda:os.open(sys.argv[2],os.O_WRONLY|os.O_CREAT)), c(l.creat(p.encode(),0o600)))\n"
               "l.fopen.restype=ctypes.c_void_p\nfor m in (b'w',b'a',b'r+',b'wx'): print(l.fopen(p.encode(),m), errno.errorcode[ctypes.get_errno()])\n"
               "print(at(os.open(p,os.O_RDONLY|os.O_CREAT),6<<20), code(lambda:os.open(folder+'/new',os.O_WRONLY|os.O_CREAT)), code(lambda:os.open(folder+'/lock',os.O_RDONLY|os.O_CREAT)))")
    out = run(world, program, world.base + "/link")
    assert out[:8] == ["EROFS"] * 5 + ["EEXIST", "EROFS", "EROFS"] and out[8:16] == ["None", "EROFS"] * 3 + ["None", "EEXIST"]
    assert out[16:] == [truth(world, "a.bin", 6 * MIB), "right", "right"]
    assert not os.path.exists(world.cache + "/a.bin") and not os.path.exists(world.cache + "/.partial/lock")
    assert only(world.sh(f"sha256sum {world.model}/a.bin")) == world.sums["a.bin"]


# semantics 2, 3
def test_nobody_gives_an_arriving_files_name_to_another(world):
    world.agent("--only-demands")
    open(world.base + "/other", "w").write("other")
    program = ("o=sys.argv[2]; d=os.open(folder,0); e=os.open(os.path.dirname(o),0)\n"
               "for call in (lambda:os.mkdir(p),lambda:os.mkdir('a.bin',dir_fd=d),lambda:os.symlink(o,p),lambda:os.symlink(o,'a.bin',dir_fd=d),lambda:os.link(o,p),\n"
               "             lambda:os.rename(o,p),lambda:os.rename('other','a.bin',src_dir_fd=e,dst_dir_fd=d),\n"
               "             lambda:os.open('a.bin',os.O_WRONLY|os.O_CREAT,dir_fd=d),lambda:os.unlink(p),lambda:os.unlink('a.bin',dir_fd=d),lambda:os.rename(p,o),lambda:os.rename('a.bin',o,src_dir_fd=d)): print(code(call))\n"
               "print(c(l.renameat2(e,b'other',d,b'a.bin',0)), code(lambda:os.mkdir(folder+'/new')), code(lambda:os.rename(folder+'/new',folder+'/newer')))")
    assert run(world, program, world.base + "/other") == ["EEXIST"] * 5 + ["EROFS"] * 8 + ["right"] * 2
    assert not os.path.lexists(world.cache + "/a.bin")
    os.symlink(world.model + "/a.bin", world.base + "/link")
    only_text(world.sh(f"mv {world.base}/link {world.base}/moved; rm {world.base}/moved"))
    assert only(world.sh(f"rm -rf {world.model}/*; sha256sum {world.model}/a.bin")) == world.sums["a.bin"]


# semantics 3
def test_other_calls_that_take_a_name(world):
    world.agent("--only-demands")
    program = ("print(c(l.inotify_add_watch(l.inotify_init(),p.encode(),2)), os.pathconf(p,'PC_NAME_MAX'), code(lambda:os.open(folder+'/.'*2500+'/a.bin',0)))\n"
               "b=ctypes.create_string_buffer(256); e=ctypes.c_void_p(); print(c(l.syscall(ctypes.c_long(332 if x86 else 291),-100,p.encode(),0,0x7ff,b)), struct.unpack_from('Q',b,40)[0])\n"
               "n=l.scandir(folder.encode(),ctypes.byref(e),None,None); print(n)\n"
               "o=os.open(sys.argv[2],os.O_RDWR|os.O_CREAT); s=ctypes.c_long(6<<20); d=os.open(p,0)\n"
               "print(c(l.syscall(ctypes.c_long(326 if x86 else 285),d,ctypes.byref(s),o,None,ctypes.c_long(8),0)), at(o,0))")
    out = run(world, program, world.cache + "/copy")  # of one file system
    # ".", "..", the two files and the folder.
    assert out == ["1", "255", "ENAMETOOLONG", "0", str(FILES["a.bin"]), "5", "8", truth(world, "a.bin", 6 * MIB)]


@pytest.mark.skipif(os.geteuid() != 0, reason="opening by a handle needs root")
# semantics 10
def test_a_handle_leads_to_bytes_that_are_waited_for(world):
    world.agent("--only-demands")
    program = ("h=struct.pack('Ii',120,0)+bytes(120); b=ctypes.create_string_buffer(h); m=ctypes.c_int(); print(c(l.name_to_handle_at(-100,p.encode(),b,ctypes.byref(m),0)))\n"
               "print(at(l.open_by_handle_at(os.open(folder,0),b,0),6<<20))")
    assert run(world, program) == ["0", truth(world, "a.bin", 6 * MIB)]


# semantics 10
def test_a_library_that_binds_to_itself_is_refused(world):
    source, shared = world.base + "/deep.c", world.base + "/deep.so"
    open(source, "w").write("#include <errno.h>\n#include <fcntl.h>\n#include <unistd.h>\nint deep(const char *p, int fd, char *b) { return open(p, O_RDONLY) < 0 ? pread(fd, b, 8, 6 << 20) < 0 ? errno : 0 : -1; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", shared, source], check=True)
    world.agent("--only-demands")
    program = "print(errno.errorcode[ctypes.CDLL(sys.argv[2],mode=os.RTLD_NOW|os.RTLD_DEEPBIND).deep(p.encode(),os.open(p,0),ctypes.create_string_buffer(8))])"
    assert run(world, program, shared) == ["EBADF"]

"""The preload library against a fake agent: whatever reads MODEL_DIR while it fills reads every byte right."""
import os, sys
import pytest
from preload_world import FILES, faults, only


@pytest.mark.parametrize("how", [
    "cat '{f}' | sha256sum", "sha256sum '{f}'", "sha256sum < '{f}'", "cp '{f}' {t} && sha256sum {t}", "cp --sparse=never '{f}' {t} && sha256sum {t}",
    "dd if='{f}' iflag=direct bs=1M status=none | sha256sum", "dd if='{f}' bs=100001 status=none | sha256sum",
    "exec 7< '{f}'; sh -c 'cat <&7' | sha256sum", "cd $MODEL_DIR && sha256sum ./'{n}'", "head -c 1 '{f}' >/dev/null; tail -c +1 '{f}' | sha256sum",
    "cp --reflink=auto '{f}' {t} && sha256sum {t}", "sha256sum /dev/stdin < '{f}'", "cat /dev/fd/7 7< '{f}' | sha256sum",
])
@pytest.mark.parametrize("name", list(FILES))
def test_a_shell_reads_every_byte_while_the_file_fills(world, how, name):
    world.agent()
    got = only(world.sh(how.format(f=world.model + "/" + name, n=name, t=world.base + "/copy")))
    assert got.lstrip("\\") == world.sums[name]


PYTHON = {
    "read": "h(open(p,'rb').read())",
    "readinto": "b=bytearray(os.path.getsize(p)); f=open(p,'rb',buffering=0); v=memoryview(b); n=0\nwhile n<len(b): n+=f.readinto(v[n:])\nh(b)",
    "pread": "fd=os.open(p,os.O_RDONLY); n=os.path.getsize(p); c=[(i,os.pread(fd,70001,i)) for i in random.sample(range(0,n,70001),len(range(0,n,70001)))]; h(b''.join(x for _,x in sorted(c)))",
    "mmap": "import mmap; f=open(p,'rb'); m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ); f.close(); h(m[:])",
    "preadv": "fd=os.open(p,os.O_RDONLY); n=os.path.getsize(p); b=bytearray(n); os.preadv(fd,[b],0); h(b)",
    "sendfile": "fd=os.open(p,os.O_RDONLY); o=os.open(t,os.O_RDWR|os.O_CREAT,0o600); n=0\nwhile True:\n  k=os.sendfile(o,fd,n,1<<30)\n  if not k: break\n  n+=k\nh(open(t,'rb').read())",
    "dup": "fd=os.open(p,os.O_RDONLY); d=os.dup(fd); os.close(fd); os.dup2(d,90); os.close(d); h(os.fdopen(90,'rb').read())",
    "reopen": "[open(p,'rb').read(5) for _ in range(20)]; h(open(p,'rb').read())",
    "fork": "import mmap; f=open(p,'rb'); m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ); f.close()\nif os.fork()==0:\n  h(m[:]); sys.stdout.flush(); os._exit(0)\ne=os.wait()[1]; sys.exit(e!=0)",
    "write-from-mapping": "import mmap; f=open(p,'rb'); m=mmap.mmap(f.fileno(),0,prot=mmap.PROT_READ); o=open(t,'wb',buffering=0); v=memoryview(m); n=0\nwhile n<len(m): n+=o.write(v[n:])\nh(open(t,'rb').read())",
}


@faults
@pytest.mark.parametrize("how", list(PYTHON))
def test_python_reads_every_byte_while_the_file_fills(world, mode, how):
    world.agent()
    program = "import hashlib,os,sys,random\np,t=sys.argv[1:]\ndef h(b): print(hashlib.sha256(b).hexdigest())\n" + PYTHON[how]
    name = "a.bin"
    got = only(world.run(sys.executable, "-c", program, world.model + "/" + name, world.base + "/copy", MODELCACHE_FAULTS=mode))
    assert got == world.sums[name]


@faults
@pytest.mark.parametrize("how", [
    "fopen", "fread-seek", "fread-mixed", "freopen", "mmap", "mmap-llama", "threads", "threads-64", "mlock", "map-locked", "fork", "fork-half", "mremap", "mprotect", "readv", "splice",
])
# semantics 4
def test_c_reads_every_byte_while_the_file_fills(world, reader, mode, how):
    world.agent("--flags", "1")
    for name in ("a.bin", "sub/b with space.bin"):
        r = world.run(reader, how, world.model + "/" + name, world.source + "/" + name, MODELCACHE_FAULTS=mode)
        assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)


def test_ifstream_reads_every_byte(world, stream):
    world.agent()
    assert world.run(stream, world.model + "/a.bin", world.source + "/a.bin").returncode == 0


def test_names_and_sizes_show_before_the_bytes(world):
    world.agent("--only-demands")
    for command in (f"ls {world.model}/", f"find {world.model}/ -type f", f"ls -lL {world.model}/"):
        r = world.sh(command)
        assert r.returncode == 0 and not r.stderr, r.stderr
        assert b"a.bin" in r.stdout
    assert only(world.sh(f"stat -c %s {world.model}/a.bin")) == str(FILES["a.bin"])
    assert world.sh(f"test -r {world.model}/a.bin").returncode == 0
    assert os.path.islink(world.model)
    assert os.listdir(world.cache) and not os.path.exists(world.model + "/a.bin")


def test_a_real_model_directory_keeps_its_files(world):
    os.makedirs(world.model)
    open(world.model + "/own.txt", "w").write("mine")
    world.agent()
    assert world.sh(f"cat {world.model}/own.txt").stdout == b"mine"
    assert only(world.sh(f"sha256sum {world.model}/a.bin")) == world.sums["a.bin"]

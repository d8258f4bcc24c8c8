"""The preload library against a fake agent: whatever reads MODEL_DIR while it fills reads every byte right."""
import hashlib, mmap, os, random, re, shutil, signal, subprocess, sys, time
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.environ.get("OSSC_PRELOAD", os.path.join(HERE, "../../dist/lib/libossc_preload.so"))
LIBRARY = os.path.abspath(LIBRARY)
MIB = 1 << 20
FILES = {"a.bin": 9 * MIB + 12345, "sub/b with space.bin": 5 * MIB + 1, "模型.bin": 4 * MIB}


class World:
    """A source, a cache on a tmpfs of its own, and a fake agent."""

    def __init__(self, base):
        self.base = str(base)
        self.source, self.cache = self.base + "/source", self.base + "/cache"
        self.model, self.socket = self.base + "/models/m", self.base + "/agent.sock"
        os.makedirs(self.source), os.makedirs(self.cache)
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always", "none", self.cache]).returncode == 0
        seed = random.randrange(1 << 30)
        print("seed", seed)
        self.sums = {}
        for name, size in FILES.items():
            path = os.path.join(self.source, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            data = random.Random(seed + size).randbytes(size)
            open(path, "wb").write(data)
            self.sums[name] = hashlib.sha256(data).hexdigest()
        self.process = None

    def agent(self, *options):
        self.process = subprocess.Popen([sys.executable, HERE + "/fake_agent.py", "--source", self.source, "--cache", self.cache,
                                         "--socket", self.socket, *options])
        end = time.time() + 10
        while not os.path.exists(self.socket) and time.time() < end:
            time.sleep(0.01)
        time.sleep(0.05)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.path.exists(self.socket) and os.unlink(self.socket)

    def environment(self, **more):
        e = dict(os.environ, LD_PRELOAD=LIBRARY, ENABLE_CONNECTOR="1", MODEL_DIR=self.model, OSS_PATH="oss://b/p/", OSS_ENDPOINT="127.0.0.1:1",
                 MODELCACHE_SOCKET=self.socket, MODELCACHE_ROOT=self.base, MODELCACHE_AGENT="/nonexistent/modelcache")
        e.update(more)
        return {k: v for k, v in e.items() if v is not None}

    def run(self, *command, timeout=60, **more):
        return subprocess.run(command, env=self.environment(**more), capture_output=True, timeout=timeout)

    def sh(self, text, **more):
        return self.run("/bin/sh", "-c", text, **more)


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    if w.process and w.process.poll() is None:
        w.kill()
    if w.mounted:
        subprocess.run(["umount", "-l", w.cache])


@pytest.fixture(scope="session")
def reader(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "reader")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", out, HERE + "/reader.c"], check=True)
    return out


@pytest.fixture(scope="session")
def stream(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "stream")
    subprocess.run(["g++", "-O1", "-o", out, HERE + "/stream.cpp"], check=True)
    return out


faults = pytest.mark.parametrize("mode", ["userfaultfd", "block"])


def only(result):
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().split()[0]


@pytest.mark.parametrize("how", [
    "cat '{f}' | sha256sum", "sha256sum '{f}'", "sha256sum < '{f}'", "cp '{f}' {t} && sha256sum {t}", "cp --sparse=never '{f}' {t} && sha256sum {t}",
    "dd if='{f}' iflag=direct bs=1M status=none | sha256sum", "dd if='{f}' bs=100001 status=none | sha256sum",
    "exec 7< '{f}'; sh -c 'cat <&7' | sha256sum", "cd $MODEL_DIR && sha256sum ./'{n}'", "head -c 1 '{f}' >/dev/null; tail -c +1 '{f}' | sha256sum",
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
@pytest.mark.parametrize("how", ["fopen", "fread-seek", "mmap", "mmap-llama", "threads", "mlock", "fork", "mremap", "mprotect", "readv"])
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


@faults
def test_an_agent_killed_and_started_again_loses_nothing(world, reader, mode):
    world.agent("--stop-after", "2")
    p = subprocess.Popen([reader, "mmap", world.model + "/a.bin", world.source + "/a.bin"], env=world.environment(MODELCACHE_FAULTS=mode))
    time.sleep(0.7)
    assert p.poll() is None
    world.kill()
    time.sleep(0.3)
    world.agent()
    assert p.wait(20) == 0


@pytest.mark.parametrize("mode,how", [("userfaultfd", "mmap"), ("block", "mmap"), ("block", "fopen")])
def test_an_agent_gone_ends_in_an_error_within_the_deadline(world, reader, mode, how):
    world.agent("--stop-after", "1")
    p = subprocess.Popen([reader, how, world.model + "/a.bin", world.source + "/a.bin"], stderr=subprocess.PIPE,
                         env=world.environment(MODELCACHE_FAULTS=mode, MODELCACHE_AGENT_DEADLINE_SECONDS="2"))
    time.sleep(0.4)
    world.kill()
    error = p.communicate(timeout=15)[1]
    assert p.returncode == (-signal.SIGBUS if mode == "userfaultfd" else 2), error
    assert b"no agent answers" in error


@pytest.mark.parametrize("mode,how", [("userfaultfd", "mmap"), ("block", "mmap"), ("block", "fopen")])
def test_a_failed_file_is_an_error_that_names_the_cause(world, reader, mode, how):
    world.agent("--stop-after", "1", "--then", "fail")
    r = world.run(reader, how, world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_FAULTS=mode)
    assert r.returncode == (-signal.SIGBUS if mode == "userfaultfd" else 2)
    assert r.stderr.count(b"the store went away; try again later") == 1


def test_no_progress_is_an_error(world, reader):
    world.agent("--stop-after", "1")
    r = world.run(reader, "fopen", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_DEADLINE_SECONDS="2")
    assert r.returncode == 2 and b"nothing arrived" in r.stderr


@faults
def test_a_changed_epoch_ends_the_process(world, reader, mode):
    world.agent("--stop-after", "3", "--then", "epoch", "--delay", "0.3")
    r = world.run(reader, "mmap", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_FAULTS=mode)
    assert r.returncode == 74 and b"CRC differs" in r.stderr


def test_another_generation_after_a_reconnect_is_refused(world, reader):
    world.agent("--stop-after", "1")
    p = subprocess.Popen([reader, "fopen", world.model + "/a.bin", world.source + "/a.bin"], env=world.environment(), stderr=subprocess.PIPE)
    time.sleep(0.5)
    world.kill()
    world.agent("--generation", "H", "--stop-after", "0")
    assert b"changed while it was being read" in p.communicate(timeout=10)[1]
    assert p.returncode == 2


@pytest.mark.parametrize("change,name", [
    ({"MODEL_DIR": None}, "MODEL_DIR"), ({"MODEL_DIR": "models"}, "MODEL_DIR"), ({"MODEL_DIR": "/etc/passwd"}, "MODEL_DIR"), ({"OSS_PATH": None}, "OSS_PATH"),
    ({"OSS_PATH": "http://b/p"}, "OSS_PATH"), ({"OSS_PATH": "oss://b"}, "OSS_PATH"), ({"OSS_PATH": "oss:///p/"}, "OSS_PATH"), ({"OSS_ENDPOINT": None}, "OSS_ENDPOINT"),
    ({"OSS_ACCESS_KEY_ID": "SECRETVALUE"}, "OSS_ACCESS_KEY_SECRET"), ({"OSS_ACCESS_KEY_SECRET": "SECRETVALUE"}, "OSS_ACCESS_KEY_ID"),
    ({"HTTP_SOURCE_IP": "1.2.3.4,host"}, "HTTP_SOURCE_IP"), ({"MODELCACHE_CONFIG": "/nonexistent"}, "MODELCACHE_CONFIG"), ({"MODELCACHE_FAULTS": "x"}, "MODELCACHE_FAULTS"),
    ({"MODELCACHE_DEADLINE_SECONDS": "x"}, "MODELCACHE_DEADLINE_SECONDS"),
])
def test_a_wrong_setting_ends_the_program_with_one_line(world, change, name):
    r = world.run("/bin/echo", "ran", **change)
    assert r.returncode == 78 and r.stdout == b""
    assert re.fullmatch(rf"libossc_preload: {name}: [^\n]+; [^\n]+\n", r.stderr.decode()) and b"SECRETVALUE" not in r.stderr


def test_the_agents_refusal_ends_the_program(world):
    world.agent("--error", "the key is wrong; correct OSS_ACCESS_KEY_ID")
    r = world.sh(f"cat {world.model}/a.bin")
    assert r.returncode == 78 and r.stderr == b"libossc_preload: the key is wrong; correct OSS_ACCESS_KEY_ID\n"


def test_no_agent_and_none_to_start_is_said(world):
    r = world.run("/bin/cat", world.model + "/a.bin")
    assert r.returncode == 78 and b"MODELCACHE_AGENT" in r.stderr


def start_script(world, text):
    path = world.base + "/modelcache"
    open(path, "w").write(text)
    os.chmod(path, 0o755)
    return path


def test_an_agent_is_started_without_the_programs_secrets(world):
    path = start_script(world, f"""#!/bin/sh
env > {world.base}/env; echo "$@" > {world.base}/args
exec {sys.executable} {HERE}/fake_agent.py --source {world.source} --cache {world.cache} --socket {world.socket}
""")
    r = world.run("/usr/bin/sha256sum", world.model + "/a.bin", MODELCACHE_AGENT=path, OSS_ACCESS_KEY_ID="IDVALUE", OSS_ACCESS_KEY_SECRET="SECRETVALUE")
    subprocess.run(["sh", "-c", f"ps -eo pid,args | awk '/[f]ake_agent.py/ && index($0, \"{world.socket}\") {{print $1}}' | xargs -r kill"])
    assert only(r) == world.sums["a.bin"]
    env = open(world.base + "/env").read()
    assert "SECRETVALUE" not in env and "LD_PRELOAD" not in env and "ENABLE_CONNECTOR" not in env and "IDVALUE" not in env
    assert open(world.base + "/args").read() == f"agent --idle-exit --socket {world.socket} --root {world.base}\n"


def test_an_agent_that_cannot_start_gives_its_reason(world):
    path = start_script(world, "#!/bin/sh\necho 'MODELCACHE_ROOT is read-only; name another' >&2; exit 1\n")
    r = world.run("/bin/cat", world.model + "/a.bin", MODELCACHE_AGENT=path)
    assert r.returncode == 78 and b"MODELCACHE_ROOT is read-only; name another" in r.stderr and r.stderr.count(b"\n") == 1


@pytest.mark.parametrize("value", [None, "", "0"])
def test_switched_off_it_makes_no_system_call_of_its_own(world, value):
    r = subprocess.run(["strace", "-f", "-e", "trace=connect,socket,eventfd2,userfaultfd,clone,clone3,readlinkat,getdents64", "/bin/true"],
                       env={k: v for k, v in world.environment(ENABLE_CONNECTOR=value).items()}, capture_output=True)
    lines = [l for l in r.stderr.decode().splitlines() if "(" in l]
    assert r.returncode == 0 and not lines, lines
    assert b"No such file" in world.sh(f"cat {world.model}/a.bin", ENABLE_CONNECTOR=value, LC_ALL="C").stderr


def test_under_musl_it_prints_one_line_and_does_nothing(world):
    program = world.base + "/hello"
    open(program + ".c", "w").write('#include <stdio.h>\nint main(void) { FILE *f = fopen("/etc/passwd", "r"); return puts("hi") < 0 || !f || fgetc(f) < 0; }\n')
    subprocess.run(["musl-gcc", "-o", program, program + ".c"], check=True)
    r = world.run(program)
    assert (r.returncode, r.stdout, r.stderr.count(b"\n")) == (0, b"hi\n", 1) and b"glibc" in r.stderr
    r = world.run(program, ENABLE_CONNECTOR="0")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"hi\n", b"")


def test_the_library_is_small_needs_glibc_alone_and_exports_its_hooks():
    assert os.path.getsize(LIBRARY) < 200_000
    needed = re.findall(r"NEEDED.*\[(.*)\]", subprocess.run(["readelf", "-dW", LIBRARY], capture_output=True, text=True).stdout)
    assert set(needed) <= {"libc.so.6", "libdl.so.2", "libpthread.so.0"}
    symbols = subprocess.run(["readelf", "-W", "--dyn-syms", LIBRARY], capture_output=True, text=True).stdout
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([0-9.]+)", symbols)]
    assert max(versions) <= (2, 17)
    exported = [l.split()[7] for l in symbols.splitlines() if " UND " not in l and ("GLOBAL" in l or "WEAK" in l)]
    assert "open" in exported and "mmap64" in exported
    assert not [s for s in exported if s.startswith(("swift_", "ossc_", "$"))]

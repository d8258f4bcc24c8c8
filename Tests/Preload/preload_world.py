"""A model directory with a cache that fills behind it, and programs run under the library."""
import functools, hashlib, os, random, socket, struct, subprocess, sys, time
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.environ.get("OSSC_PRELOAD", os.path.join(HERE, "../../dist/lib/libossc_preload.so"))
LIBRARY = os.path.abspath(LIBRARY)
MIB = 1 << 20
FILES = {"a.bin": 9 * MIB + 12345, "sub/b with space.bin": 5 * MIB + 1, "模型.bin": 4 * MIB}
SEED = random.randrange(1 << 30)


@functools.cache
def drawn(size):
    """To draw them takes longer than many a test: once for all worlds of a run."""
    return random.Random(SEED + size).randbytes(size)


def content(size, turn):
    """Random bytes, of which no two worlds have the same at one place."""
    data = drawn(size)
    return data[turn % size:] + data[:turn % size]


class World:
    """A source, a cache on a tmpfs of its own, and a fake agent."""

    def __init__(self, base):
        self.base = str(base)
        self.source, self.cache = self.base + "/source", self.base + "/cache"
        self.model, self.socket = self.base + "/models/m", self.base + "/agent.sock"
        os.makedirs(self.source), os.makedirs(self.cache)
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always", "none", self.cache]).returncode == 0
        turn = random.randrange(1 << 30)
        print("seed", SEED, "turn", turn)
        self.sums = {}
        for name, size in FILES.items():
            path = os.path.join(self.source, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            data = content(size, turn)
            open(path, "wb").write(data)
            self.sums[name] = hashlib.sha256(data).hexdigest()
        self.process = None

    def as_volume(self):
        """As in a pod: MODEL_DIR is the ModelCache's directory itself, and the socket lies in it."""
        self.model = self.cache
        self.socket = self.cache + "/.modelcache/agent.sock"
        os.makedirs(os.path.dirname(self.socket), exist_ok=True)
        return self

    def agent(self, *options):
        self.demands = self.base + "/demands"
        open(self.demands, "w").close()
        self.process = subprocess.Popen([sys.executable, HERE + "/fake_agent.py", "--source", self.source, "--cache", self.cache,
                                         "--socket", self.socket, "--demands", self.demands, *options])
        end = time.time() + 120
        while time.time() < end and self.process.poll() is None:
            # The file is there from bind(2) on; only listen(2) lets clients in.
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
                if probe.connect_ex(self.socket) == 0:
                    return self
            time.sleep(0.01)
        raise AssertionError("the agent does not listen")

    def await_demand(self):
        """A program has opened the model at this agent and waits for bytes."""
        end = time.time() + 120
        while not os.path.getsize(self.demands):
            assert time.time() < end, "no program asks for bytes"
            time.sleep(0.01)

    def await_whole(self):
        """The last byte is shown a moment before its file is told to be complete: the word `state` of its presence file."""
        end = time.time() + 120
        while time.time() < end:
            states = [open(os.path.join(self.cache, ".presence", name), "rb").read(44)[40:] for name in self.sums]
            if all(state == struct.pack("<I", 1) for state in states):
                return
            time.sleep(0.01)
        raise AssertionError(f"not whole: {states}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.path.exists(self.socket) and os.unlink(self.socket)

    def environment(self, **more):
        e = dict(os.environ, LD_PRELOAD=LIBRARY, ENABLE_CONNECTOR="1", MODEL_DIR=self.model, OSS_PATH="oss://b/p/", OSS_ENDPOINT="127.0.0.1:1",
                 MODELCACHE_SOCKET=self.socket, MODELCACHE_ROOT=self.base, MODELCACHE_AGENT="/nonexistent/modelcache")
        e.update(more)
        return {k: v for k, v in e.items() if v is not None}

    def run(self, *command, timeout=120, **more):
        return subprocess.run(command, env=self.environment(**more), capture_output=True, timeout=timeout)

    def sh(self, text, **more):
        return self.run("/bin/sh", "-c", text, **more)


faults = pytest.mark.parametrize("mode", ["userfaultfd", "block"])


def only(result):
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().split()[0]

"""Which socket may be given keys: nobody but the caller and root can have put it there, and one of the two listens."""
import os, shutil, socket, struct, subprocess, tempfile, threading
import pytest
from preload_world import HERE, LIBRARY

NOBODY = 65534
# Default folders have this number in their name: each process that runs tests has one of its own.
VICTIM = 20_000 + os.getpid() % 40_000
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be several users")
COMMAND = os.path.abspath(os.environ.get("MODELCACHE_COMMAND", HERE + "/../../dist/bin/modelcache"))
KEYS = {"OSS_ACCESS_KEY_ID": "ID-VALUE", "OSS_ACCESS_KEY_SECRET": "SECRETVALUE"}


@pytest.fixture
def place():
    """A sticky folder, as /tmp and /dev/shm are, that every user can reach; the library and the command where every user can load them."""
    folder = tempfile.mkdtemp(dir="/dev/shm")
    os.chmod(folder, 0o1777)
    shutil.copy(LIBRARY, folder + "/lib.so")
    if os.path.exists(COMMAND):
        shutil.copy(COMMAND, folder + "/modelcache")
    yield folder
    shutil.rmtree(folder)


# MC_ERROR of agent_wire.h with MC_ERROR_SETTINGS, which ends a program at once.
REASON = b"this listener opens no model\0"
REFUSAL = struct.pack("<IHHIIII", 0x4D434157, 1, 65, 8 + len(REASON), 0, 1, 0) + REASON


class Listener:
    """Another's socket that refuses every model; `close` returns what it received."""

    def __init__(self, path, user):
        self.received = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # SO_PEERCRED tells who listened: the effective user of that moment.
        os.setegid(user), os.seteuid(user)
        try:
            self.socket.bind(path)
            self.socket.listen(8)
        finally:
            os.seteuid(0), os.setegid(0)
        os.chmod(path, 0o777)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            with s:
                self.received.append(s.recv(65536))
                try:
                    s.send(REFUSAL)
                except OSError:
                    pass

    def close(self):
        """Call it when the program has ended: connections that wait are still read.

        close(2) alone would leave the thread in accept(2). The next seteuid(2), which interrupts every thread, would start that call
        again on the descriptor's number, which is the next listener's by then, and so take a connection from that one."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        return self.received


def folder(path, mode=0o755, user=VICTIM, group=None):
    os.mkdir(path)
    os.chown(path, user, user if group is None else group)
    os.chmod(path, mode)
    return path


def run(place, program, root, **more):
    e = {"PATH": "/usr/bin:/bin", "MODEL_DIR": place + "/m", "OSS_PATH": "oss://b/p/", "OSS_ENDPOINT": "127.0.0.1:9", "MODELCACHE_ROOT": root,
         "MODELCACHE_AGENT": "/nonexistent", **KEYS, **more}
    if program == "library":
        command = ["/bin/cat", place + "/m/x"]
        e.update(LD_PRELOAD=place + "/lib.so", ENABLE_CONNECTOR="1")
    else:
        if not os.path.exists(place + "/modelcache"):
            pytest.fail(f"{COMMAND} is not built")
        command = [place + "/modelcache", "warm", "--source", "oss://b/p/"]
    return subprocess.run(command, env=e, user=VICTIM, group=VICTIM, extra_groups=[], capture_output=True, timeout=120)


both = pytest.mark.parametrize("program", ["library", "command"])


@both
@pytest.mark.parametrize("how", ["another's folder", "a folder for all", "a folder of a group", "a link of another's", "a folder for all above", "another's socket"])
def test_a_socket_that_another_can_place_gets_nothing(place, program, how):
    listening = VICTIM
    if how == "another's folder":
        root, listening = folder(place + "/root", 0o755, NOBODY), NOBODY
    elif how == "a folder for all":
        root = folder(place + "/root", 0o777)
    elif how == "a folder of a group":
        root = folder(place + "/root", 0o775, group=NOBODY)
    elif how == "a link of another's":
        real = folder(place + "/real", 0o755)
        root = place + "/root"
        os.symlink(real, root)
        os.lchown(root, NOBODY, NOBODY)
    elif how == "a folder for all above":
        root = folder(folder(place + "/above", 0o777) + "/root", 0o755)
    else:
        root, listening = folder(place + "/root", 0o1777), NOBODY
    listener = Listener(root + "/agent.sock" if how != "a link of another's" else real + "/agent.sock", 0 if listening == VICTIM else listening)
    r = run(place, program, root)
    received = listener.close()
    assert r.returncode == 78, (r.returncode, r.stderr)
    assert not any(received) and r.stderr.count(b"\n") == 1 and b"SECRETVALUE" not in r.stderr, (received, r.stderr)
    assert b"MODELCACHE_ROOT" in r.stderr and place.encode() in r.stderr


@both
def test_one_who_listens_on_a_socket_of_roots_must_be_root_or_the_caller(place, program):
    # The socket's file belongs to root; the process that listens does not.
    root = folder(place + "/root", 0o1777)
    listener = Listener(root + "/agent.sock", NOBODY)
    os.chown(root + "/agent.sock", 0, 0)
    r = run(place, program, root)
    assert not any(listener.close()) and r.returncode == 78 and b"user 65534 listens there" in r.stderr, r.stderr


@both
@pytest.mark.parametrize("how", ["the caller's", "root's", "a link of the caller's", "in a sticky folder"])
def test_a_socket_of_the_callers_or_roots_is_used(place, program, how):
    root = folder(place + "/root", 0o755, 0 if how == "root's" else VICTIM)
    listener = Listener(root + "/agent.sock", 0 if how in ("root's", "in a sticky folder") else VICTIM)
    if how == "a link of the caller's":
        os.symlink(root, place + "/link")
        os.lchown(place + "/link", VICTIM, VICTIM)
        root = place + "/link"
    r = run(place, program, root)
    received = listener.close()
    assert len(received) == 1 and b"SECRETVALUE" in received[0], (received, r)
    assert r.returncode == 78 and REASON[:-1] in r.stderr, r


def test_the_default_root_that_another_made_first_is_refused():
    path = f"/dev/shm/modelcache-{VICTIM}"
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path)
    os.chown(path, NOBODY, NOBODY)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        os.chmod(place, 0o1777)
        shutil.copy(LIBRARY, place + "/lib.so")
        listener = Listener(path + "/agent.sock", NOBODY)
        try:
            r = run(place, "library", "", XDG_RUNTIME_DIR="")
        finally:
            received = listener.close()
            shutil.rmtree(path)
    assert r.returncode == 78 and not any(received) and b"belongs to user 65534" in r.stderr, r.stderr


@pytest.mark.parametrize("how, words", [("another's", b"user 65534 made it"), ("a link", b"is no folder"), ("open to all", b"written to by others")])
def test_the_default_folder_that_another_could_fill_is_refused(place, how, words):
    """Files of a MODEL_DIR are read in place of the store's."""
    if not os.path.exists(COMMAND):
        pytest.fail("needs dist/bin/modelcache: run hack/build")
    path = f"/tmp/modelcache-{VICTIM}"
    shutil.rmtree(path, ignore_errors=True)
    folder = place + "/aside" if how == "a link" else path
    os.makedirs(folder + "/bucket/m")
    os.chown(folder, NOBODY if how == "another's" else VICTIM, -1)
    os.chmod(folder, 0o777 if how == "open to all" else 0o755)
    if how == "a link":
        os.symlink(folder, path)
    try:
        r = subprocess.run([place + "/modelcache", "run", "--source", "oss://bucket/m/", "--", "true"], user=VICTIM, group=VICTIM, extra_groups=[],
                           env={"OSS_ENDPOINT": "127.0.0.1:9", "MODELCACHE_PRELOAD": place + "/lib.so"}, capture_output=True, timeout=120)
    finally:
        os.unlink(path) if how == "a link" else shutil.rmtree(path)
    assert r.returncode == 78 and words in r.stderr and b"--dir" in r.stderr, r

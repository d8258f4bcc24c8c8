"""Agents that go away, refuse or cannot be started: waited for until the deadline, and each end has its reason and its exit status."""
import os, re, signal, socket, subprocess, sys, threading, time
import pytest
from preload_world import FILES, HERE, LIBRARY, MIB, only
from test_settings import start_script

SETTINGS, DENIED, NOT_FOUND, UNREACHABLE, CAPACITY, PROTOCOL, INTERNAL = range(1, 8)


def test_an_agent_that_closes_before_it_answers_is_asked_again(world):
    world.agent("--lose", "3")
    r = world.run("sha256sum", world.model + "/a.bin")
    assert only(r) == world.sums["a.bin"] and r.stderr == b""


def test_an_agent_that_goes_in_a_first_opening_and_comes_again_serves_it(world):
    world.as_volume()
    os.makedirs(os.path.dirname(world.socket), exist_ok=True)
    first = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first.bind(world.socket)
    first.listen(8)
    p = subprocess.Popen(["sha256sum", world.model + "/a.bin"], env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    s, _ = first.accept()
    assert s.recv(65536)
    s.close()
    first.close()
    world.agent()
    out, errors = p.communicate(timeout=120)
    assert out.split()[0].decode() == world.sums["a.bin"], errors


@pytest.mark.parametrize("code", [UNREACHABLE, PROTOCOL, INTERNAL])
def test_what_time_may_cure_is_asked_for_again(world, code):
    world.agent("--error", "the store is away", "--error-code", str(code), "--error-times", "3")
    r = world.run("sha256sum", world.model + "/a.bin")
    assert only(r) == world.sums["a.bin"] and r.stderr == b""


@pytest.mark.parametrize("code", [SETTINGS, DENIED, NOT_FOUND, CAPACITY])
def test_what_time_does_not_cure_ends_the_program_at_once(world, code):
    world.agent("--error", "this is how to mend it", "--error-code", str(code))
    began = time.monotonic()
    r = world.run("cat", world.model + "/a.bin")
    assert (r.returncode, r.stderr) == (78, b"libossc_preload: this is how to mend it\n") and time.monotonic() - began < 20


def test_an_unreachable_store_is_exit_status_69_after_the_deadline(world):
    world.agent("--error", "s3.example cannot be reached; check the way to it", "--error-code", str(UNREACHABLE))
    began = time.monotonic()
    r = world.run("cat", world.model + "/a.bin", MODELCACHE_DEADLINE_SECONDS="2", MODELCACHE_AGENT_DEADLINE_SECONDS="1")
    assert (r.returncode, r.stderr) == (69, b"libossc_preload: s3.example cannot be reached; check the way to it\n")
    assert 1.5 < time.monotonic() - began < 20


# semantics 8
def test_an_agent_that_cannot_open_the_model_yet_is_quoted_and_not_called_silent(world):
    reason = b"STS refuses the role r; let the ServiceAccount warm assume it"
    world.agent("--error", reason.decode(), "--error-code", str(UNREACHABLE))
    r = world.run("cat", world.model + "/a.bin", MODELCACHE_DEADLINE_SECONDS="9", MODELCACHE_AGENT_DEADLINE_SECONDS="1")
    told = b"libossc_preload: " + reason
    assert (r.returncode, r.stderr) == (69, told + b"; waiting up to 9 s for it\n" + told + b"\n"), r.stderr


def test_an_agent_that_never_answers_is_exit_status_69_after_the_deadline(world):
    world.agent("--lose", "1000000")
    r = world.run("cat", world.model + "/a.bin", MODELCACHE_AGENT_DEADLINE_SECONDS="2")
    assert r.returncode == 69 and r.stderr.count(b"\n") == 1 and b"has not opened the model" in r.stderr, r.stderr


def stopped(world):
    world.agent()
    world.process.send_signal(signal.SIGSTOP)
    return b"libossc_preload: %s: the agent does not answer; waiting up to %%d s for it\n" % world.socket.encode()


# The kernel takes the connection for it.
def test_a_stopped_agent_is_named_and_serves_when_it_goes_on(world):
    line = stopped(world)
    p = subprocess.Popen(["sha256sum", world.model + "/a.bin"], env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stderr.readline() == line % 300
    world.process.send_signal(signal.SIGCONT)
    out, errors = p.communicate(timeout=120)
    assert (out.split()[0].decode(), errors, p.returncode) == (world.sums["a.bin"], b"", 0)


@pytest.mark.parametrize("agent_deadline", ["1", "600"])
# semantics 8
def test_a_stopped_agent_ends_the_program_at_one_deadline(world, agent_deadline):
    line = stopped(world)
    r = world.run("cat", world.model + "/a.bin", MODELCACHE_DEADLINE_SECONDS="12", MODELCACHE_AGENT_DEADLINE_SECONDS=agent_deadline)
    # It is named after 5 s; a program that is not run for 7 s would be at the deadline then.
    assert r.returncode == 69 and r.stderr.startswith(line % 12) and r.stderr.count(b"\n") == 2, r.stderr
    assert re.search(rb"has not opened the model for \d+ s", r.stderr), r.stderr


def test_a_reader_of_an_agent_that_stops_later_gets_its_bytes_when_it_goes_on(world):
    world.agent("--only-demands")
    program = "import os,signal,sys\nf=open(sys.argv[1],'rb',0); f.read(1); os.kill(int(sys.argv[2]),signal.SIGSTOP); print('stopped',flush=True); f.seek(0); sys.stdout.buffer.write(f.readall())"
    p = subprocess.Popen([sys.executable, "-c", program, world.model + "/a.bin", str(world.process.pid)], env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.readline() == b"stopped\n"
    world.process.send_signal(signal.SIGCONT)
    out, errors = p.communicate(timeout=120)
    assert out == open(world.source + "/a.bin", "rb").read() and errors == b""


def test_an_agent_beside_a_relative_library_is_found(world):
    home = world.base + "/dist"
    os.makedirs(home + "/lib"), os.makedirs(home + "/bin")
    subprocess.run(["cp", LIBRARY, home + "/lib/libossc_preload.so"], check=True)
    script = start_script(world, f"#!/bin/sh\necho $$ > {world.base}/pid\nexec {sys.executable} {HERE}/fake_agent.py --source {world.source} --cache {world.cache} --socket {world.socket}\n")
    os.rename(script, home + "/bin/modelcache")
    program = f"open({world.model + '/a.bin'!r},'rb').read(1); print('read')"
    r = subprocess.run([sys.executable, "-c", "import os; os.chdir('/')\n" + program], cwd=world.base, capture_output=True, timeout=60,
                       env=world.environment(LD_PRELOAD="dist/lib/libossc_preload.so", MODELCACHE_AGENT=None))
    os.kill(int(open(world.base + "/pid").read()), signal.SIGKILL)
    assert r.stdout == b"read\n", r.stderr


def test_starting_an_agent_leaves_the_program_no_child_and_no_signal(world):
    path = start_script(world, f"#!/bin/sh\necho $$ > {world.base}/pid\nexec {sys.executable} {HERE}/fake_agent.py --source {world.source} --cache {world.cache} --socket {world.socket}\n")
    program = ("import os,signal,sys\nn=[]\nsignal.signal(signal.SIGCHLD,lambda *_:n.append(1))\nopen(sys.argv[1],'rb').read(1)\n"
               "try: os.waitpid(-1,os.WNOHANG); print('a child')\nexcept ChildProcessError: print('none',len(n))")
    r = world.run(sys.executable, "-c", program, world.model + "/a.bin", MODELCACHE_AGENT=path)
    os.kill(int(open(world.base + "/pid").read()), signal.SIGKILL)
    assert r.stdout == b"none 0\n", (r.stdout, r.stderr)


def test_an_agents_environment_has_nothing_of_the_program(world):
    path = start_script(world, f"#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ > {world.base}/env; exit 1\n")
    more = {"LD_AUDIT": "", "LD_LIBRARY_PATH": "/nonexistent", "LD_DEBUG": "", "PYTHONSTARTUP": "x", "MODELCACHE_TOKEN_FILE": "/x", "OSS_SESSION_TOKEN": "T", "AWS_PROFILE": "p", "HF_TOKEN": "SECRETVALUE", "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "x"}
    world.run("cat", world.model + "/a.bin", MODELCACHE_AGENT=path, **more)
    names = {line.split("=")[0] for line in open(world.base + "/env").read().splitlines() if "=" in line}
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_SOURCE_IP", "HTTPS_PROXY", "no_proxy", "PWD", "OLDPWD", "SHLVL", "_"}
    assert not {n for n in names if n not in allowed and not n.startswith(("LC_", "MODELCACHE_"))} and "MODELCACHE_TOKEN_FILE" not in names, names
    assert {"HTTPS_PROXY", "no_proxy"} <= names, names


def test_a_cache_that_is_not_visible_here_is_said(world):
    world.agent("--directory", "/nonexistent/cache")
    r = world.run("cat", world.model + "/a.bin", LC_ALL="C")
    lines = r.stderr.decode().splitlines()
    assert r.returncode == 1 and len(lines) == 2 and "/nonexistent/cache: this cache of the agent is not visible here" in lines[0], lines


def test_other_bytes_on_the_same_file_system_are_no_progress(world, reader):
    world.agent("--stop-after", "1")
    stop = threading.Event()

    def write():
        with open(world.cache + "/other", "wb") as f:
            while not stop.wait(0.1):
                f.write(b"x" * (1 << 20))
                f.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        r = world.run(reader, "fopen", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_DEADLINE_SECONDS="2")
    finally:
        stop.set()
        writer.join()
    assert r.returncode == 2 and b"nothing arrived" in r.stderr


def test_blocks_of_a_chunk_that_is_not_complete_are_progress(world, reader):
    world.agent("--stop-after", "0")
    p = subprocess.Popen([reader, "fopen", world.model + "/a.bin", world.source + "/a.bin"], env=world.environment(MODELCACHE_DEADLINE_SECONDS="9"), stderr=subprocess.PIPE)
    world.await_demand()
    with open(world.cache + "/.partial/a.bin", "r+b") as f:
        # Each in a huge page of its own, which has no blocks yet.
        for offset in range(0, FILES["a.bin"], 2 * MIB):
            os.pwrite(f.fileno(), b"x" * 4096, offset)
            time.sleep(2)
            assert p.poll() is None
    p.kill()
    p.communicate()

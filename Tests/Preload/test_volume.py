"""In a pod: the socket lies in the ModelCache's directory, which is MODEL_DIR; nothing but the environment is given."""
import os, re, subprocess, time
import pytest
from preload_world import only

TOKEN = "header.payload-SECRETVALUE.signature"


@pytest.fixture
def pod(world):
    return world.as_volume()


def settings(record):
    return [line.decode().split() for line in open(record, "rb").read().splitlines()]


def test_each_connection_shows_the_token_of_that_moment(pod, reader):
    record, token = pod.base + "/record", pod.base + "/token"
    open(token, "w").write(TOKEN + "\n")
    pod.agent("--record", record, "--stop-after", "0")
    variables = pod.environment(MODELCACHE_TOKEN_FILE=token, MODELCACHE_TOKEN="from-the-environment", MODELCACHE_LOG="debug")
    program = subprocess.Popen(["sha256sum", pod.model + "/a.bin"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pod.await_demand()
    # The kubelet renews it; the agent is restarted.
    open(token, "w").write("renewed-SECRETVALUE")
    pod.kill()
    pod.agent("--record", record, "--only-demands")
    out, errors = program.communicate(timeout=120)
    assert out.split()[0].decode() == pod.sums["a.bin"], errors
    opens = settings(record)
    shown = [next(s for s in o if s.startswith("MODELCACHE_TOKEN=")) for o in opens]
    assert shown[0] == f"MODELCACHE_TOKEN={TOKEN}" and set(shown[1:]) == {"MODELCACHE_TOKEN=renewed-SECRETVALUE"}, opens
    assert not [s for o in opens for s in o if "from-the-environment" in s]
    assert b"SECRETVALUE" not in errors, errors


@pytest.mark.parametrize("content", [None, "x" * 17000, ""])
def test_a_token_that_cannot_be_had_is_said_and_the_agent_decides(pod, content):
    record, token = pod.base + "/record", pod.base + "/token"
    if content is not None:
        open(token, "w").write(content)
    pod.agent("--record", record, "--error", "no ServiceAccount token was shown; mount one")
    r = pod.run("/bin/cat", pod.model + "/a.bin", MODELCACHE_TOKEN_FILE=token)
    lines = r.stderr.decode().splitlines()
    assert r.returncode == 78 and lines[-1] == "libossc_preload: no ServiceAccount token was shown; mount one", lines
    assert content == "" or "MODELCACHE_TOKEN_FILE" in lines[0]
    assert not [s for o in settings(record) for s in o if s.startswith("MODELCACHE_TOKEN=x")]


def test_without_an_agent_a_whole_model_is_read_all_the_same(pod, reader):
    pod.agent("--delay", "0")
    only(pod.run("/bin/sh", "-c", f"cat {pod.model}/* {pod.model}/sub/* > /dev/null; echo read"))
    pod.await_whole()
    names = sorted(os.listdir(pod.model))
    pod.kill()
    for left in ("no socket", "a dead socket"):
        if left == "a dead socket":
            import socket
            dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            dead.bind(pod.socket)
            dead.close()
        for name in pod.sums:
            r = pod.run("sha256sum", f"{pod.model}/{name}")
            assert only(r).lstrip("\\") == pod.sums[name]
            assert r.stderr.count(b"\n") == 1 and b"going on without it" in r.stderr, r.stderr
        shown = pod.run("ls", pod.model).stdout.decode().split("\n")[:-1]
        assert sorted(shown) == [n for n in names if not n.startswith(".")], shown
        assert pod.run(reader, "mmap", f"{pod.model}/a.bin", f"{pod.source}/a.bin").returncode == 0


def test_without_an_agent_a_model_that_is_not_whole_is_waited_for_and_named(pod):
    pod.agent("--delay", "0", "--stop-after", "2")
    pod.kill()
    began = time.monotonic()
    r = pod.run("sha256sum", f"{pod.model}/a.bin", MODELCACHE_AGENT_DEADLINE_SECONDS="2")
    lines = r.stderr.decode().splitlines()
    assert r.returncode == 69 and time.monotonic() - began > 1.5 and len(lines) == 2, lines
    assert "waiting up to 2 s for the node's agent" in lines[0] and "modelcache-agent" in lines[1] and "kubectl modelcache why" in lines[1]
    # It comes within the time: nothing was lost.
    late = subprocess.Popen(["sha256sum", f"{pod.model}/a.bin"], env=pod.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.5)
    pod.agent()
    assert late.communicate(timeout=120)[0].split()[0].decode() == pod.sums["a.bin"]


def test_programs_that_never_touch_the_model_pay_and_say_nothing(pod):
    # No agent, half a key pair and a source that is none: all for the one program that reads the model.
    odd = {"OSS_ACCESS_KEY_ID": "SECRETVALUE", "OSS_PATH": "nothing", "OSS_ENDPOINT": None, "MODELCACHE_TOKEN_FILE": "/nonexistent"}
    r = pod.sh("cd /; ls / > /dev/null; env > /dev/null; sh -c 'exit 7'; echo $?", **odd)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"7\n", b"")
    trace = subprocess.run(["strace", "-f", "-o", pod.base + "/trace", "/bin/true"], env=pod.environment(**odd), capture_output=True)
    assert (trace.returncode, trace.stderr) == (0, b"")
    bare = subprocess.run(["strace", "-f", "-o", pod.base + "/bare", "/bin/true"], env=pod.environment(ENABLE_CONNECTOR=None), capture_output=True)
    assert bare.returncode == 0
    calls = [line.split(" ", 1)[1] for line in open(pod.base + "/trace")]
    assert not [c for c in calls if re.match(r"(connect|socket|clone|clone3|eventfd2|userfaultfd|futex)\(", c)], calls
    # Where MODEL_DIR leads and what descriptors were handed over is all that is looked at.
    assert len(calls) - len(list(open(pod.base + "/bare"))) < 30, calls
    # Touching it is what asks.
    r = pod.run("/bin/cat", pod.model + "/a.bin", MODELCACHE_AGENT_DEADLINE_SECONDS="1", **odd)
    assert r.returncode == 69 and b"SECRETVALUE" not in r.stderr


def test_no_agent_is_started_beside_a_modelcaches_socket(pod):
    script = pod.base + "/modelcache"
    open(script, "w").write(f"#!/bin/sh\ntouch {pod.base}/started\n")
    os.chmod(script, 0o755)
    r = pod.run("/bin/cat", pod.model + "/a.bin", MODELCACHE_AGENT=script, MODELCACHE_AGENT_DEADLINE_SECONDS="1")
    assert r.returncode == 69 and not os.path.exists(pod.base + "/started")

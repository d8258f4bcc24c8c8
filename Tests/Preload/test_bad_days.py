"""Agents that die, sources that change, files that fail: an error within the deadline, never a wrong byte."""
import signal, subprocess, sys, time
import pytest
from preload_world import faults, only


@faults
def test_an_agent_killed_and_started_again_loses_nothing(world, reader, mode):
    world.agent("--stop-after", "2")
    p = subprocess.Popen([reader, "mmap", world.model + "/a.bin", world.source + "/a.bin"], env=world.environment(MODELCACHE_FAULTS=mode))
    world.await_demand()
    world.kill()
    time.sleep(0.3)
    assert p.poll() is None
    world.agent()
    assert p.wait(120) == 0


@pytest.mark.parametrize("mode,how", [("userfaultfd", "mmap"), ("block", "mmap"), ("block", "fopen")])
def test_an_agent_gone_ends_in_an_error_within_the_deadline(world, reader, mode, how):
    world.agent("--stop-after", "1")
    p = subprocess.Popen([reader, how, world.model + "/a.bin", world.source + "/a.bin"], stderr=subprocess.PIPE,
                         env=world.environment(MODELCACHE_FAULTS=mode, MODELCACHE_AGENT_DEADLINE_SECONDS="2"))
    world.await_demand()
    world.kill()
    error = p.communicate(timeout=120)[1]
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
    world.agent("--only-demands", "--stop-after", "3", "--then", "epoch")
    r = world.run(reader, "mmap", world.model + "/a.bin", world.source + "/a.bin", MODELCACHE_FAULTS=mode)
    assert r.returncode == 74 and b"CRC differs" in r.stderr


def test_a_file_replaced_after_the_first_opening_is_refused_by_name_and_the_others_go_on(world):
    program = ("import hashlib,os,sys\nd=sys.argv[1]\nb=open(d+'/a.bin','rb').read(1); print('first',flush=True); sys.stdin.readline()\n"
               "h=hashlib.sha256(open(d+'/模型.bin','rb').read()).hexdigest()\n"
               "try: open(d+'/sub/b with space.bin','rb'); print('opened')\nexcept OSError as e: print(e.errno)\nprint(h)")
    world.agent()
    p = subprocess.Popen([sys.executable, "-c", program, world.model], env=world.environment(PYTHONUTF8="1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "first\n"
    world.kill()
    world.agent("--generation", "H", "--set", "2", "--replaced", "sub/b with space.bin")
    out, errors = p.communicate("\n", timeout=120)
    assert out.split() == ["5", world.sums["模型.bin"]], (out, errors)
    assert "sub/b with space.bin: was replaced at the source after this program began to read the model" in errors
    # A program that begins now reads the new version.
    assert only(world.run("sha256sum", world.model + "/sub/b with space.bin")) == world.sums["sub/b with space.bin"]

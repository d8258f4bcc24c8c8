"""Agents that die, sources that change, files that fail: an error within the deadline, never a wrong byte."""
import signal, subprocess, time
import pytest
from preload_world import faults


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

"""The OSS Connector's documented commands, to the letter, with a real llama.cpp and real weights."""
import hashlib
import os
import signal

import pytest

from support import llama, paths
from support.processes import Running, clean_environment, wait_until

pytestmark = pytest.mark.usefixtures("binaries")


@pytest.fixture(scope="module")
def truth():
    """What llama.cpp says from the same weights on disk."""
    result = llama.completion(paths.gemma(), clean_environment())
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_fifteen_shards_give_the_same_completion_as_from_disk(place, store, shards, work, truth):
    environment = place.preloaded(store.environment("shards/"), work / "model")
    result = llama.completion(work / "model/x-00001-of-00015.gguf", environment)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout == truth


@pytest.mark.parametrize("mode", [(), ("--no-mmap",), ("--mlock",)], ids=["mmap", "no-mmap", "mlock"])
@pytest.mark.parametrize("faults", ["userfaultfd", "block"])
def test_every_way_of_loading_gives_the_same_completion(place, store, gemma, work, truth, mode, faults):
    environment = place.preloaded(store.environment("gemma/"), work / "model", MODELCACHE_FAULTS=faults)
    result = llama.completion(work / "model/gemma.gguf", environment, *mode)
    assert result.returncode == 0, result.stderr[-4000:]
    assert result.stdout == truth


def test_server_is_ready_and_answers_and_the_second_reads_nothing_from_the_store(place, store, shards, server, work):
    environment = place.preloaded(store.environment("shards/"), work / "model")
    first = server(work / "model/x-00001-of-00015.gguf", environment)
    first.wait_ready(60)
    text = first.complete()
    wait_until(lambda: (work / "model/x-00015-of-00015.gguf").exists(), 30, "the last shard is published")
    served = store.requests()["bytesServed"]
    second = server(work / "model/x-00001-of-00015.gguf", environment)
    second.wait_ready(60)
    assert second.complete() == text
    assert store.requests()["bytesServed"] - served < 1 << 20


def test_killed_agent_is_replaced_and_the_completion_is_the_same(place, store, gemma, agent, work, truth):
    store.faults(bandwidth=60e6)
    running = agent()
    environment = place.preloaded(store.environment("gemma/"), work / "model")
    log = place.log("completion")
    process = Running([paths.llama() / "llama-completion", "-m", work / "model/gemma.gguf", "-p", llama.PROMPT, "-n", "12", "--temp", "0",
                       "-no-cnv", "-t", "2"], log, environment=environment)
    wait_until(lambda: store.requests()["bytesServed"] > 60e6, 30, "a quarter of the model is there")
    os.kill(running.pid, signal.SIGKILL)
    assert process.wait(90) == 0
    assert truth.strip() in process.output()


def test_without_the_switch_the_library_does_nothing(place, store, gemma, work):
    environment = place.preloaded(store.environment("gemma/"), work / "model", ENABLE_CONNECTOR=None)
    result = place.run("cat", work / "model/gemma.gguf", environment=environment)
    assert result.returncode == 1
    assert b"No such file" in result.stderr
    assert place.agents() == []


@pytest.mark.parametrize("name", ["OSS_PATH", "OSS_ENDPOINT"])
def test_missing_setting_ends_the_program_with_a_line_that_names_it(place, store, gemma, work, name):
    environment = place.preloaded(store.environment("gemma/"), work / "model", **{name: None})
    result = place.run("cat", work / "model/gemma.gguf", environment=environment)
    assert result.returncode != 0
    assert [line for line in result.stderr.decode().splitlines() if name in line]


@pytest.mark.parametrize("command", [["cat"], ["dd", "status=none", "bs=2M", "iflag=direct"]], ids=["cat", "dd-direct"])
def test_ordinary_readers_get_the_object_while_it_arrives(place, store, gemma, work, command):
    store.faults(bandwidth=120e6)
    environment = place.preloaded(store.environment("gemma/"), work / "model")
    file = work / "model/gemma.gguf"
    arguments = [*command, f"if={file}"] if command[0] == "dd" else [*command, file]
    result = place.run(*arguments, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(gemma.read_bytes()).digest()


def test_without_the_preload_only_complete_files_are_seen(place, store, gemma, agent, work):
    store.faults(bandwidth=60e6)
    agent()
    reader = Running(["cat", work / "model/gemma.gguf"], place.log("cat"), environment=place.preloaded(store.environment("gemma/"), work / "model"))
    wait_until(lambda: store.requests()["bytesServed"] > 20e6, 30, "the fill is under way")
    assert not (work / "model/gemma.gguf").exists()
    assert reader.wait(60) == 0
    wait_until(lambda: (work / "model/gemma.gguf").exists(), 30, "the file is published")
    assert (work / "model/gemma.gguf").read_bytes() == gemma.read_bytes()

"""Too large, full, read-only: said in words, with no short file and no agent that dies of it."""
import os
import pathlib
import subprocess
import time

import pytest

from content import MIB, make_model, one_file
from support import paths
from support.processes import Running, wait_until


@pytest.fixture
def mounted(place):
    """mounted(options): a tmpfs on the cache root, unmounted at the end."""
    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "modelcache-test", place.root], check=True)
    yield mount
    subprocess.run(["umount", "-l", place.root], check=False, stderr=subprocess.DEVNULL)


def test_a_model_larger_than_the_budget_is_refused_in_words(place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    small = one_file(bucket, "small/", 4)
    agent("--budget", "16MiB")
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 1, result
    text = result.stderr.decode()
    assert "budget" in text.lower() and text.count("\n") == 1, text
    program = place.run("cat", work / "model/model.gguf", environment=place.preloaded(store.environment(model.prefix), work / "model"), seconds=120)
    assert program.returncode != 0 and b"budget" in program.stderr.lower(), program
    assert store.requests()["bytesServed"] < MIB
    result = place.modelcache("warm", environment=store.environment("small/"))
    assert result.returncode == 0, result.stderr
    small.assert_whole(result.stdout.decode().splitlines()[-1])


def test_a_read_only_root_ends_the_agent_with_the_remedy(place, mounted):
    mounted("ro,size=1m")
    result = place.modelcache("agent", seconds=120)
    assert result.returncode != 0
    text = result.stderr.decode()
    assert str(place.root) in text and "read-only" in text and "MODELCACHE_ROOT" in text, text


def test_a_root_that_is_a_file_ends_the_agent_with_the_remedy(place):
    place.root.rmdir()
    place.root.write_text("")
    result = place.modelcache("agent", "--socket", place.folder / "s.sock", seconds=120)
    assert result.returncode != 0 and b"MODELCACHE_ROOT" in result.stderr, result


def test_a_medium_too_small_for_the_model_is_said_before_a_byte_is_read(place, agent, store, bucket, mounted):
    mounted("size=24m")
    model = one_file(bucket, mebibytes=40)
    agent("--medium", "directory")
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1, result
    assert store.requests()["bytesServed"] < MIB


def test_a_medium_that_fills_up_in_mid_load_fails_the_load_and_leaves_no_short_file(place, agent, store, bucket, mounted, work):
    mounted("size=64m")
    model = one_file(bucket, mebibytes=40)
    store.faults({"match": {"ranged": True, "range": f"{20 * MIB}-"}, "action": {"held": True}})
    running = agent("--medium", "directory")
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    reader = Running(["sha256sum", work / "model/model.gguf"], place.log("reader"), environment=environment)
    wait_until(lambda: any(m["presentBytes"] > 4 * MIB for m in place.status()["models"]), 120, "something is there")
    junk = place.root / "junk"
    try:
        with open(junk, "wb") as file:
            while True:
                file.write(b"\1" * MIB)
                file.flush()
    except OSError:
        pass
    store.faults()
    assert reader.wait(120) == 1, reader.output()
    assert "space" in reader.output(), reader.output()
    cached = wait_until(lambda: (lambda m: m if m["phase"] == "failed" else None)(place.status()["models"][0]), 120, "the load has failed")
    assert "space" in cached["message"]
    assert not (pathlib.Path(cached["directory"]) / "model.gguf").exists()
    running.process.must_live()
    # Once there is room, the next call completes it.
    junk.unlink()
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize("medium", ["memory", "directory", "disk"])
def test_every_medium_serves_a_model_and_keeps_it_for_the_next_agent(medium, place, agent, store, bucket, work):
    model = make_model(bucket, "m/", {"a.gguf": 20 * MIB + 3, "b/c.gguf": 777})
    first = agent("--medium", medium)
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    for name in model.names:
        result = place.run("sha256sum", work / "model" / name, environment=environment, seconds=120)
        assert result.returncode == 0 and result.stdout.split()[0].decode() == model.digests[name], result
    wait_until(lambda: place.status()["models"][0]["phase"] == "complete", 120, "it is complete")
    first.stop()
    agent("--medium", medium)
    served = store.requests()["bytesServed"]
    result = place.modelcache("warm", environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    model.assert_whole(result.stdout.decode().splitlines()[-1])
    assert store.requests()["bytesServed"] - served < 100_000


def test_a_disk_cache_is_on_the_disk(place, agent, store, bucket, tmp_path):
    """The root on the machine's disk, not on tmpfs: block mode for mappings, the same bytes."""
    model = one_file(bucket, mebibytes=12)
    root = tmp_path / "disk"
    agent("--medium", "disk", "--root", root)
    result = place.modelcache("warm", "--root", root, "--socket", place.socket, environment=store.environment(model.prefix))
    assert result.returncode == 0, result.stderr
    folder = result.stdout.decode().splitlines()[-1]
    assert folder.startswith(str(root))
    model.assert_whole(folder)

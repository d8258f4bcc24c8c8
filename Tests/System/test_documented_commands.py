"""The documented commands to the letter, and what a reader of MODEL_DIR sees with and without the preload."""
import os
import pathlib
import subprocess
import time

import pytest

from content import MAP_ALL, MIB, PYTHON, digest, fifteen_shards, make_model, one_file
from support import paths
from support.processes import Running, clean_environment, wait_until


def settings_as_text(place, environment: dict[str, str], model_directory: pathlib.Path) -> str:
    """The exports of the documentation, and the test's own root."""
    names = ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_REGION", "OSS_ENDPOINT", "OSS_PATH")
    lines = [f"export {name}='{environment[name]}'" for name in names if name in environment]
    lines += [f"export MODEL_DIR='{model_directory}/'", f"export MODELCACHE_ROOT='{place.root}' MODELCACHE_CONFIG='{place.folder}/config.json'"]
    return "\n".join(lines) + "\n"


def shell(script: str, seconds: float = 240) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", script], env=clean_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, check=False, text=True)


def test_the_documented_command_works_with_no_agent_running(place, store, bucket, work):
    model = fifteen_shards(bucket)
    store.faults(bandwidth=30e6)
    script = settings_as_text(place, store.environment(model.prefix), work / "model") + f"""
        LD_PRELOAD={paths.PRELOAD} ENABLE_CONNECTOR=1 sha256sum $MODEL_DIR/x-00001-of-00015.gguf
        LD_PRELOAD={paths.PRELOAD} ENABLE_CONNECTOR=1 sha256sum $MODEL_DIR/x-00015-of-00015.gguf"""
    result = shell(script)
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == [model.digests[n] for n in ("x-00001-of-00015.gguf", "x-00015-of-00015.gguf")]
    wait_until(lambda: len(place.agents()) == 1, 120, "one agent is left")
    assert (work / "model").is_symlink()


@pytest.mark.parametrize("switch", ["", "ENABLE_CONNECTOR=0"])
def test_without_the_switch_the_library_does_nothing(switch, place, store, bucket, work):
    model = fifteen_shards(bucket)
    script = settings_as_text(place, store.environment(model.prefix), work / "model") + f"""
        LD_PRELOAD={paths.PRELOAD} {switch} sha256sum $MODEL_DIR/x-00001-of-00015.gguf"""
    result = shell(script)
    assert result.returncode == 1 and "No such file" in result.stderr
    assert not (work / "model").exists() and not place.agents() and store.requests()["requests"] == 0


@pytest.mark.parametrize("change, named", [
    ({"OSS_PATH": None}, "OSS_PATH"), ({"OSS_PATH": "/models/one"}, "OSS_PATH"), ({"OSS_ENDPOINT": None}, "OSS_ENDPOINT"),
    ({"OSS_ACCESS_KEY_SECRET": None}, "OSS_ACCESS_KEY_SECRET"), ({"OSS_ACCESS_KEY_ID": None}, "OSS_ACCESS_KEY_ID"),
    ({"MODEL_DIR": None}, "MODEL_DIR"), ({"MODEL_DIR": "relative/dir"}, "MODEL_DIR"), ({"HTTP_SOURCE_IP": "10.0.0"}, "HTTP_SOURCE_IP"),
    ({"MODELCACHE_FAULTS": "magic"}, "MODELCACHE_FAULTS"), ({"MODELCACHE_CONFIG": "/nonexistent/config.json"}, "MODELCACHE_CONFIG"),
    ({"MODELCACHE_DEADLINE_SECONDS": "soon"}, "MODELCACHE_DEADLINE_SECONDS"),
])
def test_a_wrong_setting_ends_the_program_before_it_reads_with_one_line(change, named, place, store, work):
    environment = place.preloaded(store.environment("one/"), work / "model") | change
    environment = {k: v for k, v in environment.items() if v is not None}
    result = place.run("cat", work / "model/x.gguf", environment=environment, seconds=120)
    assert result.returncode == 78, result
    text = result.stderr.decode()
    assert text.count("\n") == 1 and named in text, text
    assert store.requests()["requests"] == 0


def test_a_source_address_that_is_not_here_is_named_to_the_program(place, agent, store, bucket, work):
    one_file(bucket, mebibytes=1)
    agent()
    environment = place.preloaded(store.environment("one/"), work / "model", HTTP_SOURCE_IP="203.0.113.9")
    result = place.run("cat", work / "model/model.gguf", environment=environment, seconds=120)
    assert result.returncode == 78 and b"203.0.113.9" in result.stderr, result


def test_files_of_model_dir_are_kept_and_win(place, agent, store, bucket, work):
    model = make_model(bucket, "m/", {"a.gguf": 3 * MIB, "b.gguf": 2 * MIB})
    agent()
    own = work / "model"
    own.mkdir()
    (own / "a.gguf").write_bytes(b"mine")
    (own / "notes.txt").write_bytes(b"keep me")
    environment = place.preloaded(store.environment(model.prefix), own)
    result = place.run("sha256sum", own / "b.gguf", environment=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0].decode() == model.digests["b.gguf"]
    assert place.run("cat", own / "a.gguf", own / "notes.txt", environment=environment).stdout == b"minekeep me"
    assert sorted(p.name for p in own.iterdir()) == ["a.gguf", "notes.txt"] and not own.is_symlink()


# semantics 3
def test_a_model_dir_that_existed_lists_the_models_files_too(place, agent, store, bucket, work):
    model = make_model(bucket, "m/", {"a.gguf": 3 * MIB, "b.gguf": 2 * MIB})
    agent()
    own = work / "model"
    own.mkdir()
    (own / "a.gguf").write_bytes(b"mine")
    environment = place.preloaded(store.environment(model.prefix), own)
    names = place.run("ls", own, environment=environment).stdout.decode().split()
    assert sorted(names) == ["a.gguf", "b.gguf"]


def test_a_model_dir_that_is_a_file_is_a_clear_error(place, agent, store, work):
    agent()
    (work / "model").write_bytes(b"I am a file")
    environment = place.preloaded(store.environment("one/"), work / "model")
    result = place.run("cat", work / "model", environment=environment, seconds=120)
    assert result.returncode == 78, result
    assert b"MODEL_DIR" in result.stderr and result.stderr.count(b"\n") == 1
    assert (work / "model").read_bytes() == b"I am a file"


def test_a_link_of_an_earlier_cache_is_renewed(place, agent, store, bucket, work):
    """The link that MODEL_DIR became outlives the cached model: the next program must not stumble on it."""
    model = one_file(bucket, mebibytes=4)
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    for _ in range(2):
        result = place.run("sha256sum", work / "model/model.gguf", environment=environment)
        assert result.returncode == 0, result.stderr
        assert result.stdout.split()[0].decode() == model.digests["model.gguf"]
        assert place.modelcache("evict", "--all").returncode == 0
        wait_until(lambda: not place.status()["models"], 120, "the model is gone")


# semantics 3
def test_every_file_has_its_name_and_size_at_once_under_the_preload(place, agent, store, bucket, work):
    model = fifteen_shards(bucket)
    store.faults(bandwidth=1e6)
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    started = time.monotonic()
    result = place.run("find", "-L", work / "model/", "-maxdepth", "1", "-type", "f", "-printf", "%f %s\n", environment=environment)
    assert time.monotonic() - started < model.bytes / 1e6 / 2, "names must not wait for bytes"
    assert {line.split()[0]: int(line.split()[1]) for line in result.stdout.decode().splitlines()} == model.sizes, result


# semantics 1, 2
def test_without_the_preload_only_whole_verified_files_are_seen(place, agent, store, bucket):
    model = fifteen_shards(bucket)
    # The last shard comes when a moment in between has been seen.
    store.faults({"match": {"key": f"*{model.names[-1]}", "ranged": True}, "action": {"held": True}}, bandwidth=16e6)
    agent()
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"),
                  environment=store.environment(model.prefix) | {k: str(v) for k, v in place.settings().items()})
    folder = pathlib.Path(wait_until(lambda: place.status()["models"], 120, "the model is open")[0]["directory"])
    counts, checked = [], set()
    while job.alive():
        names = [n for n in os.listdir(folder) if not n.startswith(".")]
        for name in names:
            assert (folder / name).stat().st_size == model.sizes[name]
            if name not in checked:
                assert digest(folder / name) == model.digests[name]
                checked.add(name)
        counts.append(len(names))
        if len(names) == 14:
            store.faults(bandwidth=16e6)
    assert job.wait(120) == 0, job.output()
    assert counts == sorted(counts)
    assert 14 in counts, "the test saw no moment in between"
    model.assert_whole(folder)


@pytest.mark.parametrize("faults", ["userfaultfd", "block"])
# semantics 5
def test_a_mapped_file_is_right_from_first_to_last_byte_while_it_arrives(faults, place, agent, store, bucket, work):
    model = one_file(bucket, mebibytes=40)
    store.faults(bandwidth=40e6)
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model", MODELCACHE_FAULTS=faults)
    result = place.run(PYTHON, "-c", MAP_ALL, work / "model/model.gguf", environment=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[0].decode() == model.digests["model.gguf"]


def test_the_end_of_a_file_is_read_before_its_middle_has_come(place, agent, store, bucket, work):
    """A demand overtakes the prefetch: the bytes in the middle of the ninth of ten files do not wait for the eight before."""
    model = make_model(bucket, "m/", {f"{i}.gguf": 24 * MIB for i in range(10)})
    store.faults(bandwidth=10e6)  # the first eight files take 20 s
    agent()
    environment = place.preloaded(store.environment(model.prefix), work / "model")
    result = place.run("dd", f"if={work}/model/8.gguf", "bs=1M", "skip=12", "count=1", "status=none", environment=environment)
    keys = store.requests()["keys"]
    assert result.stdout == (bucket / "m/8.gguf").read_bytes()[12 * MIB:13 * MIB]
    # In bytes, which no slow machine changes.
    before = sum(keys.get(f"models/m/{i}.gguf", {"bytes": 0})["bytes"] for i in range(8))
    assert before < 6 * 24 * MIB, f"a demand in the middle of the ninth file came after {before} bytes of those before"

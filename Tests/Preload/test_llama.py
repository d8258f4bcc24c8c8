"""Real llama.cpp (of a newer distribution than this library is built on) under the library: the same words as from disk."""
import functools, os, shutil, subprocess
import pytest
from preload_world import HERE

PROMPT = ["-p", "The capital of France is", "-n", "6", "--temp", "0", "--seed", "7", "-no-cnv", "-t", "2", "-c", "256"]
# Of builds with --load-mode, and of those before it.
WAYS = {"mmap": ["--mmap"], "none": ["--no-mmap"], "mmap+mlock": ["--mlock"], "dio": ["--direct-io"]}


def place(program):
    r = subprocess.run([HERE + "/../../hack/" + program], capture_output=True, text=True)
    if r.returncode:
        pytest.skip(f"hack/{program} gives nothing: {r.stderr[-200:]}")
    return r.stdout.strip()


@pytest.fixture(scope="module")
def completion():
    return place("llama") + "/bin/llama-completion"


@pytest.fixture(scope="module")
def models():
    return place("models")


@functools.cache
def arguments(completion, way):
    known = subprocess.run([completion, "--help"], capture_output=True).stdout
    return ["--load-mode", way] if b"--load-mode" in known else WAYS[way]


def words(run):
    """What a completion printed. llama-completion ends without waiting for its logging thread, which prints: on a busy machine it loses
    the tail. Then it is asked again, and what it did say must be the beginning of that."""
    said = []
    while True:
        r = run()
        assert r.returncode == 0 and b"libossc_preload" not in r.stderr, r.stderr[-1000:]
        if r.stdout.endswith(b"\n\n") or len(said) == 5:
            assert all(r.stdout.startswith(part) for part in said), (said, r.stdout)
            return r.stdout
        said.append(r.stdout)


@functools.cache
def from_disk(completion, model):
    return words(lambda: subprocess.run([completion, "-m", model, *PROMPT], capture_output=True, timeout=120))


GEMMA, SHARDS = ("gemma", "gemma-3-270m-q4_k_m.gguf"), ("shards", "x-00001-of-00015.gguf")


@pytest.mark.parametrize("way,model", [*((w, GEMMA) for w in WAYS), ("mmap", SHARDS), ("none", SHARDS)])
def test_llama_says_the_same_while_its_model_arrives(world, completion, models, model, way):
    folder, name = model
    expected = from_disk(completion, os.path.join(models, folder, name))
    shutil.rmtree(world.source)
    os.symlink(os.path.join(models, folder), world.source)
    world.agent("--chunk", str(4 << 20), "--delay", "0.02", "--flags", "1")
    assert words(lambda: world.run(completion, "-m", f"{world.model}/{name}", *PROMPT, *arguments(completion, way), timeout=120)) == expected

"""A model that is one object: named without a final slash, wherever a source is described."""
import pathlib

import pytest

from content import MIB, PYTHON, digest, make_model

READ = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
PARTS = [f"big-{i:05}-of-00003.gguf" for i in (1, 2, 3)]


@pytest.fixture
def model(bucket):
    return make_model(bucket, "models/", {"q4.gguf": 5 * MIB + 3, "q8.gguf": 3 * MIB, **{name: MIB + 1 for name in PARTS}})


def files(folder: pathlib.Path) -> set[str]:
    return {p.name for p in folder.iterdir() if not p.name.startswith(".")}


def warm(place, environment, *arguments) -> pathlib.Path:
    result = place.modelcache("warm", *arguments, environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    return pathlib.Path(result.stdout.decode().splitlines()[-1])


@pytest.mark.parametrize("scheme", ["oss", "s3"])
def test_one_object_is_warmed_alone_and_beside_its_neighbour(scheme, place, agent, store, model):
    agent()
    environment = store.environment()
    one = warm(place, environment, "--source", f"{scheme}://models/models/q4.gguf")
    other = warm(place, environment, "--source", f"{scheme}://models/models/q8.gguf")
    assert files(one) == {"q4.gguf"} and files(other) == {"q8.gguf"}
    assert {(one / "q4.gguf").stat().st_size, (other / "q8.gguf").stat().st_size} == {5 * MIB + 3, 3 * MIB}
    # Again, from the cache.
    assert warm(place, environment, "--source", f"{scheme}://models/models/q4.gguf") == one


def test_the_first_part_of_a_split_model_brings_all_parts(place, agent, store, model):
    agent()
    folder = warm(place, store.environment(f"models/{PARTS[0]}"))
    assert files(folder) == set(PARTS)
    for name in PARTS:
        assert digest(folder / name) == model.digests[name]


def test_one_object_is_read_while_it_arrives(place, agent, store, model, work):
    agent()
    environment = place.preloaded(store.environment("models/q4.gguf"), work / "model")
    result = place.run(PYTHON, "-c", READ, work / "model" / "q4.gguf", environment=environment)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == model.digests["q4.gguf"]


def test_run_gives_one_object_to_a_program(place, agent, store, model, work):
    agent()
    result = place.modelcache(
        "run", "--source", "oss://models/models/q4.gguf", "--dir", work / "model", "--", PYTHON, "-c", READ, "{}/q4.gguf",
        environment=store.environment())
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == model.digests["q4.gguf"]


def test_a_prefix_may_lack_its_slash(place, agent, store, model):
    agent()
    assert warm(place, store.environment("models")) == warm(place, store.environment("models/"))


def test_a_text_that_is_both_or_neither_says_so(place, agent, store, bucket):
    # A folder cannot be a file here as well; a bucket can hold both.
    make_model(bucket, "a/", {"b": 5})
    agent()
    neither = place.modelcache("warm", environment=store.environment("a/c"))
    assert neither.returncode == 78 and b"neither an object nor a prefix" in neither.stderr, neither.stderr.decode()
    slash = place.modelcache("warm", environment=store.environment("a/b/"))
    assert slash.returncode == 78 and b"without the slash at its end" in slash.stderr, slash.stderr.decode()


def test_an_object_that_is_a_prefix_too_is_refused(place, agent, store, model):
    store.oddities(objects=[{"key": "models", "text": "x\n"}])
    agent()
    result = place.modelcache("warm", environment=store.environment("models"))
    assert result.returncode == 78, result.stderr.decode()
    assert b"an object of 2 bytes and a prefix of" in result.stderr and b"write oss://models/models/" in result.stderr, result.stderr.decode()

"""`modelcache run` with several models, standalone: names, folders, one agent for all."""
import re

import pytest

from content import one_file
from support.processes import wait_until


def shas(result) -> list[str]:
    assert result.returncode == 0, result.stderr
    return [line.split()[0] for line in result.stdout.decode().splitlines()]


def test_each_name_stands_for_its_models_folder_and_one_agent_is_started_for_all(place, store, bucket, work):
    base, draft, lora = (one_file(bucket, f"{name}/", size) for name, size in (("base", 24), ("draft", 9), ("lora", 1)))
    store.faults(bandwidth=16e6)
    sources = [word for name in ("base", "draft", "lora") for word in ("--source", f"{name}=oss://models/{name}/")]
    # One is read through a file that its argument names, and one in a second process that starts when the others are open.
    script = 'sha256sum "$1" "$2"; exec cat "$3"'
    result = place.modelcache("run", *sources, "--dir", f"lora={work}/own", "--", "sh", "-c", script, "sh", "{draft}/model.gguf", "{base}/model.gguf", f"{work}/own/model.gguf",
                              environment=store.environment("wrong/", MODEL_DIR="/nonexistent/of/another"))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.split(b"\n", 2)
    assert [line.split()[0].decode() for line in lines[:2]] == [draft.digests["model.gguf"], base.digests["model.gguf"]]
    assert len(lines[2]) == lora.bytes
    wait_until(lambda: len(place.agents()) == 1, 120, "one agent is left")
    # A folder that was made for a person to list it is no link.
    assert (work / "own").is_dir() and not (work / "own").is_symlink()


def test_a_program_lists_the_models_beside_one_another(place, agent, store, bucket, work):
    one, two = one_file(bucket, "one/", 2), one_file(bucket, "two/", 2)
    agent()
    both = ["--source", "a=oss://models/one/", "--source", "b=oss://models/two/", "--dir", f"a={work}/m/a", "--dir", f"b={work}/m/b"]
    result = place.modelcache("run", *both, "--", "sh", "-c", f"ls {work}/m/*; sha256sum {work}/m/*/model.gguf", environment=store.environment())
    assert result.returncode == 0, result.stderr
    words = result.stdout.decode().split()
    assert words[:4] == [f"{work}/m/a:", "model.gguf", f"{work}/m/b:", "model.gguf"]
    assert words[4::2] == [one.digests["model.gguf"], two.digests["model.gguf"]]


def test_models_of_both_kinds_of_store_are_read_with_the_keys_that_each_has(place, agent, store, bucket):
    one, two = one_file(bucket, "one/", 2), one_file(bucket, "two/", 2)
    agent()
    result = place.modelcache("run", "--source", "a=s3://models/one/", "--source", "b=oss://models/two/", "--", "sha256sum", "{a}/model.gguf", "{b}/model.gguf",
                              environment=store.environment(OSS_PATH=None))
    assert shas(result) == [one.digests["model.gguf"], two.digests["model.gguf"]]


@pytest.mark.parametrize("words, arguments, named", [
    ("--source oss://models/one/ --source oss://models/two/", "{}", "without a name"),
    ("--source a=oss://models/one/ --source oss://models/two/", "{a}", "no name"),
    ("--source a=oss://models/one/ --source a=oss://models/two/", "{a}", "two models"),
    ("--source a=oss://models/one/ --source b=oss://models/two/", "{a} {c}", "{a}, {b}"),
    ("--source a=oss://models/one/ --source b=oss://models/two/", "{a} {}", "which model"),
    ("--source a=oss://models/one/ --source b=oss://models/two/", "{a}", "used by no argument"),
    ("--source a=oss://models/one/ --dir b=/tmp/x", "{a}", "none of the models a"),
    ("--source a=oss://models/one/ --source b=oss://models/two/ --dir a=/tmp/x --dir b=/tmp/x/y", "{a} {b}", "inside it"),
    ("--source a=oss://B/one/", "{a}", "--source a"),
    ("--source a=oss://models/one/ --dir a=/tmp/x;y", "{a}", "semicolon"),
])
def test_names_that_cannot_be_meant_end_it_with_one_line(words, arguments, named, place, store):
    result = place.modelcache("run", *words.split(), "--", "echo", *arguments.split(), environment=store.environment("one/"))
    text = result.stderr.decode()
    assert result.returncode == 78 and result.stdout == b"", result
    assert named in text and re.fullmatch(r"modelcache: [^\n]+; [^\n]+\n", text), text


@pytest.mark.parametrize("argument, shown", [
    ("{a}/x:{a}", "F/x:F"), ("{{a}} {a}", "{a} F"), ("${HOME} {a}", "${HOME} F"), ("{print $1} {a}", "{print $1} F"), ('{"m":"{a}"}', '{"m":"F"}'), ("{{{a}", "{{F"),
])
def test_other_braces_stay_as_they_are(argument, shown, place, store, work):
    result = place.modelcache("run", "--source", "a=oss://models/one/", "--dir", f"a={work}/f", "--", "echo", argument, environment=store.environment())
    assert result.stdout.decode() == shown.replace("F", f"{work}/f") + "\n", result

"""`--help` of every program and verb on a terminal of 80 columns, their release, and that of the doctor on a file that is not there."""
import json
import re
import subprocess

import pytest

from support import paths
from support.processes import clean_environment

RELEASE = re.search(r'version = "(.+)"', (paths.REPOSITORY / "Sources/DataPlane/AgentAPI/Release.swift").read_text())[1]
PROGRAMS = ("modelcache", "modelcache-devstore", "modelcache-operator", "kubectl-modelcache")


def help_of(program: str, *verbs: str) -> str:
    result = subprocess.run([paths.MODELCACHE.with_name(program), *verbs, "--help"], env=clean_environment(COLUMNS="80"),
                            text=True, capture_output=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def verbs_of(text: str) -> list[str]:
    listed = text.partition("SUBCOMMANDS:\n")[2]
    return [match for match in re.findall(r"^  ([a-z][a-z-]+) ", listed, re.M)]


def pages() -> list[tuple[str, ...]]:
    """Every program, and every verb that it lists."""
    return [page for program in PROGRAMS for page in ((program,), *((program, verb) for verb in verbs_of(help_of(program))))]


@pytest.mark.parametrize("page", pages(), ids=" ".join)
def test_help_fills_80_columns_and_breaks_no_line_twice(page):
    text = help_of(*page)
    assert not (long := [line for line in text.split("\n") if len(line) > 80]), long
    # Prose before the usage: a line ends where the next word does not fit. (The parser fills 79 columns.)
    prose = text.partition("\nUSAGE:")[0].split("\n")
    for line, following in zip(prose, prose[1:]):
        if line and following and not line.startswith(" ") and not following.startswith(" ") and not line.isupper():
            assert len(line) + 1 + len(following.split()[0]) >= 80, f"broken too early: {line!r}"
    # An example that is too long would be broken where no shell goes on.
    examples = [line for line in prose if line.startswith("  ")]
    assert len(examples) or "EXAMPLE" not in text


@pytest.mark.parametrize("program, argument", [*((program, "--version") for program in PROGRAMS), ("kubectl-modelcache", "version")])
def test_every_program_says_the_one_release(program, argument):
    result = subprocess.run([paths.MODELCACHE.with_name(program), argument], env=clean_environment(), text=True, capture_output=True,
                            check=False, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, RELEASE + "\n", "")


@pytest.mark.parametrize("named, words", [(None, "there is no /etc/oss-connector/config.json"), ("config.json", "config.json")])
def test_the_doctor_says_which_configuration_file_it_read(place, named, words):
    (place.folder / "config.json").write_text("{}")
    environment = clean_environment(MODELCACHE_CONFIG=place.folder / named if named else None)
    result = place.run(paths.MODELCACHE, "doctor", "--json", "--root", place.root, environment=environment)
    [finding] = [one for one in json.loads(result.stdout) if one["subject"] == "configuration"]
    assert words in finding["fact"], finding

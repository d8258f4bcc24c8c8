"""Each `modelcache` and `kubectl modelcache` command in the documents has verbs and flags that the programs know."""
import functools
import re
import subprocess

from support import paths
from support.processes import clean_environment

ROOT = paths.REPOSITORY
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"modelcache": ["modelcache"], "kubectl modelcache": ["kubectl-modelcache"], "modelcache-operator": ["modelcache-operator"]}
# A command at the start of a line of a block, after variables, a pipe or a bracket, or as a span of prose.
COMMAND = re.compile(r"(?:^|[|(`]\s*|^\$ |[A-Z_]+=\S+ )((?:kubectl )?modelcache|modelcache-operator) ([a-z][^`|&#\n]*)")


@functools.cache
def known(program: str, verb: str) -> set[str] | None:
    """The flags of a verb; None: there is no such verb."""
    result = subprocess.run([paths.MODELCACHE.with_name(PROGRAMS[program][0]), verb, "--help"], env=clean_environment(), text=True,
                            capture_output=True, check=False, timeout=120)
    usage = re.search(r"USAGE: (.*)", result.stdout)
    if result.returncode or not usage or f" {verb}" not in usage[1]:
        return None
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][a-z-]*", result.stdout.partition("OPTIONS:")[2] + result.stdout.partition("ARGUMENTS:")[2]))


def commands() -> list[tuple[str, str, str]]:
    """(where, program, the rest of the line) of every command in the documents, lines that go on joined."""
    found = []
    for path in DOCUMENTS:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        for number, line in enumerate(text.split("\n"), 1):
            found += [(f"{path.relative_to(ROOT)}:{number}", match[1], match[2]) for match in COMMAND.finditer(line.strip())]
    return found


def test_commands_name_real_verbs_and_flags():
    wrong, every = [], commands()
    for where, program, rest in every:
        verb, *words = rest.split(" -- ")[0].split()
        flags = known(program, verb.strip(".,;:"))
        if flags is None:
            wrong.append(f"{where}: {program} has no verb {verb}")
            continue
        wrong += [f"{where}: {program} {verb} has no flag {word}" for word in words
                  if word.startswith("-") and word.split("=")[0].rstrip(".,;:)") not in flags]
    assert not wrong, "\n".join(wrong)
    assert len(every) > 40, "the documents are written in a way that this test does not read"

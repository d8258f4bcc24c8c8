"""Each complete object in the documents' blocks is one that a real API server takes, with no field that it does not know."""
import re
import subprocess

import pytest
import yaml

from support.control_plane import REPOSITORY
from support.operator_process import PROGRAM

DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")), REPOSITORY / "charts/modelcache/templates/NOTES.txt"]


def objects() -> list[tuple[str, dict]]:
    """(where, object) of every block of YAML, and of every here-document of a shell block."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        texts = [(match.start(1), match[1]) for match in re.finditer(r"^```yaml\n(.*?)^```", text, re.M | re.S)]
        texts += [(match.start(1), match[1]) for match in re.finditer(r"<<'YAML'\n(.*?)^ *YAML$", text, re.M | re.S)]
        for start, block in texts:
            lines = block.split("\n")
            margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
            for one in yaml.safe_load_all("\n".join(line[margin:] for line in lines)):
                if isinstance(one, dict) and "apiVersion" in one and "kustomize" not in one["apiVersion"]:
                    found.append((f"{path.relative_to(REPOSITORY)}:{text.count(chr(10), 0, start)}", one))
    return found


@pytest.fixture(scope="module")
def definition(control_plane):
    text = subprocess.run([PROGRAM, "print-crd", "--level", "legacy"], capture_output=True, text=True, check=True, timeout=120).stdout
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
    control_plane.kubectl.wait_established()


# A name in capitals is the reader's.
def with_names(one: dict, namespace: str) -> str:
    one["metadata"]["namespace"] = namespace
    return re.sub(r"\b[A-Z][A-Z.-]{4,}\b", lambda match: match[0].lower(), yaml.safe_dump(one))


def test_documented_objects_are_taken(control_plane, definition, namespace):
    every = objects()
    assert len([one for _, one in every if one["kind"] == "ModelCache"]) > 5
    # A new kind is known to kubectl's own check of fields a moment later.
    wrong = []
    for where, one in every:
        taken = subprocess.run(
            [control_plane.kubectl.program, "--kubeconfig", control_plane.admin_kubeconfig, "apply", "--dry-run=server", "--validate=true", "-f", "-"],
            input=with_names(one, namespace), text=True, capture_output=True, check=False, timeout=180)
        if taken.returncode:
            wrong.append(f"{where}: {taken.stderr.strip()}")
    assert not wrong, "\n".join(wrong)

"""Writes docs/api.md from config/crd, which is made from the types: every field with type, default, bounds and meaning.

usage: python3 hack/lib/crd/reference.py [--check]     --check writes nothing and ends with 1 when the page is not what it would be
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from made import REPOSITORY, settle  # noqa: E402

DEFINITION, FILE = REPOSITORY / "config/crd/bases/modelcache.io_modelcaches.yaml", REPOSITORY / "docs/api.md"

HEAD = """\
# Fields of ModelCache

`modelcache.io/v1alpha1`, namespaced, short name `mcache`. Made by `hack/generate` from the types in `Sources/CRD`: `kubectl explain modelcache.spec` says the same.
[modelcache.md](modelcache.md) explains how they act together.
"""


def parsed(lines: list[str]):
    """The YAML that hack/generate writes: block maps, lists of scalars and of maps, one-line scalars."""
    def scalar(text: str):
        if text.startswith('"'):
            return json.loads(text)
        return {"{}": {}, "[]": [], "true": True, "false": False}.get(text, text)

    def block(at: int, depth: int):
        """(value, next line) of the block whose lines are indented by `depth`."""
        if lines[at].strip().startswith("- "):
            items = []
            while at < len(lines) and lines[at].startswith(" " * depth + "- "):
                content = lines[at].strip()[2:]
                if ": " in content and not content.startswith('"') or content.endswith(":"):
                    lines[at] = " " * (depth + 2) + content
                    value, at = block(at, depth + 2)
                else:
                    value, at = scalar(content), at + 1
                items.append(value)
            return items, at
        fields = {}
        while at < len(lines) and lines[at].startswith(" " * depth) and not lines[at][depth:].startswith((" ", "- ")):
            key, _, text = lines[at].strip().partition(":")
            at += 1
            if text.strip():
                fields[key] = scalar(text.strip())
                continue
            following = len(lines[at]) - len(lines[at].lstrip())
            is_list = lines[at].strip().startswith("- ")
            fields[key], at = block(at, following) if following > depth or is_list else ({}, at)
        return fields, at

    return block(0, 0)[0]


def kind(schema: dict) -> str:
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'])}"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return "map"
    return schema.get("type", "any")


def between(schema: dict, low: str, high: str, unit: str = "") -> list[str]:
    least, most = schema.get(low), schema.get(high)
    if least is None and most is None:
        return []
    text = f"at most {most}" if least is None else f"at least {least}" if most is None else f"{least} to {most}"
    return [f"{text} {unit}".strip()]


def bounds(schema: dict) -> str:
    """Which values are taken, in brackets."""
    said = [", ".join(f"`{one}`" for one in schema["enum"] if one)] if "enum" in schema else []
    said += between(schema, "minimum", "maximum") + between(schema, "minLength", "maxLength", "characters") + between(schema, "minItems", "maxItems", "items")
    return f"({'; '.join(said)})" if said else ""


def default(schema: dict) -> str:
    value = schema.get("default")
    return "" if value in (None, {}, []) else f"`{json.dumps(value)}`" if isinstance(value, bool) else f"`{value}`"


# Kubernetes' own types, said once elsewhere.
FOREIGN = {"nodeAffinity": "As `nodeAffinity` in a pod's spec, with `matchExpressions` and `matchFields`."}


def rows(schema: dict, path: str) -> list[str]:
    found = []
    for name, field in sorted(schema.get("properties", {}).items()):
        here, inner = f"{path}.{name}" if path else name, field
        while inner.get("type") == "array":
            here, inner = here + "[]", inner["items"]
        required = " (required)" if name in schema.get("required", []) else ""
        told = FOREIGN.get(name) or " ".join(field.get("description", inner.get("description", "")).split())
        meaning = " ".join(filter(None, [told, bounds(field), bounds(inner) if inner is not field else ""]))
        found.append(f"| `{here}` | {kind(field)}{required} | {default(field)} | {meaning.replace('|', chr(92) + '|')} |")
        if name not in FOREIGN:
            found += rows(inner, here)
    return found


def main() -> int:
    lines = [line for line in DEFINITION.read_text().split("\n") if line.strip() and not line.startswith(("#", "---"))]
    [version] = parsed(lines)["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    text = HEAD
    for part in ("spec", "status"):
        text += f"\n## {part}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows(schema[part], "")) + "\n"
    return settle("reference", {FILE: text})


if __name__ == "__main__":
    sys.exit(main())

"""Writes charts/modelcache/README.md from values.yaml: each value with its default and the comment above it.

usage: python3 hack/lib/chart/readme.py [--check]     --check writes nothing and ends with 1 when the file is not what it would be
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from made import REPOSITORY, settle  # noqa: E402

VALUES, FILE = REPOSITORY / "charts/modelcache/values.yaml", REPOSITORY / "charts/modelcache/README.md"

HEAD = """\
# ModelCache's chart

Operator, node agents, webhook and the ModelCache resource. Kubernetes 1.20 and newer.

```sh
helm install modelcache charts/modelcache --namespace modelcache-system --create-namespace \\
  --set global.imageRegistry=registry.example.com/ai
kubectl label namespace modelcache-system pod-security.kubernetes.io/enforce=privileged
kubectl label node NODE modelcache.io/agent=true
helm test modelcache --namespace modelcache-system
```

[docs/install.md](../../docs/install.md) has images, memory, rights and removal; [docs/metrics.md](../../docs/metrics.md) the monitoring.

## Values

Made by `hack/generate` from `values.yaml`. Every default gives what `kubectl apply -k config/default` gives,
from Kubernetes 1.30 on with the component `config/policy`.

| value | default | meaning |
| --- | --- | --- |
"""


def values(text: str) -> list[tuple[str, str, str]]:
    """(path, default, comment) of each value. A map in braces, a list and a scalar are values; a list's or map's further lines are its default."""
    found, path, comment = [], [], []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare:
            comment = []
        elif bare.startswith("#"):
            comment.append(bare.lstrip("# "))
        elif match := re.match(r"^( *)([\w.]+):(?: (.*))?$", line):
            depth, key, default = len(match[1]) // 2, match[2], match[3]
            path = [*path[:depth], (key, " ".join(comment))]
            comment = []
            if default is None:
                # What follows belongs to it: a list is its default.
                rest = next((one for one in lines[number + 1:] if one.strip() and not one.strip().startswith("#")), "")
                if not rest.strip().startswith("- "):
                    continue
                default = f"[{{{rest.strip()[2:]}}}]"
            # The comment of a group stands at its first value.
            words = [words for _, words in path if words]
            path = [(name, "" if default is not None and index < len(path) - 1 else words) for index, (name, words) in enumerate(path)]
            found.append((".".join(name for name, _ in path), default, " ".join(words)))
    return found


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    text = HEAD + "".join(f"| `{path}` | `{escaped(default)}` | {escaped(comment)} |\n" for path, default, comment in values(VALUES.read_text()))
    return settle("chart", {FILE: text})


if __name__ == "__main__":
    sys.exit(main())

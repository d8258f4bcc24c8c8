"""Writes the release of Sources/DataPlane/AgentAPI/Release.swift wherever else it stands.

usage: python3 hack/lib/release_version.py [--check]     --check writes nothing and ends with 1 when a place says another
"""
import pathlib
import re
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SOURCE = "Sources/DataPlane/AgentAPI/Release.swift"
# file: patterns whose first group is the text before the version.
PLACES = {
    "charts/modelcache/Chart.yaml": [r"(^version: )[\d.]+", r"(^appVersion: v)[\d.]+"],
    "config/base/kustomization.yaml": [r"(newTag: v)[\d.]+"],
    **{f"config/images/{name}.Containerfile": [rf"(/{name}:v)[\d.]+(?= )", r'(image\.version="v)[\d.]+'] for name in ("agent", "operator", "devstore")},
    "config/images/llama.cpp.Containerfile": [r"(/llama\.cpp:v)[\d.]+(?= )"],
    "docs/install.md": [r"(modelcache-\S+:v)[\d.]+(?=[ \n)])", r"((?:operator|modelcache)-)\d[\d.]+\d(?=-linux|\.tgz|\.spdx)"],
    "docs/how-to.md": [r"((?:modelcache|\$image)-)\d[\d.]+\d(?=-linux|\.tgz)", r"(\$image:v)[\d.]+(?=\n)"],
    **{f"docs/get-started-{name}.md": [r"(\$image:v)[\d.]+(?=[ \n])"] for name in ("ack", "ack.zh-CN", "kubernetes", "kubernetes.zh-CN")},
    "hack/release": [r"(modelcache-|agent-|/v|:v)\d[\d.]+\d(?=-linux|\n)"],
}


def version() -> str:
    return re.search(r'version = "(\d+\.\d+\.\d+)"', (REPOSITORY / SOURCE).read_text())[1]


def main() -> int:
    check, wanted, stale = "--check" in sys.argv[1:], version(), []
    for name, patterns in PLACES.items():
        path = REPOSITORY / name
        text = new = path.read_text()
        for pattern in patterns:
            new, count = re.subn(pattern, rf"\g<1>{wanted}", new, flags=re.M)
            if not count:
                stale.append(f"{name}: nothing matches {pattern}")
        if new != text:
            stale.append(f"{'differs' if check else 'wrote'}: {name}")
            if not check:
                path.write_text(new)
    if check and not re.search(rf"^## {re.escape(wanted)}\b", (REPOSITORY / "CHANGELOG.md").read_text(), re.M):
        stale.append(f"CHANGELOG.md: no heading of {wanted}")
    for line in stale:
        print(f"release: {line}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

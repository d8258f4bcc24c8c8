"""Writes charts/modelcache/templates from config/: one source for both, comments and all.

usage: python3 hack/lib/chart [--check]

A template is the text of a file of config/ with the edits below. An edit names the text it stands for; one that is not there exactly
once ends the run, so a change in config/ that the chart must follow cannot go unseen. --check writes nothing and ends with 1 when a
template is not what it would be.
"""
import pathlib
import sys

from edits import FILES

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from made import REPOSITORY, settle  # noqa: E402

CONFIG, CHART = REPOSITORY / "config", REPOSITORY / "charts/modelcache"


class Missing(Exception):
    pass


def template(name: str, edits, guard: str | None) -> str:
    text = (CONFIG / name).read_text()
    for old, new, *count in edits:
        wanted = count[0] if count else 1
        if (found := text.count(old)) != wanted:
            raise Missing(f"config/{name}: {found} times instead of {wanted}: {old!r}")
        text = text.replace(old, new)
    text = f"{{{{/* Made by hack/generate from config/{name}: edit there, or hack/lib/chart/edits.py. */}}}}\n" + text
    return f"{{{{- if {guard} }}}}\n{text}{{{{- end }}}}\n" if guard else text


def main() -> int:
    return settle("chart", {CHART / "templates" / f"{target}.yaml": template(name, edits, guard) for target, (name, edits, guard) in FILES.items()})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        print(f"chart: {missing}: follow the change in hack/lib/chart/edits.py", file=sys.stderr)
        sys.exit(1)

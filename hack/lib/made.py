"""Files that a script makes from others: written anew, or with --check compared alone."""
import pathlib
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def settle(name: str, wanted: dict[pathlib.Path, str]) -> int:
    """Writes each file that differs from what is wanted, with a line that begins with `name`. With --check among the program's arguments it
    writes nothing, and the exit code that it returns is 1 when a file differs."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{name}: {'differs' if check else 'wrote'}: {path.relative_to(REPOSITORY)}", file=sys.stderr)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
    return 1 if check and stale else 0

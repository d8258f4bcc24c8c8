"""Which shared libraries a program needs: asked of the dynamic loader, which is who decides."""
import os
import pathlib
import re
import subprocess
import sys


def needed(programs: list[pathlib.Path], loader: pathlib.Path | None = None,
           folders: tuple[pathlib.Path, ...] = ()) -> dict[str, pathlib.Path]:
    """Every library that `programs` load at their start, and the loader: the path they ask for, and
    the file it is here. With a `loader` and `folders` of an unpacked system, that system's libraries."""
    found: dict[str, pathlib.Path] = {}
    for program in programs:
        if loader is None:
            command = ["ldd", os.fspath(program)]
        else:
            command = [os.fspath(loader), "--library-path", ":".join(map(str, folders)), "--list", os.fspath(program)]
        run = subprocess.run(command, text=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
        if "statically linked" in run.stdout or "not a dynamic executable" in run.stderr:
            continue
        if run.returncode != 0:
            sys.exit(f"images: {' '.join(command)}: {(run.stderr or run.stdout).strip()}")
        for line in run.stdout.splitlines():
            if "not found" in line:
                sys.exit(f"images: {program} needs a library that is not here: {line.strip()}")
            # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)", "/lib64/ld-linux-x86-64.so.2 (0x...)";
            # linux-vdso has no file.
            match = re.match(r"\s*(?:(\S+) => )?(/\S+) \(0x", line)
            if match:
                name = match[1] or match[2]
                found[name if name.startswith("/") else match[2]] = pathlib.Path(match[2])
    return found

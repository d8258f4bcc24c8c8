"""Links an executable that SwiftPM built once more, with the Swift runtime inside.

`swift build --static-swift-stdlib` compiles every module again, because the flag is part of the
compiler's command line too, and tests can not be built with it at all (there is no static Testing).
The objects are the same, though: only the link differs. So the products and the tests share one
build, and this repeats SwiftPM's own link command with -static-stdlib.

usage: static_link.py MANIFEST PRODUCT OUTPUT
"""
import json
import re
import subprocess
import sys


# What libFoundation.so needs on its own: objects that were compiled for it do not name the archives behind it.
# They need each other, so the list is given twice.
FOUNDATION = [f"-l{name}" for name in (
    "Foundation", "FoundationInternationalization", "FoundationEssentials", "_FoundationICU", "_FoundationCShims",
    "_FoundationCollections", "CoreFoundation", "dispatch", "BlocksRuntime")]


def link_command(manifest: str, product: str) -> list[str]:
    """SwiftPM's command that links PRODUCT, from its build manifest (arguments are JSON arrays)."""
    with open(manifest) as lines:
        for line in lines:
            match = re.match(r"\s+args: (\[.*\])$", line)
            if not match:
                continue
            arguments = json.loads(match[1])
            if "-emit-executable" not in arguments or "-o" not in arguments:
                continue
            if arguments[arguments.index("-o") + 1].rsplit("/", 1)[-1] == product:
                return arguments
    sys.exit(f"static_link: {manifest} has no link command for {product}: build it with swift build first")


def main() -> None:
    manifest, product, output = sys.argv[1:]
    arguments = link_command(manifest, product)
    arguments[arguments.index("-o") + 1] = output
    # The run path names the toolchain's or the build's folders: a static program has no use for it.
    while "-Xlinker" in arguments:
        position = next((i for i, a in enumerate(arguments) if a.startswith("-rpath")), None)
        if position is None:
            break
        del arguments[position - 1 : position + 1]
    subprocess.run([*arguments, "-static-stdlib", *FOUNDATION, *FOUNDATION], check=True)


if __name__ == "__main__":
    main()

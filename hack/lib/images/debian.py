"""The Debian packages that an image's files come from, and their place in the image.

Scanners (Trivy, Grype, Syft) read one stanza a package below /var/lib/dpkg/status.d, as the distroless images have it, and the release in
/etc/os-release. The licences of the packages ask that their copyright files come along.
"""
import functools
import pathlib
import subprocess
import sys

from tree import Tree

RELEASE = pathlib.Path("/usr/lib/os-release")
# The part of a package's entry that tells what it is and where it comes from.
STANZA = ("Package: ${Package}\nStatus: ${Status}\nMaintainer: ${Maintainer}\nArchitecture: ${Architecture}\nSource: ${source:Package} (${source:Version})\n"
          "Version: ${Version}\nHomepage: ${Homepage}\nDescription: ${binary:Synopsis}\n")


def query(*arguments: str) -> str | None:
    run = subprocess.run(["dpkg-query", *arguments], text=True, capture_output=True, check=False)
    return run.stdout if run.returncode == 0 else None


@functools.cache
def owner(file: pathlib.Path) -> str:
    """The package that brought the file, as `libc6:amd64`. A merged /usr is known to dpkg by the old names or by the new ones."""
    resolved = file.resolve()
    for path in (file, resolved, pathlib.Path("/usr") / file.relative_to("/"),
                 *(pathlib.Path("/") / one.relative_to("/usr") for one in (file, resolved) if one.is_relative_to("/usr"))):
        listed = query("-S", str(path))
        if listed:
            return listed.split(": ")[0].split(",")[0]
    sys.exit(f"images: no Debian package owns {file}: reinstall the package that it belongs to, so that the image can name it")


def add_packages(tree: Tree, packages: set[str]) -> None:
    """The database of `packages`, their copyright files and the release they are of."""
    tree.file("etc/os-release", RELEASE)
    for package in sorted(packages):
        name = package.partition(":")[0]
        stanza = query("-W", "-f", STANZA, package)
        if stanza is None:
            sys.exit(f"images: dpkg does not know the package {package}")
        tree.file(f"var/lib/dpkg/status.d/{name}", "".join(
            f"{line}\n" for line in stanza.splitlines() if not line.endswith(": ")).encode())
        copyright = pathlib.Path(f"/usr/share/doc/{name}/copyright")
        if not copyright.exists():
            sys.exit(f"images: {copyright} is missing; the image must carry it: reinstall {name} without dpkg's path-exclude")
        tree.file(str(copyright), copyright)

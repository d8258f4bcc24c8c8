"""What a release is made of: Swift packages with their exact versions and licences, and the Debian packages in each image."""
import json
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
CHECKOUTS = REPOSITORY / ".build/checkouts"


class Package(NamedTuple):
    """`licence` is an SPDX expression. `location` is where its source is published."""

    name: str
    version: str
    licence: str
    purl: str
    location: str | None = None
    revision: str | None = None
    supplier: str | None = None


def rows(heading: str) -> list[list[str]]:
    """The table below a heading of docs/dependencies.md, without its head."""
    section = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", (REPOSITORY / "docs/dependencies.md").read_text(), re.M | re.S)[1]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def spdx(told: str) -> str:
    """An SPDX expression from the page's words; what a package contains beside its own code is in its licence file."""
    return told.partition(";")[0].replace("with Runtime Library Exception", "WITH Swift-exception")


def licence_files(identity: str) -> dict[str, pathlib.Path]:
    """LICENSE and NOTICE of a Swift package, which whoever passes its code on must pass on too."""
    folder = next((one for one in sorted(CHECKOUTS.iterdir()) if one.name.lower() == identity), None) if CHECKOUTS.exists() else None
    found = {path.name: path for path in sorted(folder.iterdir()) if re.match(r"(?i)(licen[cs]e|notice)", path.name)} if folder else {}
    if not found:
        sys.exit(f"release: no licence of {identity} in {CHECKOUTS}: run hack/build, which checks the packages out")
    return found


def swift_packages() -> list[Package]:
    """Everything that SwiftPM resolved, direct and further packages, and the runtime that is linked in."""
    resolved = REPOSITORY / ".build/workspace-state.json"
    if not resolved.exists():
        sys.exit(f"release: {resolved} is missing: run hack/build, which resolves the packages")
    exact = dict(re.findall(r'url: "https://[^"]*/([^/"]+)", exact: "([^"]+)"', (REPOSITORY / "Package.swift").read_text()))
    told = {re.match(r"\[([^]]+)\]", row[0])[1]: spdx(row[2]) for row in rows("In the programs")}
    packages = []
    for one in json.loads(resolved.read_text())["object"]["dependencies"]:
        reference, state = one["packageRef"], one["state"]["checkoutState"]
        location = reference["location"].removesuffix(".git")
        name, version = location.rpartition("/")[2], state["version"]
        licence = told.get(name) or further_licence(reference["identity"])
        packages.append(Package(name, version, licence, f"pkg:swift/{location.removeprefix('https://')}@{version}", location, state["revision"]))
    resolved_to = {package.name: package.version for package in packages}
    wrong = [name for name, version in exact.items() if resolved_to.get(name) != version]
    if wrong:
        sys.exit(f"release: other versions than Package.swift has were built of {', '.join(wrong)}: run hack/build")
    return [*packages, swift_runtime()]


def further_licence(identity: str) -> str:
    """That of a package that another one brings: Apache-2.0, with the exception or without."""
    text = "\n".join(path.read_text() for path in licence_files(identity).values())
    if "Apache License" not in text:
        sys.exit(f"release: the licence of {identity} is not Apache-2.0: give it a row in docs/dependencies.md, In the programs")
    return "Apache-2.0 WITH Swift-exception" if "Runtime Library Exception" in text else "Apache-2.0"


def swift_runtime() -> Package:
    """The compiler's runtime and Foundation, linked in statically."""
    told = subprocess.run(["swift", "--version"], text=True, capture_output=True, check=True).stdout
    version = re.search(r"Swift version (\S+)", told)[1]
    return Package("swift", version, "Apache-2.0 WITH Swift-exception", f"pkg:swift/github.com/swiftlang/swift@{version}",
                   "https://github.com/swiftlang/swift")


def debian_package(stanza: str) -> Package:
    """From a stanza of dpkg's database in an image."""
    fields = dict(line.split(": ", 1) for line in stanza.splitlines())
    source = fields["Source"].split()[0]
    licence = {row[0]: row[1] for row in rows("Debian packages in the images")}.get(source)
    if licence is None:
        sys.exit(f"release: docs/dependencies.md has no row for the Debian source {source}: add it with its licence")
    purl = f"pkg:deb/debian/{fields['Package']}@{fields['Version'].replace(':', '%3A').replace('+', '%2B')}?arch={fields['Architecture']}&upstream={source}"
    return Package(fields["Package"], fields["Version"], licence, purl, fields.get("Homepage"), supplier=fields["Maintainer"])

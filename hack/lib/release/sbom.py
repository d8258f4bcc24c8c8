"""The bill of materials: one SPDX 2.3 document in JSON (spdx.github.io/spdx-spec/v2.3) for all files of a release."""
import datetime
import hashlib
import json
import re
from typing import NamedTuple

from packages import Package


class Artifact(NamedTuple):
    """A file of the release or an image in it, by its SHA-256, and the packages whose code it contains."""

    name: str
    sha256: str
    contains: list[Package]
    purl: str | None = None


def identifier(*words: str) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(words))


def package_entry(package: Package) -> dict:
    entry = {
        "SPDXID": identifier("Package", package.name, package.version), "name": package.name, "versionInfo": package.version,
        "downloadLocation": f"git+{package.location}@{package.revision}" if package.revision else "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": package.licence, "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}],
    }
    if package.location:
        entry["homepage"] = package.location
    supplier = re.fullmatch(r"(.+) <(.+)>", package.supplier or "")
    if supplier:
        entry["supplier"] = f"Organization: {supplier[1]} ({supplier[2]})"
    return entry


def artifact_entry(artifact: Artifact, version: str) -> dict:
    entry = {
        "SPDXID": identifier("Artifact", artifact.name), "name": artifact.name, "versionInfo": version, "packageFileName": artifact.name,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "checksums": [{"algorithm": "SHA256", "checksumValue": artifact.sha256}],
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
    }
    if artifact.purl:
        entry["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": artifact.purl}]
    return entry


def document(artifacts: list[Artifact], version: str, date: int) -> str:
    """`date` in seconds since 1970. The namespace follows from the contents: two documents with one namespace are equal."""
    packages = {package.purl: package for artifact in artifacts for package in artifact.contains}
    relationships = [("SPDXRef-DOCUMENT", "DESCRIBES", identifier("Artifact", artifact.name)) for artifact in artifacts]
    relationships += [(identifier("Artifact", artifact.name), "CONTAINS", identifier("Package", package.name, package.version))
                      for artifact in artifacts for package in artifact.contains]
    body = {
        "packages": [*(artifact_entry(artifact, version) for artifact in artifacts),
                     *(package_entry(package) for _, package in sorted(packages.items()))],
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in relationships],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"modelcache-{version}",
        "documentNamespace": f"https://modelcache.io/spdx/modelcache-{version}-{digest}",
        "creationInfo": {"created": datetime.datetime.fromtimestamp(date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": ["Tool: hack/release"]},
    } | body, indent=1) + "\n"

"""Makes a release; hack/release calls it. See there for the arguments' meaning."""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[1:1] = [str(ROOT), str(ROOT / "images")]

import archives  # noqa: E402
import manifests  # noqa: E402
import sbom  # noqa: E402
from archive import ARCHITECTURE  # noqa: E402
from archives import Member  # noqa: E402
from packages import REPOSITORY, Package, debian_package, licence_files, swift_packages  # noqa: E402
from recipes import RECIPES, Places  # noqa: E402
from release_version import version  # noqa: E402

# Archive: its files, by their names in dist/.
PROGRAMS = {
    "modelcache": ("bin/modelcache", "lib/libossc_preload.so"),
    "modelcache-operator": ("bin/modelcache-operator",),
    "modelcache-devstore": ("bin/modelcache-devstore",),
    "kubectl-modelcache": ("bin/kubectl-modelcache",),
}
IMAGES = ("operator", "agent")


class Release:
    """One release in a folder, file by file. `linked` are the packages inside every program."""

    def __init__(self, folder: pathlib.Path, arguments: argparse.Namespace):
        self.folder, self.given = folder, arguments
        self.version, self.date = version(), int(os.environ["SOURCE_DATE_EPOCH"])
        self.tools = pathlib.Path(sys.executable).parent
        self.linked = swift_packages()
        self.artifacts: list[sbom.Artifact] = []

    def sha256(self, name: str) -> str:
        with open(self.folder / name, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def programs(self) -> None:
        licences = {"LICENSE": Member(REPOSITORY / "LICENSE")}
        for package in self.linked[:-1]:
            for file, path in licence_files(package.name.lower()).items():
                licences[f"licences/{package.name}/{file}"] = Member(path)
        for name, files in PROGRAMS.items():
            archive = f"{name}-{self.version}-linux-{ARCHITECTURE}.tar.gz"
            members = {file: Member(self.given.distribution / file, 0o755) for file in files}
            archives.write(self.folder / archive, members | licences, self.date)
            self.artifacts.append(sbom.Artifact(archive, self.sha256(archive), self.linked))

    def images(self) -> dict[str, str]:
        """Copies hack/images' archives; returns name in config/ -> REPOSITORY@DIGEST."""
        references = {}
        prefix = f"{self.given.registry.rstrip('/')}/" if self.given.registry else ""
        for name in IMAGES:
            file = f"{name}-{self.version}-linux-{ARCHITECTURE}.oci.tar"
            shutil.copyfile(self.given.images / f"{name}.tar", self.folder / file)
            digest = image_digest(self.folder / file)
            references[f"modelcache/{name}"] = f"{prefix}modelcache/{name}@{digest}"
            purl = f"pkg:oci/{name}@{digest.replace(':', '%3A')}?arch={ARCHITECTURE}&tag=v{self.version}"
            self.artifacts.append(sbom.Artifact(file, self.sha256(file), [*self.linked, *self.debian(name)], purl))
        return references

    def debian(self, name: str) -> list[Package]:
        """The Debian packages in an image, from its own database."""
        below = RECIPES[name](Places(self.given.distribution, None)).layers[0]
        return [debian_package(entry.source.decode()) for path, entry in sorted(below.entries.items())
                if path.startswith("var/lib/dpkg/status.d/") and isinstance(entry.source, bytes)]

    def chart(self) -> None:
        with tempfile.TemporaryDirectory() as work:
            subprocess.run([self.tools / "helm", "package", REPOSITORY / "charts/modelcache", "--destination", work], check=True,
                           stdout=subprocess.DEVNULL, env=os.environ | {"HOME": work})
            [packed] = pathlib.Path(work).glob("*.tgz")
            archives.write(self.folder / packed.name, archives.repacked(packed), self.date)

    def manifests(self, images: dict[str, str]) -> None:
        [kubectl] = self.tools.glob("kubectl*")
        for file, overlay in (("install.yaml", "default"), ("install-legacy.yaml", "legacy")):
            (self.folder / file).write_text(manifests.installation(kubectl, overlay, images))
        plugin = f"kubectl-modelcache-{self.version}-linux-{ARCHITECTURE}.tar.gz"
        (self.folder / "modelcache.yaml").write_text(
            manifests.krew(self.version, ARCHITECTURE, plugin, self.sha256(plugin), self.given.url))

    def sums(self) -> None:
        names = sorted(path.name for path in self.folder.iterdir())
        (self.folder / "SHA256SUMS").write_text("".join(f"{self.sha256(name)}  {name}\n" for name in names))


def image_digest(archive: pathlib.Path) -> str:
    with tarfile.open(archive) as tar:
        [manifest] = json.load(tar.extractfile("index.json"))["manifests"]
    return manifest["digest"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="hack/release")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--distribution", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--registry")
    parser.add_argument("--url")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and moved: nobody publishes half a release.
    with tempfile.TemporaryDirectory(prefix=".release.", dir=arguments.output.parent) as work:
        folder = pathlib.Path(work) / "release"
        folder.mkdir()
        release = Release(folder, arguments)
        release.programs()
        images = release.images()
        release.chart()
        release.manifests(images)
        (folder / f"modelcache-{release.version}.spdx.json").write_text(sbom.document(release.artifacts, release.version, release.date))
        release.sums()
        shutil.rmtree(arguments.output, ignore_errors=True)
        folder.rename(arguments.output)
    for path in sorted(arguments.output.iterdir()):
        print(f"{path.stat().st_size:>12}  {path}")


if __name__ == "__main__":
    main()

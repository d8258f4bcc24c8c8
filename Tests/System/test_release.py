"""hack/release: what is published follows from the sources alone, and its parts name each other rightly.

The programs are small ones here: the release does not look into them.
"""
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest
import yaml

from support import paths

PROGRAMS = ("modelcache", "modelcache-operator", "modelcache-devstore", "kubectl-modelcache")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """make(name): a release in a folder of that name."""
    place = tmp_path_factory.mktemp("release")
    (place / "dist/bin").mkdir(parents=True)
    (place / "dist/lib").mkdir()
    for name in PROGRAMS:
        shutil.copyfile("/bin/true", place / "dist/bin" / name)
    shutil.copyfile(paths.PRELOAD, place / "dist/lib/libossc_preload.so")

    def make(name: str) -> pathlib.Path:
        subprocess.run(["env", f"MODELCACHE_DIST={place}/dist", paths.REPOSITORY / "hack/release", "--as-is", "--output", place / name,
                        "--registry", "registry.example.com/ai/", "--url", "https://downloads.example.com/v0/"],
                       check=True, timeout=300, stdout=subprocess.DEVNULL)
        return place / name
    return make


@pytest.fixture(scope="module")
def made(release):
    return release("first")


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def one(made: pathlib.Path, pattern: str) -> pathlib.Path:
    [path] = made.glob(pattern)
    return path


def test_two_runs_give_the_same_bytes_and_the_sums_are_those_of_all_files(made, release):
    again = release("second")
    told = dict(reversed(line.split("  ")) for line in (made / "SHA256SUMS").read_text().splitlines())
    assert told == {path.name: sha256(path) for path in made.iterdir() if path.name != "SHA256SUMS"}
    assert (again / "SHA256SUMS").read_text() == (made / "SHA256SUMS").read_text()


def test_archives_hold_programs_and_the_licences_of_all_that_is_linked_in(made):
    for name in PROGRAMS:
        with tarfile.open(one(made, f"{name}-[0-9]*.tar.gz")) as tar:
            modes = {entry.name: entry.mode for entry in tar}
        assert modes[f"bin/{name}"] == 0o755 and "LICENSE" in modes and "licences/swift-nio/NOTICE.txt" in modes
        assert ("lib/libossc_preload.so" in modes) == (name == "modelcache")


def test_the_manifests_name_the_published_images_by_digest(made):
    digests = {}
    for name in ("operator", "agent"):
        with tarfile.open(one(made, f"{name}-*.oci.tar")) as tar:
            [manifest] = json.load(tar.extractfile("index.json"))["manifests"]
        digests[name] = f"registry.example.com/ai/modelcache/{name}@{manifest['digest']}"
    for file in ("install.yaml", "install-legacy.yaml"):
        text = (made / file).read_text()
        assert set(re.findall(r"\S+@sha256:\w+", text)) == set(digests.values())
        objects = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}
        [operator] = objects["Deployment", "modelcache-operator"]["spec"]["template"]["spec"]["containers"]
        assert operator["image"] == digests["operator"]
        # Warm-up Jobs run the same agent.
        assert {"name": "MODELCACHE_AGENT_IMAGE", "value": digests["agent"]} in operator["env"]
        assert ("CustomResourceDefinition", "modelcaches.modelcache.io") in objects


def test_krew_finds_the_plugin_in_its_archive(made):
    plugin = yaml.safe_load((made / "modelcache.yaml").read_text())
    [platform] = plugin["spec"]["platforms"]
    archive = one(made, "kubectl-modelcache-*.tar.gz")
    assert platform["uri"] == f"https://downloads.example.com/v0/{archive.name}" and platform["sha256"] == sha256(archive)
    with tarfile.open(archive) as tar:
        assert all(entry["from"] in tar.getnames() for entry in platform["files"])
    # krew's own limit.
    assert len(plugin["spec"]["shortDescription"]) <= 50


def test_the_chart_is_helms_package_of_this_release(made):
    chart = one(made, "modelcache-*[0-9].tgz")
    with tarfile.open(chart) as tar:
        told = yaml.safe_load(tar.extractfile("modelcache/Chart.yaml"))
    assert chart.name == f"modelcache-{told['version']}.tgz" and told["appVersion"] == f"v{told['version']}"


def test_the_bill_of_materials_names_each_package_version_and_licence(made):
    bill = json.loads(one(made, "*.spdx.json").read_text())
    assert bill["spdxVersion"] == "SPDX-2.3"
    packages = {package["SPDXID"]: package for package in bill["packages"]}
    assert len(packages) == len(bill["packages"])
    assert all(name in packages or name == "SPDXRef-DOCUMENT"
               for link in bill["relationships"] for name in (link["spdxElementId"], link["relatedSpdxElement"]))
    assert all(re.fullmatch(r"[A-Z][\w.-]*( (WITH|OR) [A-Z][\w.-]*)?", package["licenseDeclared"]) or package["licenseDeclared"] == "curl"
               for package in packages.values())
    versions = {package["name"]: package["versionInfo"] for package in packages.values()}
    exact = dict(re.findall(r'url: "https://[^"]*/([^/"]+)", exact: "([^"]+)"', (paths.REPOSITORY / "Package.swift").read_text()))
    assert exact.items() <= versions.items()
    # What those bring, and Debian's.
    assert {"swift-collections", "swift-nio-http2", "swift", "libc6", "ca-certificates"} <= versions.keys()
    sums = {package["packageFileName"]: package["checksums"][0]["checksumValue"] for package in packages.values() if "packageFileName" in package}
    assert sums == {path.name: sha256(path) for path in made.iterdir() if path.name.endswith((".tar.gz", ".oci.tar"))}

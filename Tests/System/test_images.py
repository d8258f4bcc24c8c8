"""Images made without a container engine: the same every time, small, and fit for a read-only root.

Needs root: a container's view is made with unshare and chroot.
"""
import contextlib
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import time

import pytest

from support import images, paths


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="mct-images-") as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="module")
def made(folder):
    return images.make(folder / "first")


def digest(path: pathlib.Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_every_image_is_made(made):
    assert set(made) == set(images.NAMES)
    assert {one.reference for one in made.values()} == {f"modelcache/{name}:dev" for name in images.NAMES}


def test_the_same_input_gives_the_same_bytes(made, folder):
    again = images.make(folder / "second")
    for name, one in made.items():
        assert again[name].identity == one.identity, name
        assert digest(again[name].path) == digest(one.path), name


def test_nothing_is_written_again_when_the_input_is_the_same(made, folder):
    before = {name: one.path.stat().st_mtime_ns for name, one in made.items()}
    images.make(folder / "first")
    assert {name: one.path.stat().st_mtime_ns for name, one in made.items()} == before


def test_another_program_gives_another_image_with_the_same_library_layer(made, folder):
    changed = folder / "dist"
    shutil.copytree(paths.DIST, changed)
    with open(changed / "bin/modelcache-devstore", "ab") as program:
        program.write(b"\n")
    other = images.make(folder / "changed", "devstore", MODELCACHE_DIST=str(changed))["devstore"]
    assert other.identity != made["devstore"].identity
    assert other.manifest["Layers"][0] == made["devstore"].manifest["Layers"][0]
    assert other.manifest["Layers"][1] != made["devstore"].manifest["Layers"][1]


def test_half_an_archive_is_made_again(made, folder):
    one = images.make(folder / "half", "devstore")["devstore"]
    os.truncate(one.path, one.path.stat().st_size // 2)
    assert images.make(folder / "half", "devstore")["devstore"].identity == one.identity
    assert digest(one.path) == digest(made["devstore"].path)


@pytest.mark.parametrize("name", images.NAMES)
def test_the_archive_is_what_it_says(made, name):
    one = made[name]
    assert one.manifest["RepoTags"] == [one.reference]
    assert one.configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in one.layers]
    assert one.manifest["Config"] == "blobs/" + one.identity.replace(":", "/") and one.oci["config"]["digest"] == one.identity
    assert one.descriptor["digest"] == one.digest and one.descriptor["annotations"]["io.containerd.image.name"] == f"docker.io/{one.reference}"
    assert all(name.endswith(f"/{digest}") for name, digest in one.blobs.items())
    assert [f"blobs/{layer['digest'].replace(':', '/')}" for layer in one.oci["layers"]] == one.manifest["Layers"]
    # Numeric, because the kubelet refuses runAsNonRoot for a name.
    assert one.configuration["config"]["User"] == "65532:65532"


@pytest.mark.parametrize("name", images.NAMES)
def test_an_image_holds_no_shell_no_date_and_nothing_of_this_machine(made, name):
    entries = made[name].entries()
    assert all(entry.mtime == 0 and entry.uid == 0 and entry.gid == 0 for entry in entries)
    assert not {pathlib.PurePath(entry.name).name for entry in entries if not entry.isdir()} & {"sh", "bash", "dash", "busybox", "apt", "dpkg"}
    assert not [entry.name for entry in entries if entry.mode & 0o6000]
    writable = [entry.name for entry in entries if not entry.issym() and entry.mode & 0o022]
    assert writable == ["tmp"]
    home = os.path.expanduser("~/.cache").encode()
    assert not [number for number, layer in enumerate(made[name].layers) if home in layer]


def stanzas(one) -> dict[str, dict[str, str]]:
    """The fields that dpkg's database in the image has of each package."""
    with_content = [tarfile.open(fileobj=io.BytesIO(layer)) for layer in one.layers]
    return {pathlib.PurePath(entry.name).name: dict(line.split(": ", 1) for line in tar.extractfile(entry).read().decode().splitlines())
            for tar in with_content for entry in tar if entry.name.startswith("var/lib/dpkg/status.d/") and entry.isfile()}


@pytest.mark.parametrize("name", ["operator", "agent", "devstore"])
def test_scanners_find_every_package_and_its_licence_in_an_image(made, name):
    known, files = stanzas(made[name]), {entry.name for entry in made[name].entries()}
    assert "etc/os-release" in files and {"libc6", "libcurl4" if name != "devstore" else "libc6"} <= known.keys()
    here = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *known], text=True, stdout=subprocess.PIPE, check=True).stdout
    assert {package: fields["Version"] for package, fields in known.items()} == dict(line.split() for line in here.splitlines())
    assert {f"usr/share/doc/{package}/copyright" for package in known} <= files
    # Each Debian source has a row with its licence.
    page = (paths.REPOSITORY / "docs/dependencies.md").read_text()
    assert not [fields["Source"] for fields in known.values() if f"| {fields['Source'].split()[0]} |" not in page]


def test_images_and_containerfiles_have_the_same_labels(made):
    for name, one in made.items():
        text = (paths.REPOSITORY / f"config/images/{name}.Containerfile").read_text()
        assert dict(re.findall(r'(org\.opencontainers\.image\.\w+)="([^"]*)"', text)) == one.configuration["config"]["Labels"], name


HELP = {
    "operator": ("--help", "USAGE"),
    "agent": ("--help", "USAGE"),
    "llama.cpp": ("--version", "version:"),
    "devstore": ("--help", "USAGE"),
}


@pytest.mark.parametrize("name", images.NAMES)
def test_the_entrypoint_runs_with_a_read_only_root_as_a_user_without_rights(made, folder, name):
    root = made[name].unpack(folder / f"root-{name}")
    argument, expected = HELP[name]
    done = images.run(root, *made[name].configuration["config"]["Entrypoint"], argument)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout + done.stderr


def test_the_agents_image_speaks_to_a_store_over_https_names_and_all(made, folder):
    """Certificates, the resolver and every library of libcurl are there: the error is the network's, not theirs."""
    root = made["agent"].unpack(folder / "root-https")
    done = images.run(root, "/modelcache", "ls", OSS_PATH="oss://models/x/", OSS_ENDPOINT="https://store.example.com",
                      OSS_REGION="cn-hangzhou")
    assert done.returncode != 0
    assert "store.example.com" in done.stderr
    assert "certificate" not in done.stderr.lower()


def test_the_agents_image_carries_the_library_for_pods(made, folder):
    root = made["agent"].unpack(folder / "root-library")
    assert digest(root / "lib/libossc_preload.so") == digest(paths.PRELOAD)
    [loader] = [f"/{entry.name}" for entry in made["agent"].entries() if "/ld-linux" in entry.name]
    done = images.run(root, loader, "--preload", "/lib/libossc_preload.so", "--list", "/modelcache")
    assert done.returncode == 0, done.stderr
    assert "/lib/libossc_preload.so (0x" in done.stdout


def test_the_agents_image_finds_its_library_with_a_read_only_root(made, folder):
    root = made["agent"].unpack(folder / "root-doctor")
    done = images.run(root, "/modelcache", "doctor", MODELCACHE_ROOT="/tmp/root", user="0:0")
    # The doctor finds fault with a namespace without a network; what counts is the image's own part.
    [line] = [line for line in done.stdout.splitlines() if "preload library" in line]
    assert line.startswith("ok") and line.endswith("/lib/libossc_preload.so")


def test_llama_cpp_finds_its_processor_backends(made, folder):
    root = made["llama.cpp"].unpack(folder / "root-llama")
    done = images.run(root, "llama-bench", "--list-devices", PATH="/usr/bin:" + os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    assert "loaded CPU backend" in done.stderr


def test_a_tree_for_a_containerfile_holds_the_same_files(made, folder):
    subprocess.run([paths.REPOSITORY / "hack/images", "agent", "--tree", folder / "tree"], check=True)
    unpacked = made["agent"].unpack(folder / "root-tree")

    def listing(root: pathlib.Path) -> dict[str, tuple[int, str]]:
        return {str(path.relative_to(root)): (path.lstat().st_mode, digest(path) if path.is_file() else "")
                for path in root.rglob("*")}

    assert listing(folder / "tree") == listing(unpacked)


def containerd_programs() -> pathlib.Path | None:
    cached = sorted(pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")).glob(
        "modelcache/kubernetes/*/bin/containerd"))
    installed = shutil.which("containerd")
    return (cached[-1] if cached else pathlib.Path(installed)).parent if cached or installed else None


@pytest.fixture(scope="module")
def ctr(folder):
    """ctr(*arguments) on a containerd of this test's own, without the CRI part."""
    programs = containerd_programs()
    if programs is None:
        pytest.skip("no containerd on this machine (hack/lib/cluster/kubernetes-binaries unpacks one)")
    place = folder / "containerd"
    place.mkdir()
    (place / "config.toml").write_text(
        f'version = 2\nroot = "{place}/root"\nstate = "{place}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{place}/sock"\n'
        f'[plugins."io.containerd.internal.v1.opt"]\npath = "{place}/opt"\n')
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    with open(place / "log", "wb") as log:
        daemon = subprocess.Popen([programs / "containerd", "--config", place / "config.toml"], stdout=log, stderr=log,
                                  env=environment)

    def call(*arguments, check=True) -> str:
        return subprocess.run([programs / "ctr", "--address", place / "sock", "-n", "k8s.io", *arguments], check=check,
                              text=True, capture_output=True, timeout=120, env=environment).stdout

    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                call("version")
                break
            assert daemon.poll() is None and time.monotonic() < deadline, (place / "log").read_text()[-3000:]
            time.sleep(0.05)
        yield call
    finally:
        daemon.terminate()
        daemon.wait(120)


@pytest.mark.parametrize("name", images.NAMES)
def test_containerd_imports_the_archive_under_the_name_that_pods_use(made, ctr, name):
    ctr("images", "import", "--snapshotter", "native", str(made[name].path))
    assert f"docker.io/{made[name].reference}" in ctr("images", "ls", "-q").split()
    # The image's id is what the kubelet reports as imageID.
    assert made[name].identity in ctr("content", "ls", "-q").split()

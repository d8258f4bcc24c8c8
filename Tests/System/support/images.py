"""Images as hack/images leaves them: made, looked into, unpacked, and run as a container would."""
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

from . import paths

NAMES = ("operator", "agent", "llama.cpp", "devstore")


def make(output: pathlib.Path, *names: str, **environment: str) -> dict[str, "Archive"]:
    """hack/images into `output`; what its table says is checked against what it wrote."""
    done = subprocess.run([paths.REPOSITORY / "hack/images", *names, "--output", output], text=True,
                          stdout=subprocess.PIPE, env=os.environ | environment, check=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    return {pathlib.Path(row[-1]).stem: Archive(pathlib.Path(row[-1]), reference=row[0], identity=row[3], digest=row[4]) for row in rows}


class Archive:
    """One archive: an OCI layout that is a docker-archive too."""

    def __init__(self, path: pathlib.Path, reference: str, identity: str, digest: str):
        self.path, self.reference, self.identity, self.digest = path, reference, identity, digest
        with tarfile.open(path) as tar:
            [self.manifest] = json.load(tar.extractfile("manifest.json"))
            [self.descriptor] = json.load(tar.extractfile("index.json"))["manifests"]
            self.oci = json.load(tar.extractfile(f"blobs/{self.descriptor['digest'].replace(':', '/')}"))
            self.blobs = {member.name: hashlib.sha256(tar.extractfile(member).read()).hexdigest() for member in tar if "/sha256/" in member.name}
            self.configuration = json.load(tar.extractfile(self.manifest["Config"]))
            self.layers = [tar.extractfile(name).read() for name in self.manifest["Layers"]]

    def entries(self) -> list[tarfile.TarInfo]:
        return [entry for layer in self.layers for entry in tarfile.open(fileobj=io.BytesIO(layer))]

    def unpack(self, folder: pathlib.Path) -> pathlib.Path:
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                tar.extractall(folder, filter="fully_trusted")
        return folder


def run(root: pathlib.Path, *command: str, user="65532:65532", **environment: str) -> subprocess.CompletedProcess:
    """Runs a command in `root` as a container with a read-only root does: as `user`, with a /tmp and
    a /proc of its own, nothing else that can be written, no network. Needs root."""
    script = """
        root=$1 user=$2; shift 2
        mount --bind "$root" "$root"
        mount -t tmpfs -o mode=1777 none "$root/tmp"
        mount -t proc none "$root/proc"
        mount -o remount,ro,bind "$root"
        exec chroot --userspec="$user" "$root" "$@"
    """
    return subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-euc", script, "sh", root, user, *command],
        text=True, capture_output=True, timeout=180, env={"PATH": os.environ["PATH"], "HOME": "/tmp", **environment})

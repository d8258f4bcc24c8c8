"""Docker archives: the tar files that `docker load`, `podman load` and `ctr images import` take.

An archive holds one image: its configuration (named by its own SHA-256, which is the image's id), its
layers and `manifest.json`, which ties them to a name. Format: the Docker image specification 1.2,
"Combined Image JSON + Filesystem Changeset Format".
"""
import hashlib
import json
import os
import pathlib
import platform
import tarfile
import tempfile
from typing import NamedTuple

from tree import Entry, Tree, add

# Written into what is made and counted in `Image.inputs`: a change of the format makes every image anew.
FORMAT = 1

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Image(NamedTuple):
    """What an image is to be. `layers` from what changes least to what changes most."""

    reference: str
    layers: list[Tree]
    entrypoint: list[str]
    environment: dict[str, str]
    user: str = "65532:65532"

    def inputs(self) -> str:
        """SHA-256 over everything the archive depends on."""
        return hashlib.sha256(
            json.dumps([FORMAT, self.reference, configuration(self, [layer.digest() for layer in self.layers])],
                       sort_keys=True).encode()).hexdigest()


def configuration(image: Image, layers: list[str]) -> dict:
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        # No date: it would be the one thing that differs between two builds of the same input.
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in sorted(image.environment.items())],
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.title": image.reference.split(":")[0]},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hack/images"} for _ in layers],
    }


def write(image: Image, path: pathlib.Path) -> str:
    """Writes the archive and returns the image's id, `sha256:<hex>`. Nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
        layers: dict[str, pathlib.Path] = {}
        for number, layer in enumerate(image.layers):
            file = pathlib.Path(work) / f"layer-{number}"
            with open(file, "wb+") as stream:
                layer.write_tar(stream)
                stream.seek(0)
                layers[hashlib.file_digest(stream, "sha256").hexdigest()] = file
        described = json.dumps(configuration(image, list(layers)), sort_keys=True).encode()
        identity = hashlib.sha256(described).hexdigest()
        manifest = [{
            "Config": f"{identity}.json",
            "RepoTags": [image.reference],
            "Layers": [f"{digest}.tar" for digest in layers],
        }]
        whole = pathlib.Path(work) / "archive"
        with tarfile.open(whole, mode="w", format=tarfile.GNU_FORMAT) as tar:
            contents: dict[str, bytes | pathlib.Path] = {
                f"{identity}.json": described, "manifest.json": json.dumps(manifest).encode()}
            contents |= {f"{digest}.tar": file for digest, file in layers.items()}
            for name, source in sorted(contents.items()):
                add(tar, name, Entry(tarfile.REGTYPE, 0o644, source))
        os.replace(whole, path)
    return f"sha256:{identity}"

"""Image archives: OCI image layouts in a tar file, which `docker load`, `podman load`, `ctr images import` and `skopeo copy oci-archive:` take.

An archive holds one image: `index.json` names its manifest by digest, the manifest names the configuration (whose SHA-256 is the image's id) and the
layers. `manifest.json` says the same for `docker load` before Docker 25. Formats: the OCI image specification 1.0, and the Docker image specification
1.2, "Combined Image JSON + Filesystem Changeset Format".
"""
import gzip
import hashlib
import json
import os
import pathlib
import platform
import shutil
import tarfile
import tempfile
from typing import NamedTuple

from tree import Entry, Tree, add

# Written into what is made and counted in `Image.inputs`: a change of the format makes every image anew.
FORMAT = 2

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ARCHITECTURE = ARCHITECTURES.get(platform.machine(), platform.machine())
# Not 9: it takes three times as long for one per cent less.
COMPRESSION = 6


class Image(NamedTuple):
    """What an image is to be. `layers` from what changes least to what changes most."""

    reference: str
    layers: list[Tree]
    entrypoint: list[str]
    environment: dict[str, str]
    labels: dict[str, str] = {}
    user: str = "65532:65532"
    # Layers as a registry stores them: pushed as they are, the image keeps its digest.
    compressed: bool = False

    def inputs(self) -> str:
        """SHA-256 over everything the archive depends on."""
        return hashlib.sha256(
            json.dumps([FORMAT, self.reference, self.compressed, configuration(self, [layer.digest() for layer in self.layers])],
                       sort_keys=True).encode()).hexdigest()


class Written(NamedTuple):
    """`identity` is the digest of the configuration, `docker images`' id; `digest` that of the manifest, by which a registry and a pod name the image."""

    identity: str
    digest: str


def configuration(image: Image, layers: list[str]) -> dict:
    return {
        "architecture": ARCHITECTURE,
        "os": "linux",
        # No date: it would be the one thing that differs between two builds of the same input.
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in sorted(image.environment.items())],
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hack/images"} for _ in layers],
    }


def write(image: Image, path: pathlib.Path) -> Written:
    """Writes the archive. Nobody ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
        blobs: dict[str, bytes | pathlib.Path] = {}
        differences, layers = [], []
        for number, layer in enumerate(image.layers):
            file = pathlib.Path(work) / f"layer-{number}"
            with open(file, "wb+") as stream:
                layer.write_tar(stream)
            differences.append(digest_of(file))
            layers.append(stored(blobs, compressed(file) if image.compressed else file,
                                 "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if image.compressed else "")))
        described = encoded(configuration(image, differences))
        config = stored(blobs, described, "application/vnd.oci.image.config.v1+json")
        manifest = stored(blobs, encoded({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
            "annotations": image.labels}), "application/vnd.oci.image.manifest.v1+json")
        named = {"org.opencontainers.image.ref.name": image.reference.rpartition(":")[2], "io.containerd.image.name": f"docker.io/{image.reference}"}
        contents: dict[str, bytes | pathlib.Path] = {f"blobs/sha256/{digest}": blob for digest, blob in blobs.items()} | {
            "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
            "index.json": encoded({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest | {
                "annotations": named, "platform": {"architecture": ARCHITECTURE, "os": "linux"}}]}),
            "manifest.json": encoded([{
                "Config": blob_name(config), "RepoTags": [image.reference], "Layers": [blob_name(layer) for layer in layers]}]),
        }
        whole = pathlib.Path(work) / "archive"
        with tarfile.open(whole, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name, source in sorted(contents.items()):
                add(tar, name, Entry(tarfile.REGTYPE, 0o644, source))
        os.replace(whole, path)
    return Written(config["digest"], manifest["digest"])


def encoded(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def digest_of(content: bytes | pathlib.Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with open(content, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stored(blobs: dict[str, bytes | pathlib.Path], content: bytes | pathlib.Path, media_type: str) -> dict:
    """The descriptor of a blob, which goes to `blobs` by its digest."""
    digest = digest_of(content)
    blobs[digest] = content
    return {"mediaType": media_type, "digest": f"sha256:{digest}",
            "size": len(content) if isinstance(content, bytes) else content.stat().st_size}


def blob_name(descriptor: dict) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def compressed(file: pathlib.Path) -> pathlib.Path:
    """The file as gzip, without a name and a date inside."""
    target = file.with_suffix(".gz")
    with open(file, "rb") as source, open(target, "wb") as raw, gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as output:
        shutil.copyfileobj(source, output, 1 << 20)
    return target

"""Compares an image that an engine built with the tree that hack/images lays out for it.

usage: compare.py NAME OCI_ARCHIVE TREE      prints the image's row; exit code 1 where files differ that no Debian package brings
"""
import io
import json
import pathlib
import sys
import tarfile

# Below these lie what Debian's packages bring, and the list of them.
DEBIAN = ("lib/", "lib64/", "usr/lib/", "usr/share/doc/", "etc/ssl/certs/", "etc/os-release", "var/lib/dpkg/status.d/")
DATABASE = "var/lib/dpkg/status.d/"


def image(path: str) -> tuple[dict[str, tuple[int, bytes]], dict]:
    """The image's files by name, with mode and content, and its manifest's descriptor."""
    files: dict[str, tuple[int, bytes]] = {}
    with tarfile.open(path) as tar:
        def blob(digest: str) -> bytes:
            return tar.extractfile(f"blobs/{digest.replace(':', '/')}").read()
        [descriptor] = json.load(tar.extractfile("index.json"))["manifests"]
        for layer in json.loads(blob(descriptor["digest"]))["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as content:
                files |= {entry.name.removeprefix("./").rstrip("/"): (entry.mode & 0o7777, content.extractfile(entry).read()) for entry in content if entry.isfile()}
    return files, descriptor


def tree(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    return {str(path.relative_to(folder)): (path.stat().st_mode & 0o7777, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    name, archive, folder = sys.argv[1:]
    built, descriptor = image(archive)
    expected = tree(pathlib.Path(folder))
    differ = sorted(path for path in built.keys() | expected.keys() if built.get(path) != expected.get(path))
    packages = [path.removeprefix(DATABASE) for path in differ if path.startswith(DATABASE)]
    if packages:
        print(f"containerfiles: {name}: other versions than on this machine: {', '.join(packages)}", file=sys.stderr)
    # A library may differ where its package does.
    wrong = [path for path in differ if not path.startswith(DEBIAN)] if packages else differ
    for path in wrong:
        told = "only in the image" if path not in expected else "not in the image" if path not in built else "other content or mode"
        print(f"containerfiles: {name}: {path}: {told}", file=sys.stderr)
    size = sum(len(content) for _, content in built.values())
    print(f"modelcache/{name}  {size / 1e6:.1f} MB  {descriptor['digest']}")
    return 1 if wrong or "lib/libossc_preload.so" in differ else 0


if __name__ == "__main__":
    sys.exit(main())

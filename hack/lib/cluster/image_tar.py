"""Writes an image of a few files as a docker-archive tar, which containerd imports without a registry.

usage: image_tar.py OUTPUT NAME [--entrypoint PROGRAM] [--user ID] FILE=/path/in/image...
A target that ends in / is made as a folder (its source is ignored); a source "link:/path" makes a link to that path.
The same input gives the same bytes.
"""
import argparse
import hashlib
import io
import json
import os
import platform
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def member(name, size=0, mode=0o644, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name.lstrip("/"))
    info.size, info.mode, info.type, info.linkname = size, mode, kind, link
    return info


def layer(files):
    """An uncompressed layer of (source, target) pairs, with the folders on their way."""
    output = io.BytesIO()
    folders = {"tmp"}
    with tarfile.open(fileobj=output, mode="w") as tar:
        tar.addfile(member("tmp", mode=0o1777, kind=tarfile.DIRTYPE))
        for source, target in files:
            parts = target.strip("/").split("/")
            for depth in range(1, len(parts) + target.endswith("/")):
                folder = "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    tar.addfile(member(folder, mode=0o755, kind=tarfile.DIRTYPE))
            if source.startswith("link:"):
                tar.addfile(member(target, mode=0o777, kind=tarfile.SYMTYPE, link=source[5:]))
            elif not target.endswith("/"):
                with open(source, "rb") as content:
                    data = content.read()
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                tar.addfile(member(target, len(data), mode), io.BytesIO(data))
    return output.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("name", help="such as localhost/pause:1; a tag other than latest is never pulled")
    parser.add_argument("--entrypoint", action="append", default=[])
    parser.add_argument("--user", default="")
    parser.add_argument("files", nargs="*", metavar="FILE=/path")
    options = parser.parse_intermixed_args()
    content = layer([one.rsplit("=", 1) for one in options.files])
    digest = hashlib.sha256(content).hexdigest()
    machine = platform.machine()
    config = json.dumps({
        "architecture": ARCHITECTURES.get(machine, machine), "os": "linux",
        "config": {"Entrypoint": options.entrypoint, "User": options.user, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [options.name], "Layers": [f"{digest}/layer.tar"]}]).encode()
    with tarfile.open(options.output, "w") as tar:
        for name, data in ((config_name, config), (f"{digest}/layer.tar", content), ("manifest.json", manifest)):
            tar.addfile(member(name, len(data)), io.BytesIO(data))


main()

"""The manifests of a release: install.yaml with images by digest, and the one by which krew installs the kubectl plugin."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from packages import REPOSITORY


def installation(kubectl: pathlib.Path, overlay: str, images: dict[str, str]) -> str:
    """config/OVERLAY as `kubectl apply` takes it; `images` are name in config/ -> REPOSITORY@DIGEST."""
    with tempfile.TemporaryDirectory() as work:
        config = pathlib.Path(work) / "config"
        shutil.copytree(REPOSITORY / "config", config)
        # Where `kustomize edit set image` writes too: an overlay of its own would have to repeat the base's replacements.
        base = config / "base/kustomization.yaml"
        text = base.read_text()
        for name, image in images.items():
            repository, digest = image.split("@")
            text, count = re.subn(rf"(- name: {name}\n)  newTag: \S+", rf"\g<1>  newName: {repository}\n  digest: {digest}", text)
            if count != 1:
                raise SystemExit(f"release: config/base/kustomization.yaml has no newTag for {name}")
        base.write_text(text)
        run = subprocess.run([kubectl, "kustomize", config / overlay], text=True, capture_output=True, check=False,
                             env=os.environ | {"HOME": work, "KUBECONFIG": os.devnull})
        if run.returncode != 0:
            raise SystemExit(f"release: kubectl kustomize config/{overlay}: {run.stderr.strip()}")
        return run.stdout


def krew(version: str, architecture: str, archive: str, sha256: str, url: str | None) -> str:
    """The plugin's manifest: krew.sigs.k8s.io/docs/developer-guide/plugin-manifest. Without a URL krew must be given the archive."""
    return f"""apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: modelcache
spec:
  version: v{version}
  shortDescription: Show and manage ModelCaches
  description: |
    Shows the ModelCaches of a cluster: their progress, where they are, and why one is
    not ready and what to do. Evicts copies from nodes.
  platforms:
  - selector:
      matchLabels:
        os: linux
        arch: {architecture}
    uri: {f"{url.rstrip('/')}/{archive}" if url else archive}
    sha256: {sha256}
    bin: kubectl-modelcache
    files:
    - from: bin/kubectl-modelcache
      to: .
    - from: LICENSE
      to: .
"""

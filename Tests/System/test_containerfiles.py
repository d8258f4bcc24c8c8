"""The Containerfiles that people give to podman and docker, built by buildah: the same files as hack/images makes, the same digest each time.

Needs root, and Debian's mirror: the first run makes the base image, a minute or two.
"""
import subprocess

import pytest

from support import paths


def build(name: str) -> list[str]:
    done = subprocess.run([paths.REPOSITORY / "hack/containerfiles", name], text=True, capture_output=True, check=False, timeout=850)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.split()


@pytest.mark.timeout(1800)
def test_an_engine_builds_what_hack_images_makes_with_the_same_digest_each_time():
    first = build("agent")
    assert first[0] == "modelcache/agent" and first[-1].startswith("sha256:")
    assert build("agent") == first

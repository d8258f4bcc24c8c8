"""What every test here is given."""
import subprocess
import pytest
from preload_world import HERE, World


@pytest.fixture
def world(tmp_path):
    w = World(tmp_path)
    yield w
    if w.process and w.process.poll() is None:
        w.kill()
    if w.mounted:
        subprocess.run(["umount", "-l", w.cache])


@pytest.fixture(scope="session")
def reader(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "reader")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", out, HERE + "/reader.c"], check=True)
    return out


@pytest.fixture(scope="session")
def stream(tmp_path_factory):
    out = str(tmp_path_factory.mktemp("c") / "stream")
    subprocess.run(["g++", "-O1", "-o", out, HERE + "/stream.cpp"], check=True)
    return out

"""hack/test ends soon and in order when it is asked to, also when it alone is: the test that runs cleans up first."""
import shutil
import signal
import subprocess
import time

import pytest

from support.paths import REPOSITORY

TEST = '''
import pathlib, time

def test_long(folder=pathlib.Path({folder!r})):
    (folder / "began").touch()
    try:
        time.sleep(120)
    finally:
        (folder / "cleaned").touch()
'''


@pytest.fixture
def run(tmp_path):
    """hack/test tidy of a tree whose one test is long."""
    tree = tmp_path / "tree"
    for file in ("hack/test", *(f"hack/lib/{name}" for name in ("common.sh", "packages.sh", "tests.sh", "tests-need")),
                 "Tests/System/requirements.txt", "Tests/ControlPlane/requirements.txt"):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, tree / file)
    (tree / "Tests/Tidy").mkdir()
    (tree / "Tests/Tidy/test_long.py").write_text(TEST.format(folder=str(tmp_path)))
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([tree / "hack/test", "tidy"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_for_the_run_alone_ends_the_part_at_once_and_in_order(run, tmp_path, number):
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert run.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    run.send_signal(number)
    # The test alone would take two minutes.
    assert run.wait(60) == 130, (tmp_path / "log").read_text()
    assert (tmp_path / "cleaned").exists(), (tmp_path / "log").read_text()

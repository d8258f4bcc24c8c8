"""`hack/demo --local` as a person runs it: on a terminal, without root, without a network; and Ctrl-C at any moment."""
import fcntl
import glob
import os
import pathlib
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from support import paths
from support.processes import clean_environment, wait_until

DEMO = paths.REPOSITORY / "hack/demo"
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")
NOBODY = 65534
COLUMNS = 80


class Terminal:
    """A program on a terminal of 80 columns, which is its foreground group."""

    def __init__(self, *command: object, environment: dict[str, str]):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        self.process = subprocess.Popen([*map(str, command)], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def until(self, marker: str | None, seconds: float = 240) -> None:
        """Reads until the marker is on the screen; None: to the end."""
        deadline = time.monotonic() + seconds
        while marker is None or marker not in self.text:
            assert time.monotonic() < deadline, f"not within {seconds} s: {marker}\n{self.text}"
            if not select.select([self._master], [], [], 1)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:
                # The last process has closed the terminal.
                data = b""
            if not data:
                assert marker is None, f"ended before {marker!r}\n{self.text}"
                return
            self.text += data.decode(errors="replace")

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)
        os.close(self._master)


def left_of(pid: int) -> list[str]:
    """What a demo of this process id has made and not removed."""
    mark = f"/dev/shm/mcd-{pid}-"
    found = glob.glob(f"{mark}*") + [name for name in glob.glob("/run/netns/mc*") if re.search(rf"/mc[sc]{pid}[a-z]$", name)]
    found += [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if mark in line]
    for entry in glob.glob("/proc/[0-9]*"):
        try:
            told = pathlib.Path(entry, "environ").read_bytes() + pathlib.Path(entry, "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in told:
            found.append(f"{entry}: {told[-200:]!r}")
    return found


@pytest.mark.parametrize("moment", ["a link of", "the wire needs", "[#", "a second server"])
def test_ctrl_c_leaves_nothing_behind(moment):
    terminal = Terminal(DEMO, "--local", "--rate", "1000", environment=clean_environment(TERM="xterm"))
    try:
        terminal.until(moment)
        terminal.press_ctrl_c()
        # An impatient person presses it again.
        terminal.press_ctrl_c()
        terminal.until(None)
        assert terminal.process.wait(60) == 130, terminal.text
        assert "Traceback" not in terminal.text and "interrupted" in terminal.text, terminal.text
        wait_until(lambda: not left_of(terminal.process.pid), 60, f"nothing is left: {left_of(terminal.process.pid)}")
    finally:
        terminal.close()


INTERRUPTED = """
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv.pop(1))
import demo

def undo():
    os.kill(os.getpid(), signal.SIGTERM)
    subprocess.run(["sh", "-c", "kill -INT $$; echo undone"], check=True)

def run(options, stack, interrupts):
    stack.callback(undo)
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        raise FAILURE

demo.run = run
sys.exit(demo.main())
"""


@pytest.mark.parametrize("failure", ["AssertionError('nsenter ended with -2')", "subprocess.CalledProcessError(-2, 'ip')", "SystemExit('no answer')"])
def test_what_fails_after_ctrl_c_fails_because_of_it(failure):
    """As where Ctrl-C ends a child before it has a session of its own. The clean up is not cut short by a second one."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED.replace("FAILURE", failure), DEMO.parent / "bench.d"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (130, "undone\n") and "Traceback" not in ended.stderr and "interrupted" in ended.stderr, ended


def hidden_folders(*needed: pathlib.Path) -> list[str]:
    """The outermost folders on the way to these that another user may not enter."""
    found = []
    for path in needed:
        closed = [folder for folder in reversed(path.resolve().parents) if not folder.stat().st_mode & 0o001]
        if closed and str(closed[0]) not in found:
            found.append(str(closed[0]))
    return found


def as_nobody(home: pathlib.Path, *command: object) -> list[str]:
    """Another user's command, in mounts of its own that show this repository and cache, and without any network."""
    needed = [str(paths.REPOSITORY.resolve()), str(CACHE.resolve())]
    aside = home / "aside"
    lines = ["set -e", "ip link set lo up", f"mkdir -p {aside}"]
    for number, path in enumerate(needed):
        lines += [f"mkdir {aside}/{number}", f"mount --bind {shlex.quote(path)} {aside}/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 modelcache-test {shlex.quote(folder)}" for folder in hidden_folders(*map(pathlib.Path, needed))]
    for number, path in enumerate(needed):
        lines += [f"mkdir -p {shlex.quote(path)}", f"mount --bind {aside}/{number} {shlex.quote(path)}"]
    lines.append(f"cd / && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups {shlex.join(map(str, command))}")
    return ["unshare", "--mount", "--net", "bash", "-c", "\n".join(lines)]


def test_without_root_and_without_a_network_the_demo_runs_on_a_terminal(work):
    home = work / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    os.chmod(work, 0o755)
    environment = clean_environment(
        TERM="xterm", HOME=home, TMPDIR=home, PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", MODELCACHE_CACHE=CACHE.resolve(),
        MODELCACHE_DIST=paths.DIST.resolve())
    terminal = Terminal(*as_nobody(home, DEMO, "--local", "--rate", "1000"), environment=environment)
    try:
        terminal.until(None)
        assert terminal.process.wait(60) == 0, terminal.text
        for words in ("not root: the store itself sends 1000 Mbit/s", "second start, until ready", "of the wire limit"):
            assert words in terminal.text, terminal.text
        # Each drawing stands over the one before, and none is so long that it would wrap.
        drawn = re.findall(r"\r\x1b\[2K([^\r\n]*)", terminal.text)
        assert len(drawn) > 3 and all(len(one) < COLUMNS for one in drawn) and "100%" in drawn[-1]
        wait_until(lambda: not left_of(terminal.process.pid), 60, "nothing is left")
    finally:
        terminal.close()


def test_a_build_that_has_nothing_to_do_does_nothing():
    """What the demo and the tests before it have built is taken as it is, also by a user who may not write there."""
    result = subprocess.run([paths.REPOSITORY / "hack/build", "--if-changed"], env=clean_environment(PATH="/usr/bin:/bin"), text=True,
                            capture_output=True, check=False, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")

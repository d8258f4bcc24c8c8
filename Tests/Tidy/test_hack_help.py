"""Each command of hack/ says what it does, without doing it."""
import os
import pathlib
import subprocess

import pytest

HACK = pathlib.Path(__file__).resolve().parents[2] / "hack"
COMMANDS = sorted(path.name for path in HACK.iterdir() if path.is_file())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_printed_and_nothing_is_made(command: str, option: str, tmp_path: pathlib.Path) -> None:
    environment = os.environ | {"MODELCACHE_CACHE": str(tmp_path / "cache"), "MODELCACHE_DIST": str(tmp_path / "dist")}
    shown = subprocess.run([HACK / command, option], env=environment, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "usage:" in shown.stdout and f"hack/{command}" in shown.stdout
    assert not shown.stderr
    assert not (tmp_path / "dist").exists()
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.parametrize("bench", ["beside", "engine", "load", "memory", "pod", "preload", "swarm"])
def test_options_of_a_bench_are_shown_without_a_build(bench: str, tmp_path: pathlib.Path) -> None:
    environment = os.environ | {"MODELCACHE_CACHE": str(tmp_path / "cache"), "MODELCACHE_DIST": str(tmp_path / "dist")}
    shown = subprocess.run([HACK / "bench", bench, "--help"], env=environment, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert f"usage: hack/bench {bench}" in shown.stdout
    assert not (tmp_path / "dist").exists()

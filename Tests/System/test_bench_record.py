"""hack/bench --record: what becomes of a figure that is worse than the recorded one. A script plays the bench."""
import json
import subprocess
import sys

import pytest

from support import paths

RESULTS = paths.REPOSITORY / "hack/bench.d/results.py"


class Record:
    """A record of one figure, and a bench that gives `values` by the programs it runs: those of now, and those of the recorded commit."""

    def __init__(self, folder, bench: str, value: float, better: str):
        self.folder, self.bench, self.file, self.page = folder, bench, folder / "results.json", folder / "results.md"
        self.commit = subprocess.run(["git", "-C", paths.REPOSITORY, "rev-parse", "--short=7", "HEAD"], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
        self.file.write_text(json.dumps({bench: {"a figure": {
            "value": value, "limit": 2, "better": better, "date": "2020-01-01", "commit": "0000000", "machine": "m"}}}))
        self.page.write_text("before\n<!-- from results.json: begin -->\n<!-- end -->\nafter\n")
        for name in ("kept/0000000", "kept/1111111", "now"):
            (folder / name / "bin").mkdir(parents=True)

    def run(self, now: list[float], old: list[float]) -> subprocess.CompletedProcess:
        for name, values in (("now", now), ("old", old)):
            (self.folder / name).with_suffix(".values").write_text("\n".join(map(str, values)))
        bench = self.folder / "bench"
        bench.write_text(f"""#!{sys.executable}
import json, os, pathlib
figure = {json.loads(self.file.read_text())[self.bench]["a figure"]!r}
which = "old" if "0000000" in os.environ["MODELCACHE_DIST"] else "now"
values = pathlib.Path({str(self.folder)!r}, which + ".values")
value, _, rest = values.read_text().partition("\\n")
values.write_text(rest or value)
print(json.dumps({{"name": "a figure", "value": float(value), "limit": figure["limit"], "better": figure["better"]}}),
      file=open(os.environ["MODELCACHE_BENCH_FIGURES"], "a"))
""")
        bench.chmod(0o755)
        return subprocess.run(
            ["env", f"MODELCACHE_DIST={self.folder / 'now'}", sys.executable, "-B", RESULTS, "record", self.bench, "--pairs", "3", "--record", self.file,
             "--page", self.page, "--bench", bench, "--kept", self.folder / "kept"], text=True, capture_output=True, check=False, timeout=60)

    def figure(self) -> dict:
        return json.loads(self.file.read_text())[self.bench]["a figure"]


@pytest.mark.parametrize("better, last, now", [("lower", 1.0, 1.02), ("lower", 1.0, 0.5), ("higher", 1.0, 0.98), ("higher", 1.0, 2.0), ("lower", 0, 0)])
def test_a_figure_within_three_per_cent_is_recorded_after_one_run(tmp_path, better, last, now):
    record = Record(tmp_path, "load", last, better)
    done = record.run([now], [])
    assert done.returncode == 0, done.stderr
    assert (record.figure()["value"], record.figure()["commit"]) == (now, record.commit)
    assert f"| a figure | {now:g} " in record.page.read_text() and record.page.with_suffix(".svg").exists()
    # The programs of the recorded commit stay for the next pairs; no figure names the others any more.
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {record.commit}


def test_a_slower_machine_is_no_regression(tmp_path):
    record = Record(tmp_path, "load", 1.0, "lower")
    done = record.run([1.2, 1.2, 1.25, 1.2], [1.2, 1.25, 1.2])
    assert done.returncode == 0, done.stderr
    assert record.figure()["value"] == 1.2


@pytest.mark.parametrize("better, last, now, old", [("lower", 1.0, 1.2, 1.1), ("higher", 1.0, 0.8, 0.9), ("lower", 0, 1, 0)])
def test_a_figure_that_is_worse_on_paired_runs_fails_and_keeps_its_record(tmp_path, better, last, now, old):
    record = Record(tmp_path, "load", last, better)
    done = record.run([now], [old])
    assert done.returncode == 1
    assert "load: a figure:" in done.stderr and "worse than at 0000000" in done.stderr
    assert (record.figure()["value"], record.figure()["commit"]) == (last, "0000000")
    assert (tmp_path / "kept/0000000").exists()


def test_one_bad_pair_does_not_decide(tmp_path):
    record = Record(tmp_path, "load", 1.0, "lower")
    assert record.run([1.1, 1.0, 9.0, 1.0], [1.0, 1.0, 1.0]).returncode == 0


def test_simulated_time_needs_no_pairs(tmp_path):
    record = Record(tmp_path, "simulate", 1.0, "lower")
    done = record.run([1.05, 1.0, 1.0, 1.0], [1.05])
    assert done.returncode == 1 and "5.0% worse" in done.stderr


def test_a_bench_that_misses_a_limit_fails_the_record_and_is_recorded(tmp_path):
    record = Record(tmp_path, "load", 1.0, "lower")
    bench = tmp_path / "bench"
    first = record.run([1.0], [])
    assert first.returncode == 0
    bench.write_text(bench.read_text() + "raise SystemExit(1)\n")
    done = subprocess.run(["env", f"MODELCACHE_DIST={tmp_path / 'now'}", sys.executable, "-B", RESULTS, "record", "load", "--record", record.file, "--page", record.page,
                           "--bench", bench, "--kept", tmp_path / "kept"], text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1 and "load: a limit is missed, or the bench failed" in done.stderr

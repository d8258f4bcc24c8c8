"""s5cmd, the parallel S3 command in Go: Signature Version 4 from another hand than Amazon's Python."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import KEY_ID, ODD_KEYS, REGION, SECRET

PROGRAM = pathlib.Path(sys.executable).with_name("s5cmd")


@pytest.fixture
def s5(signed):
    def run(*arguments, secret=SECRET, fails=False):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_ACCESS_KEY_ID": KEY_ID,
                       "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
        done = subprocess.run(
            [str(PROGRAM), "--endpoint-url", signed.address, "--retry-count", "1", "--json", *map(str, arguments)],
            env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_it_lists_every_key(s5, content):
    found = {line["key"].removeprefix("s3://models/"): line.get("size", 0) for line in s5("ls", "s3://models/*") if line["type"] == "file"}
    assert len(found) == len(content) + 1
    assert all(found[key] == len(data) for key, data in content.items())


def test_it_copies_a_folder_and_a_large_object_in_parallel(s5, content, tmp_path):
    s5("cp", "s3://models/many/*", tmp_path)
    for key in (key for key in content if key.startswith("many/")):
        assert (tmp_path / key.removeprefix("many/")).read_bytes() == content[key]
    s5("cp", "--part-size", 1, "--concurrency", 4, "s3://models/big.bin", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == content["big.bin"]


@pytest.mark.parametrize("key", [key for key in ODD_KEYS if "\n" not in key])
def test_it_reads_odd_keys(s5, content, tmp_path, key):
    s5("cp", "--raw", "s3://models/" + key, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content[key]


def test_it_uploads(s5, root, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    s5("cp", tmp_path / "file", "s3://scratch/s5/ü +%.bin")
    assert (root / "scratch/s5/ü +%.bin").read_bytes() == b"x" * 100_000
    assert s5("head", "s3://scratch/s5/ü +%.bin")[0]["size"] == 100_000


def test_it_is_told_why_not(s5):
    assert "SignatureDoesNotMatch" in s5("ls", "s3://models/", secret="no", fails=True)
    assert "NoSuchBucket" in s5("ls", "s3://missing/", fails=True)

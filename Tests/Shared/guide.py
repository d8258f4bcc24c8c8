"""A guide's commands as its reader types them: the shell blocks of a document, run one by one.

A test says what its reader puts in place of the names in the guide; each of them must stand there. Nothing else is changed.
"""
import os
import pathlib
import re
import subprocess
import tempfile
import time


class Guide:
    """The shell blocks of a document. Variables that one block sets are known to those after it, as in a terminal."""

    def __init__(self, path: pathlib.Path, replaced: dict[str, str], environment: dict[str, str]):
        text = "\0".join(re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.M | re.S))
        for old, new in replaced.items():
            assert old in text, f"{path.name} has no command with {old!r}"
            text = text.replace(old, new)
        self.name, self.blocks, self.environment = path.name, text.split("\0"), environment
        self.seconds: list[float] = []

    def run(self, limit: float = 600) -> str:
        """Runs the next block to its end; its output."""
        number = len(self.seconds)
        known = [line for block in self.blocks[:number] for line in block.splitlines() if re.match(r"export |[a-z]\w*=\S*$", line)]
        script = "\n".join(["set -eo pipefail", *known, self.blocks[number]])
        began = time.monotonic()
        # A file, not a pipe: a program that stays in the background would hold its end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(["bash", "-c", script], env=os.environ | self.environment, stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=subprocess.STDOUT, timeout=limit, check=False)
            output.seek(0)
            said = output.read()
        self.seconds.append(time.monotonic() - began)
        assert done.returncode == 0, f"{self.name}, block {number + 1}:\n{self.blocks[number]}\n{said[-4000:]}"
        return said

    @property
    def over(self) -> bool:
        return len(self.seconds) == len(self.blocks)

"""hack/bench preload: what the library costs a reader of a complete file and a program that reads nothing of ours."""
import argparse
import os
import subprocess
import sys
import time

import common
from common import GIB, say
from support import paths
from support.processes import clean_environment

READER = (
    "import os,sys,time\n"
    "b=bytearray(1<<20); f=os.open(sys.argv[1],os.O_RDONLY); t=time.perf_counter(); n=0\n"
    "while c:=os.readv(f,[b]): n+=c\n"
    "print(time.perf_counter()-t, n)\n")


def starts(environment: dict[str, str], count: int) -> float:
    """Seconds for one start and end of /bin/true."""
    began = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], environment), 0)
    return (time.perf_counter() - began) / count


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench preload")
    parser.add_argument("--bytes", type=int, default=GIB)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with common.one_file_rig(options.bytes) as (work, place, store, _):
        model = work / "model"
        preloaded = place.preloaded(store.environment(), model)
        say("filling the cache")
        first = place.run("cat", model / "file", environment=preloaded, seconds=300)
        if first.returncode or len(first.stdout) != options.bytes:
            raise SystemExit(f"bench: the fill failed: {first.stderr.decode()[-1000:]}")
        del first
        common.wait_until(lambda: (model / "file").exists(), 60, "the file is published")
        plain = clean_environment()
        reads: dict[str, list[float]] = {"without": [], "with": []}
        spawns: dict[str, list[float]] = {"without": [], "with": []}
        for turn in range(options.runs):
            # In turns, each going first as often as the other.
            pairs = [("without", plain), ("with", preloaded)]
            for name, environment in pairs if turn % 2 else reversed(pairs):
                result = subprocess.run([sys.executable, "-S", "-c", READER, str(model / "file")], env=environment, check=True, text=True, stdout=subprocess.PIPE)
                seconds, count = result.stdout.split()
                assert int(count) == options.bytes
                reads[name].append(float(seconds))
                spawns[name].append(starts(environment, 200))
    read = {n: common.median(v) for n, v in reads.items()}
    spawn = {n: common.median(v) for n, v in spawns.items()}
    common.table(f"preload library, median of {options.runs}", ["", "without", "with", "ratio"], [
        [f"read {options.bytes >> 20} MiB (s)", f"{read['without']:.4f}", f"{read['with']:.4f}", f"{read['with'] / read['without']:.3f}"],
        ["start of /bin/true (ms)", f"{spawn['without'] * 1e3:.3f}", f"{spawn['with'] * 1e3:.3f}", f"{spawn['with'] / spawn['without']:.3f}"]])
    common.record("preload", {"reads": reads, "starts": spawns})
    good = common.verdict("reading a complete file, ratio", read["with"] / read["without"], 1.02, at_least=False)
    good &= common.verdict("a program that touches nothing, ms more", (spawn["with"] - spawn["without"]) * 1e3, 1.0, at_least=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

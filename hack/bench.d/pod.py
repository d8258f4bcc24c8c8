"""A cold pod on a real Kubernetes: llama-server's readiness, counted from its container's first process, beside what the link
to its node needs for the model. Sandbox and image time stand beside it, as they are not ours.

The whole way: the operator, the webhook, the claim, the token, the agent. Each round is a new ModelCache that no node has."""
import argparse
import json
import os
import pathlib
import signal
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib/demo"))

from drawing import table  # noqa: E402
from pod_starts import PodStarts  # noqa: E402
from testbed import Model, Testbed, namespace_with_keys, paths, wait_until  # noqa: E402

from support.pods import INJECTED, Pods, llama  # noqa: E402
from verdicts import verdict  # noqa: E402

SPACE, LIMIT = "bench", 1.10
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")


def round_of(testbed: Testbed, number: int, starts: PodStarts):
    """One cold start; what it left is removed again."""
    name = f"gemma-{number}"
    model = Model(testbed.cluster, SPACE, name).apply(
        testbed.store.endpoint, warmup={"mode": "OnDemand"}, placement={"seeders": 0})
    wait_until(lambda: testbed.cluster.items("persistentvolumeclaims", "-n", SPACE), "the model's claim")
    pods = Pods(testbed.cluster, SPACE)
    made = pods.create(llama(name, name))
    if INJECTED not in made["metadata"].get("annotations", {}):
        raise SystemExit(f"bench: the pod was not injected: {made['metadata'].get('annotations')}")
    start = wait_until(lambda: next((one for one in starts.on(name) if one.ready), None), f"{name} is ready", 600)
    # The agent's counters are read after it.
    wait_until(lambda: start.origin + start.peers, "the agent's counters")
    pods.delete(name)
    model.delete()
    return start


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench pod")
    parser.add_argument("--rate", type=int, default=100, help="Mbit/s of the link to the node (default: 100)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Testbed("bench", nodes=1, rate_mbit=options.rate) as testbed:
        testbed.install()
        namespace_with_keys(testbed.cluster, SPACE)
        size = paths.gemma().stat().st_size
        with PodStarts(testbed, SPACE, {f"gemma-{number}": size for number in range(options.rounds)}) as starts:
            seen = [round_of(testbed, number, starts) for number in range(options.rounds)]
        wire = size / testbed.bytes_per_second
    ratio = statistics.median(one.seconds / wire for one in seen)
    table(f"a cold pod's llama-server, {size / 1e6:.0f} MB over {options.rate} Mbit/s; the wire needs {wire:.2f} s",
          ["round", "sandbox and image", "container to ready", "of the wire", "read from the store"],
          [[str(n + 1), f"{one.started - one.made:.2f} s", f"{one.seconds:.2f} s", f"{one.seconds / wire:.3f}x", f"{one.origin / size:.3f}x"]
           for n, one in enumerate(seen)])
    good = verdict("container to ready, of the wire, median", ratio, LIMIT, at_least=False)
    folder = CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pod.json").write_text(json.dumps({
        "bytes": size, "rateMbit": options.rate, "wire": wire, "ratio": ratio, "seconds": [one.seconds for one in seen],
        "sandbox": [one.started - one.made for one in seen], "origin": [one.origin for one in seen]}, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

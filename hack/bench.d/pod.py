"""A cold pod on a real Kubernetes: llama-server's readiness, counted from its container's first process, beside what the link
to its node needs for the model. Sandbox and image time stand beside it, as they are not ours.

The whole way: the operator, the webhook, the claim, the token, the agent. Each start is of a new ModelCache that no node has.
Starts come in pairs: once a Job brings the keys of the store, as is the default, and once the pod itself has them. What the
Job costs is the difference of the times from the pod's creation until it is ready."""
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
# Seconds that a start may take longer because the pod holds no key.
JOB_LIMIT = 0.5
# The ModelCaches by the way in which keys come to the node.
WAYS = {"job": {}, "pod": {"modelcache.io/direct-credentials": "true"}}
CACHE = pathlib.Path(os.environ.get("MODELCACHE_CACHE") or pathlib.Path(
    os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "modelcache")


def cold_start(testbed: Testbed, way: str, number: int, starts: PodStarts):
    """One cold start; what it left is removed again."""
    name = f"{way}-{number}"
    model = Model(testbed.cluster, SPACE, name).apply(
        testbed.store.endpoint, warmup={"mode": "OnDemand"}, placement={"seeders": 0})
    wait_until(lambda: testbed.cluster.items("persistentvolumeclaims", "-n", SPACE) and any(
        one["type"] == "SourceResolved" and one["status"] == "True" for one in model.status.get("conditions", [])), "the model's claim and listing")
    pods = Pods(testbed.cluster, SPACE)
    made = pods.create(llama(name, name, annotations=WAYS[way]))
    if INJECTED not in made["metadata"].get("annotations", {}):
        raise SystemExit(f"bench: the pod was not injected: {made['metadata'].get('annotations')}")
    start = wait_until(lambda: next((one for one in starts.on(name) if one.ready), None), f"{name} is ready", 600)
    pods.delete(name)
    model.delete()
    return start


def rows(seen: list, wire: float, size: int) -> list[list[str]]:
    return [[str(n + 1), f"{one.started - one.made:.2f} s", f"{one.seconds:.2f} s", f"{one.ready - one.made:.2f} s", f"{one.seconds / wire:.3f}x",
             f"{one.origin / size:.3f}x"] for n, one in enumerate(seen)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/bench pod")
    parser.add_argument("--rate", type=int, default=100, help="Mbit/s of the link to the node (default: 100)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of starts (default: 5)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Testbed("bench", nodes=1, rate_mbit=options.rate) as testbed:
        testbed.install()
        namespace_with_keys(testbed.cluster, SPACE)
        size = paths.gemma().stat().st_size
        with PodStarts(testbed, SPACE, {f"{way}-{number}": size for way in WAYS for number in range(options.rounds)}) as starts:
            pairs = []
            for number in range(options.rounds):
                # Each way is the first as often as the other.
                order = list(WAYS) if number % 2 == 0 else list(reversed(WAYS))
                pairs.append({way: cold_start(testbed, way, number, starts) for way in order})
        wire = size / testbed.bytes_per_second
    head = ["round", "sandbox and image", "container to ready", "pod made to ready", "of the wire", "read from the store"]
    table(f"a cold pod's llama-server, {size / 1e6:.0f} MB over {options.rate} Mbit/s; the wire needs {wire:.2f} s; a Job brings the keys", head,
          rows([pair["job"] for pair in pairs], wire, size))
    table("the same, the pod holds the keys", head, rows([pair["pod"] for pair in pairs], wire, size))
    ratio = statistics.median(pair["job"].seconds / wire for pair in pairs)
    cost = statistics.median((pair["job"].ready - pair["job"].made) - (pair["pod"].ready - pair["pod"].made) for pair in pairs)
    good = all([
        verdict("container to ready, of the wire, median", ratio, LIMIT, at_least=False),
        verdict("seconds that the Job costs, median of the pairs", cost, JOB_LIMIT, at_least=False, compared=False)])
    folder = CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pod.json").write_text(json.dumps({
        "bytes": size, "rateMbit": options.rate, "wire": wire, "ratio": ratio, "jobSeconds": cost,
        "ways": {way: [{"seconds": pair[way].seconds, "total": pair[way].ready - pair[way].made, "sandbox": pair[way].started - pair[way].made,
                        "origin": pair[way].origin} for pair in pairs] for way in WAYS}}, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""hack/demo on Kubernetes: everything applied, a model streaming into three pods, a question, a rolling update under steady
requests, a cold node, and the numbers."""
import argparse
import sys
import time

from drawing import Interrupts, Progress, pods_table
from pod_starts import PodStarts
from testbed import Model, Testbed, namespace_with_keys, paths, say, wait_until
from traffic import SteadyRequests, complete

SPACE, DEPLOYMENT = "models", "llama-gemma"
FIRST, SECOND = "gemma", "gemma-shards"
FILES = {FIRST: "gemma-3-270m-q4_k_m.gguf", SECOND: "x-00001-of-00015.gguf"}
PREFIXES = {FIRST: "gemma/", SECOND: "shards/"}


def deployment(sample: list[dict], model: str, replicas: int) -> dict:
    """The sample's Deployment on `model`, one pod a node."""
    one = next(item for item in sample if item["kind"] == "Deployment")
    spec = one["spec"]
    spec["replicas"] = replicas
    spec["template"]["metadata"]["labels"]["modelcache.io/inject"] = model
    container = spec["template"]["spec"]["containers"][0]
    container["args"][container["args"].index("-m") + 1] = f"/models/{model}/{FILES[model]}"
    # All nodes share this machine's few cores, and llama.cpp's threads spin while they wait for each other.
    container["args"] += ["-t", "1"]
    spec["template"]["spec"]["topologySpreadConstraints"] = [{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": spec["selector"]["matchLabels"]}}]
    return one


class Demo:
    def __init__(self, testbed: Testbed, question: str):
        self.testbed, self.cluster, self.question = testbed, testbed.cluster, question
        self.sizes = {model: sum(file.stat().st_size for file in (paths.models() / prefix).iterdir()) for model, prefix in PREFIXES.items()}
        self.pods: PodStarts | None = None

    def kubectl(self, *arguments: str) -> str:
        print(f"  $ kubectl {' '.join(arguments)}", file=sys.stderr, flush=True)
        return self.cluster.kubectl(*arguments, seconds=300)

    def apply(self, *objects: dict) -> None:
        print(f"  $ kubectl apply -n {SPACE} -f llama_deployment.yaml", file=sys.stderr, flush=True)
        for one in objects:
            self.cluster.kubectl("apply", "-n", SPACE, "-f", "-", input=one)

    def model(self, name: str) -> Model:
        """Three seeders keep a copy; other nodes get it when a pod asks there."""
        print(f"  $ kubectl apply -n {SPACE} -f {name}.yaml   # a ModelCache on oss://models/{PREFIXES[name]}", file=sys.stderr, flush=True)
        return Model(self.cluster, SPACE, name).apply(
            self.testbed.store.endpoint, PREFIXES[name], warmup={"mode": "OnDemand"}, placement={"seeders": 3})

    def draw(self, model: Model, until, seconds: float = 600) -> None:
        progress = Progress()

        def step() -> bool:
            progress.show(self.rows(model))
            return until()
        wait_until(step, f"{model.name} and its pods", seconds, every=0.5)

    def rows(self, model: Model) -> list[tuple[str, float, str]]:
        """Each pod with what its node has of the model; nodes without a pod by themselves."""
        nodes = {node["name"]: node for node in (model.status.get("nodes") or {}).get("details") or []}
        rows = []
        for pod in self.pods.on(model.name):
            if not pod.gone:
                share = nodes.pop(pod.node, {}).get("percent", 0) / 100
                state = "ready" if pod.ready else "loading" if pod.started else "starting" if pod.node else "waiting for a node"
                rows.append((f"{pod.node or '-'} {pod.name}", 1.0 if pod.ready else share, state))
        return rows + [(name, node.get("percent", 0) / 100, node.get("state", "").lower()) for name, node in sorted(nodes.items())]

    def ready(self, model: str, count: int) -> bool:
        there = [pod for pod in self.pods.on(model) if not pod.gone]
        return len(there) == count and all(pod.ready for pod in there)

    def run(self) -> int:
        say("operator and agents")
        print("  $ kubectl apply -k config/testbed", file=sys.stderr, flush=True)
        self.testbed.install()
        # What a run with --keep left.
        self.cluster.kubectl("delete", "namespace", SPACE, "--ignore-not-found", "--timeout=170s", seconds=180)
        namespace_with_keys(self.cluster, SPACE)
        with PodStarts(self.testbed, SPACE, self.sizes) as self.pods:
            sample = self.testbed.sample()
            say(f"a ModelCache and a Deployment of three, together; each link carries {self.testbed.rate_mbit} Mbit/s")
            first = self.model(FIRST)
            self.apply(deployment(sample, FIRST, 3), next(item for item in sample if item["kind"] == "Service"))
            self.draw(first, lambda: self.ready(FIRST, 3))
            self.kubectl("rollout", "status", "-n", SPACE, f"deployment/{DEPLOYMENT}", "--timeout=120s")
            service = self.cluster.get("service", "-n", SPACE, DEPLOYMENT)["spec"]
            address = f"{service['clusterIP']}:{service['ports'][0]['port']}"
            answer = complete(address, self.question, 24)
            # A base model goes on with questions of its own: the first line is the answer.
            print(f"\n  > {self.question}\n  {answer['content'].strip().splitlines()[0]}\n", file=sys.stderr, flush=True)

            second = self.update(sample, address, first)
            self.scale_out()
            self.draw(second, lambda: self.ready(SECOND, 4))
            everyone = self.pods.on(FIRST) + self.pods.on(SECOND)
        pods_table(f"unmodified llama-server, {self.testbed.rate_mbit} Mbit/s to each node", everyone, self.testbed.bytes_per_second)
        print()
        for model in (FIRST, SECOND):
            count = len({pod.node for pod in self.pods.on(model)})
            given = self.testbed.given(PREFIXES[model])
            print(f"  {model}: the store gave {given / 1e6:.0f} MB to {count} nodes, {given / self.sizes[model]:.2f} times the model")
        print(f"  under the rolling update: {self.requests.told()}")
        for failure in self.requests.failures[:5]:
            print(f"    {failure}")
        return 1 if self.requests.failures or any(pod.restarts for pod in everyone) else 0

    def update(self, sample: list[dict], address: str, first: Model) -> Model:
        say("a second ModelCache, and a rolling update to it under steady requests")
        with SteadyRequests(address, rate=3) as self.requests:
            second = self.model(SECOND)
            self.draw(second, lambda: second.status.get("phase") == "Ready")
            self.apply(deployment(sample, SECOND, 3))
            self.draw(second, lambda: self.ready(SECOND, 3))
            self.kubectl("rollout", "status", "-n", SPACE, f"deployment/{DEPLOYMENT}", "--timeout=180s")
            # The old pods go on answering what they have taken.
            wait_until(lambda: not any(self.alive(pod) for pod in self.pods.on(FIRST)), "the end of the old pods")
            time.sleep(2)
        say(self.requests.told())
        self.kubectl("delete", "modelcache", "-n", SPACE, FIRST, "--timeout=120s")
        return second

    @staticmethod
    def alive(pod) -> bool:
        try:
            with open(f"/proc/{pod.pid}/cgroup") as file:
                return pod.uid in file.read()
        except OSError:
            return False

    def scale_out(self) -> None:
        say("a fourth node joins, without a copy")
        node = self.testbed.join()
        say(f"{node} is there; one more replica, which starts by streaming")
        self.kubectl("scale", "-n", SPACE, f"deployment/{DEPLOYMENT}", "--replicas=4")


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--rate", type=int, default=100, help="Mbit/s of the link to each node (default: 100)")
    parser.add_argument("--question", default="Question: What is the capital of France? Answer:")
    parser.add_argument("--keep", action="store_true", help="leave the cluster up")
    options = parser.parse_args()
    interrupts = Interrupts()
    try:
        with Testbed("demo", nodes=3, rate_mbit=options.rate, keep=options.keep, held=interrupts.held) as testbed:
            return Demo(testbed, options.question).run()
    except BaseException:
        if not interrupts.heard:
            raise
        say("interrupted; nothing is left" if not options.keep else "interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""hack/bench operator: the operator at a thousand nodes, on a real etcd and kube-apiserver.

Nodes, agents' pods and Jobs are API objects; agents and kubelets are played by a small stand-in
(Tests/ControlPlane/support/stand_in.py) in this process. The operator is the real one, in its own. Phases:
  warm   all ModelCaches are applied at once: until all Jobs are there, until all are Ready
  churn  at a steady rate nodes move between pools, nodes go, specs are edited: from just before that write is
         sent to when a watch shows the Job made, the Jobs deleted, the status written for it
  idle   nothing happens: requests and writes of the operator, as it counts them
  again  the operator is ended and started: it reads everything and has nothing to do
All share the machine's cores, so CPU seconds of each process stand beside the times.
MODELCACHE_DIST names another folder with bin/modelcache-operator.
"""
import argparse
import asyncio
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import aiohttp

import common
from common import MIB, REPOSITORY, say

# Not as the package `support`: that name is Tests/System's here.
sys.path.insert(0, str(REPOSITORY / "Tests/ControlPlane/support"))
import stand_in  # noqa: E402
from control_plane import control_plane, free_port  # noqa: E402
from stand_in import GROUP, SYSTEM_NAMESPACE, Agents, Api, Kubelets, gather_limited  # noqa: E402

NAMESPACE = "models"
SECRET = "73" * 32
PROGRAM = pathlib.Path(os.environ.get("MODELCACHE_DIST") or REPOSITORY / "dist") / "bin/modelcache-operator"


async def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return time.monotonic()
        await asyncio.sleep(0.05)
    raise SystemExit(f"bench: not within {seconds} s: {what}")


class Operator:
    def __init__(self, kubeconfig, agent_port, log):
        self.metrics_port, self.health_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [PROGRAM, "--kubeconfig", kubeconfig, "--agent-port", str(agent_port),
             "--leader-elect", "--metrics-bind-address", f"127.0.0.1:{self.metrics_port}",
             "--health-probe-bind-address", f"127.0.0.1:{self.health_port}", "--agent-image", "modelcache/agent:dev",
             "--system-namespace", SYSTEM_NAMESPACE, "--webhook-bind-address", "0", "--allow-loopback-endpoints", "--credential-hosts=*"],
            stdout=log, stderr=log)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def must_live(self):
        if self.process.poll() is not None:
            raise SystemExit(f"bench: the operator ended with {self.process.returncode}")
        return True

    def resident(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {key: int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) << 10 for key in ("VmRSS", "VmHWM")}

    async def requests(self):
        """{method: requests} by the operator's own metric, attempts and opened watches included."""
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
                text = await answer.text()
        counts = {}
        for line in text.splitlines():
            if line.startswith("rest_client_requests_total{"):
                method = dict(re.findall(r'(\w+)="([^"]*)"', line))["method"]
                counts[method] = counts.get(method, 0) + int(float(line.rsplit(" ", 1)[1]))
        return counts


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Processor:
    """CPU seconds of each process since the last look."""

    def __init__(self, operator, plane):
        self.pids = {"operator": operator.process.pid, "stand-in and bench": os.getpid()}
        if plane.own:
            self.pids |= {"kube-apiserver": plane.api_server.process.pid, "etcd": plane.etcd.process.pid}
        self.last = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def spent(self):
        now = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        spent = {name: round(now[name] - self.last[name], 2) for name in now}
        self.last = now
        return spent


async def server_requests(api):
    """What the API server counted: {(verb, resource): requests}."""
    counts = {}
    for line in (await api.get("/metrics")).splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            key = (labels["verb"], labels["resource"] + ("/" + labels["subresource"] if labels.get("subresource") else ""))
            counts[key] = counts.get(key, 0) + int(float(line.rsplit(" ", 1)[1]))
    return counts


WRITES = ("POST", "PUT", "PATCH", "DELETE", "APPLY")


class Account:
    """The operator's requests between two moments; those for the Lease are the only ones of their kind on the server."""

    def __init__(self, api, operator):
        self.api, self.operator = api, operator

    async def start(self):
        self.before = await self.operator.requests(), await server_requests(self.api)
        return self

    async def end(self):
        after = await self.operator.requests(), await server_requests(self.api)
        ours = {k: v - self.before[0].get(k, 0) for k, v in after[0].items()}
        server = {k: v - self.before[1].get(k, 0) for k, v in after[1].items()}
        leases = sum(v for k, v in server.items() if k[1] == "leases")
        lease_writes = sum(v for k, v in server.items() if k[1] == "leases" and k[0] in WRITES)
        self.requests = max(0, sum(ours.values()) - leases)
        self.writes = max(0, sum(v for k, v in ours.items() if k in WRITES) - lease_writes)
        self.server_writes = {f"{verb} {resource}": n for (verb, resource), n in sorted(server.items()) if n and verb in WRITES}
        return self


def model_cache(index, pool, endpoint):
    return {
        "apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": f"model-{index:03d}", "namespace": NAMESPACE},
        "spec": {"source": {"uri": "oss://models/qwen/", "endpoint": endpoint, "region": "cn-hangzhou"},
                 "placement": {"nodeSelector": {"pool": f"p{pool}"}, "seeders": 2}, "warmup": {"parallelism": 1000}},
    }


class Follower:
    """The ModelCaches as a watch tells of them."""

    def __init__(self, api, kubelets):
        self.api, self.kubelets = api, kubelets
        self.caches, self.listeners = {}, []

    async def run(self):
        async for kind, cache in self.api.watch(f"{GROUP}/namespaces/{NAMESPACE}/modelcaches"):
            name, source = cache["metadata"]["name"], cache.get("status", {}).get("source", {})
            if source.get("digest"):
                self.kubelets.sources[cache["metadata"]["uid"]] = (source["digest"], source["totalBytes"])
            self.caches[name] = {
                "phase": cache.get("status", {}).get("phase"), "generation": cache["metadata"]["generation"],
                "observed": cache.get("status", {}).get("observedGeneration"), "kind": kind}
            for listener in self.listeners:
                listener(name, self.caches[name])

    def are_ready(self, count):
        return len(self.caches) == count and all(c["phase"] == "Ready" and c["observed"] == c["generation"] for c in self.caches.values())


async def bench(options, plane, endpoint):
    nodes = [f"node-{i:04d}" for i in range(options.nodes)]
    pools = max(1, options.nodes // options.pool)
    result = {"nodes": options.nodes, "modelcaches": options.modelcaches, "nodesEach": options.pool, "pools": pools}
    async with Api(plane.admin_kubeconfig) as api:
        say(f"making {options.nodes} nodes and their agents' pods")
        for name in (SYSTEM_NAMESPACE, NAMESPACE):
            await stand_in.make_namespace(api, name)
        await stand_in.ensure(api, f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets", {
            "metadata": {"name": "modelcache-agent-auth"}, "stringData": {"secret": SECRET}})
        await gather_limited([stand_in.make_node(api, n, {"pool": f"p{i // options.pool}"}) for i, n in enumerate(nodes)])
        await gather_limited([stand_in.make_agent_pod(api, n, stand_in.agent_address(i)) for i, n in enumerate(nodes)])
        agents = Agents(SECRET, nodes)
        await agents.start()
        kubelets = Kubelets(api, agents, fill_seconds=lambda node: options.fill_seconds)
        follower = Follower(api, kubelets)
        playing = [asyncio.create_task(kubelets.run()), asyncio.create_task(follower.run())]
        with open(options.log, "wb") as log:
            operator = Operator(plane.admin_kubeconfig, agents.port, log)
            try:
                await measure(options, plane, api, agents, kubelets, follower, operator, nodes, pools, endpoint, result)
                await asyncio.to_thread(operator.stop)
                operator = Operator(plane.admin_kubeconfig, agents.port, log)
                await start_again(options, api, agents, kubelets, operator, result)
            finally:
                operator.stop()
                for task in playing:
                    task.cancel()
                await agents.stop()
    return result


async def measure(options, plane, api, agents, kubelets, follower, operator, nodes, pools, endpoint, result):
    jobs = options.modelcaches * options.pool
    await asyncio.sleep(options.start_seconds)
    operator.must_live()
    result["residentAtStart"] = operator.resident()
    processor, account = Processor(operator, plane), await Account(api, operator).start()
    asked = agents.requests
    say(f"applying {options.modelcaches} ModelCaches of {options.pool} nodes each")
    began = time.monotonic()
    await gather_limited([
        api.create(f"{GROUP}/namespaces/{NAMESPACE}/modelcaches", model_cache(i, i % pools, endpoint)) for i in range(options.modelcaches)])
    result["allJobsSeconds"] = await until(lambda: operator.must_live() and len(kubelets.made) >= jobs, 900, f"{jobs} Jobs") - began
    result["cpuUntilAllJobs"] = processor.spent()
    result["allReadySeconds"] = await until(lambda: operator.must_live() and follower.are_ready(options.modelcaches), 900, "all Ready") - began
    result["cpuFromJobsToReady"] = processor.spent()
    await account.end()
    result["jobs"] = len(kubelets.created)
    result["operatorRequestsPerModelCache"] = account.requests / options.modelcaches
    result["operatorWritesPerModelCache"] = account.writes / options.modelcaches
    result["operatorWritesPerModelNode"] = account.writes / jobs
    result["writesOnServer"] = account.server_writes
    result["agentRequestsPerModelNode"] = (agents.requests - asked) / jobs
    result["residentAfterWarm"] = operator.resident()
    say(f"all Jobs after {result['allJobsSeconds']:.1f} s, all Ready after {result['allReadySeconds']:.1f} s; "
        f"resident {result['residentAfterWarm']['VmRSS'] // MIB} MiB; CPU {result['cpuUntilAllJobs']} then {result['cpuFromJobsToReady']}")

    await asyncio.sleep(options.pause_seconds)
    processor.spent()
    say(f"churn: {options.churn_rate} changes a second for {options.churn_seconds} s")
    account = await Account(api, operator).start()
    await churn(options, api, kubelets, follower, nodes, pools, result)
    await account.end()
    result["churnWrites"], result["churnWritesOnServer"] = account.writes, account.server_writes
    result["cpuChurn"] = processor.spent()
    await until(lambda: operator.must_live() and follower.are_ready(options.modelcaches), 300, "all Ready after churn")
    result["residentAfterChurn"] = operator.resident()
    result["jobsMadeTwice"] = sum(count - 1 for count in kubelets.made.values())

    # Bytes that moved are written a minute after the last write, at the latest.
    say(f"waiting {options.settle_seconds} s, then idle for {options.idle_seconds} s")
    await asyncio.sleep(options.settle_seconds)
    processor.spent()
    asked = agents.requests
    account = await Account(api, operator).start()
    await asyncio.sleep(options.idle_seconds)
    await account.end()
    result["cpuIdle"] = processor.spent()
    result["idleRequestsPerSecond"] = account.requests / options.idle_seconds
    result["idleWrites"] = account.writes
    result["idleAgentRequestsPerSecond"] = (agents.requests - asked) / options.idle_seconds
    result["residentAtEnd"] = operator.resident()


async def start_again(options, api, agents, kubelets, operator, result):
    """A list of everything at once is what costs memory; copies that are there are no reason for a write."""
    say(f"started again: {options.again_seconds} s")
    asked, made = agents.requests, len(kubelets.created)
    await asyncio.sleep(options.again_seconds)
    operator.must_live()
    ours = await operator.requests()
    result["again"] = {
        "requests": ours, "jobsMade": len(kubelets.created) - made, "agentRequests": agents.requests - asked,
        "resident": operator.resident(), "cpuSeconds": cpu_seconds(operator.process.pid)}


async def churn(options, api, kubelets, follower, nodes, pools, result):
    """Each node is changed once: one that moves needs Jobs of its new pool's ModelCaches, one that goes loses all its Jobs."""
    each = options.modelcaches // pools
    delays = {"move to Job": [], "node gone to Jobs deleted": [], "spec edit to status": []}
    expected = {}
    edited = {}

    def hear_job(kind, job):
        key = kind, job["metadata"]["annotations"]["modelcache.io/node"]
        if key in expected:
            what, began = expected[key]
            delays[what].append(time.monotonic() - began)

    def hear_cache(name, cache):
        if name in edited and cache["observed"] == edited[name][0]:
            delays["spec edit to status"].append(time.monotonic() - edited.pop(name)[1])

    kubelets.listeners.append(hear_job)
    follower.listeners.append(hear_cache)
    generator = random.Random(options.seed)
    fresh = generator.sample(nodes, len(nodes))
    home = {n: i // options.pool for i, n in enumerate(nodes)}
    moves = goings = edits = 0
    began = time.monotonic()
    for number in range(int(options.churn_rate * options.churn_seconds)):
        await asyncio.sleep(max(0, began + number / options.churn_rate - time.monotonic()))
        if number % 4 == 3:
            name = f"model-{generator.randrange(options.modelcaches):03d}"
            if name in edited:
                continue
            edits += 1
            # What the server answers is the generation; the watch may be quicker.
            edited[name] = follower.caches[name]["generation"] + 1, time.monotonic()
            await api.merge(f"{GROUP}/namespaces/{NAMESPACE}/modelcaches/{name}", {"spec": {"warmup": {"parallelism": 500 + number % 400}}})
            continue
        if not fresh:
            raise SystemExit("bench: more changes than nodes")
        node = fresh.pop()
        if number % 4 == 2:
            goings += 1
            expected["DELETED", node] = "node gone to Jobs deleted", time.monotonic()
            await api.delete(f"/api/v1/nodes/{node}")
        else:
            moves += 1
            expected["ADDED", node] = "move to Job", time.monotonic()
            await api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"pool": f"p{(home[node] + 1) % pools}"}}})
    await asyncio.sleep(5)
    wanted = {"move to Job": moves * each if pools > 1 else 0, "node gone to Jobs deleted": goings * each, "spec edit to status": edits}
    result["churn"] = {}
    for what, values in delays.items():
        values.sort()
        at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 1) if values else None
        result["churn"][what] = {"wanted": wanted[what], "seen": len(values), "p50ms": at(0.5), "p99ms": at(0.99), "maxms": at(1)}
    result["churnMissing"] = sum(abs(wanted[what] - len(values)) for what, values in delays.items())
    # Of the slowest kind: Jobs are many and would hide the others.
    result["churnP99ms"] = max(float("inf") if found["p99ms"] is None else found["p99ms"] for found in result["churn"].values())


def show(result, options):
    mib = lambda resident: f"{resident['VmRSS'] / MIB:.0f} ({resident['VmHWM'] / MIB:.0f})"
    rows = [
        ["all Jobs made, s", f"{result['allJobsSeconds']:.1f}"], ["Jobs a second", f"{result['jobs'] / result['allJobsSeconds']:.0f}"],
        ["all Ready, s", f"{result['allReadySeconds']:.1f}"],
        ["operator's API requests per ModelCache warmed", f"{result['operatorRequestsPerModelCache']:.1f}"],
        ["operator's writes per warmed copy (model and node)", f"{result['operatorWritesPerModelNode']:.3f}"],
        ["questions to agents per warmed copy", f"{result['agentRequestsPerModelNode']:.1f}"],
    ]
    for what, found in result["churn"].items():
        rows.append([f"churn: {what}, p50 / p99 / max ms ({found['seen']} of {found['wanted']})", f"{found['p50ms']} / {found['p99ms']} / {found['maxms']}"])
    rows += [
        [f"churn: operator's writes in all ({options.churn_rate:g} changes a second for {options.churn_seconds} s)", f"{result['churnWrites']}"],
        ["idle: API requests/s (Lease apart)", f"{result['idleRequestsPerSecond']:.3f}"], ["idle: writes", f"{result['idleWrites']}"],
        ["idle: questions to agents/s", f"{result['idleAgentRequestsPerSecond']:.1f}"],
        ["resident MiB at start (peak)", mib(result["residentAtStart"])], ["resident MiB after warm-up (peak)", mib(result["residentAfterWarm"])],
        ["resident MiB after churn (peak)", mib(result["residentAfterChurn"])], ["resident MiB at the end (peak)", mib(result["residentAtEnd"])],
    ]
    again = result["again"]
    rows += [
        [f"started again: Jobs made in {options.again_seconds} s", f"{again['jobsMade']}"],
        ["started again: resident MiB (peak)", mib(again["resident"])], ["started again: CPU s", f"{again['cpuSeconds']:.1f}"],
    ]
    for name in result["cpuIdle"]:
        parts = " / ".join(f"{result[phase][name]:.1f}" for phase in ("cpuUntilAllJobs", "cpuFromJobsToReady", "cpuChurn", "cpuIdle"))
        rows.append([f"CPU s, {name}: Jobs / Ready / churn / {options.idle_seconds} s idle", parts])
    common.table(f"{options.modelcaches} ModelCaches of {options.pool} nodes, {options.nodes} nodes, {os.cpu_count()} cores", ["", "value"], rows)


def main():
    parser = argparse.ArgumentParser(prog="hack/bench operator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=100, help="nodes of one ModelCache")
    parser.add_argument("--modelcaches", type=int, default=100)
    parser.add_argument("--fill-seconds", type=float, default=2)
    parser.add_argument("--churn-rate", type=float, default=1, help="changes a second; a node's is ten Jobs by default")
    parser.add_argument("--churn-seconds", type=int, default=60)
    parser.add_argument("--start-seconds", type=int, default=5, help="for the operator to start")
    parser.add_argument("--pause-seconds", type=int, default=10, help="between warm-up and churn")
    parser.add_argument("--settle-seconds", type=int, default=70, help="between churn and idle")
    parser.add_argument("--idle-seconds", type=int, default=60)
    parser.add_argument("--again-seconds", type=int, default=30, help="after a second start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", default="/tmp/modelcache-bench-operator.log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcb-") as folder:
        work = pathlib.Path(folder)
        (work / "models/qwen").mkdir(parents=True)
        (work / "models/qwen/model.gguf").write_bytes(b"x" * MIB)
        store = common.Store({"models": work / "models"}, work / "store.log", anonymous=("models",))
        try:
            # Without controllers: they would share the cores, and the operator waits for none of theirs.
            with control_plane(controllers=False) as plane:
                plane.kubectl("apply", "--server-side", "-k", REPOSITORY / "config/crd")
                plane.kubectl("wait", "--for=condition=Established", "crd/modelcaches.modelcache.io")
                result = asyncio.run(bench(options, plane, store.endpoint))
        finally:
            store.stop()
    common.record("operator", result)
    show(result, options)
    peak = max(result["residentAtEnd"]["VmHWM"], result["again"]["resident"]["VmHWM"]) / MIB
    good = common.verdict("p99 ms from a change to the write for it, slowest kind", result["churnP99ms"], 500, at_least=False)
    good &= common.verdict("changes without their write, or with one too many", result["churnMissing"], 0, at_least=False)
    good &= common.verdict("idle writes", result["idleWrites"], 0, at_least=False)
    good &= common.verdict("idle requests/s", result["idleRequestsPerSecond"], 1, at_least=False)
    good &= common.verdict("resident MiB, peak", peak, 150, at_least=False)
    good &= common.verdict("Jobs made twice", result["jobsMadeTwice"] + result["again"]["jobsMade"], 0, at_least=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

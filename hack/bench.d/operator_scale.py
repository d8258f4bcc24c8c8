"""hack/bench operator: the operator at a thousand nodes, on a real etcd and kube-apiserver.

Nodes, agents' pods and Jobs are API objects; agents and kubelets are played by a small stand-in
(Tests/ControlPlane/support/stand_in.py). The operator is the real one, in its own process. Four phases:
  warm   all ModelCaches are applied at once: until all Jobs are there, until all are Ready
  churn  nodes join and leave pools at a steady rate: from that write to the Job made or deleted for it
  idle   nothing happens: requests and writes of the operator, as it and as the API server count them
"""
import argparse
import asyncio
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

import common
from common import MIB, REPOSITORY, say

# Not as the package `support`: that name is Tests/System's here.
sys.path.insert(0, str(REPOSITORY / "Tests/ControlPlane/support"))
import stand_in  # noqa: E402
from control_plane import control_plane, free_port  # noqa: E402
from stand_in import GROUP, MANAGED, SYSTEM_NAMESPACE, Agents, Api, Kubelets, gather_limited  # noqa: E402

NAMESPACE = "models"
SECRET = "73" * 32


async def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await condition():
            return time.monotonic()
        await asyncio.sleep(0.1)
    raise SystemExit(f"bench: not within {seconds} s: {what}")


class Operator:
    def __init__(self, kubeconfig, agent_port, log):
        self.metrics_port, self.health_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [common.REPOSITORY / "dist/bin/modelcache-operator", "--kubeconfig", kubeconfig, "--agent-port", str(agent_port),
             "--leader-elect", "--metrics-bind-address", f"127.0.0.1:{self.metrics_port}",
             "--health-probe-bind-address", f"127.0.0.1:{self.health_port}", "--agent-image", "modelcache/agent:dev",
             "--system-namespace", SYSTEM_NAMESPACE, "--allow-loopback-endpoints"],
            stdout=log, stderr=log)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def resident(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {key: int(re.search(rf"{key}:\s+(\d+) kB", text)[1]) << 10 for key in ("VmRSS", "VmHWM")}

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


async def server_requests(api):
    """What the API server counted: {(verb, resource): requests} of the resources that the operator touches."""
    counts = {}
    for line in (await api.get("/metrics")).splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            key = (labels["verb"], labels["resource"] + ("/" + labels["subresource"] if labels.get("subresource") else ""))
            counts[key] = counts.get(key, 0) + float(line.rsplit(" ", 1)[1])
    return counts


async def operator_requests(session, port):
    """{(method, code): requests} by the operator's own metric."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    counts = {}
    for line in text.splitlines():
        if line.startswith("rest_client_requests_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            counts[labels["method"], labels["code"]] = counts.get((labels["method"], labels["code"]), 0) + float(line.rsplit(" ", 1)[1])
    return counts


def model_cache(index, pool, endpoint):
    return {
        "apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": f"model-{index:03d}", "namespace": NAMESPACE},
        "spec": {"source": {"uri": "oss://models/qwen/", "endpoint": endpoint, "region": "cn-hangzhou"},
                 "placement": {"nodeSelector": {"pool": f"p{pool}"}, "seeders": 2}, "warmup": {"parallelism": 1000}},
    }


async def bench(options, plane, endpoint):
    nodes = [f"node-{i:04d}" for i in range(options.nodes)]
    pools = max(1, options.nodes // options.pool)
    result = {"nodes": options.nodes, "modelcaches": options.modelcaches, "nodesEach": options.pool}
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
        playing = asyncio.create_task(kubelets.run())
        with open(options.log, "wb") as log:
            operator = Operator(plane.admin_kubeconfig, agents.port, log)
            try:
                await measure(options, api, agents, kubelets, operator, nodes, pools, endpoint, result)
            finally:
                operator.stop()
                playing.cancel()
                await agents.stop()
    return result


async def measure(options, api, agents, kubelets, operator, nodes, pools, endpoint, result):
    jobs = options.modelcaches * options.pool
    before = await server_requests(api)
    say(f"applying {options.modelcaches} ModelCaches of {options.pool} nodes each")
    began = time.monotonic()
    await gather_limited([
        api.create(f"{GROUP}/namespaces/{NAMESPACE}/modelcaches", model_cache(i, i % pools, endpoint)) for i in range(options.modelcaches)])

    async def all_jobs():
        if operator.process.poll() is not None:
            raise SystemExit(f"bench: the operator ended with {operator.process.returncode}: {options.log}")
        return len(kubelets.created) >= jobs
    result["allJobsSeconds"] = await until(all_jobs, 900, f"{jobs} Jobs") - began

    async def all_ready():
        items, _ = await api.list(f"{GROUP}/namespaces/{NAMESPACE}/modelcaches")
        return all(i.get("status", {}).get("phase") == "Ready" for i in items)
    result["allReadySeconds"] = await until(all_ready, 900, "all Ready") - began
    counts = {k: v - before.get(k, 0) for k, v in (await server_requests(api)).items()}
    # Not the operator's: what the stand-in wrote (Job status) and this bench's own reads.
    own = {("PATCH", "jobs/status"), ("POST", "modelcaches")}
    writes = {k: v for k, v in counts.items() if k[0] in ("POST", "PUT", "PATCH", "DELETE", "APPLY") and k not in own and v and k[1] != "leases"}
    result["writesPerModelCache"] = sum(writes.values()) / options.modelcaches
    result["writes"] = {f"{verb} {resource}": n for (verb, resource), n in sorted(writes.items())}
    result["jobs"] = len(kubelets.created)
    result["resident"] = operator.resident()
    result["cpuSecondsWarm"] = operator.cpu_seconds()
    say(f"all Jobs after {result['allJobsSeconds']:.1f} s, all Ready after {result['allReadySeconds']:.1f} s")

    say(f"churn: {options.churn_rate} node changes a second for {options.churn_seconds} s")
    await churn(options, api, kubelets, nodes, pools, result)
    result["residentAfterChurn"] = operator.resident()
    await until(all_ready, 300, "all Ready after churn")
    await asyncio.sleep(10)

    say(f"idle for {options.idle_seconds} s")
    cpu = operator.cpu_seconds()
    import aiohttp
    async with aiohttp.ClientSession() as session:
        first, first_server = await operator_requests(session, operator.metrics_port), await server_requests(api)
        await asyncio.sleep(options.idle_seconds)
        last, last_server = await operator_requests(session, operator.metrics_port), await server_requests(api)
    leases = sum(v - first_server.get(k, 0) for k, v in last_server.items() if k[1] == "leases")
    total = sum(v - first.get(k, 0) for k, v in last.items())
    result["idleRequestsPerSecond"] = max(0.0, (total - leases)) / options.idle_seconds
    result["idleWrites"] = sum(
        v - first_server.get(k, 0) for k, v in last_server.items() if k[0] in ("POST", "PUT", "PATCH", "DELETE", "APPLY") and k[1] != "leases")
    result["idleCPUShare"] = (operator.cpu_seconds() - cpu) / options.idle_seconds
    result["agentRequests"] = agents.requests


async def churn(options, api, kubelets, nodes, pools, result):
    """Nodes leave their pool and come back; each change makes or deletes one Job for each ModelCache of that pool."""
    delays, waiting = [], {}

    async def watch():
        async for kind, job in api.watch("/apis/batch/v1/jobs", labelSelector=MANAGED):
            node = job["metadata"]["annotations"]["modelcache.io/node"]
            expected = waiting.get(node)
            if expected and expected[0] == kind and expected[1] < time.monotonic():
                delays.append(time.monotonic() - expected[1])

    watching = asyncio.create_task(watch())
    await asyncio.sleep(3)
    generator, home = random.Random(options.seed), {n: f"p{i // options.pool}" for i, n in enumerate(nodes)}
    away, changes, ends = set(), 0, time.monotonic() + options.churn_seconds
    while time.monotonic() < ends:
        node = generator.choice(nodes)
        leaves = node not in away
        (away.add if leaves else away.discard)(node)
        await api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"pool": None if leaves else home[node]}}})
        waiting[node] = ("DELETED" if leaves else "ADDED", time.monotonic())
        changes += 1
        await asyncio.sleep(1 / options.churn_rate)
    for node in away:
        await api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"pool": home[node]}}})
        waiting[node] = ("ADDED", time.monotonic())
    await asyncio.sleep(5)
    watching.cancel()
    delays.sort()
    result["churnChanges"], result["churnWrites"] = changes, len(delays)
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1)):
        result[f"churn_{name}_ms"] = delays[min(len(delays) - 1, int(share * len(delays)))] * 1000 if delays else float("inf")


def main():
    parser = argparse.ArgumentParser(prog="hack/bench operator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=100, help="nodes of one ModelCache")
    parser.add_argument("--modelcaches", type=int, default=100)
    parser.add_argument("--fill-seconds", type=float, default=2)
    parser.add_argument("--churn-rate", type=float, default=2, help="node changes a second; each is ten Jobs by default")
    parser.add_argument("--churn-seconds", type=int, default=30)
    parser.add_argument("--idle-seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", default="/tmp/modelcache-bench-operator.log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcb-") as folder:
        work = pathlib.Path(folder)
        (work / "models/qwen").mkdir(parents=True)
        (work / "models/qwen/model.gguf").write_bytes(b"x" * MIB)
        store = common.Store({"models": work / "models"}, work / "store.log", anonymous=("models",))
        try:
            with control_plane() as plane:
                plane.kubectl("apply", "--server-side", "-k", REPOSITORY / "config/crd")
                plane.kubectl("wait", "--for=condition=Established", "crd/modelcaches.modelcache.io")
                result = asyncio.run(bench(options, plane, store.endpoint))
        finally:
            store.stop()
    mib = lambda bytes_: f"{bytes_ / MIB:.0f}"
    common.table(f"{options.modelcaches} ModelCaches of {options.pool} nodes, {options.nodes} nodes", ["", "value"], [
        ["all Jobs made, s", f"{result['allJobsSeconds']:.1f}"], ["Jobs a second", f"{result['jobs'] / result['allJobsSeconds']:.0f}"],
        ["all Ready, s", f"{result['allReadySeconds']:.1f}"], ["writes per ModelCache warmed", f"{result['writesPerModelCache']:.1f}"],
        ["of these not one Job a node", f"{result['writesPerModelCache'] - options.pool:.1f}"],
        ["node change to Job, p50 ms", f"{result['churn_p50_ms']:.0f}"], ["node change to Job, p99 ms", f"{result['churn_p99_ms']:.0f}"],
        ["idle: requests/s (Lease apart)", f"{result['idleRequestsPerSecond']:.2f}"], ["idle: writes", f"{result['idleWrites']:.0f}"],
        ["idle: share of one core", f"{result['idleCPUShare']:.3f}"],
        ["resident MiB after warm-up (peak)", f"{mib(result['resident']['VmRSS'])} ({mib(result['resident']['VmHWM'])})"],
        ["resident MiB after churn (peak)", f"{mib(result['residentAfterChurn']['VmRSS'])} ({mib(result['residentAfterChurn']['VmHWM'])})"],
        ["CPU seconds to warm", f"{result['cpuSecondsWarm']:.1f}"]])
    common.record("operator", result)
    good = common.verdict("p99 ms from node change to Job", result["churn_p99_ms"], 500, at_least=False)
    good &= common.verdict("idle writes", result["idleWrites"], 0, at_least=False)
    good &= common.verdict("idle requests/s", result["idleRequestsPerSecond"], 1, at_least=False)
    good &= common.verdict("resident MiB", result["residentAfterChurn"]["VmHWM"] / MIB, 150, at_least=False)
    good &= common.verdict("Jobs made twice", result["jobs"] - options.modelcaches * options.pool, 0, at_least=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

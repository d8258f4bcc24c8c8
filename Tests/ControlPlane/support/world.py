"""A whole small world for the operator: API server, proxy, nodes with stand-in agents, a store, and the operator itself.

The stand-in runs on a thread with its own event loop; the tests are plain functions that look at the API server.
"""
import asyncio
import contextlib
import json
import pathlib
import subprocess
import tempfile
import threading
import time
import uuid

import pytest

from . import stand_in
from .control_plane import REPOSITORY, control_plane
from .operator_process import PROGRAM, Operator
from .proxy import Proxy
from .stand_in import GROUP, MANAGED, SYSTEM_NAMESPACE

SECRET = "5e" * 32
ACCESS_KEY, ACCESS_SECRET, REGION = "LTAIcontrolplane", "control-plane-secret", "cn-test"


class Store:
    """The store emulator with a small model; one key pair opens it. With the options --tls-port, --tls-cert and --tls-key it speaks HTTPS besides."""

    def __init__(self, folder: pathlib.Path, *options):
        bucket = folder / "models"
        (bucket / "qwen").mkdir(parents=True)
        (bucket / "qwen/a.gguf").write_bytes(b"a" * 300_000)
        (bucket / "qwen/b.gguf").write_bytes(b"b" * 200_000)
        (bucket / "empty").mkdir()
        ready = folder / "ready"
        self._log = open(folder / "store.log", "wb")
        self.process = subprocess.Popen(
            [PROGRAM.parent / "modelcache-devstore", "--host", "127.0.0.1", "--port", "0", "--admin", "0", "--ready-file", ready,
             "--key", f"{ACCESS_KEY}:{ACCESS_SECRET}", "--region", REGION, "--bucket", f"models={bucket}", *options],
            stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 120
        while not ready.exists() or not ready.read_text().strip():
            assert self.process.poll() is None and time.monotonic() < deadline, "the store emulator did not start"
            time.sleep(0.05)
        ports = json.loads(ready.read_text())
        self.endpoint = f"http://127.0.0.1:{ports['port']}"
        self.secure_endpoint = f"https://127.0.0.1:{ports.get('tlsPort')}"

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._log.close()


class World:
    def __init__(self, plane, folder: pathlib.Path, nodes=3):
        self.plane, self.folder = plane, folder
        self.kubectl = plane.kubectl
        self.store = Store(folder)
        self.proxy = Proxy(plane)
        self.nodes = [f"node-{i}" for i in range(nodes)]
        self.agents = stand_in.Agents(SECRET, self.nodes)
        self.operator = None
        self._operators = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", REPOSITORY / "config/crd")
        plane.kubectl.wait_established()
        self._call(self._populate())
        self.kubelets_task = asyncio.run_coroutine_threadsafe(self.kubelets.run(), self._loop)
        self.namespace = f"models-{uuid.uuid4().hex[:6]}"
        self._call(stand_in.make_namespace(self.api, self.namespace))
        self.secret()

    def _call(self, coroutine, seconds=180):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _populate(self) -> None:
        self.api = await stand_in.Api(self.plane.admin_kubeconfig).__aenter__()
        await stand_in.make_namespace(self.api, SYSTEM_NAMESPACE)
        await stand_in.ensure(self.api, f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/secrets", {
            "metadata": {"name": "modelcache-agent-auth"}, "stringData": {"secret": SECRET}})
        await self.agents.start()
        self.kubelets = stand_in.Kubelets(self.api, self.agents, fill_seconds=lambda node: 0.3)
        for index, node in enumerate(self.nodes):
            await self._add_node(node, stand_in.agent_address(index))

    async def _add_node(self, node, address) -> None:
        await stand_in.make_node(self.api, node, {"topology.kubernetes.io/zone": f"zone-{len(node) % 2}"})
        await stand_in.make_agent_pod(self.api, node, address)

    # What tests do

    def start_operator(self, *flags, through_proxy=True, kubeconfig=None, **options) -> Operator:
        kubeconfig = kubeconfig or (self.proxy.kubeconfig() if through_proxy else self.plane.admin_kubeconfig)
        operator = Operator(kubeconfig, self.folder / f"operator-{len(self._operators)}.log", *flags, agent_port=self.agents.port, **options)
        self._operators.append(operator)
        self.operator = operator
        return operator

    def add_pod(self, name, node, cache="qwen") -> None:
        """A pod that was given the ModelCache, bound to a node; no kubelet starts it."""
        uid = self.get(cache)["metadata"]["uid"]
        self.kubectl.apply({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"modelcache.io/inject": cache},
                         "annotations": {"modelcache.io/injected": f"Stream/{uid}"}},
            "spec": {"nodeName": node, "automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none"}]}})

    def remove_pod(self, name) -> None:
        self.kubectl("delete", "pod", name, "-n", self.namespace, "--grace-period=0", "--force")

    def taint(self, node, *taints) -> None:
        self._call(self.api.merge(f"/api/v1/nodes/{node}", {"spec": {"taints": list(taints)}}))

    def add_node(self, node) -> None:
        address = stand_in.agent_address(len(self.nodes))
        self.nodes.append(node)
        self.agents.by_address[address] = self.agents.by_node[node] = stand_in.Agent(node, 1 << 40)
        self._call(self._add_node(node, address))

    def remove_node(self, node) -> None:
        self.agents.by_node[node].silent = True
        self.kubectl("delete", "pod", f"modelcache-agent-{node}", "-n", SYSTEM_NAMESPACE, "--grace-period=0", "--force", check=False)
        self.kubectl("delete", "node", node, "--wait=false")

    def remove_agent_pod(self, node) -> None:
        self.kubectl("delete", "pod", f"modelcache-agent-{node}", "-n", SYSTEM_NAMESPACE, "--grace-period=0", "--force")

    def add_agent_pod(self, node) -> None:
        self._call(stand_in.make_agent_pod(self.api, node, stand_in.agent_address(self.nodes.index(node))))

    def set_node_ready(self, node, ready) -> None:
        self._call(stand_in.set_node_ready(self.api, node, ready))

    def secret(self, name="oss", key=ACCESS_KEY, value=ACCESS_SECRET) -> None:
        self.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
                            "stringData": {"OSS_ACCESS_KEY_ID": key, "OSS_ACCESS_KEY_SECRET": value}})

    def spec(self, **changes) -> dict:
        spec = {"source": {"uri": "oss://models/qwen/", "endpoint": self.store.endpoint, "region": REGION, "credentials": {"secretRef": {"name": "oss"}}},
                "warmup": {"mode": "Eager"}}
        for path, value in changes.items():
            target = spec
            *parents, last = path.split("__")
            for part in parents:
                target = target.setdefault(part, {})
            target[last] = value
        return spec

    def apply(self, name="qwen", **changes) -> None:
        self.kubectl.apply({"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache",
                            "metadata": {"name": name, "namespace": self.namespace}, "spec": self.spec(**changes)})

    # What tests see

    def get(self, name="qwen") -> dict | None:
        return self.kubectl.get("modelcache", name, "-n", self.namespace)

    def items(self, *arguments) -> list[dict]:
        return (self.kubectl.get(*arguments) or {}).get("items", [])

    def status(self, name="qwen") -> dict:
        return (self.get(name) or {}).get("status", {})

    def condition(self, kind, name="qwen") -> dict:
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    def jobs(self) -> list[dict]:
        """Those that warm; one that lists a source has no uid among its labels, and goes when it has ended."""
        return self.items("jobs", "-n", self.namespace, "-l", f"{MANAGED},modelcache.io/uid")

    def events(self, reason=None) -> list[dict]:
        found = self.items("events", "-n", self.namespace)
        return [one for one in found if reason in (None, one["reason"])]

    def volumes(self) -> list[dict]:
        return self.items("persistentvolumes", "-l", MANAGED)

    def copies(self, name="qwen") -> dict[str, str]:
        """node -> state of its copy of this ModelCache."""
        now = time.monotonic()
        return {
            node: cache.report(now)["state"] for node, agent in self.agents.by_node.items() for cache in list(agent.caches.values())
            if cache.definition["name"] == name and cache.definition["namespace"] == self.namespace}

    def until(self, condition, what=None, seconds=180):
        """The condition's first true value; AssertionError with the world's state when there is none in time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                value = condition()
            except AssertionError:
                # The API server is away for a moment: that is no answer.
                value = None
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what or condition}\n{self.describe()}")
            time.sleep(0.1)

    def until_ready(self, name="qwen") -> dict:
        """Its status once it is Ready as it is asked for now: Ready of an earlier generation is no answer."""
        def ready():
            one = self.get(name) or {}
            status = one.get("status", {})
            return status.get("phase") == "Ready" and status["observedGeneration"] == one["metadata"]["generation"] and status

        return self.until(ready, f"{name} is Ready")

    def describe(self) -> str:
        def text(command):
            with contextlib.suppress(AssertionError):
                return command()
            return "(no answer)"
        parts = [text(lambda: json.dumps(self.items("modelcaches", "-n", self.namespace), indent=1)[:6000]),
                 f"jobs: {text(lambda: [j['metadata']['name'] for j in self.jobs()])}"]
        if self.operator:
            parts.append(self.operator.last_words())
        return "\n".join(str(one) for one in parts)

    def end_state(self, name="qwen") -> dict:
        """What must be the same however the operator came there: no times, no uids."""
        status = self.status(name)
        return {
            "phase": status.get("phase"), "nodes": {k: v for k, v in status.get("nodes", {}).items() if isinstance(v, (int, str))},
            "conditions": sorted((c["type"], c["status"], c["reason"]) for c in status.get("conditions", [])),
            "jobs": sorted(j["metadata"]["annotations"]["modelcache.io/node"] for j in self.jobs()),
            "copies": self.copies(name), "volumes": len([v for v in self.volumes() if v["metadata"]["annotations"].get("modelcache.io/name") == name]),
        }

    def clear(self) -> None:
        """What an operator of another world would find on the same API server goes: objects whose finalizer waits for this one's, nodes and pods."""
        for agent in self.agents.by_node.values():
            # The end of a ModelCache waits half a minute for an agent that is silent.
            agent.silent = False
        if self.operator:
            if not self.operator.alive:
                self.start_operator(through_proxy=False)
            for one in self.items("modelcaches", "-n", self.namespace):
                self.kubectl("delete", "modelcache", one["metadata"]["name"], "-n", self.namespace, "--wait=false")
            self.until(lambda: not self.items("modelcaches", "-n", self.namespace), "the ModelCaches of the test are gone")
        self.kubectl("delete", "nodes", *self.nodes, "--wait=false", "--ignore-not-found")
        self.kubectl("delete", "pods", "--all", "-n", SYSTEM_NAMESPACE, "--grace-period=0", "--force", check=False)

    def close(self) -> None:
        for operator in self._operators:
            operator.close()
        self.proxy.close()
        self.kubelets_task.cancel()
        with contextlib.suppress(Exception):
            self._call(self.agents.stop(), 10)
            self._call(self.api.__aexit__(), 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.store.close()


@contextlib.contextmanager
def world(plane=None, **options):
    """A World on `plane`, or on a control plane of its own."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mc-world-")))
        made = World(plane or stack.enter_context(control_plane()), folder, **options)
        stack.callback(made.close)
        yield made


@contextlib.contextmanager
def guest_world(plane, **options):
    """A World on a control plane that serves other tests too, before and after it: it leaves nothing that theirs would see."""
    if not plane.own:
        pytest.skip("the world's proxy needs a certificate of the cluster's authority")
    with world(plane, **options) as made:
        try:
            yield made
        finally:
            made.clear()

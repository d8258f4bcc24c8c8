"""Agents and kubelets for tests of the operator on an API server without nodes.

One process plays any number of agents: agent i listens at 127.1.x.y on one shared port, checks the request's
signature, and keeps its caches in memory. `Kubelets` plays what runs Jobs: it watches the operator's Jobs, lets the
node's agent "fill", and writes the Job's status as the Job controller would. Nothing of the operator is faked.
"""
import asyncio
import base64
import collections
import hashlib
import hmac
import json
import os
import pathlib
import random
import ssl
import tempfile
import time

import aiohttp
import yaml
from aiohttp import web

REPOSITORY_DIST = pathlib.Path(os.environ.get("MODELCACHE_DIST", pathlib.Path(__file__).parents[3] / "dist"))
SYSTEM_NAMESPACE = "modelcache-system"
MANAGED = "app.kubernetes.io/managed-by=modelcache-operator"
GROUP = "/apis/modelcache.io/v1alpha1"


def agent_address(index):
    return f"127.1.{index // 250}.{index % 250 + 1}"


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:300]}")
        self.status = status


class Api:
    """A plain Kubernetes REST client on the kubeconfig's current context (client certificates or a token)."""

    def __init__(self, kubeconfig):
        config = yaml.safe_load(open(kubeconfig, encoding="utf-8"))
        named = lambda kind, name: next(e for e in config[kind + "s"] if e["name"] == name)[kind]
        context = named("context", config["current-context"])
        cluster, user = named("cluster", context["cluster"]), named("user", context["user"])
        self.server = cluster["server"].rstrip("/")
        self._tls = ssl.create_default_context(cadata=self._pem(cluster, "certificate-authority"))
        self._tls.check_hostname = False
        self._headers = {}
        if certificate := self._pem(user, "client-certificate"):
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(certificate + "\n" + self._pem(user, "client-key"))
                file.flush()
                self._tls.load_cert_chain(file.name)
        if token := user.get("token"):
            self._headers["Authorization"] = f"Bearer {token}"
        self._session = None

    @staticmethod
    def _pem(entry, name):
        if data := entry.get(name + "-data"):
            return base64.b64decode(data).decode()
        return open(entry[name], encoding="utf-8").read() if entry.get(name) else None

    async def __aenter__(self):
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=64)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=aiohttp.ClientTimeout(total=60))
        return self

    async def __aexit__(self, *_):
        await self._session.close()

    async def request(self, method, path, body=None, kind="application/json", **query):
        headers = {"Content-Type": kind} if body is not None else {}
        data = json.dumps(body) if body is not None else None
        async with self._session.request(method, self.server + path, params=query, data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise ApiError(answer.status, text)
            return json.loads(text) if text.startswith("{") else text

    async def get(self, path, **query):
        return await self.request("GET", path, **query)

    async def create(self, path, body, **query):
        return await self.request("POST", path, body, **query)

    async def merge(self, path, body):
        return await self.request("PATCH", path, body, "application/merge-patch+json")

    async def delete(self, path, **query):
        return await self.request("DELETE", path, **query)

    async def list(self, path, **query):
        """All items, page by page, and the version to watch from."""
        items, query = [], {"limit": "500", **query}
        while True:
            page = await self.get(path, **query)
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = page["metadata"]["continue"]

    async def watch(self, path, **query):
        """Events for ever: lists first (as ADDED), then watches; lists again after an error."""
        while True:
            try:
                items, version = await self.list(path, **query)
                for item in items:
                    yield "ADDED", item
                timeout = aiohttp.ClientTimeout(total=None)
                parameters = {**query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
                async with self._session.get(self.server + path, params=parameters, timeout=timeout, read_bufsize=1 << 22) as answer:
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        if event["type"] != "BOOKMARK":
                            yield event["type"], event["object"]
            except (aiohttp.ClientError, ApiError, json.JSONDecodeError, asyncio.TimeoutError):
                await asyncio.sleep(0.5)


class Cache:
    """One ModelCache's copy at one stand-in agent."""

    def __init__(self, uid, definition):
        self.uid, self.definition = uid, definition
        self.state, self.digest, self.error = "Prepared", None, None
        self.total = self.users = 0
        self.began = self.ends = None
        # What other nodes gave it, as an agent tells it.
        self.peers = []

    def settle(self, now):
        if self.state == "Filling" and now >= self.ends:
            self.state = "Ready"

    def report(self, now):
        self.settle(now)
        share = {"Ready": 1.0, "Filling": (now - self.began) / max(1e-9, self.ends - self.began) if self.began else 0}.get(self.state, 0)
        cached = int(self.total * min(1.0, share))
        rate = int(self.total / max(1e-9, self.ends - self.began)) if self.state == "Filling" else 0
        report = {
            "uid": self.uid, "namespace": self.definition["namespace"], "name": self.definition["name"],
            "source": self.definition["source"], "medium": self.definition["medium"], "state": self.state, "files": 1,
            "bytesTotal": self.total, "bytesCached": cached, "bytesPerSecond": rate, "originBytes": cached, "peerBytes": 0,
            "pinned": self.definition.get("pinned", False), "users": self.users, "peers": self.peers,
        }
        if self.state == "Filling":
            report["remainingSeconds"] = max(0, int(self.ends - now))
        if self.digest:
            report["digest"] = self.digest
        if self.error:
            report["error"] = self.error
        if callers := self.definition.get("callers"):
            text = "".join(f"{len(part.encode())}:{part}" for part in (callers["issuer"], callers["audience"], callers["keys"]))
            report["callersDigest"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        return report


class Agent:
    def __init__(self, node, budget):
        # Without a budget for a disk it has none, as an agent without a disk root.
        self.node, self.budget, self.disk_budget = node, budget, None
        self.caches = {}
        self.clock_offset = 0
        self.restart(keep=True)
        self.silent = False
        # Whether it takes orders and never answers them; how many it holds, and the most it held.
        self.deaf = False
        self.unanswered = self.most_unanswered = 0
        # Directories that it does not serve.
        self.remains = []
        # By a cache's uid: what its `readers` path tells.
        self.readers = {}
        self.superseded = 0
        self.refused = 0

    def restart(self, keep):
        """A new process; `keep=False`: on empty memory."""
        self.instance = f"{random.getrandbits(64):016x}"
        self.epoch = f"{random.getrandbits(64):016x}"
        # path -> the number of the last order for it, and its signature.
        self.orders = {}
        self.highest = 0
        # How often this process was asked for its report.
        self.reports = 0
        if not keep:
            self.caches = {}

    def admits(self, path, query, signature):
        """Whether an order is newer than what was carried out, by the real agents' rules (OrderLedger)."""
        number = int(query.get("order", 0))
        last, last_signature = self.orders.get(path, (0, None))
        is_retry = number == last and signature == last_signature
        if query.get("epoch") != self.epoch or (number <= last and not is_retry):
            self.superseded += 1
            return False
        self.orders[path] = (number, signature)
        self.highest = max(self.highest, number)
        return True

    def refusal(self, uid, definition):
        """What the real agents answer when a definition does not fit (Capacity); None when it does."""
        size, pinned = definition["sizeBytes"], definition.get("pinned", True)
        if known := self.caches.get(uid):
            was_pinned, promised = known.definition.get("pinned", True), known.definition["sizeBytes"]
            if (was_pinned or not pinned) and size <= promised:
                return None
        medium = definition.get("medium", "Memory")
        free = max(0, ((self.disk_budget or 0) if medium == "Disk" else self.budget) - self.held(medium, besides=uid))
        if size <= free:
            return None
        return {"code": "InsufficientCapacity", "message": f"{size} bytes do not fit", "remedy": "raise the budget",
                "neededBytes": size, "freeBytes": free}

    def sizes(self, medium):
        return {uid: c.definition.get("sizeBytes", 0) for uid, c in self.caches.items() if c.definition.get("medium", "Memory") == medium}

    def held(self, medium="Memory", besides=None):
        return sum(size for uid, size in self.sizes(medium).items()
                   if uid != besides and (self.caches[uid].definition.get("pinned", True) or self.caches[uid].users))

    def space(self, medium, budget):
        return {"budgetBytes": budget, "usedBytes": sum(self.sizes(medium).values()), "heldBytes": self.held(medium)}

    def report(self, now):
        disk = {} if self.disk_budget is None else {"disk": self.space("Disk", self.disk_budget)}
        return disk | {
            "node": self.node, "version": "stand-in", "bootID": "00000000-0000-0000-0000-000000000000", "instanceID": self.instance,
            "time": int(time.time() + self.clock_offset), "memory": self.space("Memory", self.budget),
            "caches": [cache.report(now) for cache in self.caches.values()], "remains": self.remains,
        }


class Agents:
    """All agents of the cluster behind one port."""

    def __init__(self, secret, nodes, budget=1 << 40):
        self.secret = secret
        self.by_address = {agent_address(i): Agent(name, budget) for i, name in enumerate(nodes)}
        self.by_node = {agent.node: agent for agent in self.by_address.values()}
        self.requests = 0
        self.port = None
        # The orders that were carried out, oldest first: (node, method, uid, the order's number).
        self.orders = []
        # Called with each before it is answered, on the event loop; an OSError loses the answer.
        self.after = lambda order: None

    async def start(self, port=0):
        # No access log, no handler cancellation: thousands of requests a second in one process.
        application = web.Application(client_max_size=1 << 16)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", port, backlog=1024)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self):
        await self._runner.cleanup()

    def _signed(self, agent, request, body):
        """The signature, when it is right."""
        try:
            scheme, _, rest = request.headers["Authorization"].partition(" ")
            fields = dict(part.strip().split("=", 1) for part in rest.split(","))
            if scheme != "MODELCACHE-HMAC-SHA256" or abs(int(fields["Timestamp"]) - time.time() - agent.clock_offset) > 300:
                return None
            lines = [request.method, request.raw_path, fields["Timestamp"], agent.node, hashlib.sha256(body).hexdigest()]
            want = hmac.new(self.secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
            return want if hmac.compare_digest(want, fields["Signature"]) else None
        except (KeyError, ValueError):
            return None

    async def _answer(self, request):
        self.requests += 1
        agent = self.by_address.get(request.transport.get_extra_info("sockname")[0])
        if agent is None or agent.silent:
            request.transport.abort()
            return web.Response(status=503)
        body = await request.read()
        if request.path in ("/healthz", "/readyz"):
            return web.Response(text="ok\n")
        signed = self._signed(agent, request, body)
        if signed is None:
            code = "ClockSkewed" if agent.clock_offset else "Unauthorized"
            return web.json_response({"code": code, "message": "the signature is wrong", "remedy": "check the secret"}, status=401)
        if agent.deaf and request.method in ("PUT", "DELETE"):
            agent.unanswered += 1
            agent.most_unanswered = max(agent.most_unanswered, agent.unanswered)
            while agent.deaf and request.transport and not request.transport.is_closing():
                await asyncio.sleep(0.05)
            agent.unanswered -= 1
            return web.Response(status=503)
        now = time.monotonic()
        if request.path == "/v1/caches" and request.method == "GET":
            agent.reports += 1
            return web.json_response(agent.report(now))
        if request.path.startswith("/v1/caches/") and request.path.endswith("/readers") and request.method == "GET":
            return web.json_response({"readers": agent.readers.get(request.path.split("/")[3], [])})
        prefix, _, uid = request.path.rpartition("/")
        if prefix != "/v1/caches":
            return web.json_response({"code": "NotFound", "message": "no such path", "remedy": "see the API"}, status=404)
        if request.method in ("PUT", "DELETE") and not agent.admits(request.path, request.query, signed):
            highest = {"epoch": agent.epoch, "number": agent.highest}
            return web.json_response(
                {"code": "Superseded", "message": "a later order was carried out", "remedy": "number it anew", "highestOrder": highest}, status=409)
        answer = self._carry_out(agent, request, uid, body, now)
        if request.method in ("PUT", "DELETE") and answer.status < 300:
            order = (agent.node, request.method, uid, int(request.query.get("order", 0)))
            self.orders.append(order)
            try:
                self.after(order)
            except OSError:
                request.transport.abort()
        return answer

    @staticmethod
    def _carry_out(agent, request, uid, body, now):
        cache = agent.caches.get(uid)
        if request.method == "PUT":
            definition = json.loads(body)
            if cache and any(cache.definition["source"].get(one) != definition["source"].get(one) for one in ("uri", "include")):
                return web.json_response({"code": "SourceImmutable", "message": "known with another source", "remedy": "evict it first"}, status=409)
            if refusal := agent.refusal(uid, definition):
                agent.refused += 1
                return web.json_response(refusal, status=507)
            if cache is None:
                cache = agent.caches[uid] = Cache(uid, definition)
            # Keys that are known stay when an operator does not know them.
            if cache.definition.get("callers") and "callers" in definition and not definition["callers"]["keys"]:
                definition["callers"] = cache.definition["callers"]
            cache.definition = definition
            return web.json_response(cache.report(now))
        if request.method == "DELETE":
            if cache and cache.users and request.query.get("force") != "true":
                return web.json_response({"code": "InUse", "message": f"{cache.users} clients", "remedy": "end them"}, status=409)
            agent.caches.pop(uid, None)
            agent.remains = [one for one in agent.remains if one != uid]
            return web.Response(status=204)
        return web.json_response({"code": "MethodNotAllowed", "message": request.method, "remedy": "see the API"}, status=405)


class Kubelets:
    """Runs the operator's Jobs. `fill_seconds(node)` tells how long a copy takes; `fails(node)` gives an error or None."""

    def __init__(self, api, agents, fill_seconds=lambda node: 0.5, fails=lambda node: None):
        self.api, self.agents, self.fill_seconds, self.fails = api, agents, fill_seconds, fails
        self.sources = {}
        self.created = {}
        self.deleted = {}
        # How often a Job of each (namespace, name) was made, and who else hears of Jobs: f(kind, job).
        self.made = collections.Counter()
        self.listeners = []
        self._running = {}
        self._asking = {}
        self.paused = False
        # What `modelcache ls --summary` says in the pod of a Job that lists, in place of running it; and the Jobs of this kind that
        # were made.
        self.lists = None
        self.listings = []
        # Why the Job controller makes no pod for a Job that lists, as it tells by an Event; None: it makes one.
        self.refuses = lambda job: None
        # Whether the Job controller makes a pod for the Job of this node at all.
        self.starts = lambda node: True
        # Whether a queue of Jobs, such as Kueue, holds back the Job of this node.
        self.suspends = lambda node: False

    async def run(self):
        async for kind, job in self.api.watch("/apis/batch/v1/jobs", labelSelector=MANAGED):
            uid = job["metadata"]["uid"]
            for listener in self.listeners:
                listener(kind, job)
            if kind == "DELETED":
                self.deleted[uid] = time.monotonic()
                if task := self._running.pop(uid, None):
                    task.cancel()
            elif uid not in self.created:
                self.created[uid] = time.monotonic()
                self.made[job["metadata"]["namespace"], job["metadata"]["name"]] += 1
                if not self._is_finished(job):
                    run = self._run_job if "modelcache.io/uid" in job["metadata"]["labels"] else self._run_listing
                    self._running[uid] = asyncio.create_task(run(job))

    @staticmethod
    def _is_finished(job):
        return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in job.get("status", {}).get("conditions", []))

    @staticmethod
    def source_of(job):
        """What the Job's `modelcache warm` asks the agent for; one that has another source refuses it, and its pod is tried again."""
        [container] = job["spec"]["template"]["spec"]["containers"]
        return next(one["value"] for one in container["env"] if one["name"] == "OSS_PATH")

    async def source(self, namespace, name, uid):
        """(digest, bytes) as the ModelCache's status tells; asked for once, however many Jobs wait."""
        known = self.sources.get(uid)
        if known is None:
            if uid not in self._asking:
                self._asking[uid] = asyncio.create_task(self._ask_source(namespace, name, uid))
            known = await asyncio.shield(self._asking[uid])
        return known

    async def _ask_source(self, namespace, name, uid):
        try:
            while uid not in self.sources:
                status = (await self.api.get(f"{GROUP}/namespaces/{namespace}/modelcaches/{name}")).get("status", {})
                if digest := status.get("source", {}).get("digest"):
                    self.sources[uid] = (digest, status["source"]["totalBytes"])
                else:
                    await asyncio.sleep(0.2)
            return self.sources[uid]
        finally:
            self._asking.pop(uid, None)

    async def _run_listing(self, job):
        """A pod of the Job, as its controller makes it, that has ended."""
        self.listings.append(job)
        metadata = job["metadata"]
        space, name = metadata["namespace"], f"{metadata['name']}-{metadata['uid'][:5]}"
        if why := self.refuses(job):
            about = {"apiVersion": "batch/v1", "kind": "Job", "namespace": space, "name": metadata["name"], "uid": metadata["uid"]}
            await self.api.create(f"/api/v1/namespaces/{space}/events", {
                "metadata": {"name": name}, "involvedObject": about, "type": "Warning", "reason": "FailedCreate", "message": why,
                "source": {"component": "job-controller"}})
            return
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        labels = job["spec"]["template"]["metadata"]["labels"]
        await self.api.create(f"/api/v1/namespaces/{space}/pods", {
            "metadata": {"name": name, "labels": labels | {"job-name": metadata["name"]}, "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "list", "image": "pause"}], "nodeName": "elsewhere", "automountServiceAccountToken": False}})
        ended = {"exitCode": 0, "message": json.dumps(self.lists(job)) if self.lists else await self._list(job)}
        await self.api.merge(f"/api/v1/namespaces/{space}/pods/{name}/status", {"status": {"phase": "Succeeded", "containerStatuses": [
            {"name": "list", "image": "pause", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}]}})
        self._running.pop(metadata["uid"], None)

    async def _list(self, job):
        """The termination message of the Job's own command, with its variables and with what its volumes hold now."""
        template = job["spec"]["template"]
        [container] = template["spec"]["containers"]
        environment = {one["name"]: one["value"] for one in container["env"]}
        with tempfile.TemporaryDirectory(prefix="mc-list-") as folder:
            for volume in template["spec"].get("volumes", []):
                [mount] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == volume["name"]]
                place = pathlib.Path(folder, volume["name"])
                place.mkdir()
                for name, data in (await self._files(volume, job)).items():
                    (place / name).write_bytes(data)
                environment = {name: value.replace(mount, str(place)) for name, value in environment.items()}
            program = REPOSITORY_DIST / "bin" / container["command"][0].lstrip("/")
            process = await asyncio.create_subprocess_exec(
                program, *container["command"][1:], env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
            output, errors = await process.communicate()
        return (output or errors).decode().strip()

    async def _files(self, volume, job):
        if "secret" in volume:
            try:
                path = f"/api/v1/namespaces/{job['metadata']['namespace']}/secrets/{volume['secret']['secretName']}"
                return {name: base64.b64decode(data) for name, data in (await self.api.get(path)).get("data", {}).items()}
            except ApiError as error:
                assert error.status == 404 and volume["secret"]["optional"]
                return {}
        annotations = job["spec"]["template"]["metadata"]["annotations"]
        [source] = volume["projected"]["sources"]
        return {one["path"]: annotations[one["fieldRef"]["fieldPath"].split("'")[1]].encode() for one in source["downwardAPI"]["items"]}

    async def _run_job(self, job):
        metadata = job["metadata"]
        node, uid = metadata["annotations"]["modelcache.io/node"], metadata["labels"]["modelcache.io/uid"]
        path = f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{metadata['name']}/status"
        now = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

        async def tell_suspended(status):
            condition = {"type": "Suspended", "status": status, "reason": "JobSuspended", "lastProbeTime": now(), "lastTransitionTime": now()}
            await self.api.merge(path, {"status": {"conditions": [condition]}})
        try:
            if self.suspends(node):
                await tell_suspended("True")
                while self.suspends(node):
                    await asyncio.sleep(0.1)
                await tell_suspended("False")
            while self.paused or not self.starts(node):
                await asyncio.sleep(0.1)
            started = now()
            agent = self.agents.by_node.get(node)
            source = self.source_of(job)
            while agent is None or uid not in agent.caches or agent.caches[uid].definition["source"]["uri"] != source:
                await asyncio.sleep(0.5)
                agent = self.agents.by_node.get(node)
            cache = agent.caches[uid]
            if error := self.fails(node):
                cache.state, cache.error = "Failed", error
                why = {"status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
                conditions = [{"type": "FailureTarget", **why}, {"type": "Failed", **why}]
                status = {"startTime": started, "failed": job["spec"].get("backoffLimit", 6) + 1}
            else:
                cache.digest, cache.total = await self.source(metadata["namespace"], metadata["annotations"]["modelcache.io/name"], uid)
                cache.began = time.monotonic()
                cache.ends = cache.began + self.fill_seconds(node)
                cache.state, cache.error = "Filling", None
                await asyncio.sleep(cache.ends - cache.began)
                if agent.caches.get(uid) is not cache:
                    return
                cache.settle(time.monotonic())
                conditions = [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]
                status = {"startTime": started, "succeeded": 1, "completionTime": now()}
            # Servers from 1.31 on take neither Failed nor Complete without the condition that decided it.
            times = {"lastProbeTime": now(), "lastTransitionTime": now()}
            await self.api.merge(path, {"status": {**status, "conditions": [one | times for one in conditions]}})
        except ApiError as error:
            if error.status != 404:
                raise
        finally:
            self._running.pop(metadata["uid"], None)


async def ensure(api, path, body):
    try:
        return await api.create(path, body)
    except ApiError as error:
        if error.status != 409:
            raise
        return None


async def make_namespace(api, name):
    await ensure(api, "/api/v1/namespaces", {"metadata": {"name": name}})
    # No controller manager makes it here, and pods are not admitted without.
    await ensure(api, f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})


async def make_node(api, name, labels=None, taints=None):
    await ensure(api, "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}}, "spec": {"taints": taints or []}})
    await set_node_ready(api, name, True)
    # The server taints new nodes as not ready; no node lifecycle controller is here to take that away.
    await api.merge(f"/api/v1/nodes/{name}", {"spec": {"taints": taints or []}})


async def set_node_ready(api, name, ready):
    resources = {"cpu": "8", "memory": "512Gi", "pods": "110"}
    condition = {"type": "Ready", "status": "True" if ready else "False", "reason": "StandIn", "message": "", "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    await api.merge(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition], "allocatable": resources, "capacity": resources}})


async def make_agent_pod(api, node, address, ready=True):
    path = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods"
    name = f"modelcache-agent-{node}"
    await ensure(api, path, {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "modelcache-agent"}},
        "spec": {"nodeName": node, "hostNetwork": True, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
                 "containers": [{"name": "agent", "image": "modelcache/agent:dev"}]},
    })
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    await api.merge(f"{path}/{name}/status", {"status": {
        "phase": "Running", "hostIP": address, "podIP": address, "podIPs": [{"ip": address}], "startTime": moment,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": moment}],
        "containerStatuses": [{"name": "agent", "image": "x", "imageID": "x", "ready": ready, "restartCount": 0, "state": {"running": {"startedAt": moment}}}],
    }})


async def gather_limited(jobs, limit=32):
    """Runs coroutines, at most `limit` at once."""
    gate = asyncio.Semaphore(limit)

    async def one(job):
        async with gate:
            return await job
    return await asyncio.gather(*(one(job) for job in jobs))


def read_secret(path):
    return open(path, encoding="utf-8").read().strip() if os.path.exists(path) else None

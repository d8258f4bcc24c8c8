"""What bad days must give: faults of the operator's surroundings, on a real API server, judged by the state of the world.

Nodes' agents and Jobs are played by a stand-in (support/stand_in.py); operator, API server and etcd are real.
"""
import concurrent.futures
import contextlib
import json
import random
import re
import socket
import sys
import threading
import time

import pytest

from support import stand_in
from support.control_plane import REPOSITORY
from support.proxy import Refusal, describe
from support.world import ACCESS_KEY, ACCESS_SECRET, REGION, Store, guest_world, world

sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))

from forward_proxy import Proxy as ForwardProxy  # noqa: E402

READY = {"phase": "Ready"}


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane) as made:
        yield made


@pytest.fixture
def own(own_control_plane):
    with world(own_control_plane) as made:
        yield made


def deleted_without_trace(w, name="qwen"):
    w.kubectl("delete", "modelcache", name, "-n", w.namespace, "--wait=false")
    w.until(lambda: w.get(name) is None, "the ModelCache is gone")
    w.until(lambda: not w.jobs(), "its Jobs are gone")
    w.until(lambda: not w.copies(name), "no node has a copy")
    w.until(lambda: not [v for v in w.volumes() if v["metadata"]["annotations"].get("modelcache.io/name") == name], "its volume is gone")


def test_three_nodes_become_ready_and_deletion_leaves_nothing(w):
    w.start_operator()
    w.apply()
    status = w.until_ready()
    assert status["nodes"]["ready"] == status["nodes"]["desired"] == 3 and status["nodes"]["summary"] == "3/3"
    assert status["source"]["totalBytes"] == 500_000 and status["source"]["files"] == 2
    assert status["progress"]["percent"] == 100 and status["observedGeneration"] == w.get()["metadata"]["generation"]
    assert set(w.copies().values()) == {"Ready"} and len(w.jobs()) == 3
    deleted_without_trace(w)


def until_quiet(w, seconds=6) -> int:
    """How many writes there were once none has come for so long."""
    deadline = time.monotonic() + 120
    while True:
        before = len(w.proxy.writes)
        time.sleep(seconds)
        if len(w.proxy.writes) == before:
            return before
        assert time.monotonic() < deadline, describe(w.proxy.writes[before:])


def test_nothing_is_written_when_nothing_changes(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    before = until_quiet(w)
    version = w.get()["metadata"]["resourceVersion"]
    time.sleep(15)
    assert w.proxy.writes[before:] == [] and w.get()["metadata"]["resourceVersion"] == version


def test_a_kill_after_each_of_its_writes_ends_in_the_same_state_without_a_second_job(w):
    """The operator is killed -9 when the API server has taken its n-th write and before it hears of it; for every n."""
    w.start_operator(leader_elect=False)
    w.apply()
    w.until_ready()
    until_quiet(w, 2)
    want, total = w.end_state(), len(w.proxy.writes)
    w.operator.stop()
    assert 6 <= total <= 60, describe(w.proxy.writes)
    for n in range(1, total + 1):
        name = f"kill-{n}"
        count, killed = [0], threading.Event()

        def kill_at(seen, count=count, killed=killed, n=n):
            if seen.is_write and not killed.is_set():
                count[0] += 1
                if count[0] == n:
                    killed.set()
                    w.operator.kill()

        w.proxy.after = kill_at
        w.start_operator(leader_elect=False)
        w.apply(name)
        w.until(lambda: killed.is_set() or w.status(name).get("phase") == "Ready", f"write {n} or Ready")
        w.proxy.after = lambda seen: None
        w.operator.close()
        w.start_operator(leader_elect=False)
        w.until_ready(name)
        w.until(lambda name=name: all((got := w.end_state(name))[part] == want[part] for part in ("phase", "conditions", "nodes")) and got["volumes"] == 1,
                f"the state after write {n} is {want}")
        created = [j for j in w.jobs() if j["metadata"]["annotations"]["modelcache.io/name"] == name]
        assert len(created) == 3 and len({j["metadata"]["annotations"]["modelcache.io/node"] for j in created}) == 3, (n, [j["metadata"]["name"] for j in created])
        w.kubectl("delete", "modelcache", name, "-n", w.namespace, "--wait=false")
        w.until(lambda name=name: w.get(name) is None, f"{name} is gone")
        w.operator.stop()
    w.start_operator()


def test_an_api_server_away_for_a_minute_loses_nothing(own):
    w = own
    w.start_operator(through_proxy=False)
    w.apply()
    w.until_ready()
    w.plane.api_server.stop()
    w.agents.by_node["node-1"].restart(keep=False)
    time.sleep(60)
    w.plane.api_server.start()
    w.plane.ready()
    if not w.operator.alive:
        # A leader that could not renew ends, as controller-runtime's does; its Deployment starts it again.
        w.operator.start()
    w.until(lambda: w.copies().get("node-1") == "Ready", "the copy that was lost meanwhile is back")
    w.until_ready()
    # Who deleted what is told where one is gone: an API server that has just started may also mislead the garbage collector
    # (https://github.com/kubernetes/kubernetes/issues/104342).
    assert len(w.jobs()) == 3, f"deleted: {w.plane.deletions('jobs', w.namespace)}"
    assert set(w.copies().values()) == {"Ready"} and len(w.copies()) == 3
    deleted_without_trace(w)


def test_a_restored_etcd_is_followed_from_its_past(own):
    """The versions of the restored etcd are smaller than those that the operator has seen; it sends no event until they have caught up."""
    w = own
    w.start_operator(through_proxy=False, leader_elect=False)
    w.apply("kept")
    w.until_ready("kept")
    backup = w.plane.snapshot()
    w.kubectl("delete", "modelcache", "kept", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.get("kept") is None, "the ModelCache is gone")
    w.until(lambda: not w.copies("kept"), "no node has a copy")
    w.apply("lost")
    w.until_ready("lost")
    w.plane.restore(backup)
    # Less than the idle timeout: the end of a watch is followed by a list, also where the new server takes the watch up in silence.
    w.until(lambda: set(w.copies("kept").values()) == {"Ready"} and len(w.copies("kept")) == 3, "the restored ModelCache has its copies again", seconds=120)
    w.apply("late")
    w.until_ready("late")
    w.until(lambda: not w.copies("lost"), "no node has a copy of the ModelCache that the backup does not know")
    assert w.operator.alive and w.get("lost") is None


def test_cut_watches_and_refusals_delay_and_change_nothing(w):
    generator, stopped = random.Random(seed := random.randrange(1 << 32)), threading.Event()
    print(f"seed {seed}")
    refusals = [Refusal(429, "TooManyRequests", 1), Refusal(500, "InternalError"), Refusal(503, "ServiceUnavailable"), Refusal(409, "Conflict"), Refusal(504, "Timeout")]

    def refuse(seen):
        if stopped.is_set() or "/leases" in seen.path or generator.random() > 0.2:
            return None
        if generator.random() < 0.3 and (seen.is_watch or "continue=" in seen.path):
            return Refusal(410, "Expired")
        choice = generator.choice(refusals)
        return None if choice.status == 409 and seen.method == "GET" else choice

    w.proxy.refuse = refuse
    w.start_operator()

    def cutting():
        while not stopped.wait(2):
            w.proxy.cut_watches()

    cutter = threading.Thread(target=cutting)
    cutter.start()
    try:
        for i in range(4):
            w.apply(f"m{i}")
        for i in range(4):
            w.until_ready(f"m{i}")
    finally:
        stopped.set()
        cutter.join()
    assert len(w.jobs()) == 12 and w.operator.alive


def test_a_status_write_that_meets_a_conflict_is_tried_again(w):
    refused = []

    def refuse(seen):
        if seen.method != "PATCH" or "/status" not in seen.path:
            return None
        refused.append(seen)
        # Every second: the last one that matters is among them.
        return Refusal(409, "Conflict") if len(refused) % 2 else None

    w.proxy.refuse = refuse
    w.start_operator()
    w.apply()
    w.until_ready()
    assert refused


def test_a_compaction_of_etcd_under_a_cut_watch_is_caught_up(own):
    w = own
    w.start_operator()
    w.apply()
    w.until_ready()
    blocked = True
    w.proxy.refuse = lambda seen: Refusal(503, "ServiceUnavailable") if blocked and seen.is_watch else None
    w.proxy.cut_watches()
    for i in range(20):
        w.kubectl("label", "modelcache", "qwen", "-n", w.namespace, f"round={i}", "--overwrite")
    w.add_node("node-late")
    w.plane.compact()
    blocked = False
    w.until(lambda: w.copies().get("node-late") == "Ready", "the node that joined meanwhile is warm")
    w.until(lambda: w.status()["nodes"]["ready"] == 4)


@pytest.mark.parametrize("phase", ["unresolved", "resolved", "warming", "failed", "ready"])
def test_deletion_at_each_phase_leaves_nothing(w, phase):
    if phase in ("resolved", "warming"):
        w.kubelets.paused = phase == "resolved"
        w.kubelets.fill_seconds = lambda node: 600
    if phase == "failed":
        w.kubelets.fails = lambda node: {"code": "AccessDenied", "message": "the store refused the key"}
    w.start_operator()
    w.apply(**({"source__credentials": {"secretRef": {"name": "absent"}}} if phase == "unresolved" else {}))
    w.until({
        "unresolved": lambda: w.condition("SourceResolved").get("reason") == "SecretNotFound",
        "resolved": lambda: len(w.jobs()) == 3,
        "warming": lambda: "Filling" in w.copies().values(),
        "failed": lambda: w.status().get("nodes", {}).get("failed") == 3,
        "ready": lambda: w.status().get("phase") == "Ready",
    }[phase], phase)
    deleted_without_trace(w)


def test_a_deleted_namespace_goes_with_all_that_was_made_for_it(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    w.kubectl("delete", "namespace", w.namespace, "--wait=false")
    w.until(lambda: not w.copies(), "no node has a copy")
    w.until(lambda: not [v for v in w.volumes() if v["spec"]["claimRef"]["namespace"] == w.namespace], "no volume is left")
    w.until(lambda: w.kubectl.get("namespace", w.namespace) is None, "the namespace is gone")
    # For the fixture's end: nothing to list there any more.
    w.operator.stop()
    w.operator = None


def test_a_secret_that_is_missing_then_wrong_then_right(w):
    w.start_operator()
    w.apply(source__credentials={"secretRef": {"name": "late"}})
    w.until(lambda: w.condition("SourceResolved").get("reason") == "SecretNotFound")
    assert "late" in w.condition("SourceResolved")["message"]
    w.secret("late", value="mistaken-5f1d")
    w.until(lambda: w.condition("SourceResolved").get("reason") == "AccessDenied")
    w.until(lambda: w.events("AccessDenied"), "an Event says so")
    assert "mistaken-5f1d" not in json.dumps(w.get()) and ACCESS_SECRET not in json.dumps(w.get())
    assert not w.jobs()
    w.secret("late")
    w.until_ready()


def test_a_source_with_a_role_is_listed_and_warmed_by_jobs_of_its_service_account(w):
    role = {"name": "warm", "roleARN": "acs:ram::1:role/models", "oidcProviderARN": "acs:ram::1:oidc-provider/ack"}
    refusal = {"kind": "credentialsRefused", "message": "RAM role acs:ram::1:role/models gave no credentials: EntityNotExist.Role"}
    w.kubelets.lists = lambda job: {"totalBytes": 0, "files": 0, "digest": "", "failure": refusal}
    w.start_operator("--sts-endpoint=http://sts.example")
    w.apply(source__credentials={"serviceAccount": role})
    w.until(lambda: w.condition("SourceResolved").get("reason") == "AccessDenied")
    assert "EntityNotExist.Role" in w.condition("SourceResolved")["message"] and not w.jobs()
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
    assert w.until_ready()["source"]["files"] == 2
    jobs = [*w.kubelets.listings, *w.jobs()]
    assert len(jobs) >= 5
    for job in jobs:
        spec = job["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == "warm" and "OSS_ACCESS_KEY_ID" not in json.dumps(spec)
        audiences = {source["serviceAccountToken"]["audience"] for volume in spec["volumes"]
                     for source in volume.get("projected", {}).get("sources", []) if "serviceAccountToken" in source}
        assert "sts.aliyuncs.com" in audiences
    assert {"name": "ALIBABA_CLOUD_STS_ENDPOINT", "value": "http://sts.example"} in w.kubelets.listings[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    for agent in w.agents.by_node.values():
        assert [cache.definition["source"]["role"]["assumed"]["roleARN"] for cache in agent.caches.values()] == [role["roleARN"]]
    w.until(lambda: not w.items("jobs", "-n", w.namespace, "-l", "!modelcache.io/uid"), "Jobs that listed are gone")


def test_a_role_that_the_cluster_gives_is_the_jobs_affair(w):
    """Neither operator nor agents know it: the Jobs run as the ServiceAccount and hand keys over."""
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
    w.start_operator("--sts-endpoint=http://sts.example")
    w.apply(source__credentials={"serviceAccount": {"name": "warm"}})
    w.until_ready()
    jobs = [*w.kubelets.listings, *w.jobs()]
    assert len(jobs) >= 4
    for job in jobs:
        spec = job["spec"]["template"]["spec"]
        variables = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
        assert spec["serviceAccountName"] == "warm" and variables["MODELCACHE_CREDENTIALS"] == "pod", spec
        assert variables["ALIBABA_CLOUD_STS_ENDPOINT"] == "http://sts.example" and "ALIBABA_CLOUD_ROLE_ARN" not in variables
    for agent in w.agents.by_node.values():
        for cache in agent.caches.values():
            assert cache.definition["source"]["needsKeys"] is True and "role" not in cache.definition["source"]
    assert "the role that the cluster gives the ServiceAccount warm" in json.dumps(w.status()), w.status()


def test_a_listing_that_does_not_start_says_why_and_ends_with_the_edit_that_mends_it(w):
    role = {"name": "absent", "roleARN": "acs:ram::1:role/models", "oidcProviderARN": "acs:ram::1:oidc-provider/ack"}
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
    w.kubelets.refuses = lambda job: (
        'Error creating: pods "x" is forbidden: error looking up service account models/absent: serviceaccount "absent" not found'
        if job["spec"]["template"]["spec"]["serviceAccountName"] == "absent" else None)
    w.start_operator()
    w.apply(source__credentials={"serviceAccount": role})
    told = w.until(lambda: (one := w.condition("SourceResolved")) and "does not start" in one["message"] and one, "the reason is told")
    assert told["status"] == "Unknown" and 'serviceaccount "absent" not found' in told["message"], told
    [first] = w.kubelets.listings
    # It would go on for minutes.
    change_source(w, credentials={"serviceAccount": role | {"name": "warm"}})
    w.until_ready()
    w.until(lambda: first["metadata"]["uid"] in w.kubelets.deleted, "the Job of the spec before is gone")
    w.until(lambda: not w.items("jobs", "-n", w.namespace, "-l", "!modelcache.io/uid"), "Jobs that listed are gone")


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "blind"])
def test_a_listing_is_told_by_a_watch_and_found_without_it(w, watched):
    """No pod is asked for while the watch works; where it does not, a look every ten seconds finds the end."""
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
    is_listing = re.compile("/pods.*component(=|%3D)listing").search
    w.proxy.refuse = lambda seen: None if watched or not is_listing(seen.path) else Refusal(503, "ServiceUnavailable")
    w.start_operator("--allow-node-role")
    begun = time.monotonic()
    w.apply(source__credentials={"node": {}})
    w.until_ready()
    looks = [one for one in w.proxy.requests if "/pods" in one.path and "job-name" in one.path]
    assert len(looks) <= (time.monotonic() - begun) / 10 and (watched or looks), describe(looks)


def test_a_listing_that_admission_refuses_says_so(w):
    """Admission may answer with any code."""
    refusal = Refusal(406, "NotAcceptable", message="admission webhook \"policy\" denied the request: no Jobs on Sundays")
    w.proxy.refuse = lambda seen: refusal if seen.method == "POST" and seen.path.partition("?")[0].endswith("/jobs") else None
    w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}
    w.start_operator("--allow-node-role")
    w.apply(source__credentials={"node": {}})
    w.until(lambda: "no Jobs on Sundays" in w.condition("SourceResolved").get("message", ""), "the refusal is told")
    w.proxy.refuse = lambda seen: None
    w.until_ready()


@pytest.mark.parametrize(("change", "reason"), [
    ({"source__uri": "oss://nobucket/qwen/"}, "NoSuchBucket"),
    ({"source__uri": "oss://models/empty/"}, "SourceEmpty"),
    ({"source__endpoint": "http://127.0.0.1:9"}, "EndpointUnreachable"),
], ids=["bucket", "prefix", "endpoint"])
def test_each_fault_of_a_source_has_its_own_reason_and_event(w, change, reason):
    w.start_operator()
    w.apply(**change)
    w.until(lambda: w.condition("SourceResolved").get("reason") == reason, reason)
    assert w.condition("SourceResolved")["status"] == "False" and w.condition("Ready")["status"] == "False"
    w.until(lambda: w.events(reason), "an Event says so")
    assert not w.jobs()


def test_a_node_removed_while_it_warms_is_not_waited_for(w):
    w.kubelets.fill_seconds = lambda node: 600 if node == "node-2" else 0.3
    w.start_operator()
    w.apply()
    w.until(lambda: w.copies().get("node-2") == "Filling")
    w.remove_node("node-2")
    w.until(lambda: w.status().get("phase") == "Ready" and w.status()["nodes"]["summary"] == "2/2")
    w.until(lambda: len(w.jobs()) == 2, "the Job of the gone node is gone")


def test_a_node_that_joins_is_warmed_and_one_that_lost_its_copy_is_warmed_again(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    w.add_node("node-new")
    w.until(lambda: w.copies().get("node-new") == "Ready")
    w.agents.by_node["node-0"].restart(keep=False)
    w.until(lambda: w.copies().get("node-0") == "Ready", "warm again")
    w.until(lambda: w.status().get("phase") == "Ready" and w.status()["nodes"]["summary"] == "4/4")
    assert len(w.jobs()) == 4


def test_a_job_that_fails_to_its_limit_is_told_with_the_agents_words(w):
    w.kubelets.fails = lambda node: {"code": "StoreError", "message": "the disk said no"} if node == "node-1" else None
    w.start_operator()
    w.apply()
    w.until(lambda: w.status().get("nodes", {}).get("failed") == 1 and w.status()["nodes"]["ready"] == 2)
    degraded = w.condition("Degraded")
    assert degraded["status"] == "True" and "node-1" in degraded["message"] and "the disk said no" in degraded["message"]
    assert w.condition("Ready")["status"] == "False"
    assert len(w.jobs()) == 3


def test_an_eviction_that_another_operator_began_is_ended_and_not_carried_out_again(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    request = "node-0@2026-01-02T03:04:05Z"
    w.kubectl("annotate", "modelcache", "qwen", "-n", w.namespace, f"modelcache.io/evict-requested={request}", f"modelcache.io/evict-begun={request}")
    w.until(lambda: w.events("EvictionInterrupted"), "the request is told to be interrupted")
    w.until(lambda: not [one for one in w.get()["metadata"].get("annotations", {}) if "evict" in one], "both annotations are gone")
    assert w.copies()["node-0"] == "Ready" and not w.events("Evicted")
    # The same words again are another request, which leaves no mark either.
    w.kubectl("annotate", "modelcache", "qwen", "-n", w.namespace, f"modelcache.io/evict-requested={request}")
    w.until(lambda: w.events("Evicted"), "the copy is dropped")
    w.until(lambda: not [one for one in w.get()["metadata"].get("annotations", {}) if "evict" in one], "both annotations are gone")
    w.until_ready()


def test_a_job_somebody_deletes_is_made_again_while_it_is_needed(w):
    w.kubelets.fill_seconds = lambda node: 6
    w.start_operator()
    w.apply()
    w.until(lambda: len(w.jobs()) == 3)
    victim = w.jobs()[0]["metadata"]
    w.kubectl("delete", "job", victim["name"], "-n", w.namespace, "--wait=false")
    w.until(lambda: any(j["metadata"]["name"] == victim["name"] and j["metadata"]["uid"] != victim["uid"] for j in w.jobs()) or w.status().get("phase") == "Ready")
    w.until_ready()


def test_an_agent_out_of_reach_is_named_and_the_others_go_on(w):
    w.agents.by_node["node-1"].silent = True
    w.start_operator()
    w.apply()
    w.until(lambda: w.status().get("nodes", {}).get("ready") == 2)
    w.until(lambda: "node-1" in w.condition("Ready").get("message", "") + w.condition("Degraded").get("message", "") + w.condition("Progressing").get("message", ""))
    w.agents.by_node["node-1"].silent = False
    w.until_ready()


def test_deletion_does_not_hang_on_an_agent_out_of_reach_and_its_copy_goes_when_it_is_back(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    w.agents.by_node["node-2"].silent = True
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.get() is None, "deleted in spite of the silent agent")
    assert w.copies() == {"node-2": "Ready"}
    w.agents.by_node["node-2"].silent = False
    w.until(lambda: not w.copies(), "the orphan is dropped")


def test_a_node_that_left_before_the_deletion_is_named_and_its_copy_goes_when_it_returns(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    w.until(lambda: w.status().get("copies") == w.nodes, "the copies are on record")
    w.remove_node("node-2")
    w.until(lambda: w.status()["nodes"]["desired"] == len(w.nodes) - 1, "the node is forgotten")
    w.until(lambda: (w.status().get("copies"), w.status().get("departed", {}).get("names")) == (w.nodes[:-1], ["node-2"]), "its copy is on record")
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.get() is None, "nobody waits for the node")
    [told] = w.until(lambda: w.events("CopiesLeft"), "the copy is told")
    assert "left on node-2, which left the cluster" in told["message"] and told["type"] == "Normal", told
    w.agents.by_node["node-2"].silent = False
    w._call(stand_in.make_node(w.api, "node-2"))
    w.add_agent_pod("node-2")
    w.until(lambda: not w.copies(), "the copy is dropped")


def test_a_copy_out_of_reach_is_named_and_goes_though_the_operator_restarts_meanwhile(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    uid = w.get()["metadata"]["uid"]
    w.until(lambda: w.status().get("copies") == w.nodes, "the copies are on record")
    reader, away, gone = w.agents.by_node["node-0"], w.agents.by_node["node-1"], w.agents.by_node["node-2"]
    reader.caches[uid].users = 1
    away.silent = gone.silent = True
    w.set_node_ready("node-1", False)
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.condition("Ready").get("reason") == "InUse")
    w.remove_node("node-2")
    w.operator.kill()
    w.start_operator()
    w.operator.ready()
    reader.caches[uid].users = 0
    w.until(lambda: w.get() is None, "it goes")
    [told] = w.until(lambda: w.events("CopiesLeft"), "the copies are told")
    assert "left on node-1 (" in told["message"] and "left on node-2, which left the cluster" in told["message"], told
    # Another operator yet drops what comes back.
    w.operator.kill()
    w.start_operator()
    w.set_node_ready("node-1", True)
    away.silent = gone.silent = False
    w._call(stand_in.make_node(w.api, "node-2"))
    w.add_agent_pod("node-2")
    w.until(lambda: not w.copies(), "the copies are dropped")


def test_agents_that_take_orders_and_never_answer_delay_no_other_modelcache(w):
    """Their orders hold no reconcile: those of twenty ModelCaches would keep every worker."""
    deaf = [w.agents.by_node["node-0"], w.agents.by_node["node-1"]]
    for agent in deaf:
        agent.deaf = True
    names = [f"m{i}" for i in range(20)]
    for name in names:
        w.apply(name)
    w.start_operator()
    w.until(lambda: all(agent.unanswered for agent in deaf), "orders are under way")
    w.apply("quick", placement__nodeSelector={"kubernetes.io/hostname": "node-2"})
    w.until_ready("quick")
    w.until(lambda: all(w.copies(name).get("node-2") == "Ready" for name in names), "the twenty are warm where they can be")
    w.until(lambda: any("node-0" in w.condition("Degraded", name).get("message", "") for name in names), "the node is named")
    assert all(agent.most_unanswered <= 4 for agent in deaf), [agent.most_unanswered for agent in deaf]
    for agent in deaf:
        agent.deaf = False
    for name in names:
        w.until_ready(name)


def test_a_clock_ten_minutes_off_is_named(w):
    w.agents.by_node["node-0"].clock_offset = 600
    w.start_operator()
    w.apply()
    w.until(lambda: w.status().get("nodes", {}).get("ready") == 2)
    text = lambda: json.dumps(w.status().get("conditions", [])) + json.dumps(w.events())
    w.until(lambda: "clock" in text().lower() and "node-0" in text())


def test_an_order_that_an_agent_takes_for_an_old_one_is_numbered_anew(w):
    w.apply()
    uid = w.get()["metadata"]["uid"]
    first, second = w.agents.by_node["node-0"], w.agents.by_node["node-1"]
    # It holds the copy of another source: the order is refused, the copy dropped, the same order given again within the second.
    stale = {"namespace": w.namespace, "name": "qwen", "source": {"uri": "oss://models/old/", "include": []}, "medium": "Memory", "sizeBytes": 1}
    first.caches[uid] = stand_in.Cache(uid, stale)
    # It took many orders from another operator.
    second.highest = 900
    second.orders[f"/v1/caches/{uid}"] = (900, "of another operator")
    operator = w.start_operator()
    w.until_ready()
    assert first.caches[uid].definition["source"]["uri"] == "oss://models/qwen/" and second.superseded > 0
    refused = [line for line in operator.log.read_text().splitlines() if "an agent did not prepare a cache" in line]
    assert not refused, refused


@pytest.mark.parametrize("offset", [-280, 280])
def test_a_tolerated_skew_fails_nothing_after_a_restart_of_agent_and_operator(w, offset):
    for agent in w.agents.by_node.values():
        agent.clock_offset = offset
        agent.restart(keep=False)
    w.start_operator()
    w.apply()
    w.until_ready()
    for agent in w.agents.by_node.values():
        agent.restart(keep=False)
    w.operator.kill()
    w.start_operator()
    w.until(lambda: set(w.copies().values()) == {"Ready"} and len(w.copies()) == 3)
    w.until_ready()


def test_nodes_without_capacity_are_left_in_peace_and_their_pods_are_told(w):
    """Four nodes with a fifth of the model: no refused orders, one phase, an Event on the pod."""
    w.add_node("node-3")
    for agent in w.agents.by_node.values():
        agent.budget = 100_000
    w.start_operator()
    w.apply()
    w.until(lambda: w.condition("CapacityExceeded").get("status") == "True")
    w.add_pod("llama", "node-0")
    [told] = w.until(lambda: w.events("InsufficientCapacity") and [
        one for one in w.events("InsufficientCapacity") if one["involvedObject"]["name"] == "llama"])
    assert "node-0 has no capacity" in told["message"] and "free 100 kB, needed 500 kB" in told["message"]
    until_quiet(w, 3)
    version, requests = w.get()["metadata"]["resourceVersion"], sum(agent.refused for agent in w.agents.by_node.values())
    time.sleep(10)
    assert w.get()["metadata"]["resourceVersion"] == version
    assert sum(agent.refused for agent in w.agents.by_node.values()) == requests == 0
    assert w.status()["phase"] == "Degraded" and w.condition("Degraded")["status"] == "True"
    assert "node-0" in w.condition("CapacityExceeded")["message"]
    # Capacity comes: nothing else is needed.
    for agent in w.agents.by_node.values():
        agent.budget = 1 << 40
    w.until_ready()
    w.remove_pod("llama")


def test_beyond_the_quota_of_the_namespace_nothing_is_made_until_bytes_are_free(w):
    """Each model has 500 kB; the API server keeps the operator's keys in a ResourceQuota of its own kind."""
    w.kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "models", "namespace": w.namespace},
                     "spec": {"hard": {"modelcache.io/memory": "600k", "pods": "100"}}})
    w.start_operator()
    w.apply("older")
    w.until_ready("older")
    w.apply("younger")
    told = w.until(lambda: w.condition("CapacityExceeded", "younger").get("status") == "True" and w.condition("CapacityExceeded", "younger"))
    assert told["reason"] == "NamespaceQuotaExceeded"
    assert "modelcache.io/memory of the ResourceQuota models allows the namespace 600 kB" in told["message"]
    uid = w.get("younger")["metadata"]["uid"]
    until_quiet(w, 3)
    made = w.jobs() + w.volumes() + w.items("persistentvolumeclaims", "-n", w.namespace)
    assert made and not [one for one in made if one["metadata"]["labels"]["modelcache.io/uid"] == uid]
    assert not any(uid in agent.caches for agent in w.agents.by_node.values())
    w.kubectl("delete", "modelcache", "older", "-n", w.namespace, "--wait=false")
    w.until_ready("younger")
    assert w.condition("CapacityExceeded", "younger")["status"] == "False"


def test_jobs_that_do_not_start_give_their_places_to_others_and_say_why(w):
    w.kubelets.starts = lambda node: node != "node-0"
    w.start_operator("--warmup-start-deadline=10s")
    w.apply(warmup__parallelism=1)
    w.until(lambda: w.status().get("nodes", {}).get("ready") == 2, "the others are warmed")
    w.until(lambda: "node-0" in w.condition("Degraded").get("message", ""))
    assert "made no pod" in w.condition("Degraded")["message"] and w.status()["nodes"]["failed"] == 1
    assert "node-0" not in [job["metadata"]["annotations"]["modelcache.io/node"] for job in w.jobs()]
    w.kubelets.starts = lambda node: True
    w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=merge", "-p", '{"spec":{"warmup":{"parallelism":2}}}')
    w.until_ready()


def job_nodes(w):
    return sorted(job["metadata"]["annotations"]["modelcache.io/node"] for job in w.jobs())


def test_a_pod_on_a_tainted_or_cordoned_node_gets_its_model(w):
    """Taints keep new copies away, not the model from a pod that the scheduler let in."""
    gpu = {"key": "gpu", "value": "a", "effect": "NoSchedule"}
    w.taint("node-1", gpu)
    w.kubectl("patch", "node", "node-2", "--type=merge", "-p", '{"spec":{"unschedulable":true}}')
    w.start_operator()
    w.apply()
    w.until_ready()
    assert w.copies() == {"node-0": "Ready"}
    w.add_pod("llama-1", "node-1")
    w.add_pod("llama-2", "node-2")
    w.until(lambda: w.copies() == {"node-0": "Ready", "node-1": "Ready", "node-2": "Ready"}, "the pods' nodes have the model")
    tolerated = {job["metadata"]["annotations"]["modelcache.io/node"]: job["spec"]["template"]["spec"].get("tolerations", []) for job in w.jobs()}
    assert tolerated["node-0"] == [] and tolerated["node-1"] == [{"operator": "Equal", **gpu}]
    assert [one["key"] for one in tolerated["node-2"]] == ["node.kubernetes.io/unschedulable"]
    w.remove_pod("llama-1")
    w.remove_pod("llama-2")
    w.until_ready()
    w.until(lambda: w.status()["nodes"]["summary"] == "1/1", "they are no nodes of the ModelCache")
    assert not [one for one in w.events() if one["involvedObject"]["kind"] == "Pod"]


def test_a_job_that_a_queue_suspends_is_waited_for(w):
    """As Kueue does: neither ended at the deadline nor made anew, and its place is another's."""
    w.kubelets.suspends = lambda node: node == "node-0"
    w.start_operator("--warmup-start-deadline=3s")
    w.apply(warmup__parallelism=1)
    w.until(lambda: w.status().get("nodes", {}).get("ready") == 2, "the others are warmed")
    w.until(lambda: "suspended until the queue" in w.condition("Progressing").get("message", ""))
    [held] = [job["metadata"]["uid"] for job in w.jobs() if job["metadata"]["annotations"]["modelcache.io/node"] == "node-0"]
    until_quiet(w, 3)
    time.sleep(6)
    assert held in [job["metadata"]["uid"] for job in w.jobs()] and w.condition("Degraded")["status"] == "False"
    w.kubelets.suspends = lambda node: False
    w.until_ready()
    # Other tests' Jobs are on the same API server.
    assert max(count for (namespace, _), count in w.kubelets.made.items() if namespace == w.namespace) == 1


def test_a_claim_that_somebody_deletes_is_told_while_pods_hold_it(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    [claim] = [one["metadata"]["name"] for one in w.items("pvc", "-n", w.namespace)]
    # What a pod that uses it does; the protection's own finalizer goes at once without one.
    w.kubectl("patch", "pvc", claim, "-n", w.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/pod"]}}')
    w.kubectl("delete", "pvc", claim, "-n", w.namespace, "--wait=false")
    w.until(lambda: w.condition("Degraded").get("reason") == "ClaimTerminating")
    assert claim in w.condition("Degraded")["message"]
    w.add_node("node-3")
    w.until(lambda: w.condition("Ready").get("reason") == "ClaimTerminating")
    assert "node-3" not in job_nodes(w)
    w.kubectl("patch", "pvc", claim, "-n", w.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    w.until(lambda: w.copies().get("node-3") == "Ready", "the claim is made anew, and the warm-up goes on")
    w.until_ready()
    assert w.condition("Degraded")["status"] == "False"


def test_a_change_of_one_agent_wakes_the_modelcaches_of_its_node_alone(w):
    w.start_operator("--log-level=debug")
    for index, name in enumerate(("qwen", "gemma")):
        w.apply(name, placement__nodeSelector={"kubernetes.io/hostname": f"node-{index}"})
    for name in ("qwen", "gemma"):
        w.until_ready(name)
    until_quiet(w, 3)

    def reconciles(name):
        return len(re.findall(rf"reconcile .*modelcache={w.namespace}/{name} .*why=\S*(?:agent|report)", w.operator.log.read_text()))
    before = reconciles("gemma")
    own = reconciles("qwen")
    w.agents.by_node["node-0"].silent = True
    w.until(lambda: "an agent cannot be reached" in w.operator.log.read_text())
    w.agents.by_node["node-0"].silent = False
    w.until(lambda: reconciles("qwen") >= own + 2, "silence and return concern the ModelCache of this node")
    assert reconciles("gemma") == before


def test_a_rolling_update_of_the_agents_changes_no_condition_and_raises_no_warning(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    before = w.condition("Ready")
    warnings = len([one for one in w.events() if one["type"] == "Warning"])
    seen = []
    for node in w.nodes:
        agent = w.agents.by_node[node]
        agent.silent = True
        w.remove_agent_pod(node)
        time.sleep(4)
        agent.restart(keep=True)
        agent.silent = False
        w.add_agent_pod(node)
        for _ in range(10):
            seen.append(w.condition("Ready"))
            time.sleep(0.3)
    assert all(one == before for one in seen), seen
    assert len([one for one in w.events() if one["type"] == "Warning"]) == warnings


def test_an_agent_that_takes_its_grace_period_to_end_changes_no_condition_and_raises_no_warning(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    before, warnings = w.condition("Ready"), len([one for one in w.events() if one["type"] == "Warning"])
    agent = w.agents.by_node["node-1"]
    agent.silent = True
    # No kubelet ends it: it is there for as long as this takes.
    w.kubectl("delete", "pod", "modelcache-agent-node-1", "-n", "modelcache-system", "--grace-period=300", "--wait=false")
    for _ in range(75):
        assert w.condition("Ready") == before
        time.sleep(1)
    w.remove_agent_pod("node-1")
    agent.restart(keep=True)
    agent.silent = False
    w.add_agent_pod("node-1")
    w.until(lambda: agent.reports, "the next pod is asked")
    assert w.condition("Ready") == before
    assert len([one for one in w.events() if one["type"] == "Warning"]) == warnings


def test_a_secret_whose_entries_are_renamed_serves_nodes_that_join(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    w.kubectl("delete", "secret", "oss", "-n", w.namespace)
    w.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oss", "namespace": w.namespace},
                     "stringData": {"akId": ACCESS_KEY, "akSecret": ACCESS_SECRET}})
    w.add_node("node-3")
    w.until(lambda: w.copies().get("node-3") == "Ready")
    # The Job's pod finds the entries by itself: it has all of the Secret, and its manifest names none.
    [job] = [one for one in w.jobs() if one["metadata"]["annotations"]["modelcache.io/node"] == "node-3"]
    assert_secret_is_mounted(job, "oss")
    # So does the next listing.
    change_source(w, requesterPays=True)
    w.until(lambda: w.kubelets.listings and assert_secret_is_mounted(w.kubelets.listings[-1], "oss") is None)
    w.until_ready()


def assert_secret_is_mounted(job, name):
    spec = job["spec"]["template"]["spec"]
    assert [one["secret"] for one in spec["volumes"] if "secret" in one] == [{"secretName": name, "optional": True, "defaultMode": 0o444}]
    assert "secretKeyRef" not in json.dumps(spec) and "ACCESS_KEY" not in json.dumps(spec)


def test_a_stuck_reader_is_forced_by_an_annotation(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    uid = w.get()["metadata"]["uid"]
    w.agents.by_node["node-1"].caches[uid].users = 1
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.condition("Ready").get("reason") == "InUse")
    w.kubectl("annotate", "modelcache", "qwen", "-n", w.namespace, "modelcache.io/force-evict=true")
    w.until(lambda: w.get() is None, "it goes at once")
    assert not w.copies()


def test_what_an_agent_finds_and_does_not_serve_is_removed_when_no_modelcache_knows_it(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    gone, known = "11111111-2222-4333-8444-555555555555", w.get()["metadata"]["uid"]
    w.agents.by_node["node-1"].remains = [gone, known]
    w.until(lambda: gone not in w.agents.by_node["node-1"].remains, "what nobody knows is removed")
    assert w.agents.by_node["node-1"].remains == [known]


@pytest.mark.parametrize("may_list", [True, False], ids=["may-list-all", "may-not"])
def test_an_operator_of_one_namespace_removes_what_no_namespace_knows_where_it_may_look(w, may_list):
    """With the rights of config/namespaced it cannot know, asks once and leaves it alone."""
    def lists_all(seen):
        return seen.method == "GET" and seen.path.partition("?")[0] == f"{stand_in.GROUP}/modelcaches"

    looks = []

    def refuse(seen):
        if not lists_all(seen):
            return None
        looks.append(seen)
        return None if may_list else Refusal(403, "Forbidden")

    w.proxy.refuse = refuse
    other = f"{w.namespace}-other"
    w.kubectl("create", "namespace", other)
    w.kubectl.apply({"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": "theirs", "namespace": other}, "spec": w.spec()})
    gone, known = "11111111-2222-4333-8444-555555555555", w.kubectl.get("modelcache", "theirs", "-n", other)["metadata"]["uid"]
    operator = w.start_operator(f"--namespace={w.namespace}")
    w.apply()
    w.until_ready()
    agent = w.agents.by_node["node-1"]
    agent.remains = [gone, known]
    if may_list:
        w.until(lambda: gone not in agent.remains, "what nobody knows is removed")
        assert agent.remains == [known]
    else:
        w.until(lambda: "may not list the ModelCaches of all namespaces" in operator.log.read_text(), "it says so")
        begun, asked = len(w.agents.orders), agent.reports
        w.until(lambda: agent.reports >= asked + 5, "the agent is asked again and again")
        assert agent.remains == [gone, known] and len(w.agents.orders) == begun
        assert len(looks) == 1
    w.kubectl("delete", "namespace", other, "--wait=false")


def test_sources_that_do_not_answer_delay_no_other_namespace(w):
    """A listing that is under way when the operator ends does not keep the Lease either."""
    deaf = socket.create_server(("127.0.0.1", 0), backlog=512)
    for index in range(60):
        w.apply(f"dead-{index}", source__endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}")
    w.start_operator()
    w.until(lambda: any(w.condition("SourceResolved", f"dead-{index}").get("reason") == "EndpointUnreachable" for index in range(8)))
    other = f"{w.namespace}-other"
    w.kubectl("create", "namespace", other)
    w.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oss", "namespace": other},
                     "stringData": {"OSS_ACCESS_KEY_ID": ACCESS_KEY, "OSS_ACCESS_KEY_SECRET": ACCESS_SECRET}})
    w.kubectl.apply({"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": "quick", "namespace": other}, "spec": w.spec()})
    # The dead ones would keep it for minutes.
    w.until(lambda: (w.kubectl.get("modelcache", "quick", "-n", other) or {}).get("status", {}).get("source", {}).get("digest"), seconds=120)
    began = time.monotonic()
    w.operator.stop()
    assert time.monotonic() - began < 20
    lease = w.kubectl.get("lease", "modelcache-operator", "-n", "modelcache-system")
    assert not lease["spec"].get("holderIdentity")
    w.start_operator(through_proxy=False)
    w.kubectl("delete", "modelcache", "quick", "-n", other, "--wait=false")
    w.until(lambda: w.kubectl.get("modelcache", "quick", "-n", other) is None)
    deaf.close()


def test_a_changed_source_is_refused_or_told(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    try:
        w.apply(source__uri="oss://models/other/")
    except AssertionError as refused:
        assert "immutable" in str(refused)
    else:
        w.until(lambda: w.condition("SourceResolved").get("reason") == "SourceImmutable")
        assert set(w.copies().values()) == {"Ready"}


def change_source(w, **fields):
    w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=merge", "-p", json.dumps({"spec": {"source": fields}}))


def test_a_wrong_endpoint_is_mended_in_place(w):
    w.start_operator()
    w.apply(source__endpoint="http://127.0.0.1:9")
    w.until(lambda: w.condition("SourceResolved").get("reason") == "EndpointUnreachable", "the endpoint is told")
    change_source(w, endpoint=w.store.endpoint)
    w.until_ready()


def test_a_wrong_region_is_told_by_its_field(w):
    w.start_operator()
    w.apply(source__region="cn-elsewhere")
    w.until(lambda: w.condition("SourceResolved").get("reason") == "StoreError", "the region is told")
    told = w.condition("SourceResolved")["message"]
    assert "spec.source.region" in told and "OSS_" not in told, told
    change_source(w, region=REGION)
    w.until_ready()


def test_a_source_is_listed_through_the_operators_proxy(w, monkeypatch):
    forward = ForwardProxy({"models.store.example": ("127.0.0.1", int(w.store.endpoint.rpartition(":")[2]))})
    with monkeypatch.context() as environment:
        environment.setenv("HTTP_PROXY", forward.url)
        # Nothing listens there: no request to the API server takes it.
        environment.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        w.start_operator("--credential-hosts=store.example")
    w.apply(source__endpoint="http://store.example", source__addressing="Virtual", source__requesterPays=True)
    w.until_ready()
    assert forward.asked("models.store.example") >= 1 and not [line for line in forward.log if "CONNECT" in line], forward.log
    forward.close()
    # How the store is reached is told to agents and Jobs too.
    for agent in w.agents.by_node.values():
        for cache in agent.caches.values():
            assert (cache.definition["source"]["addressing"], cache.definition["source"]["requesterPays"]) == ("Virtual", True)
    for job in w.jobs():
        environment = {one["name"]: one.get("value") for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        assert (environment["MODELCACHE_ADDRESSING"], environment["MODELCACHE_REQUEST_PAYER"]) == ("Virtual", "requester"), environment


def test_a_secret_may_have_the_names_of_the_aws_tools(w):
    w.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws", "namespace": w.namespace},
                     "stringData": {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ACCESS_SECRET}})
    w.start_operator()
    w.apply(source__uri="s3://models/qwen/", source__credentials={"secretRef": {"name": "aws"}})
    w.until_ready()
    for job in w.jobs():
        assert_secret_is_mounted(job, "aws")


def test_the_operators_authorities_reach_the_store(w, monkeypatch):
    certificate, key = w.plane.issue("store", "/CN=store", "IP:127.0.0.1")
    with contextlib.closing(Store(w.folder / "secure", "--tls-port", "0", "--tls-cert", certificate, "--tls-key", key)) as store:
        w.start_operator()
        w.apply(source__endpoint=store.secure_endpoint)
        w.until(lambda: w.condition("SourceResolved").get("reason") == "EndpointUnreachable", "the authority is not known")
        assert "SSL_CERT_FILE" in w.condition("SourceResolved")["message"]
        w.operator.stop()
        with monkeypatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(w.plane.certificates / "ca.crt"))
            w.start_operator()
        w.until_ready()


def test_a_modelcache_whose_credentials_would_go_to_a_strangers_host_is_refused_until_it_is_mended(w):
    w.start_operator()
    w.apply(source__endpoint="https://store.example.com")
    w.until(lambda: w.condition("SourceResolved").get("reason") == "InvalidSpec", "the endpoint is told")
    assert "spec.source.endpoint" in w.condition("SourceResolved")["message"] and not w.jobs()
    change_source(w, endpoint=w.store.endpoint)
    w.until_ready()


def test_objects_that_changed_at_the_source_are_named(w):
    w.start_operator()
    w.apply()
    digest = w.until_ready()["source"]["digest"]
    assert not w.condition("SourceChanged")
    (w.folder / "models/qwen/a.gguf").write_bytes(b"c" * 300_001)
    # Another way to the store has it listed again.
    change_source(w, requesterPays=True)
    told = w.until(lambda: w.condition("SourceChanged"), "the change is told")
    assert told["status"] == "True" and told["reason"] == "ObjectsChanged" and "1 object changed at the source: a.gguf." in told["message"], told
    # The pin holds on to the former listing.
    change_source(w, digest=digest)
    w.until(lambda: w.condition("SourceResolved").get("reason") == "DigestMismatch", "the pin is told")


def test_suspend_stops_warming_and_keeps_copies(w):
    w.kubelets.fill_seconds = lambda node: 0.3 if node == "node-0" else 600
    w.start_operator()
    w.apply()
    w.until(lambda: w.copies().get("node-0") == "Ready")
    w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    w.until(lambda: w.status().get("phase") == "Suspended")
    w.until(lambda: len([j for j in w.jobs() if not j.get("status", {}).get("completionTime")]) == 0)
    assert w.copies()["node-0"] == "Ready"
    w.kubelets.fill_seconds = lambda node: 0.3
    w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    w.until_ready()


def test_two_writers_of_one_modelcache_and_the_operator_agree(w):
    w.start_operator()
    w.apply()
    errors = []

    def edit(writer):
        for i in range(25):
            try:
                w.kubectl("patch", "modelcache", "qwen", "-n", w.namespace, "--type=merge", "-p",
                          json.dumps({"metadata": {"labels": {f"writer-{writer}": str(i)}}, "spec": {"warmup": {"parallelism": 1 + (i + writer) % 50}}}))
            except AssertionError as error:
                errors.append(str(error))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(edit, range(2)))
    assert not errors
    status = w.until(lambda: (s := w.status()).get("phase") == "Ready" and s["observedGeneration"] == w.get()["metadata"]["generation"] and s)
    assert status["nodes"]["ready"] == 3 and len(w.jobs()) == 3
    labels = w.get()["metadata"]["labels"]
    assert labels["writer-0"] == labels["writer-1"] == "24"


def test_a_lost_seeder_is_replaced(w):
    w.start_operator()
    w.apply(warmup__mode="OnDemand", placement__seeders=1)
    w.until_ready()
    [seeder] = w.status()["nodes"].get("seeders") or w.status()["seeders"]
    assert [n for n, s in w.copies().items() if s == "Ready"] == [seeder]
    w.remove_node(seeder)
    w.until(lambda: (now := (w.status()["nodes"].get("seeders") or w.status().get("seeders"))) and now != [seeder] and w.copies().get(now[0]) == "Ready", "another node seeds")

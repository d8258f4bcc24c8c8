"""What bad days must give: faults of the operator's surroundings, on a real API server, judged by the state of the world.

Nodes' agents and Jobs are played by a stand-in (support/stand_in.py); operator, API server and etcd are real.
"""
import concurrent.futures
import json
import random
import threading
import time

import pytest

from support import stand_in
from support.proxy import Refusal, describe
from support.world import ACCESS_SECRET, world

READY = {"phase": "Ready"}


@pytest.fixture
def w(control_plane):
    with world(control_plane) as made:
        yield made
        # The next test's operator must not find objects whose finalizer waits for this one's.
        if made.operator:
            if not made.operator.alive:
                made.start_operator(through_proxy=False)
            for one in made.items("modelcaches", "-n", made.namespace):
                made.kubectl("delete", "modelcache", one["metadata"]["name"], "-n", made.namespace, "--wait=false")
            made.until(lambda: not made.items("modelcaches", "-n", made.namespace), "the ModelCaches of the test are gone")
        for node in made.nodes:
            made.kubectl("delete", "node", node, "--wait=false", "--ignore-not-found")
        made.kubectl("delete", "pods", "--all", "-n", "modelcache-system", "--grace-period=0", "--force", check=False)


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


def test_nothing_is_written_when_nothing_changes(w):
    w.start_operator()
    w.apply()
    w.until_ready()
    time.sleep(6)
    before, version = len(w.proxy.writes), w.get()["metadata"]["resourceVersion"]
    time.sleep(15)
    assert w.proxy.writes[before:] == [] and w.get()["metadata"]["resourceVersion"] == version


def test_a_kill_after_each_of_its_writes_ends_in_the_same_state_without_a_second_job(w):
    """The operator is killed -9 when the API server has taken its n-th write and before it hears of it; for every n."""
    w.start_operator(leader_elect=False)
    w.apply()
    w.until_ready()
    time.sleep(1)
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
        got = w.until(lambda: (state := w.end_state(name)) and state["phase"] == "Ready" and state)
        created = [j for j in w.jobs() if j["metadata"]["annotations"]["modelcache.io/name"] == name]
        assert len(created) == 3 and len({j["metadata"]["annotations"]["modelcache.io/node"] for j in created}) == 3, (n, [j["metadata"]["name"] for j in created])
        assert got["conditions"] == want["conditions"] and got["nodes"] == want["nodes"] and got["volumes"] == 1, (n, got, want)
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
    w.apply(**({"source__credentialsSecretRef": {"name": "absent"}} if phase == "unresolved" else {}))
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
    w.apply(source__credentialsSecretRef={"name": "late"})
    w.until(lambda: w.condition("SourceResolved").get("reason") == "SecretNotFound")
    assert "late" in w.condition("SourceResolved")["message"]
    w.secret("late", value="mistaken-5f1d")
    w.until(lambda: w.condition("SourceResolved").get("reason") == "AccessDenied")
    assert w.events("AccessDenied") and "mistaken-5f1d" not in json.dumps(w.get()) and ACCESS_SECRET not in json.dumps(w.get())
    assert not w.jobs()
    w.secret("late")
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


def test_a_clock_ten_minutes_off_is_named(w):
    w.agents.by_node["node-0"].clock_offset = 600
    w.start_operator()
    w.apply()
    w.until(lambda: w.status().get("nodes", {}).get("ready") == 2)
    text = lambda: json.dumps(w.status().get("conditions", [])) + json.dumps(w.events())
    w.until(lambda: "clock" in text().lower() and "node-0" in text())


def test_an_order_that_an_agent_takes_for_an_old_one_is_signed_anew(w):
    w.apply()
    uid = w.get()["metadata"]["uid"]
    first, second = w.agents.by_node["node-0"], w.agents.by_node["node-1"]
    # It holds the copy of another source: the order is refused, the copy dropped, the same order given again within the second.
    stale = {"namespace": w.namespace, "name": "qwen", "source": {"uri": "oss://models/old/", "include": []}, "medium": "Memory", "sizeBytes": 1}
    first.caches[uid] = stand_in.Cache(uid, stale)
    # It took an order from somebody whose clock is ahead.
    second.orders[f"/v1/caches/{uid}"] = (int(time.time()) + 8, ["of another operator"])
    operator = w.start_operator()
    w.until_ready()
    assert first.caches[uid].definition["source"]["uri"] == "oss://models/qwen/" and second.superseded > 0
    refused = [line for line in operator.log.read_text().splitlines() if "an agent did not prepare a cache" in line]
    assert not [line for line in refused if "node-1" not in line], refused


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

"""ModelCache on three real nodes: applied, watched, disturbed, deleted. The tests are one story and run in their order."""
import base64
import hashlib
import re
import time

import pytest

from support.cluster import wait_until
from support.installation import AGENT, OPERATOR, SYSTEM
from support.models import FOLDERS, NODES, RESTRICTED, Model, namespace_with_keys
from support.system import ACCESS_KEY, SECRET, Running, paths

SPACE, OTHER_SPACE = "show-models", "show-other"
# Without another ModelCache of the same objects, whose copies would be taken.
LONE_SPACE = "show-lone"
# 253 MB at this rate take thirty seconds: long enough to disturb a fill in its middle, also where a look takes some seconds.
SLOW = {"maxBytesPerSecond": "8Mi"}
# A minute, for much to be looked at before the disturbance.
SLOWER = {"maxBytesPerSecond": "4Mi"}
# How often three nodes together may read a model. Its owner alone reads a block; on a machine so busy that an owner is late by
# seconds, another stands in for it.
SHARED = 1.25


@pytest.fixture(scope="module")
def digest():
    with open(paths.gemma(), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def size():
    return paths.gemma().stat().st_size


@pytest.fixture(scope="module")
def gemma(cluster, installation, store, tmp_path_factory):
    """The sample, applied while `kubectl get mcache -w` looks on, until it is Ready."""
    for space in (SPACE, OTHER_SPACE, LONE_SPACE):
        namespace_with_keys(cluster, space)
    log = tmp_path_factory.mktemp("watch") / "watch.txt"
    programs = (cluster.state / "programs").read_text().strip()
    watch = Running([f"{programs}/kubectl", "--kubeconfig", cluster.kubeconfig, "get", "mcache", "-n", SPACE, "-w"], log)
    model, started = Model(cluster, SPACE, "gemma"), time.monotonic()
    model.served_before = served(store)
    try:
        model.apply(store.endpoint)
        model.wait_ready()
        model.seconds = time.monotonic() - started
        wait_until(lambda: " Ready " in watch.output(), "the watch shows it")
    finally:
        watch.stop()
    model.watched = watch.output()
    print(f"\n{model.watched}\nfrom apply to Ready: {model.seconds:.1f} s")
    yield model
    cluster.kubectl("delete", "namespace", SPACE, OTHER_SPACE, LONE_SPACE, "--ignore-not-found", "--timeout=180s", check=False)


def served(store) -> int:
    return store.requests()["bytesServed"]


def digests_everywhere(model, medium="Memory"):
    return [model.digests(node, medium) for node in NODES]


def credentials_of_warm(cluster, node) -> list[str]:
    """The lines of /proc that tell what the node's warm-up process may do; empty while none runs."""
    return cluster.on(node, "sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^/modelcache warm' && "
                                        "grep -E '^(Uid|NoNewPrivs|CapEff|Seccomp):' $p/status; done; true", check=False).split()


def running_warm_ups(cluster, model) -> list[dict] | None:
    """Pods of the model's Jobs that run; None while there are fewer than two."""
    jobs = {job["metadata"]["name"] for job in model.jobs()}
    found = [pod for pod in cluster.items("pods", "-n", model.namespace)
             if pod["metadata"].get("labels", {}).get("job-name") in jobs and pod["status"]["phase"] == "Running"]
    return found if len(found) > 1 else None


def test_three_nodes_warm_while_kubectl_shows_it(gemma, size):
    lines = [line.split() for line in gemma.watched.splitlines()[1:]]
    shown = [line[1:-1] for line in lines if len(line) > 3]
    assert gemma.watched.splitlines()[0].split() == ["NAME", "PHASE", "SIZE", "READY", "PROGRESS", "AGE"]
    assert shown[-1] == ["Ready", "253", "MB", "3/3", "100%"], gemma.watched
    percents = [int(line[4].removesuffix("%")) for line in shown if len(line) == 5]
    assert "Warming" in {line[0] for line in shown} and percents == sorted(percents), gemma.watched
    status = gemma.status
    assert status["source"]["totalBytes"] == size and status["source"]["files"] == 1
    assert status["progress"]["bytesCached"] == 3 * size
    assert len(status["seeders"]) == 1
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"


def test_three_nodes_share_one_reading_of_the_store(gemma, store, digest, size):
    """Each took most of the model from the other two: their agents found each other through the headless Service."""
    assert digests_everywhere(gemma) == [{paths.gemma().name: digest}] * 3
    assert size <= served(store) - gemma.served_before <= SHARED * size
    traffic = gemma.status["traffic"]
    assert size <= traffic["originBytes"] <= SHARED * size and traffic["originBytes"] + traffic["peerBytes"] >= 3 * size, traffic


def wait_for_jobs(model):
    """The Jobs of a ModelCache, all with success: the ModelCache is Ready as soon as the nodes are, and newer servers say so of a Job later.
    Two pods succeed where one that was said to be evicted ran on beside its successor."""
    return wait_until(lambda: all(job["status"].get("succeeded", 0) >= 1 for job in model.jobs()) and model.jobs(),
                      lambda: f"the Jobs succeed: {[job['status'] for job in model.jobs()]}")


def test_warm_up_jobs_ran_unprivileged_and_completed(cluster, gemma):
    jobs = wait_for_jobs(gemma)
    assert [job["metadata"]["annotations"]["modelcache.io/node"] for job in jobs] == list(NODES)
    for job in jobs:
        assert not job["status"].get("failed"), job["status"]
    for pod in cluster.get("pods", "-n", SPACE)["items"]:
        spec = pod["spec"]
        container, = spec["containers"]
        state = spec.get("securityContext", {}) | container["securityContext"]
        assert pod["status"]["phase"] == "Succeeded"
        assert state | RESTRICTED == state and state["runAsNonRoot"] and state["runAsUser"] == 65532
        assert state["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False and not spec.get("hostNetwork")
        assert all(set(volume) <= {"name", "persistentVolumeClaim", "emptyDir", "projected", "secret"} for volume in spec["volumes"])
        assert [volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume] == ["oss-keys"]
        assert SECRET not in str(pod) and ACCESS_KEY not in str(pod)


def test_the_plugin_tells_how_it_stands_and_that_nothing_is_missing(installation, gemma):
    page = installation.plugin("status", "gemma", "-n", SPACE)
    assert "Ready" in page and "253 MB in 1 file, 3 of 3 nodes ready" in page and "seeder" in page
    for node in NODES:
        assert re.search(rf"^{node} +Ready +100%", page, re.MULTILINE), page
    assert installation.plugin("why", "gemma", "-n", SPACE) == "gemma is ready on 3 nodes.\n"


def test_a_node_that_lost_its_memory_is_noticed_and_warmed_again(cluster, installation, gemma, store, digest, size):
    before, folder = served(store), f"{FOLDERS['Memory']}/{gemma.uid}"
    cluster.on("node-3", "umount", "--lazy", folder)
    installation.delete_agent("node-3")
    wait_until(lambda: digest in cluster.on("node-3", "sh", "-c", f"sha256sum {folder}/*.gguf", check=False), "the model on node-3 again", every=0.3)
    gemma.wait_ready()
    # From the other nodes, not from the store.
    assert served(store) - before <= (SHARED - 1) * size
    assert digests_everywhere(gemma) == [{paths.gemma().name: digest}] * 3


def test_a_drained_node_keeps_its_copy_and_takes_no_new_model(cluster, gemma, store, digest):
    before = served(store)
    cluster.kubectl("drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
    try:
        other = Model(cluster, SPACE, "shards").apply(store.endpoint, "shards/", cache={"medium": "Disk"})
        other.wait_ready(nodes=2)
        assert cluster.on("node-2", "ls", FOLDERS["Disk"], check=False) == ""
        gemma.wait_ready()
        assert gemma.digests("node-2") == {paths.gemma().name: digest}
        assert served(store) - before <= SHARED * other.status["source"]["totalBytes"]
    finally:
        cluster.kubectl("uncordon", "node-2")
    # Back in service it is as a node that joins.
    other.wait_ready(nodes=3)
    expected = dict(reversed(line.split(maxsplit=1)) for line in (paths.models() / "SHA256SUMS").read_text().splitlines() if "/shards/" in line)
    expected = {name.rsplit("/", 1)[1]: digest for name, digest in expected.items()}
    assert len(expected) == 15 and digests_everywhere(other, "Disk") == [expected] * 3
    mounts = cluster.on("node-1", "cat", "/proc/mounts")
    assert f"{FOLDERS['Disk']}/{other.uid} tmpfs" not in mounts
    other.delete()
    other.wait_gone()


def test_agent_and_operator_killed_in_the_middle_of_a_fill_cost_nothing_but_time(cluster, installation, gemma, store, digest, size):
    """In another namespace, under the same name: two ModelCaches that have nothing to do with each other."""
    before = served(store)
    twin = Model(cluster, OTHER_SPACE, "gemma").apply(store.endpoint, warmup=SLOWER)
    seen = twin.wait_percent(1)["progress"]["percent"]
    assert seen < twin.wait_percent(seen + 5)["progress"]["percent"] < 100
    # Any node's warm-up will do: on a busy machine one node's pod may start long after another's.
    busy, found = wait_until(lambda: next(((node, seen) for node in NODES if (seen := credentials_of_warm(cluster, node))), None), "a warm-up in progress")
    assert found[:5] == ["Uid:", "65532", "65532", "65532", "65532"] and found[found.index("CapEff:") + 1] == "0" * 16, found
    assert found[found.index("NoNewPrivs:") + 1] == "1" and found[found.index("Seccomp:") + 1] == "2"
    why = installation.plugin("why", "gemma", "-n", OTHER_SPACE)
    assert why.startswith("gemma is not ready") and "node" in why, why
    operator, = (pod["metadata"]["name"] for pod in installation.pods(OPERATOR))
    cluster.kubectl("delete", "pod", "-n", SYSTEM, operator, "--grace-period=0", "--force")
    installation.delete_agent(busy)
    twin.lift_limit()
    twin.wait_ready()
    assert twin.uid != gemma.uid
    assert digests_everywhere(twin) == [{paths.gemma().name: digest}] * 3
    # The agent found what it had: at most the ranges in flight were read twice.
    assert served(store) - before <= (SHARED + 0.3) * size
    assert len(wait_for_jobs(twin)) == 3
    installation.wait_ready()
    gemma.wait_ready()


def test_evicted_warm_ups_begin_again_and_end(cluster, gemma, digest):
    """One by the Eviction API, as `kubectl drain` does it; one as the kubelet leaves it when a node runs short: failed, "Evicted"."""
    model = Model(cluster, LONE_SPACE, "moved").apply(gemma.get()["spec"]["source"]["endpoint"], cache={"medium": "Disk"}, warmup=SLOW)
    model.wait_percent(5)
    drained, pressed = wait_until(lambda: running_warm_ups(cluster, model), "two warm-ups run")[:2]
    pods = f"/api/v1/namespaces/{LONE_SPACE}/pods"
    # Servers from 1.25 on have v1 alone, those before 1.22 have it not.
    version = "policy/v1" if "policy/v1" in cluster.kubectl("api-versions").split() else "policy/v1beta1"
    cluster.kubectl("create", "--raw", f"{pods}/{drained['metadata']['name']}/eviction", "-f", "-", input={
        "apiVersion": version, "kind": "Eviction", "metadata": {"name": drained["metadata"]["name"], "namespace": LONE_SPACE}})
    failed = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    fresh = cluster.get("pod", "-n", LONE_SPACE, pressed["metadata"]["name"])
    cluster.kubectl("replace", "--raw", f"{pods}/{pressed['metadata']['name']}/status", "-f", "-", input=fresh | {"status": failed})
    model.lift_limit()
    model.wait_ready()
    assert digests_everywhere(model, "Disk") == [{paths.gemma().name: digest}] * 3
    assert len(wait_for_jobs(model)) == 3
    model.delete()
    model.wait_gone()


def test_deleted_in_the_middle_of_a_fill_it_leaves_nothing(cluster, gemma, store):
    model = Model(cluster, LONE_SPACE, "brief").apply(store.endpoint, cache={"medium": "Disk"}, warmup=SLOW)
    model.wait_percent(10)
    model.delete()
    model.wait_gone()


def test_deleted_models_leave_no_file_mount_socket_or_object(cluster, gemma, digest):
    twin = Model(cluster, OTHER_SPACE, "gemma")
    twin.uid = twin.get()["metadata"]["uid"]
    print(f"deleted in {gemma.delete():.1f} s")
    gemma.wait_gone()
    # The one of the same name in the other namespace is as it was.
    assert digests_everywhere(twin) == [{paths.gemma().name: digest}] * 3
    twin.delete()
    twin.wait_gone()
    for node in NODES:
        left = cluster.on(node, "sh", "-c", f"find {FOLDERS['Memory']} {FOLDERS['Disk']} -mindepth 1 2>/dev/null; true")
        assert left == "", left


def test_logs_hold_no_secret_and_the_operator_was_refused_nothing(cluster, installation, gemma):
    shared = base64.b64decode(cluster.get("secret", "-n", SYSTEM, "modelcache-agent-auth")["data"]["secret"]).decode().strip()
    agents, operator = installation.logs(AGENT), installation.logs(OPERATOR)
    for text in (agents, operator):
        assert text and not any(secret in text for secret in (SECRET, shared))
    assert not re.search(r"\b403\b|orbidden", operator), operator
    # None ended by itself: what was restarted above was a new pod.
    for pod in installation.pods(AGENT) + installation.pods(OPERATOR):
        assert all(status["restartCount"] == 0 for status in pod["status"]["containerStatuses"]), pod["metadata"]["name"]

"""The agents' pod under a kubelet: an agent without privilege beside a mounter, the mounter's death, and the way between this form and one
privileged container while pods read."""
import hashlib

import pytest

from support.cluster import wait_until
from support.installation import AGENT
from support.models import FOLDERS, NODES, Model, namespace_with_keys
from support.pods import GEMMA, Pods, llama, reader
from support.processes import rights
from support.system import paths

SPACE = "mounter-models"
# Without another ModelCache of the same objects, whose copies would be taken.
LONE_SPACE = "mounter-lone"
ON_ONE = {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}
# 253 MB at this rate take a minute.
SLOW = {"maxBytesPerSecond": "4Mi"}
# capabilities(7): CAP_DAC_OVERRIDE and CAP_FOWNER; CAP_SYS_ADMIN.
AGENTS, MOUNTERS = 1 << 1 | 1 << 3, 1 << 21


@pytest.fixture(scope="module", autouse=True)
def space(cluster, installation):
    installation.load("reader-old-glibc", "llama.cpp")
    for name in (SPACE, LONE_SPACE):
        namespace_with_keys(cluster, name)
    yield
    for name in (SPACE, LONE_SPACE):
        cluster.kubectl("delete", "pods", "--all", "-n", name, "--force", "--grace-period=0", check=False)
        cluster.kubectl("delete", "modelcaches", "--all", "-n", name, "--timeout=180s", check=False)
    cluster.kubectl("delete", "namespace", SPACE, LONE_SPACE, "--wait=false", check=False)
    installation.restore()


@pytest.fixture(scope="module")
def pods(cluster):
    return Pods(cluster, SPACE)


@pytest.fixture(scope="module")
def digest():
    with open(paths.gemma(), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def kept(cluster, store, pods, digest):
    """A ModelCache that the mounter mounted, and a pod that has read it and lives on."""
    model = Model(cluster, SPACE, "kept").apply(store.endpoint, placement=ON_ONE)
    model.wait_ready(nodes=1)
    pods.create(reader("kept", "old-glibc", "kept", node="node-1"))
    wait_until(lambda: digest in pods.log("kept"), lambda: f"it reads: {pods.log('kept')} {pods.events('kept')}")
    return model


def containers(installation, node="node-1"):
    return {one["name"]: one for one in installation.agent_on(node)["status"]["containerStatuses"]}


def mounter_log(cluster, installation, node="node-1"):
    return cluster.kubectl("logs", "-n", "modelcache-system", installation.agent_on(node)["metadata"]["name"], "-c", "mounter", check=False)


def mount_of(cluster, model):
    """The node's mount of the model: its number in the kernel stays the same as long as it is the same mount."""
    lines = cluster.on("node-1", "cat", "/proc/self/mountinfo").splitlines()
    return [line.split()[2] for line in lines if f"{FOLDERS['Memory']}/{model.uid} " in line]


def read_again(cluster, model, digest):
    """The pod that read before reads the file once more, through the mount that it has had from its start."""
    text = cluster.run(SPACE, "kept", "/bin/busybox", "sha256sum", f"/models/{model.name}/{GEMMA}")
    assert digest in text, text


def test_agents_run_without_privilege_and_mounters_with_one_capability(cluster, installation, kept):
    for node in NODES:
        pod = installation.agent_on(node)
        processes = rights(cluster, node, pod)
        agent, mounter = processes["agent"], processes["mounter"]
        for process, kept_ones in ((agent, AGENTS), (mounter, MOUNTERS)):
            assert {int(process[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {kept_ones}, process
            assert int(process["CapInh"], 16) == int(process["CapAmb"], 16) == 0 and process["NoNewPrivs"] == "1", process
        # Filtered by the runtime's profile; a privileged container is not.
        assert agent["Seccomp"] == "2", agent
        devices = cluster.on(node, "ls", f"/proc/{agent['Pid'].strip()}/root/dev").split()
        assert "userfaultfd" not in devices and "kmsg" not in devices, devices


def test_the_mounter_mounted_the_cache_and_gave_the_device_by_which_pods_read_what_arrives(cluster, installation, store, kept):
    mounts = cluster.on("node-1", "cat", "/proc/mounts")
    assert f"modelcache {FOLDERS['Memory']}/{kept.uid} tmpfs " in mounts, mounts
    said = mounter_log(cluster, installation)
    assert f"mount caches/{kept.uid}" in said and "fault device" in said, said
    # llama.cpp maps the file and is ready when every byte of it has come.
    model, pods = Model(cluster, LONE_SPACE, "arrives").apply(store.endpoint, placement=ON_ONE, warmup=SLOW), Pods(cluster, LONE_SPACE)
    model.wait_percent(1)
    pods.create(llama("maps", "arrives", node="node-1"))
    wait_until(lambda: "loading model" in pods.log("maps"), lambda: f"it loads: {pods.log('maps')} {pods.events('maps')}")
    assert (model.status.get("progress") or {}).get("percent", 0) < 100
    model.lift_limit()
    cluster.wait_for_pod(LONE_SPACE, "maps")
    assert pods.status("maps")["restartCount"] == 0
    pods.delete("maps")
    model.delete()
    model.wait_gone()
    assert f"unmount caches/{model.uid}" in mounter_log(cluster, installation)


def test_a_killed_mounter_is_started_again_and_readers_and_fills_go_on(cluster, installation, store, pods, kept, digest):
    model = Model(cluster, SPACE, "goes-on").apply(store.endpoint, "shards/", placement=ON_ONE, warmup={"maxBytesPerSecond": "8Mi"})
    model.wait_percent(1)
    pod = installation.agent_on("node-1")
    cluster.on("node-1", "kill", "-KILL", rights(cluster, "node-1", pod)["mounter"]["Pid"].strip())
    read_again(cluster, kept, digest)
    wait_until(lambda: containers(installation)["mounter"]["restartCount"] == 1 and containers(installation)["mounter"]["ready"], "a new mounter")
    model.lift_limit()
    model.wait_ready(nodes=1)
    assert containers(installation)["agent"]["restartCount"] == 0
    # The new one unmounts what the other mounted, and mounts.
    model.delete()
    model.wait_gone()
    later = Model(cluster, SPACE, "later").apply(store.endpoint, "shards/", placement=ON_ONE)
    later.wait_ready(nodes=1)
    said = mounter_log(cluster, installation)
    assert f"unmount caches/{model.uid}" in said and f"mount caches/{later.uid}" in said, said
    later.delete()
    later.wait_gone()


def test_from_one_form_of_the_pod_to_the_other_pods_keep_what_they_read(cluster, installation, store, pods, kept, digest):
    """As an upgrade from a release without a mounter, and back: mounts stay, fills go on, nothing is fetched again."""
    mount = mount_of(cluster, kept)
    assert len(mount) == 1
    installation.apply("without-mounter")
    installation.wait_ready()
    assert set(containers(installation)) == {"agent"}
    kept.wait_ready(nodes=1)
    assert mount_of(cluster, kept) == mount
    read_again(cluster, kept, digest)
    # Mounted by the privileged agent, and in the middle of its fill when the other form comes.
    model = Model(cluster, SPACE, "moved").apply(store.endpoint, "shards/", placement=ON_ONE, warmup={"maxBytesPerSecond": "3Mi"})
    model.wait_percent(1)
    last = "x-00015-of-00015.gguf"
    pods.create(reader("waits", "old-glibc", "moved", last, node="node-1"))
    wait_until(lambda: "running" in pods.status("waits").get("state", {}), lambda: pods.events("waits"))
    mounts = mount_of(cluster, kept), mount_of(cluster, model)
    served = store.requests()["bytesServed"]
    installation.restore()
    assert set(containers(installation)) == {"agent", "mounter"}
    assert (mount_of(cluster, kept), mount_of(cluster, model)) == mounts
    read_again(cluster, kept, digest)
    model.lift_limit()
    model.wait_ready(nodes=1)
    expected = next(line.split()[0] for line in (paths.models() / "SHA256SUMS").read_text().splitlines() if last in line)
    wait_until(lambda: expected in pods.log("waits"), lambda: f"it reads on: {pods.log('waits')} {pods.events('waits')}")
    assert pods.status("waits")["restartCount"] == 0 and pods.status("kept")["restartCount"] == 0
    # At most the ranges in flight were read twice; of the other model nothing.
    assert store.requests()["bytesServed"] - served <= 1.3 * model.status["source"]["totalBytes"]
    # What the other form mounted is unmounted by this one.
    pods.delete("kept", "waits")
    for one in (model, kept):
        one.delete()
        one.wait_gone()
    assert all(status["restartCount"] == 0 for pod in installation.pods(AGENT) for status in pod["status"]["containerStatuses"])

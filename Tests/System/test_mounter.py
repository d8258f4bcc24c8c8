"""An agent with a mounter beside it, as the DaemonSet's two containers: it mounts nothing itself, has next to no capability, and
sees the mounter's mounts by propagation alone."""
import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

from content import MAP_ALL, MIB, one_file
from support import paths
from support.orders import Orders, definition, new_uid
from support.pod import SYSTEM_PYTHON, mounts_below, volume
from support.processes import Running, clean_environment, resident_anonymous_bytes, wait_until

# capabilities(7): CAP_DAC_OVERRIDE and CAP_FOWNER; CAP_SYS_ADMIN.
AGENTS, MOUNTERS = 1 << 1 | 1 << 3, 1 << 21


class Pod:
    """A mounter, and an agent in a mount namespace of its own."""

    def __init__(self, place, node, work):
        self.place, self.node, self.work = place, node, work
        self.socket = place.folder / "mounter.sock"
        self.mounter = None
        # What a node's folder is for Kubernetes: a mount that passes on what is mounted below it.
        for command in (["--bind", place.root, place.root], ["--make-shared", place.root]):
            subprocess.run(["mount", *map(str, command)], check=True)

    def mount(self, prefix=()):
        environment = clean_environment(**self.place.settings(MODELCACHE_MOUNTER=self.socket))
        self.mounter = Running([paths.MODELCACHE, "mounter"], self.place.log("mounter"), environment=environment, prefix=prefix)

    def agent(self, propagation: str = "slave"):
        return self.node("--mounter", str(self.socket), "--disk-root", str(self.work / "disk"),
                         prefix=["unshare", "-m", "--propagation", propagation])


@pytest.fixture
def pod(place, node, work):
    one = Pod(place, node, work)
    yield one
    if one.mounter:
        one.mounter.stop()


def rights(pid: int) -> set[tuple]:
    """What /proc says of every thread: the five sets of capabilities and no_new_privs."""
    names = ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs")
    found = set()
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        # A thread may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines() if ":\t" in line)
            found.add(tuple(int(fields[name], 16) for name in names))
    return found


def limit(folder) -> int:
    return os.statvfs(folder).f_blocks * os.statvfs(folder).f_frsize


def test_an_agent_of_root_keeps_two_capabilities_and_makes_grows_serves_and_removes_caches(pod, place, store, bucket, container):
    model = one_file(bucket)
    # Containers of a pod start in any order: here the agent holds its root before there is a mounter.
    pod.mount(prefix=["bash", "-c", 'until [ -s "$MODELCACHE_ROOT/cache.lock" ]; do sleep 0.02; done; exec "$@"', "bash"])
    agent, orders = pod.agent()
    assert rights(agent.pid) == {(AGENTS, AGENTS, AGENTS, 0, 0, 1)}
    assert rights(pod.mounter.pid) == {(MOUNTERS, MOUNTERS, MOUNTERS, 0, 0, 1)}
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    folder = volume(place, uid)
    assert mounts_below(folder) == [str(folder)], "the mounter's mount"
    before = limit(folder)
    assert orders.put(uid, definition(store, model.prefix, model.bytes + 200 * MIB)).status == 200
    assert limit(folder) > before + 190 * MIB
    # A pod without rights maps the file while it arrives, with the descriptor that the mounter opened.
    store.faults(bandwidth=10e6)
    view = container(folder)
    reader = Running([SYSTEM_PYTHON, "-c", MAP_ALL, view.path / "model.gguf"], place.log("reader"),
                     environment=view.preloaded(store, model), prefix=view.prefix)
    wait_until(lambda: orders.cache(uid)["bytesCached"] > 0, 120, "it arrives")
    store.faults()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    assert orders.delete(uid).status == 204
    assert not folder.exists() and mounts_below(folder) == []
    wait_until(lambda: '"unmount caches/' in pod.mounter.output(), 120, "the mounter tells the last order")
    said = pod.mounter.output()
    assert [said.count(f'"{verb}') for verb in ("mount caches/", "enlarge caches/", "unmount caches/", "fault device")] == [1, 1, 1, 1], said
    assert resident_anonymous_bytes(pod.mounter.pid) < 24 * MIB


def test_a_restarted_agent_takes_up_the_mounts_that_are_there(pod, place, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    pod.mount()
    agent, orders = pod.agent()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    warm = [view.modelcache, "warm"]
    assert place.run(*view.prefix, *warm, environment=view.environment(store)).returncode == 0
    agent.kill()
    agent.process.wait(60)
    _, orders = pod.agent()
    assert wait_until(lambda: orders.cache(uid), 120, "it is taken up")["state"] == "Ready"
    model.assert_whole(volume(place, uid))
    assert orders.delete(uid).status == 204 and mounts_below(volume(place, uid)) == []


def test_a_dead_mounter_is_named_and_a_new_one_mends_it_while_readers_go_on(pod, place, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    pod.mount()
    agent, orders = pod.agent()
    first, second = new_uid(), new_uid()
    assert orders.put(first, definition(store, model.prefix, model.bytes)).status == 200
    pod.mounter.kill()
    pod.mounter.wait(60)
    refused = orders.put(second, definition(store, model.prefix, model.bytes, name="second"))
    assert refused.status >= 500 and f"no mounter responds at {pod.socket}" in refused.json["message"], refused
    assert not volume(place, second).exists(), "no plain folder without a limit in its place"
    view = container(volume(place, first))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    kept = orders.delete(first)
    assert kept.status >= 500 and "no mounter responds" in kept.json["message"], kept
    agent.process.must_live()
    pod.mount()
    wait_until(lambda: orders.put(second, definition(store, model.prefix, model.bytes, name="second")).status == 200, 60, "the new mounter serves")
    assert mounts_below(volume(place, second)) == [str(volume(place, second))]
    assert orders.delete(first).status == 204 and orders.delete(second).status == 204


def test_an_agent_that_starts_while_its_mounter_is_away_serves_what_is_mounted(pod, place, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    pod.mount()
    agent, orders = pod.agent()
    uid, late = new_uid(), new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    for process in (pod.mounter, agent):
        process.kill()
        process.process.wait(60)
    agent, orders = pod.agent()
    assert wait_until(lambda: orders.cache(uid), 120, "it is taken up")["state"] == "Ready"
    # Its readers may be given no fault device yet, and read all the same.
    reader = Running([SYSTEM_PYTHON, "-c", MAP_ALL, view.path / "model.gguf"], place.log("reader"),
                     environment=view.preloaded(store, model), prefix=view.prefix)
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    refused = orders.put(late, definition(store, model.prefix, model.bytes, name="late"))
    assert refused.status >= 500 and f"no mounter responds at {pod.socket}" in refused.json["message"], refused
    assert "before the mounter is back" in agent.process.output()
    pod.mount()
    wait_until(lambda: "the mounter responds" in agent.process.output(), 60, "the agent finds the new mounter by itself")
    assert orders.put(late, definition(store, model.prefix, model.bytes, name="late")).status == 200
    assert orders.delete(uid).status == 204 and orders.delete(late).status == 204


def test_a_mounter_that_hangs_is_named_while_the_operator_still_listens(pod, place, store, bucket):
    model = one_file(bucket, mebibytes=4)
    pod.mount()
    _, orders = pod.agent()
    os.kill(pod.mounter.pid, signal.SIGSTOP)
    try:
        operator = Orders(orders.address, orders.secret, patience=15)
        refused = operator.put(new_uid(), definition(store, model.prefix, model.bytes))
    finally:
        os.kill(pod.mounter.pid, signal.SIGCONT)
    assert refused.status >= 500 and "no response within 6 s" in refused.json["message"], refused


def test_mounts_that_do_not_reach_the_agent_are_said_and_taken_back(pod, place, store, bucket):
    model = one_file(bucket, mebibytes=4)
    pod.mount()
    _, orders = pod.agent(propagation="private")
    uid = new_uid()
    refused = orders.put(uid, definition(store, model.prefix, model.bytes))
    assert refused.status >= 500 and "HostToContainer" in refused.json["message"], refused
    assert mounts_below(volume(place, uid)) == [] and not volume(place, uid).exists()


def test_folders_of_other_users_in_a_cache_on_the_disk_go_with_it(pod, store, bucket):
    """A container of root that mounts the claim for writing may leave them."""
    model = one_file(bucket, mebibytes=4)
    pod.mount()
    _, orders = pod.agent()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, medium="Disk")).status == 200
    folder = pod.work / "disk/caches" / uid
    for name, mode in (("closed", 0o700), ("sticky", 0o1777)):
        (folder / name / "inner").mkdir(parents=True)
        os.chown(folder / name / "inner", 1000, 1000)
        os.chown(folder / name, 1000, 1000)
        (folder / name).chmod(mode)
    assert orders.delete(uid).status == 204 and not folder.exists()


def test_a_mounter_without_the_right_to_mount_ends_with_a_reason(place):
    result = place.run("setpriv", "--bounding-set=-sys_admin", paths.MODELCACHE, "mounter", environment=clean_environment(
        **place.settings(MODELCACHE_MOUNTER=place.folder / "m.sock")))
    assert result.returncode == 1 and b"may not mount below" in result.stderr and result.stderr.count(b"\n") == 1, result

"""A ModelCache on a node that has a bad day: agents killed at any moment, damaged records, media that fill up."""
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from content import MIB, one_file
from support import paths
from support.orders import definition, new_uid
from support.pod import SYSTEM_PYTHON, kept_definition, mounts_below, volume
from support.processes import Running, wait_until


def test_an_agent_killed_while_it_fills_goes_on_and_the_job_never_notices(place, node, store, bucket, container):
    model = one_file(bucket)
    store.faults(bandwidth=12e6)
    first, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
    reader = Running(["sha256sum", view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store), prefix=view.prefix)
    had = wait_until(lambda: (lambda n: n if n > 10 * MIB else 0)(orders.cache(uid)["bytesCached"]), 120, "a quarter is there")
    before = orders.report()
    first.kill()
    time.sleep(1)
    second, orders = node()
    after = orders.report()
    assert before["instanceID"] != after["instanceID"] and before["bootID"] == after["bootID"]
    assert orders.cache(uid)["bytesCached"] >= had, "chunks are kept"
    assert mounts_below(volume(place, uid)) == [str(volume(place, uid))], "what is mounted is not mounted again"
    assert job.wait(120) == 0, job.output()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()
    model.assert_whole(volume(place, uid))
    assert store.requests()["bytesServed"] < 2 * model.bytes - had + 16 * MIB
    second.stop()
    third, orders = node()
    assert orders.cache(uid)["state"] == "Ready", "after SIGTERM too"


# semantics 16
def test_an_unpinned_cache_drops_its_bytes_when_idle_and_streams_again(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes, pinned=False, idleSeconds=2)).status == 200
    view = container(volume(place, uid))
    # A pod's view of the volume outlives the bytes.
    pod = Running(["bash", "-c", f"until cat {view.path}/model.gguf >/dev/null 2>&1; do sleep 0.1; done; echo read; sleep 60"],
                  place.log("pod"), environment=view.environment(store), prefix=view.prefix)
    for _ in range(2):
        warm = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store))
        assert warm.returncode == 0, warm
        assert warm.stdout.decode().strip() == str(view.path), "the path is the caller's own"
        wait_until(lambda: orders.cache(uid)["state"] == "Prepared", 120, "the bytes went")
        assert orders.cache(uid)["bytesCached"] == 0 and mounts_below(volume(place, uid))
        assert sorted(os.listdir(volume(place, uid))) == [".modelcache"]
    assert orders.cache(uid)["originBytes"] == 2 * model.bytes
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    time.sleep(4)
    assert orders.cache(uid)["state"] == "Ready", "what is pinned stays"
    pod.stop()


# semantics 17
def test_force_deletes_under_readers_who_keep_their_pages(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, uid))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    script = ("import hashlib, mmap, os, sys, time\nfd = os.open(sys.argv[1], os.O_RDONLY)\nm = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\n"
              "print('mapped', flush=True)\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.05)\nprint(hashlib.sha256(m).hexdigest())")
    deleted = view.folder / "deleted"
    reader = Running([SYSTEM_PYTHON, "-c", script, view.path / "model.gguf", deleted], place.log("reader"), environment=view.preloaded(store), prefix=view.prefix)
    wait_until(lambda: "mapped" in reader.output(), 120, "the reader has it")
    assert orders.delete(uid).status == 409
    assert orders.delete(uid, force=True).status == 204
    assert not volume(place, uid).exists() and mounts_below(volume(place, uid)) == []
    deleted.touch()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()


def test_a_damaged_definition_sets_the_cache_aside_until_it_is_prepared_again(place, node, store, bucket, container):
    model = one_file(bucket, mebibytes=8)
    first, orders = node()
    whole, odd = new_uid(), new_uid()
    for uid in (whole, odd):
        assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
    view = container(volume(place, odd))
    assert place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store)).returncode == 0
    first.kill()
    for text in (b"{", b"", b'{"version":9}', (kept_definition(place, whole)).read_bytes()):
        (kept_definition(place, odd)).write_bytes(text)
        second, orders = node()
        assert [c["uid"] for c in orders.report()["caches"]] == [whole]
        assert "set aside" in second.process.output() and str(volume(place, odd)) in second.process.output()
        assert orders.put(odd, definition(store, model.prefix, model.bytes)).status == 200
        assert orders.cache(odd)["bytesCached"] == model.bytes, "the bytes were kept"
        second.kill()
    (kept_definition(place, odd)).write_bytes(b"nonsense")
    _, orders = node()
    assert orders.delete(odd).status == 204 and not volume(place, odd).exists(), "what is aside can be deleted"


def test_half_made_caches_are_removed_at_the_start(place, node, store, bucket):
    first, orders = node()
    kept = new_uid()
    assert orders.put(kept, definition(store, "one/", MIB)).status == 200
    first.kill()
    caches = place.root / "caches"
    bare, mounted, marked, strange = new_uid(), new_uid(), new_uid(), new_uid()
    for uid in (bare, mounted, marked, strange):
        (caches / uid).mkdir()
    for uid in (mounted, marked):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "modelcache", caches / uid], check=True)
    (caches / marked / ".modelcache").mkdir()
    shutil.copy(caches / kept / ".modelcache/marker", caches / marked / ".modelcache/marker")
    (caches / strange / "somebody's").write_text("file")
    _, orders = node()
    assert [c["uid"] for c in orders.report()["caches"]] == [kept]
    assert sorted(os.listdir(caches)) == sorted([kept, strange]), "what is not ours is left alone"
    assert (caches / kept / ".modelcache/agent.sock").is_socket()
    assert orders.put(strange, definition(store, "one/", MIB)).status == 500
    assert (caches / strange / "somebody's").exists()


# semantics 19
def test_kill_9_at_any_moment_of_preparing_and_deleting_leaves_whole_caches_or_none(place, node, store, bucket):
    seed = int(os.environ.get("MODELCACHE_TEST_SEED", 1))
    print(f"seed {seed} (MODELCACHE_TEST_SEED)")
    chance = random.Random(seed)
    uids = [new_uid() for _ in range(6)]
    wanted = definition(store, "one/", MIB)
    for _ in range(8):
        one, orders = node()
        killer = threading.Timer(chance.uniform(0.02, 0.25), os.kill, (one.pid, signal.SIGKILL))
        killer.start()
        try:
            while True:
                uid = chance.choice(uids)
                if chance.random() < 0.5:
                    orders.put(uid, wanted)
                else:
                    orders.delete(uid)
        except (OSError, http.client.HTTPException):
            pass
        killer.join()
        one.kill()
    one, orders = node()
    reported = {c["uid"] for c in orders.report()["caches"]}
    there = set(os.listdir(place.root / "caches")) if (place.root / "caches").exists() else set()
    assert there == reported and set(mounts_below(place.root / "caches")) == {str(volume(place, u)) for u in reported}
    for uid in uids:
        assert orders.put(uid, wanted).status == 200
        assert (volume(place, uid) / ".modelcache/agent.sock").is_socket()
    for uid in uids:
        assert orders.delete(uid).status == 204
    assert os.listdir(place.root / "caches") == [] and mounts_below(place.root / "caches") == []
    assert "error" not in "".join(line.split()[1] for line in one.process.output().splitlines() if len(line.split()) > 1)


def test_orders_for_one_uid_at_once_end_in_one_of_the_states_they_ask_for(place, node, store, bucket, container):
    seed = int(os.environ.get("MODELCACHE_TEST_SEED", 1))
    print(f"seed {seed} (MODELCACHE_TEST_SEED)")
    model = one_file(bucket, mebibytes=2)
    one, orders = node()
    uid = new_uid()
    wrong = []

    def run(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for _ in range(40):
            what = chance.randrange(4)
            if what == 0:
                answer, good = orders.delete(uid, force=chance.random() < 0.5), (204, 409)
            elif what == 1:
                answer, good = orders.put(uid, definition(store, model.prefix, model.bytes, pinned=chance.random() < 0.5)), (200, 409)
            elif what == 2:
                answer, good = orders.put(uid, definition(store, "other/", model.bytes)), (200, 409)
            else:
                place.run(paths.MODELCACHE, "warm", environment=store.environment(
                    model.prefix, MODELCACHE_SOCKET=volume(place, uid) / ".modelcache/agent.sock", MODELCACHE_AGENT_DEADLINE_SECONDS=0))
                continue
            if answer.status not in good:
                wrong.append(answer)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    one.process.must_live()
    # An order that came already in this second, and others since, would be taken for a recording.
    time.sleep(1.1)
    assert orders.delete(uid, force=True).status == 204
    assert mounts_below(place.root / "caches") == [] and os.listdir(place.root / "caches") == []


def test_a_medium_that_fills_up_is_the_caches_failure(place, node, store, bucket, container):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "modelcache-test", place.root], check=True)
    try:
        model = one_file(bucket)
        store.faults({"match": {"ranged": True, "range": f"{20 * MIB}-"}, "action": {"held": True}})
        audit = place.folder / "audit.log"
        _, orders = node("--medium", "directory", MODELCACHE_AUDIT_PATH=audit)
        uid = new_uid()
        assert orders.put(uid, definition(store, model.prefix, 95 * MIB)).status == 507
        assert orders.put(uid, definition(store, model.prefix, model.bytes)).status == 200
        view = container(volume(place, uid))
        job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
        wait_until(lambda: orders.cache(uid)["bytesCached"] > 4 * MIB, 120, "something is there")
        subprocess.run(["dd", "if=/dev/zero", f"of={place.root}/filler", "bs=1M"], check=False, stderr=subprocess.DEVNULL)
        store.faults()
        assert job.wait(120) == 1, job.output()
        failed = orders.until_failed(uid)
        assert failed["error"]["code"] == "InsufficientCapacity", failed
        (place.root / "filler").unlink()
        again = place.run(*view.prefix, view.modelcache, "warm", environment=view.environment(store))
        assert again.returncode == 0, again
        assert orders.cache(uid)["state"] == "Ready"
        wait_until(lambda: audit.read_text().count("\n") >= 3, 120, "the last event is written")
        assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == ["open", "failed", "filled"]
    finally:
        subprocess.run(["umount", "-l", place.root], check=False)


def test_a_read_only_disk_root_ends_the_agent_with_the_remedy(place, work):
    disk = work / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "modelcache-test", disk], check=True)
    try:
        result = place.modelcache("agent", "--disk-root", disk, seconds=120)
        assert result.returncode != 0 and b"read-only" in result.stderr and str(disk).encode() in result.stderr, result
    finally:
        subprocess.run(["umount", "-l", disk], check=False)

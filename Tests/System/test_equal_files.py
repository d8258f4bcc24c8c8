"""Files that another cache of the node has are copied, not fetched: counted at the store."""
import os

import pytest

from content import MIB, fifteen_shards, make_model
from support import wire
from support.orders import definition, new_uid
from support.pod import volume
from support.processes import Running, wait_until


def next_version(bucket, model, prefix, changed):
    """The same objects at another prefix, uploaded anew; those of `changed` have other bytes."""
    (bucket / prefix).mkdir()
    other = make_model(bucket, prefix, {name: model.sizes[name] for name in changed}, seed=2)
    for name in model.names:
        if name not in changed:
            (bucket / prefix / name).write_bytes((bucket / model.prefix / name).read_bytes())
    other.digests, other.sizes = model.digests | other.digests, dict(model.sizes)
    return other


def served(store) -> int:
    return store.requests()["bytesServed"]


def test_a_second_version_that_differs_in_one_shard_costs_one_shard(place, agent, store, bucket):
    first = fifteen_shards(bucket, "v1/")
    changed = first.names[6]
    second = next_version(bucket, first, "v2/", [changed])
    agent()
    loaded = place.modelcache("warm", environment=store.environment("v1/"))
    assert loaded.returncode == 0, loaded.stderr
    before = served(store)
    loaded = place.modelcache("warm", environment=store.environment("v2/"))
    assert loaded.returncode == 0, loaded.stderr
    model = next(m for m in place.status()["models"] if m["source"].endswith("/v2/"))
    second.assert_whole(model["directory"])
    # Listing and HEADs have bodies of a few kilobytes.
    assert second.sizes[changed] <= served(store) - before < second.sizes[changed] + 100_000
    assert model["originBytes"] == second.sizes[changed], model
    assert model["copiedBytes"] == second.bytes - second.sizes[changed] and model["peerBytes"] == 0, model
    table = place.modelcache("status").stdout.decode()
    assert "COPIED" in table, table


@pytest.mark.parametrize("namespace, is_copied", [("team", True), ("others", False)])
def test_a_cache_gives_its_files_to_those_of_its_own_namespace(namespace, is_copied, place, node, store, bucket, container, work):
    """What pods of another namespace may have written over is not taken by a CRC-64, though it be the same object."""
    model = make_model(bucket, "v1/", {"a": 5 * MIB + 7, "b": 3 * MIB})
    _, orders = node("--disk-root", str(work / "disk"))
    uids = []
    # Of different media too.
    for owner, medium in (("team", "Disk"), (namespace, "Memory")):
        before = served(store)
        uids.append(new_uid())
        answer = orders.put(uids[-1], definition(store, model.prefix, model.bytes, namespace=owner, name=f"n{len(uids)}", medium=medium))
        assert answer.status == 200, answer
        folder = volume(place, uids[-1]) if medium == "Memory" else work / "disk/caches" / uids[-1]
        view = container(folder)
        job = Running([view.modelcache, "warm", "--json"], place.log("warm"), environment=view.environment(store), prefix=view.prefix)
        assert job.wait(120) == 0, job.output()
        model.assert_whole(folder)
    report = orders.cache(uids[1])
    assert report["copiedBytes"] == (model.bytes if is_copied else 0) and report["originBytes"] == model.bytes - report["copiedBytes"], report
    assert (served(store) - before < 100_000) == is_copied
    metrics = orders.request("GET", "/metrics").body.decode()
    line = next(x for x in metrics.splitlines() if x.startswith(f'modelcache_copied_bytes_total{{model="{uids[1]}"'))
    assert line.endswith(f" {report['copiedBytes']}"), line


def test_a_damaged_copy_on_the_node_is_not_taken_over(place, agent, store, bucket):
    first = make_model(bucket, "v1/", {"x.gguf": 9 * MIB})
    second = next_version(bucket, first, "v2/", [])
    agent()
    assert place.modelcache("warm", environment=store.environment("v1/")).returncode == 0
    with open(os.path.join(place.status()["models"][0]["directory"], "x.gguf"), "r+b") as file:
        file.seek(3 * MIB)
        file.write(b"\xee" * 16)
    with wire.open_model(place, store.environment("v2/")):
        model = wait_until(
            lambda: next((m for m in place.status()["models"] if m["source"].endswith("/v2/") and m["phase"] == "complete"), None),
            60, "the second is complete")
    second.assert_whole(model["directory"])
    assert model["originBytes"] == 2 * MIB and model["refilledFiles"] == 0, model

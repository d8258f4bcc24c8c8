"""A source whose keys warm-up Jobs bring from a Secret's volume: application pods have none."""
import pytest

from content import MIB, make_model, one_file
from support.orders import definition, new_uid
from support.pod import volume
from support.processes import Running, free_port, wait_until
from support.store import ACCESS_KEY, SECRET

NO_KEYS = {"OSS_ACCESS_KEY_ID": None, "OSS_ACCESS_KEY_SECRET": None}
LACKS = b"no client on this node has handed over the keys"


class Job:
    """A warm-up Job's pod: the volume of its Secret, under one of the names that are known."""

    def __init__(self, place, view, store, model):
        self.place, self.view, self.store, self.model = place, view, store, model
        self.folder = view.programs / "keys"
        self.folder.mkdir()

    def write(self, **entries) -> None:
        for name, value in entries.items():
            (self.folder / name).write_text(value)

    def start(self) -> Running:
        environment = self.view.environment(self.store, self.model, **NO_KEYS, MODELCACHE_SECRET_FOLDER=self.folder, MODELCACHE_SECRET_NAME="oss")
        return Running([self.view.modelcache, "warm"], self.place.log("job"), environment=environment, prefix=self.view.prefix)


@pytest.fixture
def cold(place, node, store, bucket, container):
    model = one_file(bucket)
    agent, orders = node()
    uid = new_uid()
    made = definition(store, model.prefix, model.bytes)
    made["source"]["needsKeys"] = True
    assert orders.put(uid, made).status == 200
    view = container(volume(place, uid))
    return model, orders, uid, view, agent


def warm_without_keys(place, view, store, model):
    environment = view.environment(store, model, **NO_KEYS, MODELCACHE_AGENT_DEADLINE_SECONDS=1)
    return place.run(*view.prefix, view.modelcache, "warm", environment=environment)


def test_a_reader_without_keys_waits_for_a_job_and_reads_what_its_keys_bring(place, store, cold):
    model, orders, uid, view, _ = cold
    store.faults({"match": {"ranged": True}, "action": {"held": True}})
    reader = Running(["sha256sum", view.path / "model.gguf"], place.log("reader"), environment=view.preloaded(store, model, **NO_KEYS), prefix=view.prefix)
    alone = warm_without_keys(place, view, store, model)
    assert alone.returncode == 69 and LACKS in alone.stderr, alone
    # Who waits for others fails nothing.
    assert orders.cache(uid)["state"] == "Prepared" and store.requests()["requests"] == 0, store.requests()
    job = Job(place, view, store, model)
    missing = job.start()
    assert missing.wait(120) == 78 and "there is no Secret oss" in missing.output(), missing.output()
    job.write(akId=ACCESS_KEY, akSecret="mistaken-5f1d")
    wrong = job.start()
    assert wrong.wait(120) == 78 and "mistaken-5f1d" not in wrong.output(), wrong.output()
    told = warm_without_keys(place, view, store, model)
    refusal = orders.cache(uid)["error"]["message"]
    assert told.returncode == 69 and refusal.encode() in told.stderr and LACKS not in told.stderr, "keys that the store refuses open nothing"
    job.write(akSecret=SECRET)
    right = job.start()
    wait_until(lambda: orders.cache(uid)["users"] == 2, 120, "the reader reads with the Job's keys")
    store.faults()
    assert right.wait(120) == 0, right.output()
    assert reader.wait(120) == 0 and model.digests["model.gguf"] in reader.output(), reader.output()


@pytest.mark.parametrize("shares", [False, True])
def test_an_object_that_cannot_be_read_keeps_nobody_without_keys_from_the_others(shares, place, node, store, bucket, container):
    """After its Job too, which fails for it."""
    model = make_model(bucket, "m/", {"model.gguf": 5 * MIB + 7, "other.gguf": MIB})
    peers = f"127.0.0.1:{free_port()}"
    _, orders = node(**({"MODELCACHE_PEERS": f"static:{peers}", "MODELCACHE_PEER_ADDRESS": peers} if shares else {}))
    uid = new_uid()
    made = definition(store, model.prefix, model.bytes)
    made["source"]["needsKeys"] = True
    assert orders.put(uid, made).status == 200
    view = container(volume(place, uid))
    store.oddities({"key": "m/other.gguf", "storageClass": "Archive"})
    job = Job(place, view, store, model)
    job.write(akId=ACCESS_KEY, akSecret=SECRET)
    ended = job.start()
    assert ended.wait(120) != 0 and "restore it" in ended.output(), ended.output()

    def read(name):
        return place.run(*view.prefix, "sha256sum", view.path / name, seconds=120,
                         environment=view.preloaded(store, model, **NO_KEYS, MODELCACHE_AGENT_DEADLINE_SECONDS=60))

    good = read("model.gguf")
    assert good.returncode == 0 and model.digests["model.gguf"] in good.stdout.decode(), good
    bad = read("other.gguf")
    assert bad.returncode != 0 and b"restore it" in bad.stderr, bad


def test_a_complete_copy_is_read_without_keys_and_without_a_job_also_after_the_agents_end(place, node, store, cold):
    model, orders, uid, view, agent = cold
    job = Job(place, view, store, model)
    job.write(AWS_ACCESS_KEY_ID=ACCESS_KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    assert job.start().wait(120) == 0
    before = store.requests()["requests"]
    assert warm_without_keys(place, view, store, model).returncode == 0
    agent.kill()
    node()
    wait_until(lambda: warm_without_keys(place, view, store, model).returncode == 0, 120, "the next agent serves it too")
    assert store.requests()["requests"] == before, store.requests()

"""One fill beside others: a reader's demand is not late because of another model's prefetch, and evicting ends every fill at once."""
import time

import pytest

from content import MIB, make_model, one_file
from support import wire
from support.processes import wait_until

RATE = 6_000_000


def received(place, prefix: str) -> int:
    return sum(m["originBytes"] for m in place.status()["models"] if m["source"].endswith(f"/{prefix}"))


def sent(store, *prefixes: str) -> list[int]:
    """Bytes of each model's file that the store has sent, all of one moment."""
    keys = store.requests()["keys"]
    return [keys[f"models/{prefix}file"]["bytes"] if f"models/{prefix}file" in keys else 0 for prefix in prefixes]


def complete(place, prefix: str) -> bool:
    return any(m["phase"] == "complete" and m["source"].endswith(f"/{prefix}") for m in place.status()["models"])


def let_by(place, store, large: str, small: str) -> int:
    """Bytes of the large model that the store sends while a reader waits for all of the small one."""
    with wire.open_model(place, store.environment(large)):
        wait_until(lambda: sent(store, large)[0] > 4 * MIB, 120, "the large fill runs")
        with wire.open_model(place, store.environment(small)) as reader:
            reader.send(wire.demand(0, 0, 4 * MIB))
            before, = sent(store, large)
            # Of the large model, at each look at which the small one was not sent yet: what came after that no look may count.
            looks = [before]

            def is_small_sent() -> bool:
                now = sent(store, small, large)
                if now[0] < 4 * MIB:
                    looks.append(now[1])
                return now[0] >= 4 * MIB
            wait_until(is_small_sent, 120, "the small model is sent")
            wait_until(lambda: complete(place, small), 120, "the small model is complete")
    return looks[-1] - before


@pytest.mark.parametrize("in_flight, rate, most", [("16MiB", RATE, 12 * MIB), ("256MiB", RATE, 22 * MIB), ("256MiB", RATE // 2, 22 * MIB)])
# semantics 4
def test_a_demanded_model_is_not_late_beside_a_fill_that_saturates_the_link(in_flight, rate, most, place, agent, store, bucket):
    store.faults(bandwidth=rate)
    agent("--in-flight", in_flight)
    seen = []
    # At half the link it is 4 MiB, and what lies in the sockets of paused transfers, which the store has sent: more on a busy machine,
    # where the agent does not run for a second. One try of three must be without such.
    # Transfers that nobody holds back bring what they have in hand, 14 MiB or 26 and more.
    for number in range(3):
        make_model(bucket, f"large-{number}/", {"file": 100 * MIB})
        make_model(bucket, f"small-{number}/", {"file": 4 * MIB})
        seen.append(let_by(place, store, f"large-{number}/", f"small-{number}/"))
        if seen[-1] < most:
            return
        assert place.modelcache("evict", "--all", "--force").returncode == 0
    raise AssertionError(f"{seen} bytes of the large models were sent first")


def test_a_fill_goes_on_while_another_model_is_read_all_the_time(place, agent, store, bucket):
    """The reader's demands come one after the other, for as long as the test lasts."""
    make_model(bucket, "large/", {"file": 16 * MIB})
    make_model(bucket, "read/", {"file": 300 * MIB})
    store.faults(bandwidth=RATE)
    agent()
    with wire.open_model(place, store.environment("read/")) as reader, wire.open_model(place, store.environment("large/")):
        def read_on() -> bool:
            for chunk in range(300):
                reader.send(wire.demand(0, chunk * MIB, MIB))
            return received(place, "large/") >= 3 * MIB
        # The model that is read takes 50 s; a fifth of the time belongs to others in any case.
        wait_until(read_on, 45, "the fill that nobody waits for goes on")
        assert not complete(place, "read/")
        # Of the first breath's length depends how much it is; a reader that takes all of the link leaves 0.04.
        models = {m["source"].split("/")[-2]: m["originBytes"] for m in place.status()["models"]}
        assert models["large"] > 0.1 * models["read"], models


EVICTIONS = {
    "that receives": None,
    "that waits for a silent store": {"stallAfter": 65536},
    "that waits for the head": {"delayMs": 30_000},
    "that backs off": {"status": 503, "retryAfter": 30},
}


@pytest.mark.parametrize("name", EVICTIONS)
@pytest.mark.parametrize("second", [False, True], ids=["one client", "after a second client with other settings"])
def test_evicting_by_force_is_quick_for_a_fill(name, second, place, agent, store, bucket):
    one_file(bucket, mebibytes=40)
    action = EVICTIONS[name]
    if action:
        store.faults({"match": {"method": "GET", "ranged": True}, "action": action})
    else:
        # What is in flight would take half a minute.
        store.faults(bandwidth=1_000_000)
    agent()
    with wire.open_model(place, store.environment("one/")) as first:
        time.sleep(2.2)  # one listing serves those that follow within two seconds
        others = [first]
        if second:
            others.append(wire.open_model(place, store.environment("one/", HTTP_SOURCE_IP="127.0.0.1")))
        model = place.status()["models"][0]["id"]
        began = time.monotonic()
        gone = place.modelcache("evict", "--force", model)
        took = time.monotonic() - began
        assert gone.returncode == 0, gone.stderr.decode()
        # The command's own start is in it. Each fill would last for half a minute.
        assert took < 20, took
        for other in others[1:]:
            other.close()


def test_an_object_that_the_store_breaks_off_at_one_place_ends_in_a_minute_with_name_and_reason(place, agent, store, bucket):
    make_model(bucket, "m/", {"bad.gguf": 12 * MIB, "good.gguf": 5 * MIB})
    # Whatever range is asked for: nothing of it comes.
    store.faults({"match": {"key": "*bad*", "method": "GET", "ranged": True}, "action": {"resetAfter": 0}})
    agent()
    began = time.monotonic()
    with wire.open_model(place, store.environment("m/")):
        wait_until(lambda: place.status()["models"][0]["phase"] == "failed", 170, "the load has failed")
        # Half a minute of pauses and the requests between them; a machine at rest needs 40 s.
        assert time.monotonic() - began < 150
        model = place.status()["models"][0]
        assert "bad.gguf" in model["message"] and "no new byte" in model["message"], model
        assert model["completeFiles"] == 1, "the other file is complete"

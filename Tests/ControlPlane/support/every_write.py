"""A fault at each step of the operator: a write that the API server has taken (no Event), or an order that an agent has carried out.

The operator is killed when the step is done and before it hears of it (`killed`), or goes on without the answer (`lost`).
"""
import contextlib
import os
import random
import threading

from .stand_in import GROUP, ApiError

SEED = int(os.environ.get("MODELCACHE_TEST_SEED", 1))
ALL = bool(os.environ.get("MODELCACHE_TEST_EVERY_WRITE"))
FAULTS = ("killed", "lost")
FINALIZER = "modelcache.io/evict"


class Steps:
    """Counts the steps, and does a fault at the one that `arm` chose. For the length of a `with`."""

    def __init__(self, w, proxy=None, kill=lambda: None):
        self.w, self.proxy, self.kill = w, proxy or w.proxy, kill
        self.lock = threading.Lock()
        self.seen, self.fault, self.chosen, self.hit = [], None, 0, None

    def __enter__(self):
        self.proxy.after = lambda seen: self._is_counted(seen) and self._step(f"{seen.method} {seen.path.partition('?')[0]} -> {seen.status}")
        self.w.agents.after = lambda order: self._step(f"{order[1]} to {order[0]}")
        return self

    def __exit__(self, *_):
        self.proxy.after = self.w.agents.after = lambda one: None

    def arm(self, fault, number) -> None:
        """From here on steps are counted anew, and the fault is done at this one; with number 0 at none."""
        with self.lock:
            self.seen, self.fault, self.chosen, self.hit = [], fault, number, None

    def disarm(self) -> str | None:
        """The step that had the fault."""
        with self.lock:
            self.chosen = 0
            return self.hit

    @staticmethod
    def _is_counted(seen) -> bool:
        """Events are written beside the rest, some long after what they tell of."""
        return seen.is_write and not seen.path.partition("?")[0].endswith("/events") and "/events/" not in seen.path

    def _step(self, what) -> None:
        with self.lock:
            self.seen.append(what)
            if len(self.seen) != self.chosen:
                return
            self.hit = what
            if self.fault == "killed":
                self.kill()
        raise ConnectionAbortedError("the answer is lost")


def choose(what, total, most) -> list[int]:
    """The steps that are tried: all, or where there are more than `most` as many as that, drawn from the seed."""
    if ALL or total <= most:
        return list(range(1, total + 1))
    print(f"{what}: {most} of {total} steps, seed {SEED} (MODELCACHE_TEST_SEED; MODELCACHE_TEST_EVERY_WRITE=1 tries all)")
    return sorted(random.Random(f"{SEED}/{what}").sample(range(1, total + 1), most))


class View:
    """The world by plain requests: a kubectl for each look would be a process for each."""

    def __init__(self, w):
        self.w = w
        self.core, self.jobs_path = f"/api/v1/namespaces/{w.namespace}", f"/apis/batch/v1/namespaces/{w.namespace}/jobs"
        self.caches_path = f"{GROUP}/namespaces/{w.namespace}/modelcaches"
        self.secrets = self.names(f"{self.core}/secrets")

    def get(self, path) -> dict | None:
        try:
            return self.w._call(self.w.api.get(path))
        except ApiError as error:
            assert error.status == 404, error
            return None

    def items(self, path) -> list[dict]:
        return self.w._call(self.w.api.get(path))["items"]

    def names(self, path) -> list[str]:
        return sorted(one["metadata"]["name"] for one in self.items(path))

    def cache(self, name) -> dict | None:
        return self.get(f"{self.caches_path}/{name}")

    def create(self, name, **changes) -> None:
        body = {"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": name}, "spec": self.w.spec(**changes)}
        self.w._call(self.w.api.create(self.caches_path, body))

    def merge(self, name, **body) -> dict:
        return self.w._call(self.w.api.merge(f"{self.caches_path}/{name}", body))

    def delete(self, name) -> None:
        self.w._call(self.w.api.delete(f"{self.caches_path}/{name}"))

    def status(self, name) -> dict:
        """Empty where it is of an earlier generation."""
        cache = self.cache(name)
        status = (cache or {}).get("status", {})
        return status if status.get("observedGeneration") == (cache or {"metadata": {}})["metadata"].get("generation") else {}

    def condition(self, name, kind) -> dict:
        return next((one for one in self.status(name).get("conditions", []) if one["type"] == kind), {})

    def is_ready(self, name) -> bool:
        return self.status(name).get("phase") == "Ready"

    def jobs(self, name) -> list[dict]:
        return [one for one in self.items(self.jobs_path) if one["metadata"]["annotations"].get("modelcache.io/name") == name]

    def warmups(self, name) -> dict[str, dict]:
        found = [one for one in self.jobs(name) if "modelcache.io/uid" in one["metadata"]["labels"]]
        by_node = {one["metadata"]["annotations"]["modelcache.io/node"]: one for one in found}
        assert len(by_node) == len(found), found
        return by_node

    def volumes(self, name) -> list[dict]:
        of = {"modelcache.io/name": name, "modelcache.io/namespace": self.w.namespace}
        return [one for one in self.items("/api/v1/persistentvolumes") if of.items() <= (one["metadata"].get("annotations") or {}).items()]

    def claims(self, name) -> list[dict]:
        return [one for one in self.items(f"{self.core}/persistentvolumeclaims")
                if any(owner["name"] == name for owner in one["metadata"].get("ownerReferences", []))]

    def left(self, name) -> dict:
        """What a ModelCache that is gone has left; all empty in the end."""
        return {
            "itself": self.cache(name) and 1, "jobs": [one["metadata"]["name"] for one in self.jobs(name)],
            "volumes": len(self.volumes(name)), "claims": len(self.claims(name)), "copies": self.w.copies(name),
            "secrets": self.names(f"{self.core}/secrets") != self.secrets,
        }

    def whole(self, name) -> dict:
        """What a ModelCache that is Ready has: see `expect_whole`."""
        cache = self.cache(name)
        warmups = self.warmups(name)
        return {
            "phase": self.status(name).get("phase"), "finalizers": cache["metadata"].get("finalizers"), "deletion": cache["metadata"].get("deletionTimestamp"),
            "warmups": sorted(warmups), "others": len(self.jobs(name)) - len(warmups), "volumes": len(self.volumes(name)), "claims": len(self.claims(name)),
            "ready": sorted(node for node, state in self.w.copies(name).items() if state == "Ready"), "secrets": self.names(f"{self.core}/secrets") == self.secrets,
            "annotations": [one for one in cache["metadata"].get("annotations", {}) if "evict" in one],
        }

    def expect_whole(self, name, warmed=None) -> None:
        """One claim, volume and finalizer; one Job and one copy on each node of `warmed`; no Job that lists, and no request that stands."""
        warmed = self.w.nodes if warmed is None else warmed
        want = {"phase": "Ready", "finalizers": [FINALIZER], "deletion": None, "warmups": warmed, "others": 0, "volumes": 1, "claims": 1, "ready": warmed,
                "secrets": True, "annotations": []}
        self.settle(lambda: self.whole(name), want, name)

    def expect_gone(self, name) -> None:
        self.settle(lambda: self.left(name), {"itself": None, "jobs": [], "volumes": 0, "claims": 0, "copies": {}, "secrets": False}, name)

    def settle(self, look, want, what) -> None:
        got = [None]

        def is_so():
            got[0] = look()
            return got[0] == want

        try:
            self.w.until(is_so)
        except AssertionError as error:
            raise AssertionError(f"{what}: {got[0]}\nwanted: {want}\n{error}") from None


class Scenario:
    """Something that the operator does for one ModelCache, from `act` until `is_done`."""

    # Steps that each run of the tests tries, of each fault.
    most = 40
    # How many ModelCaches are prepared at once.
    batch = 12
    operator_flags = ()

    def __init__(self, w):
        self.w, self.view = w, View(w)

    def prepare(self, names) -> None:
        """Until these are where the scenario begins."""

    def act(self, name) -> None:
        raise NotImplementedError

    def is_done(self, name) -> bool:
        raise NotImplementedError

    def expect(self, name) -> None:
        self.view.expect_whole(name)

    def finish(self, names) -> None:
        """After all of them."""

    def made_ready(self, names, **changes) -> None:
        for name in names:
            self.view.create(name, **changes)
        for name in names:
            self.view.expect_whole(name)


def exhaust(w, scenario, fault) -> None:
    """The scenario once without a fault, which counts its steps, and once with the fault at each chosen one."""
    w.start_operator(*scenario.operator_flags, leader_elect=False)
    with Steps(w, kill=lambda: w.operator.kill()) as steps:
        whole = _run(w, scenario, steps, "whole", fault, 0)
        print("\n".join(f"{number}: {one}" for number, one in enumerate(whole, 1)))
        assert whole
        what = f"{type(scenario).__name__}, {fault}"
        chosen = choose(what, len(whole), scenario.most)
        names = [f"{fault}-{number}" for number in chosen]
        missed = []
        for index, (name, number) in enumerate(zip(names, chosen)):
            if index % scenario.batch == 0:
                scenario.prepare(names[index:index + scenario.batch])
            try:
                _run(w, scenario, steps, name, fault, number, is_prepared=True)
            except AssertionError as error:
                raise AssertionError(f"{what} at step {number}: {steps.hit}\nsteps: {steps.seen}\n{error}") from error
            print(f"{what} at {number}: {steps.hit}")
            if not steps.hit:
                missed.append(number)
        scenario.finish(names)
        # A run may have some writes fewer than the first one, of a status that another one took along.
        assert len(missed) <= max(2, len(chosen) // 4), f"{what}: done before steps {missed} of {len(whole)}"


def _run(w, scenario, steps, name, fault, number, is_prepared=False) -> list[str]:
    """The steps until it was done."""
    if not is_prepared:
        scenario.prepare([name])
    steps.arm(fault, number)
    scenario.act(name)
    w.until(lambda: steps.hit or scenario.is_done(name), f"step {number} of {name}, or its end")
    if steps.disarm() and fault == "killed":
        w.operator.process.wait()
        w.start_operator(*scenario.operator_flags, leader_elect=False)
    w.until(lambda: scenario.is_done(name), f"{name} is done after {steps.hit}")
    seen = list(steps.seen)
    scenario.expect(name)
    return seen


def drops(w, uid) -> list[tuple[str, int]]:
    """The orders to drop this ModelCache's copies that were carried out: node and number."""
    return [(node, number) for node, method, of, number in w.agents.orders if (method, of) == ("DELETE", uid)]


@contextlib.contextmanager
def paused(w):
    """No Job gets a pod."""
    w.kubelets.paused = True
    try:
        yield
    finally:
        w.kubelets.paused = False

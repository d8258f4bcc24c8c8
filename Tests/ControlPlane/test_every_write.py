"""The operator killed after each of its writes, and each answer lost, beyond the way to Ready: the next one brings everything to its end.

A step is a write that the API server has taken (but no Event) or an order that an agent has carried out. Each scenario runs once without a fault and once
with the fault at each step; where there are very many at steps that a seed chooses (MODELCACHE_TEST_EVERY_WRITE=1: at all).
"""
import collections
import contextlib
import os
import subprocess

import pytest

from support import every_write as every, webhook as hooks
from support.control_plane import free_port
from support.every_write import Scenario, Steps, View, choose, exhaust
from support.operator_process import PROGRAM
from support.proxy import Proxy
from support.stand_in import ApiError
from support.world import guest_world

PLUGIN = PROGRAM.parent / "kubectl-modelcache"
ROLE = {"name": "warm", "roleARN": "acs:ram::1:role/models", "oidcProviderARN": "acs:ram::1:oidc-provider/ack"}


@pytest.fixture
def w(control_plane):
    with guest_world(control_plane, nodes=2) as made:
        yield made


class Warmup(Scenario):
    """From nothing to Ready."""

    def act(self, name):
        self.view.create(name)

    def is_done(self, name):
        return self.view.is_ready(name)

    def expect(self, name):
        super().expect(name)
        made = {job["metadata"]["name"]: self.w.kubelets.made[self.w.namespace, job["metadata"]["name"]] for job in self.view.warmups(name).values()}
        assert set(made.values()) == {1}, made


class ListingWithSecret(Warmup):
    """A source that a Job lists, and nothing to warm."""

    changes = {"warmup__mode": "OnDemand", "placement__seeders": 0}

    def act(self, name):
        self.view.create(name, **self.changes)

    def expect(self, name):
        self.view.settle(lambda: {part: what for part, what in self.view.whole(name).items() if part in ("phase", "warmups", "others", "volumes", "claims")},
                         {"phase": "Ready", "warmups": [], "others": 0, "volumes": 1, "claims": 1}, name)


class ListingWithRole(ListingWithSecret):
    changes = ListingWithSecret.changes | {"source__credentials": {"serviceAccount": ROLE}}

    def prepare(self, names):
        self.w.kubelets.lists = lambda job: {"totalBytes": 500_000, "files": 2, "digest": "sha256:aa"}


class Deletion(Scenario):
    """Of a ModelCache with copies."""

    def prepare(self, names):
        self.made_ready(names)

    def act(self, name):
        self.view.delete(name)

    def is_done(self, name):
        return self.view.cache(name) is None

    def expect(self, name):
        self.view.expect_gone(name)


class ForcedDeletion(Deletion):
    """Of one with a copy that is read, on a person's word."""

    def prepare(self, names):
        super().prepare(names)
        for name in names:
            self.w.agents.by_node["node-0"].caches[self.view.cache(name)["metadata"]["uid"]].users = 1
            self.view.delete(name)
        for name in names:
            self.w.until(lambda name=name: self.view.condition(name, "Ready").get("reason") == "InUse", f"{name} is in use")

    def act(self, name):
        self.view.merge(name, metadata={"annotations": {"modelcache.io/force-evict": "true"}})


class Replacement(Scenario):
    """An edit of the podTemplate replaces Jobs that failed; the new ones end."""

    def prepare(self, names):
        self.w.kubelets.fails = lambda node: {"code": "StoreError", "message": "the disk said no"}
        for name in names:
            self.view.create(name)
        for name in names:
            self.w.until(lambda name=name: self.view.status(name).get("nodes", {}).get("failed") == 2, f"{name} has failed")
        self.w.kubelets.fails = lambda node: None

    def act(self, name):
        self.view.merge(name, spec={"warmup": {"podTemplate": {"labels": {"team": "mine"}}}})

    def is_done(self, name):
        return self.view.is_ready(name)

    def expect(self, name):
        super().expect(name)
        self.expect_jobs(name)

    def expect_jobs(self, name):
        """Those of the edit, made once."""
        jobs = self.view.warmups(name)
        assert {job["spec"]["template"]["metadata"]["labels"].get("team") for job in jobs.values()} == {"mine"}, jobs
        made = {node: self.w.kubelets.made[self.w.namespace, job["metadata"]["name"]] for node, job in jobs.items()}
        assert set(made.values()) == {2}, made


class TemplateEdit(Replacement):
    """An edit of the podTemplate replaces Jobs that wait for their pods."""

    def prepare(self, names):
        for name in names:
            self.view.create(name)
        for name in names:
            self.w.until(lambda name=name: len(self.view.warmups(name)) == 2, f"the Jobs of {name}")
            self.w.until(lambda name=name: self.view.status(name).get("nodes", {}).get("desired") == 2, f"{name} is told")

    def is_done(self, name):
        jobs = self.view.warmups(name)
        return self.view.status(name) and len(jobs) == 2 and all(
            job["spec"]["template"]["metadata"]["labels"].get("team") == "mine" and "deletionTimestamp" not in job["metadata"] for job in jobs.values())

    def expect(self, name):
        self.w.until(lambda: all(self.w.kubelets.made[self.w.namespace, job["metadata"]["name"]] == 2 for job in self.view.warmups(name).values()))
        self.expect_jobs(name)

    def finish(self, names):
        self.w.kubelets.paused = False
        for name in names:
            self.view.expect_whole(name)
            self.expect_jobs(name)


class WrongPin(Scenario):
    """A pin that the source does not have is told, and takes nothing away; the way back leads to Ready."""

    edit, reason = {"digest": "sha256:" + "0" * 64}, "DigestMismatch"

    def prepare(self, names):
        self.made_ready(names)

    def act(self, name):
        try:
            self.view.merge(name, spec={"source": self.edit})
        except ApiError as refused:
            assert "immutable" in str(refused)
            pytest.skip("this API server refuses the edit itself")

    def is_done(self, name):
        return self.view.condition(name, "SourceResolved").get("reason") == self.reason

    def expect(self, name):
        self.view.settle(lambda: {part: what for part, what in self.view.whole(name).items() if part in ("warmups", "others", "volumes", "claims", "ready")},
                         {"warmups": self.w.nodes, "others": 0, "volumes": 1, "claims": 1, "ready": self.w.nodes}, name)
        self.view.merge(name, spec={"source": {one: None for one in self.edit}})
        self.view.expect_whole(name)


class RefusedInclude(WrongPin):
    """An edit of what is immutable, where an API server without validation rules takes it."""

    edit, reason = {"include": ["*.gguf"]}, "SourceImmutable"


class Eviction(Scenario):
    """A person's request: each copy is dropped at most once, whatever happens to the operator, and comes back."""

    def prepare(self, names):
        self.made_ready(names)

    def act(self, name):
        self.view.merge(name, metadata={"annotations": {"modelcache.io/evict-requested": "*@2026-01-02T03:04:05Z"}})

    def dropped(self, name):
        return collections.Counter(node for node, _ in every.drops(self.w, self.view.cache(name)["metadata"]["uid"]))

    def is_done(self, name):
        return self.view.is_ready(name) and not any("evict" in one for one in self.view.cache(name)["metadata"].get("annotations", {}))

    def expect(self, name):
        super().expect(name)
        times = self.dropped(name)
        assert set(times.values()) <= {1}, times
        if name == "whole":
            assert sorted(times) == self.w.nodes
        # The same words again are another request.
        self.act(name)
        self.w.until(lambda: self.dropped(name) == times + collections.Counter(self.w.nodes), f"each copy of {name} is dropped again")
        self.w.until(lambda: self.is_done(name), f"{name} is back")
        super().expect(name)


SCENARIOS = [Warmup, ListingWithSecret, ListingWithRole, Deletion, ForcedDeletion, Replacement, TemplateEdit, WrongPin, RefusedInclude, Eviction]


@pytest.mark.parametrize("fault", every.FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_a_fault_at_a_step_ends_as_none(w, scenario, fault):
    with every.paused(w) if scenario is TemplateEdit else contextlib.nullcontext():
        exhaust(w, scenario(w), fault)


def test_delete_all_with_a_fault_at_a_step_is_ended_by_the_next(w):
    """The command has a proxy of its own; it gives the copies up, since no operator runs; the next one has them dropped."""
    view, names = View(w), ["one", "two"]
    w.start_operator(leader_elect=False)
    own = Proxy(w.plane)
    clean = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "MODELCACHE_NAMESPACE")}
    processes = []

    def start(kubeconfig):
        processes.append(subprocess.Popen([PLUGIN, "delete-all", "-n", w.namespace, "--kubeconfig", kubeconfig, "--timeout=0s", "--then-force"],
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean))
        return processes[-1]

    def run(fault, number, names):
        for name in names:
            view.create(name)
        for name in names:
            view.expect_whole(name)
        w.operator.kill()
        w.operator.process.wait()
        steps.arm(fault, number)
        process = start(own.kubeconfig())
        said, _ = process.communicate(timeout=180)
        hit = steps.disarm()
        if fault == "killed" and hit:
            said, _ = (process := start(w.plane.admin_kubeconfig)).communicate(timeout=180)
        elif process.returncode:
            # It may say that an answer was lost; what it did not reach is for the next.
            assert hit, said
            said, _ = (process := start(w.plane.admin_kubeconfig)).communicate(timeout=180)
        assert process.returncode == 0, (hit, said)
        assert not [name for name in names if view.cache(name)], (hit, said)
        # Without an operator: the command itself takes the volumes away.
        w.until(lambda: not [one for name in names for one in view.volumes(name) + view.claims(name)], f"no volume and no claim is left after {hit}")
        w.start_operator(leader_elect=False)
        return hit

    with contextlib.closing(own), Steps(w, own, kill=lambda: processes[-1].kill()) as steps:
        made = list(names)
        run("killed", 0, names)
        total = len(steps.seen)
        # Two deletions, two finalizers, two volumes.
        assert total == 6, steps.seen
        for fault in every.FAULTS:
            for number in choose(f"delete-all, {fault}", total, total):
                now = [f"{fault}-{number}-{name}" for name in names]
                print(f"delete-all, {fault} at {number}: {run(fault, number, now)}")
                made += now
    for name in made:
        view.expect_gone(name)


def test_the_operator_killed_while_delete_all_waits_lets_it_end(w):
    view = View(w)
    w.start_operator(leader_elect=False)
    clean = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "MODELCACHE_NAMESPACE")}

    def run(name, fault, number):
        names = [f"{name}-{index}" for index in range(2)]
        for one in names:
            view.create(one)
        for one in names:
            view.expect_whole(one)
        steps.arm(fault, number)
        process = subprocess.Popen([PLUGIN, "delete-all", "-n", w.namespace, "--kubeconfig", w.plane.admin_kubeconfig],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean)
        w.until(lambda: steps.hit or process.poll() is not None, "a step, or its end")
        if hit := steps.disarm():
            w.operator.process.wait()
            w.start_operator(leader_elect=False)
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 0, (hit, said)
        for one in names:
            view.expect_gone(one)
        return hit

    with Steps(w, kill=lambda: w.operator.kill()) as steps:
        run("whole", "killed", 0)
        for number in choose("the operator under delete-all", len(steps.seen), 5):
            print(f"the operator under delete-all, killed at {number}: {run(f'at-{number}', 'killed', number)}")


def test_certificates_with_a_fault_at_a_step_are_believed_in_the_end(w):
    """The Secret and both configurations: the certificate that is shown is one that the API server believes."""
    if not w.plane.own:
        pytest.skip("the API server must reach the operator on this machine's loopback: not on an existing cluster")
    port = free_port()
    secret = f"/api/v1/namespaces/{hooks.SYSTEM_NAMESPACE}/secrets/{hooks.SECRET}"
    configurations = [f"/apis/admissionregistration.k8s.io/v1/{kind}/{hooks.CONFIGURATION}"
                      for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")]
    view = View(w)

    def remove():
        for path in (secret, *configurations):
            with contextlib.suppress(ApiError):
                w._call(w.api.delete(path))

    def bundles():
        return {one["clientConfig"].get("caBundle") for path in configurations for one in view.get(path)["webhooks"]}

    def run(fault, number):
        remove()
        for path, body in zip(configurations, (hooks.configuration(port), hooks.validating_configuration(port))):
            w._call(w.api.create(path.rpartition("/")[0], body))
        steps.arm(fault, number)
        w.start_operator(leader_elect=False, webhook_port=port)
        w.until(lambda: steps.hit or w.operator.is_ready(), f"step {number}, or readiness")
        hit = steps.disarm()
        if hit and fault == "killed":
            w.operator.process.wait()
            w.start_operator(leader_elect=False, webhook_port=port)
        w.operator.ready()
        w.until(lambda: len(bundles()) == 1 and None not in bundles(), "both configurations have one bundle")
        with hooks.Direct(port, hooks.bundle(w.kubectl)) as direct:
            assert direct.serial()
        [stored] = [one for one in view.names(f"/api/v1/namespaces/{hooks.SYSTEM_NAMESPACE}/secrets") if "webhook" in one]
        assert stored == hooks.SECRET
        w.operator.stop()
        return hit

    try:
        with Steps(w, kill=lambda: w.operator.kill()) as steps:
            run("killed", 0)
            total = len(steps.seen)
            assert total >= 3, steps.seen
            for fault in every.FAULTS:
                for number in range(1, total + 1):
                    print(f"certificates, {fault} at {number}: {run(fault, number)}")
    finally:
        remove()

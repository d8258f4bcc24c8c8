"""Replicas of the operator on one real API server: one leads, and another follows when it ends."""
import datetime
import subprocess
import time

import pytest

from support.operator_process import PROGRAM, Operator
from support.webhook import until

LEASE_SECONDS, RETRY_SECONDS = 15, 2


def prepare(plane, namespace):
    plane.kubectl("apply", "--server-side", "-f", "-", input=subprocess.run([PROGRAM, "print-crd"], check=True, capture_output=True, text=True).stdout)
    plane.kubectl.wait_established()
    plane.kubectl("create", "namespace", namespace, check=False)


class Replicas:
    def __init__(self, plane, namespace, folder):
        self.plane, self.namespace, self.folder, self.all = plane, namespace, folder, []

    def start(self, *flags) -> Operator:
        log = self.folder / f"operator-{len(self.all)}.log"
        self.all.append(Operator(self.plane.admin_kubeconfig, log, f"--system-namespace={self.namespace}", f"--namespace={self.namespace}", *flags))
        return self.all[-1]

    def leads(self, one) -> bool:
        try:
            return one.alive and 'leader_election_master_status{name="modelcache-operator"} 1' in one.metrics()
        except OSError:
            return False  # its server is not up yet, or no more

    def wait_until_leads(self, one, seconds=120) -> float:
        """How long it took."""
        began = time.monotonic()
        while not self.leads(one):
            assert one.alive, one.last_words()
            assert time.monotonic() - began < seconds, f"does not lead after {seconds} s: {one.last_words()}"
            time.sleep(0.05)
        return time.monotonic() - began

    def lease(self) -> dict:
        return self.plane.kubectl.get("lease", "modelcache-operator", "-n", self.namespace)

    def close(self):
        for one in self.all:
            one.close()


@pytest.fixture
def replicas(control_plane, namespace, tmp_path):
    prepare(control_plane, namespace)
    one = Replicas(control_plane, namespace, tmp_path)
    yield one
    one.close()


def test_sigterm_hands_over_before_the_lease_runs_out(replicas):
    first = replicas.start()
    replicas.wait_until_leads(first)
    second = replicas.start().ready()
    time.sleep(3)
    assert replicas.leads(first) and not replicas.leads(second)
    assert second.is_ready(), "a replica that waits is ready"
    began = time.monotonic()
    assert first.stop() == 0, first.last_words()
    replicas.wait_until_leads(second)
    # A second or two; one that was not told would wait for all of the Lease.
    assert time.monotonic() - began < LEASE_SECONDS - RETRY_SECONDS
    spec = replicas.lease()["spec"]
    assert spec["leaseTransitions"] == 1 and spec["leaseDurationSeconds"] == LEASE_SECONDS

    def told():
        return [event for event in replicas.plane.kubectl.get("events", "-n", replicas.namespace)["items"] if event["reason"] == "LeaderElection"]

    until(lambda: len(told()) >= 2, "both leaders are told")
    leaders = told()
    assert len(leaders) == 2 and all("became leader" in event["message"] for event in leaders)
    assert all(event["involvedObject"]["kind"] == "Lease" and event["source"]["component"] == "modelcache-operator" for event in leaders)


def test_the_last_to_end_leaves_the_lease_free(replicas):
    one = replicas.start()
    replicas.wait_until_leads(one)
    assert one.stop() == 0
    spec = replicas.lease()["spec"]
    assert spec.get("holderIdentity", "") == "" and spec["leaseDurationSeconds"] == 1


def test_a_killed_leader_is_followed_when_its_lease_ran_out(replicas):
    first = replicas.start()
    replicas.wait_until_leads(first)
    second = replicas.start().ready()
    time.sleep(RETRY_SECONDS + 1)
    first.kill()
    renewed = datetime.datetime.fromisoformat(replicas.lease()["spec"]["renewTime"])
    replicas.wait_until_leads(second)
    # The follower counts from when it saw the last renewal.
    assert datetime.datetime.now(datetime.timezone.utc) >= renewed + datetime.timedelta(seconds=LEASE_SECONDS)


def test_a_leader_ends_when_another_takes_its_lease(replicas):
    one = replicas.start()
    replicas.wait_until_leads(one)
    replicas.plane.kubectl(
        "patch", "lease", "modelcache-operator", "-n", replicas.namespace, "--type=merge", "-p", '{"spec":{"holderIdentity":"intruder"}}')
    assert one.process.wait(120) == 1
    assert "intruder leads" in one.last_words()


def test_an_api_server_gone_for_a_minute_ends_the_leader_and_nobody_else(own_control_plane, tmp_path):
    """As in controller-runtime: who cannot renew must not act; whoever does not lead waits. Kubernetes starts the ended one again."""
    prepare(own_control_plane, "system")
    replicas = Replicas(own_control_plane, "system", tmp_path)
    try:
        # A Lease of 30 s that its holder must have renewed for 10: a machine that is busy for some seconds makes no difference.
        first = replicas.start("--leader-elect-lease-duration=30s")
        replicas.wait_until_leads(first)
        second = replicas.start("--leader-elect-lease-duration=30s").ready()
        began = time.monotonic()
        own_control_plane.api_server.freeze()
        try:
            assert first.process.wait(120) == 1
            ended = time.monotonic() - began
            assert ended < 30, "before another may lead"
            assert "leader election lost" in first.last_words() and "not renewed" in first.last_words()
            # Started again while the server is away, it waits.
            third = replicas.start("--leader-elect-lease-duration=30s")
            time.sleep(max(1, 60 - (time.monotonic() - began)))
            assert second.alive and third.alive
        finally:
            own_control_plane.api_server.thaw()
        deadline = time.monotonic() + 120
        while not any(replicas.leads(one) for one in (second, third)):
            assert time.monotonic() < deadline, second.last_words() + third.last_words()
            time.sleep(0.2)
        assert not all(replicas.leads(one) for one in (second, third))
    finally:
        replicas.close()

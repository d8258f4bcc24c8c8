"""hack/soak without a cluster: which fault comes when, what it explains, what grows, and what is reported."""
import errno
import http.server
import itertools
import json
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

from support import paths

sys.path[:0] = [str(paths.REPOSITORY / "hack/lib"), str(paths.REPOSITORY / "hack/bench.d")]

from plot import panels  # noqa: E402
from soak import away, growth, judged, mounts, objects, options, processes, report, steady  # noqa: E402
from soak.fault import AGENT, SILENT, Explains, Fault, Happened, Planned  # noqa: E402
from soak.faults import CHANGES, EVERY, FAULTS  # noqa: E402
from soak.growth import Point  # noqa: E402
from soak.judged import Broken, Ending  # noqa: E402
from soak.lanes import Lane, Record  # noqa: E402
from soak.processes import Sample  # noqa: E402
from soak.schedule import PAUSE, schedule  # noqa: E402
from soak.steady import Request  # noqa: E402
from soak.timeline import Timeline, clock  # noqa: E402
from soak.verdicts import PROMISES, Recorded, judge  # noqa: E402

NODES = ("node-1", "node-2", "node-3")
CUT = Happened("link cut", "node-2", Explains(SILENT, frozenset({"operator"}), 45), began=100, ended=105)


# ---- which fault comes when

def drawn(seed, kinds=FAULTS, rounds=4):
    return list(itertools.islice(schedule(kinds, NODES, seed), len(kinds) * rounds))


def test_a_seed_gives_the_same_faults_again_and_another_seed_others():
    assert [str(one) for one in drawn(7)] == [str(one) for one in drawn(7)]
    assert drawn(7) == drawn(7) and drawn(7) != drawn(8)


@pytest.mark.parametrize("seed", range(20))
def test_each_round_has_each_fault_once_within_its_bounds(seed):
    plan = drawn(seed)
    for first in range(0, len(plan), len(FAULTS)):
        assert {one.fault.name for one in plan[first:first + len(FAULTS)]} == {one.name for one in FAULTS}
    for one in plan:
        assert one.fault.hold[0] <= one.hold <= one.fault.hold[1] and PAUSE[0] <= one.pause <= PAUSE[1]
        assert (one.node in NODES) if one.fault.needs_node else one.node == ""
    hit = [one.node for one in plan if one.node]
    assert set(hit) == set(NODES) and all(a != b for a, b in zip(hit, hit[1:]))


def test_one_fault_and_one_node_are_a_plan_too():
    fault = next(one for one in FAULTS if one.needs_node)
    assert [one.node for one in itertools.islice(schedule([fault], ["node-1"], 1), 3)] == ["node-1"] * 3


def test_faults_have_names_of_their_own_and_only_a_silent_network_explains_failed_requests():
    assert len({one.name for one in EVERY}) == len(EVERY)
    assert {one.name for one in EVERY if one.explains.failures} == {"node unplugged", "link cut"}
    assert all(one.explains.failures <= SILENT for one in EVERY)
    assert not any(AGENT in one.explains.ends for one in CHANGES if "agents" not in one.name)


# ---- faults carried out

class NoWorld:
    """A world in which a fault is a line in a list."""

    def __init__(self, ill=False):
        self.timeline, self.ended, self.done, self._ill = Timeline(), threading.Event(), [], ill

    def wait_well(self):
        if self._ill:
            raise AssertionError("not within 240 s: all runs again: no agent on node-1")
        return 3.0


def fault(name="a fault", fails=""):
    def step(which):
        def carried_out(world, planned):
            world.done.append(f"{which} {planned.node}")
            if fails == which:
                raise AssertionError("kubectl said no")
        return carried_out
    return Fault(name, step("begin"), step("end"), hold=(0.05, 0.05), needs_node=True)


def carried_out(world, one, seconds=30.0):
    record = Record()
    lane = Lane("x", iter([Planned(1, one, "node-2", 0.05, 0.0)]), world, record, seconds, recovers=True)
    lane.start()
    lane.join(20)
    assert not lane.is_alive()
    return record


def test_a_fault_begins_holds_ends_and_is_recovered_from():
    world = NoWorld()
    record = carried_out(world, fault())
    happened, = record.happened
    assert world.done == ["begin node-2", "end node-2"] and not record.broken
    assert happened.ended - happened.began >= 0.05 and happened.recovered == 3.0


@pytest.mark.parametrize("fails", ["begin", "end"])
def test_a_fault_whose_beginning_fails_is_ended_and_told(fails, capsys):
    world = NoWorld()
    record = carried_out(world, fault(fails=fails))
    assert world.done == ["begin node-2", "end node-2"] and [one.promise for one in record.broken] == ["faults"]
    assert "a fault (node-2): kubectl said no" in record.broken[0].text and "BROKEN" in capsys.readouterr().err


def test_a_cluster_that_does_not_recover_is_told():
    record = carried_out(NoWorld(ill=True), fault())
    assert [one.promise for one in record.broken] == ["recovery"] and "no agent on node-1" in record.broken[0].text


def test_no_fault_begins_that_could_not_end_in_time_or_after_an_interrupt():
    world = NoWorld()
    assert carried_out(world, fault(), seconds=0.0).happened == [] and world.done == []
    world.ended.set()
    assert carried_out(world, fault()).happened == [] and world.done == []


# ---- what a fault explains

@pytest.mark.parametrize("at, seconds, failure, explained", [
    (90, 45, "timeout", True), (104, 1, "unreachable", True), (149, 45, "timeout", True),
    # Too early, too late, or of a kind that a cut link does not give.
    (50, 45, "timeout", False), (151, 45, "timeout", False), (104, 1, "error status", False), (104, 1, "refused", False), (104, 1, "broken off", False)])
def test_a_failure_is_explained_by_its_kind_and_its_time(at, seconds, failure, explained):
    request = Request(at, seconds, failure, "words")
    assert (judged.explains_request(request, [CUT]) is CUT) == explained
    assert bool(judged.broken_requests([request], [CUT])) != explained


def test_nothing_explains_a_wrong_completion():
    broken, = judged.broken_requests([Request(103, 1, wrong="Rome")], [CUT])
    assert broken.promise == "completions" and "Rome" in broken.text


def test_a_fault_that_lasts_explains_what_comes_after_its_beginning():
    lasts = Happened("node unplugged", "node-1", CUT.explains, began=100)
    assert judged.explains_request(Request(5000, 45, "timeout"), [lasts])
    assert not judged.explains_request(Request(10, 45, "timeout"), [lasts])


def test_the_end_of_a_process_is_explained_on_the_faults_node_alone():
    killed = Happened("agent killed", "node-1", Explains(ends=frozenset({AGENT}), after=15), began=100, ended=100)
    assert not judged.broken_endings([Ending(AGENT, "node-1", 95, 105), Ending(AGENT, "node-1", 108, 118)], [killed])
    for other in (Ending(AGENT, "node-2", 95, 105), Ending("mounter", "node-1", 95, 105), Ending(AGENT, "node-1", 116, 126), Ending(AGENT, "node-1", 80, 90)):
        assert judged.broken_endings([other], [killed])[0].promise == "processes"


def test_the_timeline_around_a_breach_is_that_of_a_minute_on_either_side():
    assert judged.around([(10, "a"), (70, "b"), (131, "c")], 71) == [(70, "b"), (131, "c")] and judged.around([(10, "a")], 71) == []


# ---- what grows

def points(values, process="1", every=10.0, first=0.0, age=1000.0):
    return [Point(first + n * every, process, age + n * every, value) for n, value in enumerate(values)]


def leaks(measure, some, seconds):
    return growth.growth(measure, "x", some, seconds).leaks


def test_a_leak_shows_and_a_flat_or_falling_series_does_not():
    hour = 360
    assert leaks("descriptors", points([100 + n // 10 for n in range(hour)]), 3600)
    assert not leaks("descriptors", points([100] * hour), 3600)
    assert not leaks("descriptors", points([500 - n for n in range(hour)]), 3600)


def test_what_comes_and_goes_is_no_leak():
    # A ModelCache for a minute, every two.
    assert not leaks("mounts", points([50 + 6 * (n // 6 % 2) for n in range(720)]), 7200)
    assert not leaks("memory", points([40e6 if n != 700 else 900e6 for n in range(720)]), 7200)


def test_what_each_coming_leaves_is_a_leak():
    assert leaks("mounts", points([50 + 6 * (n // 6 % 2) + n // 12 for n in range(720)]), 7200)


def test_the_bound_grows_with_the_length():
    # 3 MB an hour are within the bound, 12 MB are not; in ten minutes neither can be told from noise.
    for hours in (2, 24):
        count = hours * 360
        assert not leaks("memory", points([50e6 + 3e6 * n / 360 for n in range(count)]), hours * 3600)
    assert leaks("memory", points([50e6 + 12e6 * n / 360 for n in range(8640)]), 86400)
    assert not leaks("memory", points([50e6 + 12e6 * n / 360 for n in range(60)]), 600)


def test_restarts_hide_no_leak_and_make_none():
    def restarted(per_sample):
        # Each process begins with 20 MB, takes 30 MB in its first two minutes, and is killed after twenty.
        return [point for n in range(12) for point in points(
            [20e6 + min(k, 12) * 2.5e6 + k * per_sample for k in range(120)], process=str(n), first=n * 1200.0, age=0.0)]
    assert leaks("memory", restarted(50e3), 14400)
    assert not leaks("memory", restarted(0), 14400)


def test_too_little_is_not_judged():
    for some in ([], points([1, 2, 3], first=1000), points(range(50), age=0.0, every=1.0)):
        assert growth.growth("threads", "x", some, 60).grown is None


# ---- what is read

def test_programs_and_nodes_are_known_by_command_line_and_control_group():
    assert processes.program_of(["/modelcache", "agent", "--root", "/run/modelcache"]) == "agent"
    assert processes.program_of(["/modelcache", "mounter"]) == "mounter" and processes.program_of(["/modelcache-operator"]) == "operator"
    assert processes.program_of(["/usr/bin/llama-server", "-m", "x"]) == "llama-server"
    assert not any(map(processes.program_of, (["/modelcache", "warm"], ["/pause"], [""], [], ["sh", "-c", "agent"])))
    groups = "12:memory:/soak-cluster/node-2/kubepods/besteffort/poda/b\n1:name=systemd:/x\n"
    assert processes.node_of(groups, "soak") == "node-2" and processes.node_of(groups, "demo") is None and processes.node_of("0::/", "soak") is None


def test_a_process_of_our_own_is_sampled():
    import os
    own = processes.sample(os.getpid(), AGENT, "node-1", 5.0)
    assert own.memory > 1e6 and own.descriptors > 2 and own.threads >= 1 and own.mounts > 0 and 0 <= own.age < 1e6


def some_process(pid, at, program=AGENT):
    return Sample(at, program, "node-1", pid, pid, 500.0 + at, 40_000_000, 30, 9, 20)


def test_a_process_that_is_not_in_the_next_look_has_ended():
    looks = [(0.0, [some_process(1, 0), some_process(2, 0, "mounter")]), (10.0, [some_process(3, 10), some_process(2, 10, "mounter")]), (20.0, [some_process(3, 20)])]
    assert processes.endings(looks) == [Ending(AGENT, "node-1", 0, 10), Ending("mounter", "node-1", 10, 20)]


def test_an_api_server_that_is_away_is_told_from_a_command_that_fails():
    assert away.is_away("The connection to the server 10.1.0.2:6443 was refused - did you specify the right host or port?")
    assert away.is_away('error validating data: failed to download openapi: Get "https://10.1.0.2:6443/openapi/v2": dial tcp 10.1.0.2:6443: connect: connection refused')
    assert away.is_away('error: the server doesn\'t have a resource type "modelcaches" in group "modelcache.io"')
    assert away.is_away("Unable to connect to the server: net/http: TLS handshake timeout")
    assert not away.is_away('Error from server (NotFound): modelcaches.modelcache.io "x" not found')


def item(kind, name, space="", **more):
    return {"kind": kind, "metadata": {"name": name, "generation": 2} | ({"namespace": space} if space else {}), "spec": {}} | more


def test_what_does_not_run_as_it_should_is_named():
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    rolled = {"observedGeneration": 2, "desiredNumberScheduled": 3, "numberReady": 3, "updatedNumberScheduled": 3}
    deployed = {"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 3}
    well = [item("Node", "node-1", status=ready), item("DaemonSet", "agent", "s", status=rolled),
            item("Deployment", "llama", "m", status=deployed), item("ModelCache", "gemma", "m", status={"phase": "Ready"})]
    assert objects.ill(well, {"llama": 3}) == []
    for wrong, name in ((item("Node", "node-1", status={}), "node-1"), (item("DaemonSet", "agent", status=rolled | {"numberReady": 2}), "agent"),
                        (item("DaemonSet", "agent", status=rolled | {"observedGeneration": 1}), "agent"), (item("ModelCache", "gemma", status={"phase": "Warming"}), "gemma"),
                        (item("Deployment", "llama", status=deployed | {"readyReplicas": 2}), "llama"), (item("ModelCache", "new"), "new")):
        told, = objects.ill([wrong], {"llama": 3})
        assert name in told
    # While it is scaled, other numbers are wanted.
    assert objects.ill([item("Deployment", "llama", status=deployed)], {"llama": 4})


def test_only_more_than_before_is_left_behind():
    before = objects.counted([item("Pod", "a", "s"), item("Pod", "b", "s"), item("Namespace", "s")])
    assert before == {"s/Pod": 2, "Namespace": 1}
    assert objects.differences(before, {"s/Pod": 1, "Namespace": 1}) == []
    assert objects.differences(before, {"s/Pod": 3, "s/Job": 1, "Namespace": 1}) == ["s/Job: 1, before 0", "s/Pod: 3, before 2"]


def test_mounts_are_told_by_place_without_identities():
    line = "12 1 0:3 / {} rw,nosuid shared:1 - tmpfs tmpfs rw\n"
    container = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/rootfs"
    pod = "/var/lib/kubelet/pods/1e9f7a5c-4f64-4a3c-8f0e-00112233445{}/volumes/kubernetes.io~secret/auth"
    text = "".join(line.format(place) for place in ("/", container.format("a" * 64), container.format("b" * 64), pod.format(5), pod.format(6),
                                                 "/run/netns", "/run/netns/cni-1e9f-77", "/run/netns/other-control"))
    assert mounts.shapes(text) == {"/": 1, "/run/netns": 1, "/run/netns/*": 1, container.format("*"): 2, "/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret/auth": 2}
    assert mounts.shapes("") == {}


# ---- requests

@pytest.fixture
def engine():
    """Answers as llama-server does, with what `says` holds: a text, a status, or None for an end without an answer."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            said = server.says
            if said is None:
                self.close_connection = True
                return
            body = json.dumps({"content": said}).encode()
            self.send_response(said if isinstance(said, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("says, failure, wrong", [("Paris", "", ""), ("Rome", "", "Rome"), ("", "", "(nothing)"), (503, "error status", ""), (None, "broken off", "")])
def test_requests_tell_right_wrong_and_failed(engine, says, failure, wrong):
    engine.says = says
    with steady.SteadyRequests(f"127.0.0.1:{engine.server_port}", "Paris", rate=50, began=time.monotonic()) as requests:
        while len(requests.requests) < 5:
            time.sleep(0.01)
        requests.finish()
    assert {(one.failure, one.wrong) for one in requests.requests} == {(failure, wrong)}


def test_failures_are_told_by_kind():
    assert steady.kind_of(TimeoutError("timed out")) == "timeout" and steady.kind_of(ConnectionRefusedError()) == "refused"
    assert steady.kind_of(ConnectionResetError()) == steady.kind_of(http.client.RemoteDisconnected()) == steady.kind_of(http.client.IncompleteRead(b"")) == "broken off"
    assert steady.kind_of(OSError(errno.EHOSTUNREACH, "x")) == "unreachable" and steady.kind_of(OSError(errno.EMFILE, "x")) == "error of the network"
    assert steady.kind_of(ValueError()) == "no completion"


# ---- options and report

def test_two_hours_by_default_and_hours_and_minutes_add_up():
    assert options.parse([]).seconds == 7200
    assert options.parse(["--minutes", "5"]).seconds == 300 and options.parse(["--hours", "1", "--minutes", "30"]).seconds == 5400
    assert [one.name for one in options.parse(["--fault", "link cut"]).faults] == ["link cut"] and not options.parse(["--fault", "link cut"]).changes
    for wrong in (["--minutes", "0"], ["--fault", "nonsense"], ["--rate", "-1"]):
        with pytest.raises(SystemExit):
            options.parse(wrong)


def test_the_list_names_each_fault_and_the_page_on_reliability_does_too():
    told = options.listed()
    page = (paths.REPOSITORY / "docs/reliability.md").read_text()
    section = page.partition("\n## Soak\n")[2].partition("\n## ")[0]
    for one in EVERY:
        assert f"  {one.name}" in told and f"`{one.name}`" in section, one.name
    for measure, bound in growth.BOUNDS.items():
        noise, an_hour = ((f"{number / 1e6:g} MB" if bound.unit else f"{number:g}") for number in (bound.noise, bound.an_hour))
        assert f"| {measure} | {noise} | {an_hour} |" in section, measure


def recorded(**more):
    looks = [(float(at), [some_process(1, float(at))]) for at in range(0, 1200, 10)]
    return Recorded(**{
        "seconds": 1200.0, "requests": [Request(float(at), 0.5) for at in range(0, 1200, 5)], "happened": [CUT], "broken": [], "looks": looks,
        "mounts": [(float(at), {"node-1": 60}) for at in range(0, 1200, 10)], "objects": [(float(at), {"s/Pod": 9}) for at in range(0, 1200, 30)],
        "before": {"s/Pod": 9}, "after": {"s/Pod": 9}, "timeline": [(100.0, "link cut (node-2) begins, for 5 s"), (105.0, "link cut (node-2) is over")]} | more)


def test_a_soak_without_a_breach_is_reported_as_kept(tmp_path):
    seen = recorded(requests=[Request(float(at), 0.5) for at in range(0, 1200, 5)] + [Request(101.0, 45.0, "timeout", "TimeoutError()")])
    verdict = judge(seen)
    assert verdict.kept and verdict.explained == {"link cut": 1}
    page = report.write(tmp_path / "r", tmp_path / "out.json", seen, verdict, {"seed": 7}, panels)
    text = page.read_text()
    assert "all promises kept" in text and "seed: 7" in text and "| 241 | 0 | 1 | 1 |" in text and "Broken" not in text
    drawing = ElementTree.parse(page.parent / "soak.svg").getroot()
    assert drawing.tag.endswith("svg") and len(drawing.findall(".//{*}polyline")) >= 8 and any(one.get("fill") == "#fbe3d6" for one in drawing.iter())
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["kept"] and told == json.loads((page.parent / "soak.json").read_text()) and told["faults"][0]["name"] == "link cut"


@pytest.mark.parametrize("promise, more", [
    ("completions", {"requests": [Request(300.0, 1.0, wrong="Rome")]}),
    ("requests", {"requests": [Request(300.0, 45.0, "timeout", "TimeoutError()")]}),
    ("faults", {"broken": [Broken("faults", 300.0, "ModelCache x on node-1: a.bin differ")]}),
    ("recovery", {"broken": [Broken("recovery", 300.0, "not within 240 s")]}),
    ("processes", {"looks": [(290.0, [some_process(1, 290.0)]), (300.0, [])]}),
    ("growth", {"mounts": [(float(at), {"node-1": 60 + at // 10}) for at in range(0, 1200, 10)]}),
    ("remains", {"after": {"s/Pod": 9, "s/Job": 2}})])
def test_each_broken_promise_is_reported_with_the_timeline_around_it(promise, more):
    seen = recorded(**more, timeline=[(250.0, "just before"), (1195.0, "at the end"), (600.0, "in the middle")])
    verdict = judge(seen)
    assert {one.promise for one in verdict.broken} == {promise} and not verdict.kept
    text = report.markdown(seen, verdict, {})
    assert "promises broken" in text and f"| {PROMISES[promise]} | **broken** |" in text
    breach = report.breaches(seen, verdict)
    assert ("at the end" if verdict.broken[0].at == 1200 else "just before") in breach and "in the middle" not in breach


def test_every_breach_belongs_to_a_promise_that_is_told():
    assert set(PROMISES) == {"completions", "requests", "faults", "recovery", "processes", "growth", "remains"}
    assert clock(59.9) == "00:59" and clock(3661) == "1:01:01"

"""hack/cluster comes and goes without a trace, also when it was interrupted. On a cluster of its own, beside any other."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from support.cluster import PROGRAM, Cluster, wait_until

NAME = "traceless"


@pytest.fixture
def cluster():
    one = Cluster(NAME)
    one.down()
    yield one
    one.down()


@pytest.fixture(autouse=True)
def leaves_no_trace(cluster):
    before = traces()
    yield
    cluster.down()
    with contextlib.suppress(AssertionError):
        wait_until(lambda: traces() == before, "the computer as it was", every=0.5)
    after = traces()
    assert after == before, {kind: set(after[kind]) ^ set(before[kind]) for kind in before if after[kind] != before[kind]}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def traces():
    """What a cluster of this name could leave on the computer: of shared things only what names it, as others work here too."""
    def ours(lines):
        return sorted(line for line in lines if NAME in line or link in line)

    link = f"mck-{int(subprocess.run(['cksum'], input=NAME, capture_output=True, text=True).stdout.split()[0]):08x}"
    subnet = output(PROGRAM, "--name", NAME, "address").rsplit(".", 2)[0] + "."
    iptables = next(pathlib.Path.home().glob(".cache/modelcache/kubernetes/*/bin/iptables-save"), None)
    return {
        "processes": ours(commands()),
        "mounts": ours(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()),
        "namespaces": ours(output("ip", "netns", "list").splitlines()),
        "links": ours(output("ip", "-o", "link").splitlines()),
        "routes": sorted(line for line in output("ip", "route").splitlines() if subnet in line),
        "cgroups": ours(output("find", "/sys/fs/cgroup", "-type", "d", "-name", f"*{NAME}*").splitlines()),
        # Counters of packets differ from one look to the next.
        "firewall": re.sub(r"#.*|\[\d+:\d+\]", "", output(iptables) if iptables else "").split("\n"),
        "files": [str(p) for p in pathlib.Path("/run").iterdir() if NAME in p.name],
        "settings": [pathlib.Path("/proc/sys", one).read_text() for one in (
            "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
            "net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet")],
    }


def commands():
    me = os.getpid()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != me:
            with contextlib.suppress(OSError):
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_a_second_cluster_comes_up_beside_another_and_takes_a_node_later(cluster):
    cluster.up(nodes=1)
    assert cluster.nodes() == {"node-1": True}
    cluster.up(nodes=2)
    assert cluster.nodes() == {"node-1": True, "node-2": True}
    assert cluster.command("status").returncode == 0


def test_a_control_plane_without_nodes_is_a_cluster_too(cluster):
    cluster.up(nodes=0)
    assert cluster.nodes() == {}
    assert cluster.command("status").returncode == 0


@pytest.mark.parametrize("seconds", [0.5, 2.5, 6])
def test_an_up_that_was_killed_is_completed_by_the_next(cluster, seconds):
    cut_short(seconds)
    cluster.up(nodes=1)
    assert cluster.nodes() == {"node-1": True}


@pytest.mark.parametrize("seconds", [0.3, 1, 2, 4, 8])
def test_down_removes_what_a_killed_up_left(cluster, seconds):
    cut_short(seconds)
    cluster.down()


def test_down_works_when_the_notes_of_processes_are_lost(cluster):
    cluster.up(nodes=1)
    shutil.rmtree(cluster.state / "pids")
    cluster.down()


def test_down_ends_pods_with_everything_in_them(cluster):
    cluster.up(nodes=1)
    image = cluster.load_tools()
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=180s")
    cluster.kubectl("run", "sleeper", f"--image={image}", "--command", "--", "sleep", "86397")
    cluster.wait_for_pod("default", "sleeper")
    assert any(one.startswith("sleep 86397") for one in commands())
    cluster.down()
    assert not any(one.startswith("sleep 86397") for one in commands())


def test_what_does_not_fit_is_refused_in_words(cluster):
    assert "not up" in cluster.command("status", check=False).stderr
    assert "--nodes takes 0 to 63" in cluster.command("up", "--nodes", "64", check=False).stderr
    assert "name" in Cluster("Big_Name").command("status", check=False).stderr
    assert cluster.command("nonsense", check=False).returncode == 64


def cut_short(seconds):
    """hack/cluster up, ended with SIGKILL after so long, with all that its script has started in the foreground."""
    running = subprocess.Popen([PROGRAM, "--name", NAME, "up", "--nodes", "1"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()

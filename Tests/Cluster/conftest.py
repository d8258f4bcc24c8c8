"""Fixtures of the tests on a real cluster of three nodes (hack/cluster; needs root).

A cluster that is up already is used and left up; else it is brought up for the session and taken down after it.
USE_EXISTING_CLUSTER=true is refused by those tests alone that pull plugs and look into nodes: they need this one.
"""
import os
import pathlib
import signal
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.cluster import Cluster  # noqa: E402
from support.installation import Installation  # noqa: E402
from support.models import NODES  # noqa: E402
from support.system import Store, paths  # noqa: E402


def pytest_configure(config):
    # A terminated run cleans up as one that Ctrl-C ends.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


@pytest.fixture(scope="session")
def cluster():
    if os.environ.get("USE_EXISTING_CLUSTER", "").lower() == "true":
        pytest.skip("looks into nodes' namespaces: only on the cluster of hack/cluster")
    one = Cluster()
    was_up = one.is_up()
    one.up(nodes=3)
    yield one
    if not was_up and not os.environ.get("MODELCACHE_TESTS_KEEP"):
        one.down()


@pytest.fixture(scope="session")
def tools(cluster):
    """The name of an image with busybox that every node has."""
    return cluster.load_tools()


@pytest.fixture(scope="session")
def installation(cluster):
    """ModelCache on the cluster, one for all tests."""
    one = Installation(cluster)
    one.install()
    yield one
    cluster.kubectl("uncordon", *NODES, check=False)
    one.remove()


@pytest.fixture(scope="session")
def store(cluster, tmp_path_factory):
    """The store emulator on this machine, with the real models, as pods reach it."""
    one = Store({"models": paths.models()}, tmp_path_factory.mktemp("store") / "store.log", address=cluster.host_address)
    yield one
    one.stop()


@pytest.fixture
def namespace(cluster):
    """A new namespace with its default ServiceAccount, deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=180s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found", check=False)

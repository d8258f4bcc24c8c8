"""Fixtures of the tests that need a real API server and no nodes.

KUBEBUILDER_ASSETS names another folder of etcd, kube-apiserver and kubectl; USE_EXISTING_CLUSTER=true takes the
cluster of KUBECONFIG, and tests that must stop its processes are then skipped by name.
"""
import pathlib
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support import control_plane as planes  # noqa: E402


@pytest.fixture(scope="session")
def control_plane():
    """The API server all tests share; each test works in a namespace of its own."""
    with planes.control_plane() as plane:
        yield plane


@pytest.fixture
def own_control_plane():
    """One for this test alone, which may stop, kill and compact what it likes."""
    with planes.control_plane() as plane:
        if not plane.own:
            pytest.skip("stops the API server's processes: not on an existing cluster")
        yield plane


@pytest.fixture
def kubectl(control_plane):
    """kubectl as cluster-admin: kubectl("get", "nodes"), kubectl.get(...), kubectl.apply(object)."""
    return control_plane.kubectl


@pytest.fixture
def namespace(kubectl):
    """A new namespace, deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found", check=False)

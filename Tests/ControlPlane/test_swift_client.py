"""The Swift tests of the Kubernetes client that need a real API server (RealServerTests): here they have one."""
import os
import re
import shutil
import subprocess

import pytest

from support.control_plane import REPOSITORY
from support.proxy import Proxy

BUNDLE = REPOSITORY / ".build/release/modelcachePackageTests.xctest"
SUITE = "RealServerTests"


def declared() -> int:
    source = next((REPOSITORY / "Tests/KubernetesTests").rglob(f"{SUITE}.swift")).read_text()
    return len(re.findall(r"^ *@Test\b", source, re.MULTILINE))


@pytest.mark.timeout(900)
def test_the_clients_swift_tests_pass_on_a_real_api_server(control_plane):
    assert shutil.which("swift"), "no swift in PATH: install the Swift 6.1 toolchain or a newer one"
    assert BUNDLE.exists(), f"there is no test bundle {BUNDLE.relative_to(REPOSITORY)}: run hack/build --tests first, or hack/test unit control-plane"
    other = Proxy(control_plane, "DNS:another.example")
    try:
        done = subprocess.run(
            ["swift", "test", "-c", "release", "--skip-build", "--no-parallel", "--filter", SUITE], cwd=REPOSITORY,
            env=os.environ | {"MODELCACHE_TEST_KUBECONFIG": str(control_plane.admin_kubeconfig), "MODELCACHE_TEST_OTHER_KUBECONFIG": str(other.kubeconfig())},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=840)
    finally:
        other.close()
    assert done.returncode == 0, done.stdout[-8000:]
    # Skipped tests, or a filter that meets none, end with 0 too.
    passed = len(re.findall(r"^✔ Test (?!run with).* passed after", done.stdout, re.MULTILINE))
    assert passed == declared(), done.stdout[-8000:]

"""docs/get-started-kubernetes.md, command by command, from a cluster without ModelCache to the first token, then parts of docs/how-to.md.

It runs before the tests that share one installation (files run in the order of their names) and leaves nothing of its own behind.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from support.cluster import PATIENCE, REPOSITORY
from support.installation import SYSTEM, Installation
from support.models import NODES, Model
from support.pods import GEMMA, LLAMA_IMAGE
from support.system import ACCESS_KEY, SECRET, Store, paths

sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))
from guide import Guide  # noqa: E402

REGISTRY = "registry.example.com/ai"
# What this reader has in place of a registry: an engine that builds with hack/images and pushes straight to the nodes.
PODMAN = f"""#!/bin/bash
set -euo pipefail
case $1 in
build) [ -e "$3" ] && [ "$4" = -t ] && [ "$6" = . ] ;;
push)
    image=${{2##*/}} image=${{image%%:*}}
    hack/cluster load-image "$("{REPOSITORY}/hack/images" "$image" 2>/dev/null | awk 'END {{ print $NF }}')"
    for node in {' '.join(NODES)}; do
        hack/cluster on "$node" ctr -n k8s.io images tag --force "docker.io/modelcache/$image:dev" "$2"
    done
    ;;
esac >/dev/null
"""


@pytest.fixture
def environment(cluster, tmp_path):
    """A person's: the cluster's kubeconfig, kubectl with the plugin, helm, and the engine."""
    (tmp_path / "podman").write_text(PODMAN)
    (tmp_path / "podman").chmod(0o755)
    programs = (cluster.state / "programs").read_text().strip()
    return {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path),
            "PATH": f"{tmp_path}:{paths.DIST / 'bin'}:{programs}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture
def minio(cluster, tmp_path):
    """A store with MinIO's region, which the guide need not name."""
    one = Store({"models": paths.models()}, tmp_path / "store.log", address=cluster.host_address, options=("--region", "us-east-1"))
    yield one
    one.stop()


@pytest.fixture
def guide(cluster, minio, environment, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    # What an interrupted run left would be in helm's way.
    if cluster.get("namespace", SYSTEM):
        Installation(cluster).remove()
        cluster.kubectl("delete", "namespace", SYSTEM, "--ignore-not-found", f"--timeout={PATIENCE:g}s")
    cluster.load_image(archive_of("llama.cpp"))
    yield Guide(REPOSITORY / "docs/get-started-kubernetes.md", {
        "agent.cacheMemory=32Gi": "agent.cacheMemory=640Mi", "label node NODE ": "label node node-1 ",
        "AWS_ACCESS_KEY_ID=...": f"AWS_ACCESS_KEY_ID={ACCESS_KEY}", "AWS_SECRET_ACCESS_KEY=...": f"AWS_SECRET_ACCESS_KEY={SECRET}",
        "s3://models/qwen/": "s3://models/gemma/", "http://minio.storage.svc:9000": minio.endpoint, "{minio.storage.svc}": f"{{{cluster.host_address}}}", "get modelcaches --watch": "get modelcaches",
        "ghcr.io/ggml-org/llama.cpp:server": LLAMA_IMAGE, "qwen-00001-of-00015.gguf": GEMMA,
        # The pods' addresses can be reached from here, and nothing is left in the background.
        "kubectl -n models port-forward deployment/qwen 8080:8080 &\n": "", "kill $!\n": "",
        "http://127.0.0.1:8080/": "http://$(kubectl -n models get pods -l app=qwen -o jsonpath='{.items[0].status.podIP}'):8080/",
    }, environment)
    # Pods that use a model end first, as docs/how-to.md says; then its commands.
    cluster.kubectl("delete", "deployment", "qwen", "-n", "models", "--ignore-not-found", check=False)
    remove = Guide(REPOSITORY / "docs/how-to.md", {"delete namespace modelcache-system": "delete namespace modelcache-system --wait=false"}, environment)
    remove.blocks = [block for block in remove.blocks if "helm uninstall" in block]
    remove.run()
    cluster.kubectl("delete", "namespace", "models", "--ignore-not-found", "--wait=false", check=False)
    cluster.kubectl("label", "node", "node-1", "modelcache.io/agent-", check=False)


@pytest.fixture
def how_to(minio, environment) -> Guide:
    """The parts that the same reader can follow next: a rolling update, a limit, a new version, the role for reports."""
    one = Guide(REPOSITORY / "docs/how-to.md", {
        "{uri: oss://models/qwen-v2/, region: cn-hangzhou, credentials: {secretRef: {name: oss}}}":
            f"{{uri: s3://models/shards/, endpoint: {minio.endpoint}, credentials: {{secretRef: {{name: store}}}}}}",
        "qwen-00001-of-00015.gguf": "x-00001-of-00015.gguf", "status qwen-v2 -n models --watch": "status qwen-v2 -n models",
        "why MODEL -n models": "why qwen -n models", "--user USER": "--user reader",
    }, environment)
    marks = ('"maxUnavailable": 0', "maxBytesPerSecond", "get modelcaches -o wide", "create rolebinding modelcache-reader", "metadata: {name: qwen-v2}", "modelcache.io~1inject")
    one.blocks = sorted((block for block in one.blocks if any(mark in block for mark in marks)),
                        key=lambda block: next(number for number, mark in enumerate(marks) if mark in block))
    assert len(one.blocks) == len(marks)
    return one


def archive_of(name: str) -> str:
    table = subprocess.run([REPOSITORY / "hack/images", name], check=True, text=True, stdout=subprocess.PIPE).stdout
    return table.split()[-1]


# Images are made, and loaded into three nodes: seconds, or minutes beside other work.
@pytest.mark.timeout(1800)
def test_a_reader_of_the_guide_comes_from_helm_install_to_the_first_token_and_goes_on(cluster, guide, how_to):
    guide.run()
    installed = time.monotonic()
    assert "Phase:          Succeeded" in guide.run()
    assert "qwen" in guide.run()
    Model(cluster, "models", "qwen").wait(lambda status: status.get("phase") == "Ready", "Ready")
    guide.run()
    said = guide.run()
    took = time.monotonic() - installed
    assert re.search(r"\w", json.loads(said)["content"]), said
    # A line of the head, and one for each pod.
    starts = [line for line in guide.run().partition("POD ")[2].splitlines() if line.startswith("qwen-")]
    assert len({line.split()[0] for line in starts}) == 2, starts
    assert guide.run() and guide.over
    assert "successfully rolled out" in how_to.run()
    how_to.run()
    assert cluster.get("modelcache", "-n", "models", "qwen")["spec"]["warmup"]["maxBytesPerSecond"] == "500M"
    assert "qwen is ready" in how_to.run()
    how_to.run()
    assert "qwen-v2" in how_to.run()
    Model(cluster, "models", "qwen-v2").wait(lambda status: status.get("phase") == "Ready", "Ready")
    how_to.run()
    assert not cluster.get("modelcache", "-n", "models", "qwen")
    pods = [pod for pod in cluster.items("pods", "-n", "models", "-l", "app=qwen") if "deletionTimestamp" not in pod["metadata"]]
    assert pods and all(pod["metadata"]["labels"]["modelcache.io/inject"] == "qwen-v2" for pod in pods)
    print(f"\nhelm install to the first token: {took:.1f} s; blocks: {', '.join(f'{one:.1f}' for one in guide.seconds)} s")

"""A ModelCache that is read by a role, on three real nodes: no key is in the cluster, and STS judges the cluster's own tokens."""
import hashlib
import io
import json
import random
import subprocess
import tarfile

import pytest

from support.cluster import REPOSITORY, wait_until
from support.installation import AGENT, OPERATOR, SYSTEM
from support.models import NODES, Model
from support.pods import Pods, reader
from support.system import Store

SPACE, ROLE, PROVIDER = "role-models", "acs:ram::1234:role/models", "acs:ram::1234:oidc-provider/cluster"
CONTENT = random.Random(1).randbytes(8 << 20)
WORKLOADS = ("daemonset/modelcache-agent", "deployment/modelcache-operator")


@pytest.fixture(scope="module")
def plan(cluster, tmp_path_factory):
    """The cloud: one role, for one ServiceAccount of this cluster, whose keys and issuer it has from the API server."""
    keys = tmp_path_factory.mktemp("sts") / "keys.json"
    keys.write_text(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))
    issuer = json.loads(cluster.kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
    return {"keysFile": str(keys), "issuer": issuer, "audiences": ["sts.aliyuncs.com"],
            "roles": [{"arn": ROLE, "provider": PROVIDER, "subjects": [f"system:serviceaccount:{SPACE}:warm"]}]}


def trusting(certificate, folder):
    """The agent's image with this certificate as its only authority: tokens go to STS by HTTPS alone."""
    table = subprocess.run([REPOSITORY / "hack/images", "agent"], check=True, text=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(table.splitlines()[-1].split()[-1]) as image:
        files = {name: image.extractfile(name).read() for name in image.getnames() if name not in ("index.json", "oci-layout")}
    [manifest] = json.loads(files.pop("manifest.json"))
    config = json.loads(files.pop(manifest["Config"]))
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        add(archive, "etc/ssl/certs/ca-certificates.crt", certificate.read_bytes())
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    files |= {f"{digest}.tar": layer.getvalue()}
    config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
    config["history"].append({"created": "1970-01-01T00:00:00Z", "created_by": "a test"})
    manifest |= {"Config": "config.json", "Layers": [*manifest["Layers"], f"{digest}.tar"]}
    with tarfile.open(folder / "agent.tar", "w") as archive:
        for name, data in (files | {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps([manifest]).encode()}).items():
            add(archive, name, data)
    return folder / "agent.tar"


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


@pytest.fixture(scope="module")
def cloud(cluster, installation, plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sts", "-addext",
                    f"subjectAltName=IP:{cluster.host_address}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    installation.load("reader-old-glibc")
    cluster.load_image(trusting(certificate, folder))
    (folder / "bucket/small").mkdir(parents=True)
    (folder / "bucket/small/a.gguf").write_bytes(CONTENT)
    store = Store({"models": folder / "bucket"}, folder / "store.log", address=cluster.host_address,
                  options=("--identity", json.dumps(plan), "--tls-cert", str(certificate), "--tls-key", str(key)))
    setting = "MODELCACHE_STS_ENDPOINT"
    for one in WORKLOADS:
        cluster.kubectl("set", "env", "-n", SYSTEM, one, f"{setting}=https://{cluster.host_address}:{store.identity_tls_port}")
    installation.wait_ready()
    cluster.kubectl("apply", "-f", "-", input={
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    cluster.kubectl("create", "serviceaccount", "warm", "-n", SPACE)
    yield store
    cluster.kubectl("delete", "pods", "--all", "-n", SPACE, "--force", "--grace-period=0", check=False)
    cluster.kubectl("delete", "modelcaches", "--all", "-n", SPACE, "--timeout=180s", check=False)
    cluster.kubectl("delete", "namespace", SPACE, "--wait=false", check=False)
    installation.load("agent")
    for one in WORKLOADS:
        cluster.kubectl("set", "env", "-n", SYSTEM, one, f"{setting}-")
    installation.wait_ready()
    store.stop()


def credentials(account):
    return {"serviceAccount": {"name": account, "roleARN": ROLE, "oidcProviderARN": PROVIDER}}


def test_a_modelcache_is_read_by_a_role_and_no_pod_has_a_key(cluster, installation, cloud):
    digest = hashlib.sha256(CONTENT).hexdigest()
    model = Model(cluster, SPACE, "small").apply(cloud.endpoint, "small/", credentials("warm"))
    model.wait_ready()
    assert [model.digests(node) for node in NODES] == [{"a.gguf": digest}] * 3
    # One listing and three nodes.
    exchanges = cloud.exchanges()
    assert exchanges["AssumeRoleWithOIDC"] >= 4 and "AssumeRoleWithOIDC refused" not in exchanges, exchanges
    assert {job["spec"]["template"]["spec"]["serviceAccountName"] for job in model.jobs()} == {"warm"}
    # The pod that reads is of another account, and has neither a key nor a token for STS.
    pods = Pods(cluster, SPACE)
    made = pods.create(reader("reader", "old-glibc", "small", "a.gguf", node="node-1"))
    wait_until(lambda: digest in pods.log("reader"), lambda: f"the pod reads: {pods.log('reader')} {pods.events('reader')}")
    assert made["spec"]["serviceAccountName"] == "default"
    for pod in cluster.items("pods", "-n", SPACE):
        assert "ACCESS_KEY" not in json.dumps(pod["spec"]) and "secretKeyRef" not in json.dumps(pod["spec"])
    assert "sts.aliyuncs.com" not in json.dumps(made["spec"]) and not cluster.items("jobs", "-n", SPACE, "-l", "!modelcache.io/uid")


def test_an_account_without_the_role_and_a_withdrawn_role_are_named(cluster, installation, cloud, plan):
    cluster.kubectl("create", "serviceaccount", "other", "-n", SPACE)
    refused = Model(cluster, SPACE, "refused").apply(cloud.endpoint, "small/", credentials("other"))

    def reason(status):
        return next((one for one in status.get("conditions", []) if one["type"] == "SourceResolved"), {})
    refused.wait(lambda status: reason(status).get("reason") == "AccessDenied", "the role is refused")
    assert ROLE in reason(refused.status)["message"] and "AuthenticationFail" in reason(refused.status)["message"], refused.status
    assert "the ServiceAccount other" in installation.plugin("why", "refused", "-n", SPACE, check=False)
    cloud.identity(plan | {"roles": []})
    gone = Model(cluster, SPACE, "gone").apply(cloud.endpoint, "small/", credentials("warm"))
    gone.wait(lambda status: "EntityNotExist.Role" in reason(status).get("message", ""), "the role is gone")
    # Those that are there stay.
    assert Model(cluster, SPACE, "small").status["phase"] == "Ready"
    for label in (OPERATOR, AGENT):
        log = installation.logs(label)
        # A token has three parts and begins so.
        assert "eyJ" not in log

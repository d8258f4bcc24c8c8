"""ModelCaches that are read by a role and by the node's own role, on three real nodes. STS judges the cluster's own tokens, and a pod
that reads holds no key, no token for STS and no role."""
import contextlib
import hashlib
import io
import json
import random
import subprocess
import tarfile

import pytest

from support.cluster import REPOSITORY, wait_until
from support.installation import AGENT, OPERATOR
from support.models import FOLDERS, NODES, Model, namespace_with_keys
from support.pods import Pods, reader, thief
from support.processes import held, in_text
from support.system import Store

SPACE, OTHER_SPACE = "role-models", "role-others"
ROLE, PROVIDER = "acs:ram::1234:role/models", "acs:ram::1234:oidc-provider/cluster"
# The metadata service of ECS.
METADATA = "100.100.100.200"
CONTENT = random.Random(1).randbytes(8 << 20)
# Read one after the other, four seconds each at the rate below: a session of eight seconds ends eight times.
PARTS = {f"part-{number:02}.gguf": random.Random(f"long {number}").randbytes(512 << 10) for number in range(16)}
SLOW = {"maxBytesPerSecond": "128Ki"}
SESSION_SECONDS = 8
ON_ONE = {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}
# All that an application's container may have: it proves its namespace.
ALLOWED = {"token for modelcache.io"}


@pytest.fixture(scope="module")
def plan(cluster, tmp_path_factory):
    """The cloud: one role, for one ServiceAccount of this cluster, whose keys and issuer it has from the API server."""
    keys = tmp_path_factory.mktemp("sts") / "keys.json"
    keys.write_text(cluster.kubectl("get", "--raw", "/openid/v1/jwks"))
    issuer = json.loads(cluster.kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"]
    return {"keysFile": str(keys), "issuer": issuer, "audiences": ["sts.aliyuncs.com"],
            "roles": [{"arn": ROLE, "provider": PROVIDER, "subjects": [f"system:serviceaccount:{SPACE}:warm"]}],
            "node": {"role": "node-role", "hardened": True}}


def short_sessions(plan):
    return plan | {"roles": [role | {"sessionSeconds": SESSION_SECONDS} for role in plan["roles"]]}


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


def bucket(folder):
    """Objects of which no two are equal: a cache takes equal ones from another of its namespace."""
    contents = {"small/a.gguf": CONTENT, "by-node/a.gguf": random.Random(2).randbytes(1 << 20), "by-secret/a.gguf": random.Random(3).randbytes(1 << 20)}
    contents |= {f"long/{name}": data for name, data in PARTS.items()} | {f"cut/{name}": data[::-1] for name, data in PARTS.items()}
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@contextlib.contextmanager
def address_of_metadata(cluster):
    """This machine has it, on its link to the nodes."""
    links = subprocess.run(["ip", "-o", "address", "show", "to", cluster.host_address], check=True, capture_output=True, text=True).stdout
    device = links.split()[1]
    subprocess.run(["ip", "address", "add", f"{METADATA}/32", "dev", device], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "address", "del", f"{METADATA}/32", "dev", device], check=True)


@pytest.fixture(scope="module")
def cloud(cluster, installation, plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sts", "-addext",
                    f"subjectAltName=IP:{cluster.host_address}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    installation.load("reader-old-glibc")
    cluster.load_image(trusting(certificate, folder))
    with address_of_metadata(cluster):
        store = Store({"models": bucket(folder / "bucket")}, folder / "store.log", address=cluster.host_address,
                      options=("--identity", json.dumps(plan), "--identity-listen", f"{METADATA}:80", "--tls-cert", str(certificate), "--tls-key", str(key)))
        settings = {"MODELCACHE_STS_ENDPOINT": f"https://{cluster.host_address}:{store.identity_tls_port}", "MODELCACHE_ALLOW_NODE_ROLE": "true",
                    "MODELCACHE_CONNECTIONS": "1"}
        installation.set_variables(**settings)
        namespace_with_keys(cluster, SPACE)
        cluster.kubectl("create", "serviceaccount", "warm", "-n", SPACE)
        yield store
        for space in (SPACE, OTHER_SPACE):
            cluster.kubectl("delete", "pods", "--all", "-n", space, "--force", "--grace-period=0", check=False)
            cluster.kubectl("delete", "modelcaches", "--all", "-n", space, "--timeout=180s", check=False)
        cluster.kubectl("delete", "namespace", SPACE, OTHER_SPACE, "--ignore-not-found", "--wait=false", check=False)
        installation.load("agent")
        installation.set_variables(**dict.fromkeys(settings))
        store.stop()


@pytest.fixture(scope="module")
def pods(cluster, cloud):
    return Pods(cluster, SPACE)


def credentials(account):
    return {"serviceAccount": {"name": account, "roleARN": ROLE, "oidcProviderARN": PROVIDER}}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def condition(status, kind):
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})


def arrived(cluster, model):
    """The files that are complete on node-1, with their digests; none while there is no folder."""
    return model.digests("node-1") if cluster.on("node-1", "ls", f"{FOLDERS['Memory']}/{model.uid}", check=False) else {}


def has_read(pods, name, data):
    wait_until(lambda: sha256(data) in pods.log(name), lambda: f"{name} reads: {pods.log(name)} {pods.events(name)}")
    return pods.get(name)


def test_a_modelcache_is_read_by_a_role_and_no_pod_has_a_key(cluster, cloud, pods):
    digest = sha256(CONTENT)
    model = Model(cluster, SPACE, "small").apply(cloud.endpoint, "small/", credentials("warm"))
    model.wait_ready()
    assert [model.digests(node) for node in NODES] == [{"a.gguf": digest}] * 3
    # One listing and three nodes.
    exchanges = cloud.exchanges()
    assert exchanges["AssumeRoleWithOIDC"] >= 4 and "AssumeRoleWithOIDC refused" not in exchanges, exchanges
    assert {job["spec"]["template"]["spec"]["serviceAccountName"] for job in model.jobs()} == {"warm"}
    # The pod that reads is of another account, and has neither a key nor a token for STS.
    made = pods.create(reader("by-role", "old-glibc", "small", "a.gguf", node="node-1"))
    has_read(pods, "by-role", CONTENT)
    assert made["spec"]["serviceAccountName"] == "default"
    for pod in cluster.items("pods", "-n", SPACE):
        assert "ACCESS_KEY" not in json.dumps(pod["spec"]) and "secretKeyRef" not in json.dumps(pod["spec"])
    assert "sts.aliyuncs.com" not in json.dumps(made["spec"]) and not cluster.items("jobs", "-n", SPACE, "-l", "!modelcache.io/uid")


def test_a_modelcache_is_read_by_the_nodes_own_role(cluster, cloud, pods):
    before = cloud.exchanges().get("ECS metadata", 0)
    model = Model(cluster, SPACE, "by-node").apply(cloud.endpoint, "by-node/", {"node": {}}, placement=ON_ONE)
    model.wait_ready(nodes=1)
    # The Job that lists, and the agent that fills.
    assert cloud.exchanges()["ECS metadata"] - before >= 2 and "metadata refused" not in cloud.exchanges(), cloud.exchanges()
    pods.create(reader("by-node", "old-glibc", "by-node", "a.gguf", node="node-1"))
    has_read(pods, "by-node", random.Random(2).randbytes(1 << 20))


def test_a_fill_outlives_its_sessions_while_a_pod_reads_without_a_key(cluster, cloud, plan, pods):
    cloud.identity(short_sessions(plan))
    before = cloud.exchanges()["AssumeRoleWithOIDC"]
    model = Model(cluster, SPACE, "long").apply(cloud.endpoint, "long/", credentials("warm"), placement=ON_ONE, warmup=SLOW)
    wait_until(lambda: arrived(cluster, model), "a part is complete")
    last = max(PARTS)
    pods.create(reader("waits", "old-glibc", "long", last, node="node-1"))
    wait_until(lambda: "running" in pods.status("waits").get("state", {}), lambda: pods.events("waits"))
    # The Job has its token, the agent the keys, and the pod that reads the last part, whose turn it is now, has neither.
    warming, = (one for one in cluster.items("pods", "-n", SPACE, "-l", f"modelcache.io/uid={model.uid}") if one["status"]["phase"] == "Running")
    assert "token for sts.aliyuncs.com" in {what for _, what in held(cluster, warming)}
    assert {what for _, what in held(cluster, pods.get("waits"))} == ALLOWED
    assert len(model.digests("node-1")) < len(PARTS), "the fill lasts"
    model.wait_ready(nodes=1)
    assert model.digests("node-1") == {name: sha256(data) for name, data in PARTS.items()}
    has_read(pods, "waits", PARTS[last])
    exchanges = cloud.exchanges()
    # One listing, and a fill of several sessions.
    assert exchanges["AssumeRoleWithOIDC"] - before >= 4 and "AssumeRoleWithOIDC refused" not in exchanges, exchanges
    assert [job["status"].get("failed", 0) for job in model.jobs()] == [0]
    cloud.identity(plan)


def test_a_role_withdrawn_during_a_fill_is_named_and_complete_files_stay(cluster, installation, cloud, plan):
    cloud.identity(short_sessions(plan))
    model = Model(cluster, SPACE, "cut").apply(cloud.endpoint, "cut/", credentials("warm"), placement=ON_ONE, warmup=SLOW | {"backoffLimit": 1})
    complete = wait_until(lambda: arrived(cluster, model), "a part is complete")
    cloud.identity(short_sessions(plan) | {"roles": []})

    def names(text):
        return ROLE in text and "EntityNotExist.Role" in text
    # At once for who asks; as a condition when the Job has given up.
    wait_until(lambda: names(installation.plugin("why", "cut", "-n", SPACE, check=False)), "`why` names the role and why STS refuses it", every=0.3)
    status = model.wait(lambda status: any(names(one["message"]) for one in status["conditions"]), "so does a condition")
    assert condition(status, "Ready")["status"] == "False"
    left = model.digests("node-1")
    assert complete.items() <= left.items() and len(left) < len(PARTS)
    cloud.identity(plan)


def test_a_pod_of_another_namespace_is_refused_with_a_token_for_the_role_too(cluster, installation, cloud):
    """Its ServiceAccount has the name of the one that may assume the role."""
    namespace_with_keys(cluster, OTHER_SPACE)
    cluster.kubectl("create", "serviceaccount", "warm", "-n", OTHER_SPACE)
    folder = f"{FOLDERS['Memory']}/{Model(cluster, SPACE, 'small').get()['metadata']['uid']}"
    theirs, exchanges = Pods(cluster, OTHER_SPACE), cloud.exchanges()
    made = thief("thief", folder, "oss://models/small/", installation.image("agent"), node="node-1", role_audience="sts.aliyuncs.com")
    made["spec"]["serviceAccountName"] = "warm"
    theirs.create(made)
    end, said = theirs.end("thief"), theirs.log("thief")
    assert end["exitCode"] != 0 and "namespace" in said and not in_text(said), said
    assert cloud.exchanges() == exchanges, "STS was not asked"


def test_no_application_container_holds_a_key_a_token_for_sts_or_a_role(cluster, installation, cloud, pods):
    model = Model(cluster, SPACE, "by-secret").apply(cloud.endpoint, "by-secret/", placement=ON_ONE)
    model.wait_ready(nodes=1)
    data = random.Random(3).randbytes(1 << 20)
    pods.create(reader("by-secret", "old-glibc", "by-secret", "a.gguf", node="node-1"))
    has_read(pods, "by-secret", data)
    for name in ("by-role", "by-node", "by-secret", "waits"):
        assert {what for _, what in held(cluster, pods.get(name))} == ALLOWED, name
    # The same look finds what is there: a pod that asked for keys has them, in its environment and memory.
    pods.create(reader("direct", "old-glibc", "by-secret", "a.gguf", node="node-1", annotations={"modelcache.io/direct-credentials": "true"}))
    has_read(pods, "direct", data)
    found = held(cluster, pods.get("direct"))
    assert {("environ", "secret"), ("environ", "access key"), ("memory", "secret")} <= found, found
    for label in (OPERATOR, AGENT):
        log = installation.logs(label)
        assert log and not in_text(log), label


def test_an_account_without_the_role_and_a_withdrawn_role_are_named(cluster, installation, cloud, plan):
    cluster.kubectl("create", "serviceaccount", "other", "-n", SPACE)
    refused = Model(cluster, SPACE, "refused").apply(cloud.endpoint, "small/", credentials("other"))

    def reason(status):
        return condition(status, "SourceResolved")
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

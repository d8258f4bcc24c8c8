"""Roles in place of keys: RRSA and web identity, renewal during a fill, withdrawal, metadata services at their own addresses."""
import json
import pathlib
import subprocess
import time

import pytest

from content import MIB, make_model
from support import paths, tokens
from support.orders import definition, new_uid
from support.pod import SYSTEM_PYTHON, volume
from support.processes import Running, clean_environment, free_port, wait_until
from support.store import Store

RAM_ROLE, IAM_ROLE, PROVIDER = "acs:ram::1234:role/models", "arn:aws:iam::1234:role/models", "acs:ram::1234:oidc-provider/ack"
SUBJECT = "system:serviceaccount:team:warm"
MODEL = {"a.gguf": 20 * MIB, "b.gguf": MIB + 7}


class Cloud:
    """A store whose bucket opens to a role alone, the cluster that signs tokens for it, and a token file."""

    def __init__(self, bucket, place, session_seconds=None):
        self.key = tokens.Key("cluster")
        keys = place.folder / "jwks.json"
        keys.write_text(json.dumps({"keys": [self.key.public]}))
        self.token_file = place.folder / "token"
        self.write_token()
        limits = {} if session_seconds is None else {"sessionSeconds": session_seconds}
        self.plan = {
            "keysFile": str(keys), "issuer": tokens.ISSUER, "audiences": ["sts.aliyuncs.com", "sts.amazonaws.com"],
            "roles": [{"arn": RAM_ROLE, "provider": PROVIDER, "subjects": [SUBJECT], **limits}, {"arn": IAM_ROLE, "subjects": [SUBJECT], **limits}],
            "node": {"role": "node-role", "hardened": True}, "container": {"authorization": "let-me-in"},
        }
        self.store = Store({"models": bucket}, place.log("store"), options=("--identity", json.dumps(self.plan)))

    def write_token(self, **changes):
        self.token_file.write_text(self.key.token("team", **{"aud": ["sts.aliyuncs.com", "sts.amazonaws.com"], "sub": SUBJECT} | changes))

    def rrsa(self, prefix, **extra):
        """The environment that ACK's webhook makes, and the source."""
        return self.store.environment(prefix, **{
            "OSS_ACCESS_KEY_ID": None, "OSS_ACCESS_KEY_SECRET": None, "ALIBABA_CLOUD_ROLE_ARN": RAM_ROLE, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": PROVIDER,
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE": self.token_file, "ALIBABA_CLOUD_STS_ENDPOINT": f"http://127.0.0.1:{self.store.identity_port}"} | extra)

    def secrets(self):
        return [part for part in self.token_file.read_text().split(".") if len(part) > 40]


@pytest.fixture
def cloud(bucket, place):
    made = []

    def make(**options):
        made.append(Cloud(bucket, place, **options))
        return made[-1]

    yield make
    for one in made:
        one.store.stop()


def assert_no_secret(cloud, *texts):
    for text in texts:
        for secret in cloud.secrets():
            assert secret not in text


def test_a_role_is_renewed_while_a_fill_lasts(place, agent, cloud, bucket):
    cloud = cloud(session_seconds=6)
    model = make_model(bucket, "m/", MODEL)
    # One request after the other, nine seconds in all: each asks for the credentials of its moment.
    cloud.store.faults(bandwidth=2.4 * MIB)
    one = agent(MODELCACHE_CONNECTIONS=1)
    job = Running([paths.MODELCACHE, "warm"], place.log("warm"), cloud.rrsa(model.prefix) | {k: str(v) for k, v in place.settings().items()})
    wait_until(lambda: cloud.store.exchanges().get("AssumeRoleWithOIDC", 0) >= 2, 120, "the role is assumed again")
    cloud.store.faults()
    assert job.wait(120) == 0, job.output()
    model.assert_whole(job.output().splitlines()[-1])
    status = place.status()
    assert [role["provider"] for role in status["credentials"]] in ([], ["ram-role"])
    assert status["renewals"]["ram-role"]["fetched"] >= 2
    assert_no_secret(cloud, one.process.output(), json.dumps(status), job.output())


def test_a_role_that_is_withdrawn_ends_the_fill_and_is_named(place, agent, cloud, bucket):
    cloud = cloud(session_seconds=6)
    model = make_model(bucket, "m/", MODEL)
    cloud.store.faults(bandwidth=MIB)
    agent(MODELCACHE_CONNECTIONS=1)
    warm = Running([paths.MODELCACHE, "warm"], place.log("warm"), cloud.rrsa(model.prefix) | {k: str(v) for k, v in place.settings().items()})
    wait_until(lambda: cloud.store.exchanges().get("AssumeRoleWithOIDC"), 120, "the role is assumed")
    cloud.store.identity(cloud.plan | {"roles": []})
    assert warm.wait(120) == 1
    output = warm.output()
    assert f"RAM role {RAM_ROLE} gave no credentials" in output and "EntityNotExist.Role" in output and "make the role again" in output
    assert_no_secret(cloud, output)
    # And whoever opens it now is told at once.
    again = place.modelcache("warm", environment=cloud.rrsa(model.prefix))
    assert again.returncode == 78 and RAM_ROLE in again.stderr.decode()


def test_the_library_hands_the_role_on(place, cloud, bucket, work):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    directory = work / "models"
    result = place.run("cat", directory / "a.gguf", environment=place.preloaded(cloud.rrsa(model.prefix), directory))
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout == (bucket / "m" / "a.gguf").read_bytes()
    assert cloud.store.exchanges()["AssumeRoleWithOIDC"] >= 1


def test_a_refusal_says_what_to_correct(place, cloud, bucket):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    for changes, words in [
        ({"aud": ["modelcache.io"]}, "audience"), ({"lifetime": -100}, "kubelet renews the token"),
        ({"sub": "system:serviceaccount:team:other"}, "trust policy"),
    ]:
        cloud.write_token(**changes)
        result = place.modelcache("ls", environment=cloud.rrsa(model.prefix))
        assert result.returncode == 78 and words in result.stderr.decode() and RAM_ROLE in result.stderr.decode()
        assert_no_secret(cloud, result.stderr.decode())


def test_doctor_says_which_principal_until_when_and_which_was_passed_over(place, cloud, bucket):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})

    def credentials(environment):
        result = place.modelcache("doctor", "--json", environment=environment)
        assert_no_secret(cloud, result.stdout.decode(), result.stderr.decode())
        return [finding for finding in json.loads(result.stdout) if finding["subject"] == "credentials"]

    used, = credentials(cloud.rrsa(model.prefix))
    assert used["verdict"] == "good" and f"RAM role {RAM_ROLE}, until 20" in used["fact"]
    passed, used = credentials(cloud.rrsa(model.prefix, ALIBABA_CLOUD_OIDC_PROVIDER_ARN=None))
    assert passed["verdict"] == "warning" and "ALIBABA_CLOUD_OIDC_PROVIDER_ARN not set" in passed["fact"]
    assert "anonymous" in used["fact"]
    cloud.store.identity(cloud.plan | {"roles": []})
    refused, = credentials(cloud.rrsa(model.prefix))
    assert refused["verdict"] == "bad" and "EntityNotExist.Role" in refused["fact"]


def s3(cloud, prefix, **extra):
    return cloud.store.environment(prefix, **{
        "OSS_ACCESS_KEY_ID": None, "OSS_ACCESS_KEY_SECRET": None, "OSS_PATH": f"s3://models/{prefix}"} | extra)


def test_web_identity_and_container_open_s3(place, cloud, bucket, work):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    authorization = work / "authorization"
    authorization.write_text("let-me-in")
    address = f"http://127.0.0.1:{cloud.store.identity_port}"
    for party, variables in {
        "AssumeRoleWithWebIdentity": {"AWS_ROLE_ARN": IAM_ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": cloud.token_file, "AWS_ENDPOINT_URL_STS": address},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{address}/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": authorization},
    }.items():
        result = place.modelcache("ls", environment=s3(cloud, model.prefix, **variables))
        assert result.returncode == 0 and b"a.gguf" in result.stdout, result.stderr.decode()
        assert cloud.store.exchanges()[party] == 1


def test_metadata_services_are_asked_at_their_own_addresses_and_never_by_a_proxy(work, bucket):
    """In a network of its own, where the emulator has the addresses of ECS and EC2."""
    make_model(bucket, "m/", {"a.gguf": MIB})
    plan = json.dumps({"node": {"role": "node-role", "hardened": True}})
    script = f"""
        set -e
        ip link set lo up
        ip address add 100.100.100.200/32 dev lo
        ip address add 169.254.169.254/32 dev lo
        {paths.DEVSTORE} --bucket models={bucket} --port 9000 --identity '{plan}' --ready-file {work}/ready \\
            --identity-listen 100.100.100.200:80 --identity-listen 169.254.169.254:80 >/dev/null &
        trap "kill $!" EXIT
        for i in $(seq 2400); do [ -e {work}/ready ] && break; sleep 0.05; done
        export OSS_ENDPOINT=http://127.0.0.1:9000 OSS_REGION=cn-test http_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1
        OSS_PATH=oss://models/m/ ALIBABA_CLOUD_ECS_METADATA=node-role ALIBABA_CLOUD_IMDSV1_DISABLED=true {paths.MODELCACHE} ls
        OSS_PATH=oss://models/m/ MODELCACHE_CREDENTIALS=node {paths.MODELCACHE} ls
        OSS_PATH=s3://models/m/ MODELCACHE_CREDENTIALS=node {paths.MODELCACHE} ls
        OSS_PATH=oss://models/m/ ALIBABA_CLOUD_ECS_METADATA=other {paths.MODELCACHE} ls && exit 1
        OSS_PATH=s3://models/m/ AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.169.254/latest/meta-data/ {paths.MODELCACHE} ls && exit 1
        true
    """
    result = subprocess.run(["unshare", "--net", "bash", "-c", script], env=clean_environment(), capture_output=True, timeout=120, check=False)
    errors = result.stderr.decode()
    assert result.returncode == 0, errors
    assert result.stdout.count(b"a.gguf") == 3
    assert "the instance has no role other" in errors and "AWS_CONTAINER_CREDENTIALS_FULL_URI names neither" in errors


def test_a_listing_for_the_operator_is_one_line_with_a_digest_or_a_reason(place, cloud, bucket):
    cloud = cloud()
    model = make_model(bucket, "m/", MODEL)
    result = place.run(paths.MODELCACHE, "ls", "--summary", environment=cloud.rrsa(model.prefix))
    assert result.returncode == 0, result
    summary = json.loads(result.stdout)
    assert summary.pop("digest").startswith("sha256:") and set(summary.pop("objects")) == set(MODEL), summary
    assert summary == {"totalBytes": sum(MODEL.values()), "files": 2}
    cloud.store.identity(cloud.plan | {"roles": []})
    result = place.run(paths.MODELCACHE, "ls", "--summary", environment=cloud.rrsa(model.prefix))
    failure = json.loads(result.stdout)["failure"]
    assert result.returncode == 78 and failure["kind"] == "credentialsRefused" and "EntityNotExist.Role" in failure["message"], result
    assert_no_secret(cloud, result.stdout.decode(), result.stderr.decode())


def role_definition(cloud, model, *keys):
    made = definition(cloud.store, model.prefix, model.bytes, callers=tokens.callers(cloud.key, *keys))
    made["source"]["role"] = {"assumed": {"serviceAccount": "warm", "roleARN": RAM_ROLE, "providerARN": PROVIDER}}
    return made


class Pod:
    """A pod's environment without any key: the token of its namespace, and in a warm-up Job the one for the role."""

    def __init__(self, cloud, view, model):
        self.cloud, self.view, self.model = cloud, view, model
        self.token, self.role_token = view.programs / "token", view.programs / "role-token"
        self.token.write_text(cloud.key.token("team"))
        self.write_role_token()

    def write_role_token(self, key=None, **changes):
        aside = self.view.programs / "aside"
        aside.write_text((key or self.cloud.key).token("team", **{"aud": ["sts.aliyuncs.com"], "sub": SUBJECT} | changes))
        aside.rename(self.role_token)

    def environment(self, with_role):
        keys = {"OSS_ACCESS_KEY_ID": None, "OSS_ACCESS_KEY_SECRET": None, "MODELCACHE_TOKEN_FILE": self.token}
        return self.view.environment(self.cloud.store, self.model, **keys | ({"MODELCACHE_ROLE_TOKEN_FILE": self.role_token} if with_role else {}))

    def reader(self):
        """Of a program under the preload library."""
        return self.view.preloaded(self.cloud.store, self.model, OSS_ACCESS_KEY_ID=None, OSS_ACCESS_KEY_SECRET=None, MODELCACHE_TOKEN_FILE=self.token)


def test_a_modelcache_is_read_by_its_role_with_the_jobs_token(place, node, cloud, bucket, container):
    """The Job's fill outlives one session and one token; then application pods read without any key, and nothing is kept."""
    cloud = cloud(session_seconds=6)
    model = make_model(bucket, "m/", MODEL)
    one, orders = node(MODELCACHE_STS_ENDPOINT=f"http://127.0.0.1:{cloud.store.identity_port}", MODELCACHE_CONNECTIONS=1)
    uid, later_key = new_uid(), tokens.Key("cluster-2")
    answer = orders.put(uid, role_definition(cloud, model, later_key))
    assert answer.status == 200, answer
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)

    def warm(with_role):
        return place.run(*view.prefix, view.modelcache, "warm", environment=pod.environment(with_role))

    # An application's pod alone fills nothing: it has no right at the store.
    result = place.run(*view.prefix, view.modelcache, "warm", environment=pod.environment(False) | {"MODELCACHE_AGENT_DEADLINE_SECONDS": "1"})
    assert result.returncode == 69 and b"no client on this node has handed over the keys, or a token for the role" in result.stderr, result
    # Nor does the token of another account of the namespace take the role's place.
    pod.write_role_token(sub="system:serviceaccount:team:other")
    result = warm(True)
    assert result.returncode == 78 and b"another ServiceAccount" in result.stderr, result
    assert not cloud.store.exchanges(), "STS was not asked"
    # A role that was withdrawn is named, with the code of STS.
    pod.write_role_token()
    cloud.store.identity(cloud.plan | {"roles": []})
    result = warm(True)
    assert result.returncode == 78 and RAM_ROLE.encode() in result.stderr and b"EntityNotExist.Role" in result.stderr, result
    cloud.store.identity(cloud.plan)

    # Twenty seconds: longer than a session, whose renewal needs the later token.
    cloud.store.faults(bandwidth=MIB)
    job = Running([*view.prefix, view.modelcache, "warm"], place.log("job"), pod.environment(True))
    status = wait_until(lambda: (lambda s: s if s["credentials"] else None)(place.status()), 120, "the role is assumed")
    assert [(role["provider"], role["principal"]) for role in status["credentials"]] == [("ram-role", f"RAM role {RAM_ROLE}")]
    pod.write_role_token(later_key)
    wait_until(lambda: one.process.output().count("a token for the role of a ModelCache was handed over") == 2, 120, "the later token is handed over")
    pathlib.Path(cloud.plan["keysFile"]).write_text(json.dumps({"keys": [later_key.public]}))
    first = cloud.store.exchanges()["AssumeRoleWithOIDC"]
    wait_until(lambda: cloud.store.exchanges()["AssumeRoleWithOIDC"] > first or not job.alive(), 120, "the session is renewed")
    cloud.store.faults()
    assert job.wait(120) == 0, job.output()
    exchanges = cloud.store.exchanges()
    assert exchanges["AssumeRoleWithOIDC"] >= 2 and exchanges["AssumeRoleWithOIDC refused"] == 1, exchanges
    wait_until(lambda: place.status()["credentials"] == [], 60, "the role is forgotten with its last reader")
    exchanges = cloud.store.exchanges()
    result = warm(False)
    assert result.returncode == 0, result
    assert cloud.store.exchanges() == exchanges, "a complete copy needs no role"
    for secret in pod.role_token.read_text().split("."):
        assert len(secret) < 40 or secret not in one.process.output() + job.output()


# semantics 14
def test_a_refused_role_ends_fills_and_keeps_no_reader_from_a_complete_copy(place, node, cloud, bucket, container):
    """Refused by the store first, while the session lasts, then by STS."""
    cloud = cloud()
    model = make_model(bucket, "m/", MODEL)
    agent, orders = node(MODELCACHE_STS_ENDPOINT=f"http://127.0.0.1:{cloud.store.identity_port}")
    uid = new_uid()
    assert orders.put(uid, role_definition(cloud, model)).status == 200
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)

    def warm(with_role):
        environment = pod.environment(with_role) | {"MODELCACHE_AGENT_DEADLINE_SECONDS": "1"}
        return place.run(*view.prefix, view.modelcache, "warm", environment=environment)

    assert warm(True).returncode == 0
    time.sleep(2.1)  # A listing is good for two seconds (semantics, clause 11).
    cloud.store.faults({"match": {"method": "GET"}, "action": {"status": 403}})
    assert warm(True).returncode == 78
    assert warm(False).returncode == 0, "the store's word on the role is none on the reader"
    cloud.store.identity(cloud.plan | {"roles": [], "revokes": True})
    result = warm(False)
    assert result.returncode == 0, result
    token = pod.token.read_text()
    pod.token.write_text(cloud.key.token("other-team"))
    assert warm(False).returncode == 78, "another namespace has no right to it"
    pod.token.write_text(token)
    # Bytes are missing: the reader hears who refused the role, and why.
    assert orders.delete(uid).status == 204
    assert orders.put(uid, role_definition(cloud, model)).status == 200
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)
    assert warm(True).returncode == 78
    result = warm(False)
    assert result.returncode == 69 and RAM_ROLE.encode() in result.stderr and b"EntityNotExist.Role" in result.stderr, result


def test_a_role_is_forgotten_with_its_fill_though_readers_and_peers_stay(place, node, cloud, bucket, container):
    """On an agent that shares, with a reader that opened the model while the role was assumed and has it still. A pod that starts later
    needs no role, whatever STS says of the Job's token by then."""
    cloud = cloud()
    model = make_model(bucket, "m/", MODEL)
    peers = f"127.0.0.1:{free_port()}"
    _, orders = node(MODELCACHE_STS_ENDPOINT=f"http://127.0.0.1:{cloud.store.identity_port}", MODELCACHE_CONNECTIONS=1,
                     MODELCACHE_PEERS=f"static:{peers}", MODELCACHE_PEER_ADDRESS=peers)
    uid = new_uid()
    assert orders.put(uid, role_definition(cloud, model)).status == 200
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)
    cloud.store.faults({"match": {"ranged": True}, "action": {"held": True}})
    job = Running([*view.prefix, view.modelcache, "warm"], place.log("job"), pod.environment(True))
    orders.until(uid, lambda cache: cache["users"] == 1, "the Job has the model")
    reader = Running([SYSTEM_PYTHON, "-c", "import sys, time; print(len(open(sys.argv[1], 'rb').read()), flush=True); time.sleep(3600)", view.path / "b.gguf"],
                     place.log("reader"), pod.reader(), prefix=view.prefix)
    try:
        orders.until(uid, lambda cache: cache["users"] == 2, "the reader reads while the Job's fill runs")
        assert place.status()["credentials"], "the role is assumed"
        cloud.store.faults()
        assert job.wait(120) == 0, job.output()
        wait_until(lambda: place.status()["credentials"] == [], 60, "the role is forgotten with the fill")
        assert reader.alive() and orders.cache(uid)["users"] == 1, reader.output()
        cloud.store.identity(cloud.plan | {"roles": []})
        exchanges = cloud.store.exchanges()
        later = place.run(*view.prefix, view.modelcache, "warm", environment=pod.environment(False))
        assert later.returncode == 0, later
        wait_until(lambda: str(MODEL["b.gguf"]) in reader.output(), 120, "the first reader has read")
        assert cloud.store.exchanges() == exchanges, "nobody asked STS"
    finally:
        reader.stop()


def test_the_audit_log_says_as_whom_the_store_was_asked_until_when_and_why_another_was_refused(place, node, cloud, bucket, container):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    log = place.folder / "audit.log"
    _, orders = node(MODELCACHE_STS_ENDPOINT=f"http://127.0.0.1:{cloud.store.identity_port}", MODELCACHE_AUDIT_PATH=log)
    uid = new_uid()
    assert orders.put(uid, role_definition(cloud, model)).status == 200
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)

    def warm():
        return place.run(*view.prefix, view.modelcache, "warm", environment=pod.environment(True)).returncode

    pod.write_role_token(sub="system:serviceaccount:team:other")
    assert warm() == 78
    pod.write_role_token()
    cloud.store.identity(cloud.plan | {"roles": []})
    assert warm() == 78
    cloud.store.identity(cloud.plan)
    assert warm() == 0
    wait_until(lambda: '"filled"' in log.read_text(), 120, "the last event is written")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["refused", "refused", "open", "filled"], lines
    for line in lines:
        assert line["model"] == uid and line["source"] == f"oss://models/{model.prefix}", line
    assert "another ServiceAccount" in lines[0]["reason"] and "EntityNotExist.Role" in lines[1]["reason"], lines
    for line in lines[2:]:
        assert line["principal"] == f"RAM role {RAM_ROLE}" and line["until"].startswith("20"), line
    for secret in pod.role_token.read_text().split("."):
        assert len(secret) < 40 or secret not in log.read_text()


def test_the_nodes_role_is_used_where_its_administrator_says_so(place, node, cloud, bucket, container):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    _, orders = node()
    uid = new_uid()
    made = role_definition(cloud, model)
    made["source"]["role"] = {"node": True}
    assert orders.put(uid, made).status == 200
    view = container(volume(place, uid))
    result = place.run(*view.prefix, view.modelcache, "warm", environment=Pod(cloud, view, model).environment(False))
    assert result.returncode == 78 and b"MODELCACHE_ALLOW_NODE_ROLE=1" in result.stderr, result


def given_definition(cloud, model):
    made = definition(cloud.store, model.prefix, model.bytes, callers=tokens.callers(cloud.key))
    made["source"] |= {"uri": f"s3://models/{model.prefix}", "needsKeys": True}
    return made


def test_the_role_that_a_cluster_gives_a_pod_is_renewed_there_and_the_agent_gets_keys_alone(place, node, cloud, bucket, container):
    """As EKS Pod Identity does: the fill takes longer than a session. The agent's log names the role, and neither token is with it."""
    cloud = cloud(session_seconds=6)
    model = make_model(bucket, "m/", MODEL)
    log = place.folder / "audit.log"
    one, orders = node(MODELCACHE_CONNECTIONS=1, MODELCACHE_AUDIT_PATH=log)
    uid = new_uid()
    answer = orders.put(uid, given_definition(cloud, model))
    assert answer.status == 200, answer
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)
    address = f"http://127.0.0.1:{cloud.store.identity_port}"
    web_token = view.programs / "web-token"
    web_token.write_text(cloud.token_file.read_text())
    given = pod.environment(False) | {"OSS_PATH": f"s3://models/{model.prefix}", "MODELCACHE_CREDENTIALS": "pod"}
    role = given | {"AWS_ROLE_ARN": IAM_ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": web_token, "AWS_ENDPOINT_URL_STS": address}

    # A pod that the cluster gives no role is told so, and the node's own role is not taken for it.
    result = place.run(*view.prefix, view.modelcache, "warm", environment=given)
    assert result.returncode == 78 and b"the cluster gives this pod no role" in result.stderr, result
    cloud.store.faults(bandwidth=MIB)
    job = Running([*view.prefix, view.modelcache, "warm"], place.log("job"), role)
    wait_until(lambda: cloud.store.exchanges().get("AssumeRoleWithWebIdentity", 0) >= 2 or not job.alive(), 120, "the session is renewed in the pod")
    cloud.store.faults()
    assert job.wait(120) == 0, job.output()
    assert cloud.store.exchanges()["AssumeRoleWithWebIdentity"] >= 2
    wait_until(lambda: '"filled"' in log.read_text(), 120, "the last event is written")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["open", "filled"], lines
    for line in lines:
        assert f"(by its client's word of IAM role {IAM_ROLE})" in line["principal"] and line["until"].startswith("20"), line
    assert place.status()["credentials"] == [], "the agent has no role"
    assert_no_secret(cloud, one.process.output(), log.read_text(), job.output())


def test_eks_pod_identity_opens_a_modelcache(place, node, cloud, bucket, container):
    cloud = cloud()
    model = make_model(bucket, "m/", {"a.gguf": MIB})
    _, orders = node()
    uid = new_uid()
    assert orders.put(uid, given_definition(cloud, model)).status == 200
    view = container(volume(place, uid))
    pod = Pod(cloud, view, model)
    authorization = view.programs / "authorization"
    authorization.write_text("let-me-in")
    environment = pod.environment(False) | {
        "OSS_PATH": f"s3://models/{model.prefix}", "MODELCACHE_CREDENTIALS": "pod", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": authorization,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{cloud.store.identity_port}/v1/credentials"}
    result = place.run(*view.prefix, view.modelcache, "warm", environment=environment)
    assert result.returncode == 0, result
    assert cloud.store.exchanges() == {"container": 1}

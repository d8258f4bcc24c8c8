"""The custom resource definition on a real API server: what it fills in, refuses, shows and keeps apart."""
import http.client
import json
import os
import random
import re
import subprocess
import uuid

import pytest
import yaml

from support import cel, malformed
from support.control_plane import REPOSITORY

API = "/apis/modelcache.io/v1alpha1"
DEFINITION = REPOSITORY / "config/crd/bases/modelcache.io_modelcaches.yaml"
CURRENT = REPOSITORY / "charts/modelcache/files/definition-current.yaml"


@pytest.fixture(scope="module")
def definition(control_plane):
    control_plane.kubectl("apply", "-k", REPOSITORY / "config/crd")
    control_plane.kubectl.wait_established()
    return control_plane.kubectl.get("crd", "modelcaches.modelcache.io")


class Server:
    """The API without kubectl's own checks before it, through `kubectl proxy`, one connection for all requests."""

    def __init__(self, kubectl, program):
        self.process = subprocess.Popen(
            [program, f"--kubeconfig={kubectl.kubeconfig}", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def __call__(self, method, path, body=None):
        data = json.dumps(body) if body is not None else None
        self.connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def server(control_plane, definition):
    one = Server(control_plane.kubectl, control_plane.kubectl.program)
    yield one
    one.close()


@pytest.fixture(scope="module")
def judge():
    """The operator's own check of a ModelCache, as `{valid, problems}`."""
    program = subprocess.run([REPOSITORY / "hack/lib/crd/build"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    process = subprocess.Popen([program, "validate"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(document):
        process.stdin.write(json.dumps(document) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the check ended at {json.dumps(document)[:500]}"
        return json.loads(line)

    yield ask
    process.stdin.close()
    assert process.wait(120) == 0


def modelcache(spec, name=None):
    return {"apiVersion": "modelcache.io/v1alpha1", "kind": "ModelCache", "metadata": {"name": name or f"m-{uuid.uuid4().hex[:8]}"}, "spec": spec}


def full_spec():
    return yaml.safe_load((REPOSITORY / "config/samples/modelcache_full.yaml").read_text())["spec"]


def test_the_definition_is_established_and_structural(definition):
    conditions = {one["type"]: one["status"] for one in definition["status"]["conditions"]}
    assert conditions["Established"] == "True" and conditions["NamesAccepted"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"
    assert definition["status"]["acceptedNames"]["shortNames"] == ["mcache"]


def test_five_lines_get_every_default(server, namespace):
    status, made = server("POST", f"{API}/namespaces/{namespace}/modelcaches", modelcache({"source": {"uri": "oss://models/gemma/"}}))
    assert status == 201
    assert made["spec"] == {
        "source": {"uri": "oss://models/gemma/", "include": []},
        "placement": {"nodeSelector": {}, "tolerations": [], "seeders": 1},
        "warmup": {"parallelism": 100, "backoffLimit": 6},
        "cache": {"medium": "Memory"}, "suspend": False}


@pytest.mark.parametrize("sample", sorted((REPOSITORY / "config/samples").glob("modelcache_*.yaml")), ids=lambda path: path.stem)
def test_samples_are_taken_as_they_are(definition, kubectl, namespace, judge, sample):
    kubectl("apply", "-n", namespace, "--dry-run=server", "-f", sample)
    for document in yaml.safe_load_all(sample.read_text()):
        if document and document["kind"] == "ModelCache":
            assert judge(document) == {"valid": True, "problems": []}


ROLE = {"name": "warm", "roleARN": "acs:ram::1:role/r", "oidcProviderARN": "acs:ram::1:oidc-provider/p", "sessionSeconds": 900}
WRONG = [
    ("spec.source.uri", "ftp://models/a/"), ("spec.source.uri", 7), ("spec.source.uri", "oss://Models/"), ("spec.source.uri", "oss://models//a"),
    ("spec.source.endpoint", "https://host/path"), ("spec.source.endpoint", "https://user:pw@host"), ("spec.source.region", "cn hangzhou"),
    ("spec.source.include", "*.gguf"), ("spec.source.include[0]", "a,b"), ("spec.source.include[0]", "a" * 513),
    ("spec.source.include", [f"a{i}" for i in range(65)]), ("spec.source.credentials.secretRef.name", "Not_A_Name"),
    ("spec.placement.nodeSelector.zone", "a b"), ("spec.placement.seeders", 51), ("spec.placement.seeders", -1), ("spec.placement.seeders", "1"),
    ("spec.placement.tolerations[0].operator", "Like"), ("spec.placement.tolerations[0].effect", "Never"),
    ("spec.placement.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator", "Like"),
    ("spec.warmup.mode", "Lazy"), ("spec.warmup.parallelism", 0), ("spec.warmup.parallelism", 1001), ("spec.warmup.parallelism", 1.5),
    ("spec.warmup.backoffLimit", 101), ("spec.warmup.activeDeadlineSeconds", 604801), ("spec.warmup.maxBytesPerSecond", "5 MiB"),
    ("spec.warmup.podTemplate.serviceAccountName", "A"), ("spec.warmup.podTemplate.imagePullSecrets[0].name", ""),
    ("spec.warmup.podTemplate.securityContext.runAsUser", 0), ("spec.warmup.maxBytesPerSecond", True), ("spec.cache.medium", "Tape"), ("spec.cache.idleSeconds", 0), ("spec.suspend", "yes"),
]


WRONG_ROLES = [("name", "A"), ("roleARN", "a b"), ("oidcProviderARN", ""), ("sessionSeconds", 60)]
MISSING = ["spec", "spec.source", "spec.source.uri"]


@pytest.mark.parametrize("field,value", WRONG_ROLES)
def test_a_wrong_field_of_a_role_is_refused_by_its_own_name(server, judge, field, value):
    spec = full_spec()
    spec["source"]["credentials"] = {"serviceAccount": {**ROLE, field: value}}
    status, answer = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", modelcache(spec))
    where = f"spec.source.credentials.serviceAccount.{field}"
    assert status == 422 and where in {cause["field"] for cause in answer["details"]["causes"]}, answer
    assert judge(modelcache(spec))["problems"][0]["path"] == where


@pytest.mark.parametrize("path,value", WRONG, ids=lambda one: str(one)[-40:])
def test_a_wrong_field_is_refused_by_its_own_name(server, judge, path, value):
    document = modelcache(full_spec())
    at = document
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[A-Za-z]+|\d+", path)]
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    status, answer = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", document)
    assert status == 422, answer
    # Servers before 1.21 leave out which item of a list it is.
    wanted = re.sub(r"\[\d+\]", "", path)
    fields = {re.sub(r"\[\d+\]", "", cause["field"]) for cause in answer["details"]["causes"]}
    assert any(field.startswith(wanted) for field in fields), fields
    assert judge(document)["problems"][0]["path"].replace("[zone]", ".zone") == path


@pytest.mark.parametrize("gone", MISSING)
def test_a_missing_field_is_refused_by_its_own_name(server, gone):
    document = modelcache({"source": {"uri": "oss://models/gemma/"}})
    *steps, last = gone.split(".")
    at = document
    for step in steps:
        at = at[step]
    del at[last]
    status, answer = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", document)
    assert status == 422 and [cause["field"] for cause in answer["details"]["causes"]] == [gone]


def test_unknown_fields_are_dropped_and_a_long_name_is_refused(server):
    spec = {"source": {"uri": "oss://models/gemma/", "surprise": 1}}
    status, made = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", modelcache(spec))
    assert status == 201 and "surprise" not in made["spec"]["source"]
    status, answer = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", modelcache({"source": {"uri": "oss://models/"}}, "a" * 64))
    assert status == 422 and answer["details"]["causes"][0]["field"] == "metadata.name"


def full_status():
    return {
        "observedGeneration": 1, "phase": "Warming", "seeders": ["node-2"],
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:05Z", "reason": "Warming", "message": "1 of 2"}],
        "source": {"totalBytes": 253000000, "files": 4, "digest": "sha256:00", "size": "253 MB", "fingerprint": "00"},
        "nodes": {"desired": 2, "ready": 1, "warming": 1, "failed": 0, "summary": "1/2", "details": [{"name": "node-1", "state": "Warming", "percent": 42}]},
        "progress": {"bytesCached": 1, "bytesTotal": 2, "bytesPerSecond": 3, "remainingSeconds": 4, "percent": 42, "summary": "42%"},
        "traffic": {"originBytes": 253000000, "peerBytes": 0, "copiedBytes": 0}}


def test_status_and_spec_are_written_apart(server, namespace):
    collection = f"{API}/namespaces/{namespace}/modelcaches"
    _, made = server("POST", collection, {**modelcache({"source": {"uri": "oss://models/gemma/"}}, "one"), "status": full_status()})
    assert "status" not in made
    made["status"] = full_status()
    made["spec"]["suspend"] = True
    status, written = server("PUT", f"{collection}/one/status", made)
    assert status == 200 and written["status"] == full_status()
    assert written["spec"]["suspend"] is False and written["metadata"]["generation"] == 1
    written["spec"]["suspend"] = True
    written["status"]["phase"] = "Ready"
    status, again = server("PUT", f"{collection}/one", written)
    assert again["status"]["phase"] == "Warming" and again["metadata"]["generation"] == 2


WRONG_STATUS = [
    (("phase",), "x" * 65), (("progress", "percent"), 101), (("nodes", "details"), [{"name": f"n{i}", "state": "Ready", "percent": 100} for i in range(101)]),
    (("conditions", 0, "status"), "x" * 65), (("conditions", 0, "lastTransitionTime"), "yesterday"),
]


@pytest.mark.parametrize("path,value", WRONG_STATUS, ids=lambda one: str(one)[:30])
def test_a_wrong_status_is_refused(server, namespace, path, value):
    collection = f"{API}/namespaces/{namespace}/modelcaches"
    _, made = server("POST", collection, modelcache({"source": {"uri": "oss://models/gemma/"}}, "one"))
    made["status"] = full_status()
    at = made["status"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    status, answer = server("PUT", f"{collection}/one/status", made)
    assert status == 422 and path[0] in answer["message"]


def test_columns_tell_the_state(server, kubectl, namespace):
    collection = f"{API}/namespaces/{namespace}/modelcaches"
    _, made = server("POST", collection, modelcache({"source": {"uri": "oss://models/gemma/"}}, "one"))
    server("PUT", f"{collection}/one/status", {**made, "status": full_status()})
    lines = kubectl("get", "mcache", "-n", namespace).splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["NAME", "PHASE", "SIZE", "READY", "PROGRESS", "AGE"]
    assert re.split(r"\s{2,}", lines[1].strip())[:5] == ["one", "Warming", "253 MB", "1/2", "42%"]
    wide = kubectl("get", "modelcaches", "-n", namespace, "-o", "wide").splitlines()
    assert re.split(r"\s{2,}", wide[0].strip())[6:] == ["SOURCE", "ORIGIN", "REASON"]
    assert re.split(r"\s{2,}", wide[1].strip())[6:] == ["oss://models/gemma/", "253000000", "Warming"]
    assert "one" in kubectl("get", "modelcache", "-n", namespace) and "one" not in kubectl("get", "all", "-n", namespace)
    assert "Immutable" in kubectl("explain", "modelcache.spec.source")


def test_a_newer_server_keeps_the_source_as_it_was(control_plane, server, namespace):
    version = json.loads(control_plane.kubectl("get", "--raw", "/version"))
    if (int(version["major"]), int(re.sub(r"\D", "", version["minor"]))) < (1, 25):
        pytest.skip(f"{version['gitVersion']} knows no CEL rules: the operator says it in a condition")
    folder = REPOSITORY / "config/crd"
    patch = (folder / "cel/rules.yaml").read_text()
    control_plane.kubectl("patch", "crd", "modelcaches.modelcache.io", "--type=json", "-p", json.dumps(yaml.safe_load(patch)))
    collection = f"{API}/namespaces/{namespace}/modelcaches"
    _, made = server("POST", collection, modelcache({"source": {"uri": "oss://models/gemma/"}}, "one"))
    made["spec"]["source"]["uri"] = "oss://models/other/"
    status, answer = server("PUT", f"{collection}/one", made)
    assert status == 422 and answer["details"]["causes"][0]["field"] == "spec.source.uri"


def spec_schema(definition):
    return yaml.safe_load(definition.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


TERM = "placement.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
RULES = [
    ("source.uri", "oss://two..dots/a/"), ("source.include", ["a*b*c*d*e*f*g*h*i*j"]), ("source.include", ["/a"]), ("source.include", ["[ab"]),
    ("source.include", ["[!]"]), ("source.include", ["a\\"]), ("source.include", ["a\\\\\\"]), ("source.include", ["a", "b", "a"]),
    ("source", {"uri": "oss://models/a/", "region": "cn-test", "include": [], "addressing": "CNAME"}),
    ("source", {"uri": "oss://models/a/", "region": "cn-test", "include": [], "addressing": "Path"}),
    ("source", {"uri": "oss://models/a/", "endpoint": "oss-cn-test.aliyuncs.com", "include": [], "addressing": "Path"}),
    ("source.credentials", {}), ("source.credentials", {"node": {}, "anonymous": {}}),
    ("source", {"uri": "oss://models/a/", "region": "cn-test", "include": [], "credentials": {"serviceAccount": {"name": "a", "roleARN": "r"}}}),
    ("source", {"uri": "s3://models/a/", "region": "us-east-1", "include": [], "credentials": {"serviceAccount": ROLE}}),
    ("placement.tolerations", [{}]), ("placement.tolerations", [{"key": "", "operator": "Equal"}]),
    ("placement.tolerations", [{"key": "a", "operator": "Exists", "value": "b"}]),
    ("placement.tolerations", [{"key": "a", "tolerationSeconds": 3, "effect": "NoSchedule"}]), ("warmup.podTemplate.tolerations", [{}]), (TERM, []),
    *((TERM, [{"matchExpressions": [{"key": "zone", **one}]}]) for one in (
        {"operator": "In"}, {"operator": "NotIn", "values": []}, {"operator": "Exists", "values": ["a"]}, {"operator": "Gt", "values": ["1", "2"]},
        {"operator": "Lt", "values": ["x"]})),
    *((TERM, [{"matchFields": [one]}]) for one in (
        {"key": "metadata.uid", "operator": "In", "values": ["a"]}, {"key": "metadata.name", "operator": "Exists"},
        {"key": "metadata.name", "operator": "In", "values": ["a", "b"]})),
]
RIGHT = [
    *(("source.credentials", one) for one in ({"serviceAccount": ROLE}, {"serviceAccount": {"name": "warm"}}, {"node": {}}, {"anonymous": {}}, {"secretRef": {"name": "a"}})),
    ("source.include", ["a*b*c*d*e*f*g*h*i", "[]a]", "[!]]x", "\\[", "a\\\\", "[a\\]", "ü*"]), ("placement.tolerations", [{"operator": "Exists"}]),
    ("source", {"uri": "s3://models/a/", "region": "us-east-1", "include": [], "addressing": "Path"} | {"endpoint": "minio:9000"}),
    (TERM, [{"matchExpressions": [{"key": "zone", "operator": "Gt", "values": ["-5"]}, {"key": "zone", "operator": "Exists", "values": []}]}]),
]


@pytest.mark.parametrize("is_right,path,value", [(False, *one) for one in RULES] + [(True, *one) for one in RIGHT], ids=lambda one: str(one)[-50:])
def test_cel_rules_say_what_the_operator_says(judge, is_right, path, value):
    """On servers from 1.25 on, where the definition has them."""
    document = modelcache(full_spec())
    *parents, last = path.split(".")
    at = document["spec"]
    for step in parents:
        at = at.setdefault(step, {})
    at[last] = value
    found = list(cel.refusals(spec_schema(CURRENT), document["spec"]))
    assert judge(document)["valid"] == is_right == (not found), (found, judge(document))
    assert all(where.startswith(f"spec.{path}") for where, _ in found), found


# Path, another value, and whether a ModelCache keeps the value that it was made with.
CHANGES = [
    ("source.uri", "oss://other/", True), ("source.include", ["b"], True), ("cache.medium", "Other", True), ("source.endpoint", "minio:9000", False),
    ("source.region", "cn-x", False), ("source.credentials", {"secretRef": {"name": "x"}}, False), ("source.requesterPays", True, False)]


def test_cel_rules_keep_the_content_and_let_the_way_to_the_store_change():
    schema, former = spec_schema(CURRENT), full_spec()
    for path, value, is_kept in CHANGES:
        spec = full_spec()
        spec[path.split(".")[0]][path.split(".")[1]] = value
        assert [where for where, _ in cel.refusals(schema, spec, former)] == ([f"spec.{path}"] if is_kept else []), path


def test_a_thousand_malformed_specs_are_refused_or_answered(server, judge):
    seed = int(os.environ.get("MODELCACHE_TESTS_SEED", random.randrange(2**32)))
    print(f"seed {seed} (MODELCACHE_TESTS_SEED)")
    schema = spec_schema(DEFINITION)
    current = spec_schema(CURRENT)
    counts = {"refused": 0, "accepted with problems": 0, "accepted and valid": 0}
    for spec, spoilt in malformed.documents(schema, seed, 1000):
        document = modelcache(spec)
        told = f"seed {seed}, spoilt {spoilt}: {json.dumps(spec)[:2000]}"
        own = judge(document)
        status, answer = server("POST", f"{API}/namespaces/default/modelcaches?dryRun=All", document)
        assert status in (201, 400, 422), f"{status} {answer}; {told}"
        if status != 201:
            counts["refused"] += 1
            # The operator is no laxer than the schema: what a server with an edited definition lets through, it finds.
            # (A null is read as an absent field. A 1.20 built with a newer Go takes an empty string for one too.)
            assert not own["valid"] or "null" in json.dumps(spec) + answer["message"], f"{answer['message']}; {told}"
            continue
        verdict = judge(answer)
        # A server from 1.25 on refuses nothing that the operator takes.
        assert not verdict["valid"] or not list(cel.refusals(current, answer["spec"])), told
        assert verdict["valid"] == (verdict["problems"] == []), told
        if verdict["valid"]:
            counts["accepted and valid"] += 1
            truly_valid(answer["spec"], told)
        else:
            counts["accepted with problems"] += 1
            for problem in verdict["problems"]:
                assert problem["path"].startswith(("spec.", "metadata.")) and problem["problem"] and problem["remedy"], told
                # What the schema says the server has said already: the rest is what a schema cannot.
                assert "is of type" not in problem["problem"] and "not a known field" not in problem["problem"], told
    print(counts)
    assert counts["refused"] > 300 and counts["accepted and valid"] > 20


def truly_valid(spec, told):
    """What must hold of a spec that the operator acts on, said a second time and in other words."""
    source = spec["source"]
    assert re.fullmatch(r"(oss|s3)://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*|/)?", source["uri"]), told
    assert not any(part in source.get("endpoint", "") for part in ("169.254", "127.0", "::", "0x", "@", "localhost")), told
    assert all(0 < len(one) <= 512 and "," not in one and one.count("*") <= 8 for one in source["include"]), told
    assert len(source.get("credentials", {"anonymous": {}})) == 1, told
    if role := source.get("credentials", {}).get("serviceAccount"):
        assert ("roleARN" in role and source["uri"].startswith("oss:")) == ("oidcProviderARN" in role), told
        assert ("roleARN" in role or "sessionSeconds" not in role) and 900 <= role.get("sessionSeconds", 900) <= 43200, told
    placement = spec["placement"]
    assert 0 <= placement["seeders"] <= 50, told
    for one in placement["tolerations"]:
        assert one.get("key") or one.get("operator") == "Exists", told
        assert not (one.get("operator") == "Exists" and one.get("value")), told
    required = placement.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    for term in required["nodeSelectorTerms"] if required else []:
        for one in term.get("matchExpressions", []):
            count = len(one.get("values", []))
            assert {"In": count > 0, "NotIn": count > 0, "Exists": count == 0, "DoesNotExist": count == 0}.get(one["operator"], count == 1), told
    assert 1 <= spec["warmup"]["parallelism"] <= 1000 and 0 <= spec["warmup"]["backoffLimit"] <= 100, told

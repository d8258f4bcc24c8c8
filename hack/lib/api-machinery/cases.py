"""Writes the cases of hack/api-machinery as JSON: the definitions and policies of the tree, and the objects of Tests/ControlPlane."""
import copy
import json
import pathlib
import re
import sys

import yaml

REPOSITORY = pathlib.Path(__file__).parents[3]
sys.path.insert(0, str(REPOSITORY / "Tests/ControlPlane"))

import test_admission_policy as policy_tests  # noqa: E402
import test_chart as chart_tests  # noqa: E402
import test_crd as crd_tests  # noqa: E402

CHART = REPOSITORY / "charts/modelcache"


def load(path):
    return yaml.safe_load((REPOSITORY / path).read_text())


def patched(definition, operations):
    """The definition with a JSON patch that adds members alone, as config/crd/cel is."""
    made = copy.deepcopy(definition)
    for one in operations:
        *parents, last = one["path"].split("/")[1:]
        at = made
        for step in parents:
            at = at[int(step)] if isinstance(at, list) else at[step]
        assert one["op"] == "add" and last not in at
        at[last] = one["value"]
    return made


def modelcache(spec):
    made = crd_tests.modelcache(spec, "one")
    made["metadata"]["namespace"] = "models"
    return made


def at_path(document, path, value):
    """A copy of the document with another value at this path."""
    made = copy.deepcopy(document)
    steps = [int(step) if step.isdigit() else step for step in re.findall(r"[A-Za-z]+|\d+", path)]
    at = made
    for step in steps[:-1]:
        at = at[step] if isinstance(at, list) else at.setdefault(step, {})
    at[steps[-1]] = value
    return made


def creation(name, document, refusal=""):
    return {"name": f"create {name}", "operation": "CREATE", "object": document, "refusal": refusal}


def accepted_creations():
    for path in sorted((REPOSITORY / "config/samples").glob("modelcache_*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] == "ModelCache":
                document["metadata"].setdefault("namespace", "models")
                yield creation(path.name, document)
    for path, value in crd_tests.RIGHT:
        yield creation(f"{path} {value}", modelcache(at_path(crd_tests.full_spec(), path, value)))
    for resource in policy_tests.recordings()["modelcache.io/modelcaches"]:
        yield creation(f"recorded {resource['metadata']['name']}", resource)


def refused_creations(has_rules):
    full = modelcache(crd_tests.full_spec())
    for path, value in crd_tests.WRONG:
        # A value of another type is told with its list, without the item.
        yield creation(f"{path} {value}", at_path(full, path, value), path)
    for field, value in crd_tests.WRONG_ROLES:
        where = f"spec.source.credentials.serviceAccount.{field}"
        yield creation(f"{where} {value}", at_path(full, "spec.source.credentials", {"serviceAccount": {**crd_tests.ROLE, field: value}}), where)
    for gone in crd_tests.MISSING:
        document = modelcache({"source": {"uri": "oss://models/gemma/"}})
        *steps, last = gone.split(".")
        at = document
        for step in steps:
            at = at[step]
        del at[last]
        yield creation(f"without {gone}", document, gone)
    long = modelcache({"source": {"uri": "oss://models/"}})
    long["metadata"]["name"] = "a" * 64
    yield creation("a name of 64 characters", long, "metadata.name")
    for path, value in crd_tests.RULES:
        yield creation(f"{path} {value}", modelcache(at_path(crd_tests.full_spec(), path, value)), f"spec.{path}" if has_rules else "")


def changes(has_rules):
    full = modelcache(crd_tests.full_spec())
    yield {"name": "update nothing", "operation": "UPDATE", "object": full, "oldObject": full}
    shorter = copy.deepcopy(full)
    del shorter["spec"]["source"]["include"]
    yield {"name": "update without include", "operation": "UPDATE", "object": shorter, "oldObject": full,
           "refusal": "spec.source.include" if has_rules else ""}
    for path, value, is_kept in crd_tests.CHANGES:
        # No definition knows this medium.
        is_refused = is_kept and (has_rules or path == "cache.medium")
        yield {"name": f"update {path} {value}", "operation": "UPDATE", "object": at_path(full, f"spec.{path}", value), "oldObject": full,
               "refusal": f"spec.{path}" if is_refused else ""}
    status = full | {"status": crd_tests.full_status()}
    yield {"name": "status", "operation": "STATUS", "object": status, "oldObject": full}
    for path, value in crd_tests.WRONG_STATUS:
        where = "status." + ".".join(map(str, path))
        yield {"name": f"status {where}", "operation": "STATUS", "object": at_path(status, where, value), "oldObject": full,
               "refusal": f"status.{path[0]}"}


def definitions():
    base = load("config/crd/bases/modelcache.io_modelcaches.yaml")
    for name, definition, has_rules in (
            ("config/crd", base, False), ("config/crd/cel", patched(base, load("config/crd/cel/rules.yaml")), True),
            ("chart definition-legacy", load(CHART / "files/definition-legacy.yaml"), False),
            ("chart definition-current", load(CHART / "files/definition-current.yaml"), True)):
        cases = [*accepted_creations(), *refused_creations(has_rules), *changes(has_rules)]
        yield {"name": name, "definition": definition, "cases": cases}


def config_policies():
    """With the image that the replacement of config/policy/kustomization.yaml writes."""
    text = (REPOSITORY / "config/policy/policies.yaml").read_text()
    return list(yaml.safe_load_all(text.replace("'modelcache/agent'", f"'{policy_tests.IMAGE}'")))


def chart_policies():
    repository, _, tag = policy_tests.IMAGE.rpartition(":")
    text = chart_tests.helm(
        "template", "modelcache", CHART, "--namespace", "modelcache-system", "--kube-version", "1.36.0", "--show-only",
        "templates/operator-policy.yaml", "--set", f"agent.image.repository={repository},agent.image.tag={tag}")
    return list(yaml.safe_load_all(text))


def request(name, operation, resource, value, former=None, refusal="", user=policy_tests.OPERATOR):
    return {"name": name, "operation": operation, "resource": resource, "object": value, "oldObject": former, "refusal": refusal, "user": user}


def variants(jobs):
    """These Jobs as an operator makes them whose ServiceAccount's role is the cluster's affair, and that trusts authorities of its own."""
    listing = next(one for one in jobs if policy_tests.container(one)["command"][1] == "ls")
    authorities = [one for one in policy_tests.pod(listing)["volumes"] if "authorities" in one["name"]]
    assert authorities
    for one in jobs:
        made = copy.deepcopy(one)
        made["metadata"]["name"] += "-variant"
        policy_tests.container(made)["env"] += [{"name": "MODELCACHE_CREDENTIALS", "value": "pod"}, {"name": "SSL_CERT_FILE", "value": "/a"}]
        policy_tests.pod(made)["volumes"] += authorities
        yield made


def policy_requests():
    made = policy_tests.recordings()
    made["batch/jobs"] += list(variants(made["batch/jobs"]))
    for resource, objects in made.items():
        for one in objects:
            name = f"{resource} {one['metadata']['name']}"
            if resource == "modelcache.io/modelcaches":
                for title, changed, former, words in policy_tests.modelcache_changes(one):
                    yield request(f"{title} {name}", "UPDATE", resource, changed, former, words)
                continue
            yield request(f"create {name}", "CREATE", resource, one)
            yield request(f"update {name}", "UPDATE", resource, one, one)
            yield request(f"delete {name}", "DELETE", resource, None, one)
            for labels in policy_tests.FOREIGN_LABELS:
                foreign = policy_tests.labelled(one, labels)
                yield request(f"delete {name} with labels {labels}", "DELETE", resource, None, foreign, policy_tests.DELETES)
    for number, (resource, words, change) in enumerate(policy_tests.CASES):
        for one in made[resource]:
            changed = copy.deepcopy(one)
            change(changed)
            name = f"case {number} ({words}) of {one['metadata']['name']}"
            yield request(f"create {name}", "CREATE", resource, changed, None, words)
            yield request(f"update {name}", "UPDATE", resource, changed, one, words)
            yield request(f"another user's {name}", "CREATE", resource, changed, user="system:serviceaccount:models:warm")


def main():
    cases = list(policy_requests())
    definition = load(CHART / "files/definition-current.yaml")
    policies = [{"name": name, "definition": definition, "policies": objects, "cases": cases}
                for name, objects in (("config/policy", config_policies()), ("chart operator-policy", chart_policies()))]
    json.dump([*definitions(), *policies], sys.stdout)


if __name__ == "__main__":
    main()

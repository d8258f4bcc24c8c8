"""config/rbac grants the operator what it uses and nothing that it does not.

The operator runs with its own account through a proxy that writes down what it asks of the API server, while a ModelCache is made,
warmed, evicted and deleted, and pods are injected and missed. Each right that the roles grant must have been used: with a verb less,
that request would have been answered 403.
"""
import base64
import dataclasses
import re
import urllib.parse

import pytest

from support import webhook as hooks
from support.control_plane import REPOSITORY, free_port
from support.operator_answers import ask
from support.proxy import Refusal
from support.stand_in import Cache
from support.webhook import SYSTEM_NAMESPACE, Pods, is_injected, pod, until
from support.world import world

ACCOUNT = "modelcache-operator"


@dataclasses.dataclass(frozen=True, order=True)
class Right:
    scope: str
    group: str
    resource: str
    name: str
    verb: str


# What no request shows: the API server checks it when an object with blockOwnerDeletion is made (OwnerReferencesPermissionEnforcement,
# which this API server does not run).
UNSEEN = {Right("cluster", "modelcache.io", "modelcaches/finalizers", "*", "update")}


def granted(kubectl) -> set[Right]:
    roles = [("cluster", kubectl.get("clusterrole", ACCOUNT)), ("system", kubectl.get("role", ACCOUNT, "-n", SYSTEM_NAMESPACE))]
    return {
        Right(scope, group, resource, name, verb)
        for scope, role in roles for rule in role["rules"] for verb in rule["verbs"]
        for group, resource in [("", path) for path in rule.get("nonResourceURLs", [])] + [
            (group, resource) for group in rule.get("apiGroups", []) for resource in rule.get("resources", [])]
        for name in rule.get("resourceNames", ["*"])}


def asked(method: str, target: str) -> tuple[str, str, str, str, str]:
    """(namespace, group, resource, name, verb) of a request, as the API server's authorizer sees it."""
    url = urllib.parse.urlsplit(target)
    query = urllib.parse.parse_qs(url.query)
    matched = re.fullmatch(r"/(?:api/v1|apis/([^/]+)/[^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?", url.path)
    if not matched:
        return "", "", url.path, "", "get"
    group, namespace, resource, name, subresource = (part or "" for part in matched.groups())
    if method == "GET" and not name:
        verb = "watch" if query.get("watch", ["0"])[0] in ("1", "true") else "list"
        # A list or a watch of one name is authorized as of that name.
        if only := re.fullmatch(r"metadata\.name=(.+)", query.get("fieldSelector", [""])[0]):
            name = only[1]
    else:
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
    return namespace, group, f"{resource}/{subresource}" if subresource else resource, name, verb


def uses(right: Right, request) -> bool:
    namespace, group, resource, name, verb = request
    in_scope = right.scope == "cluster" or namespace == SYSTEM_NAMESPACE
    return in_scope and (right.group, right.resource, right.verb) == (group, resource, verb) and right.name in ("*", name)


@pytest.fixture
def own(own_control_plane):
    with world(own_control_plane, nodes=2) as made:
        made.kubectl("apply", "-k", REPOSITORY / "config/rbac")
        # Made by the operator here, as in a new installation.
        made.kubectl("delete", "secret", "modelcache-agent-auth", "-n", SYSTEM_NAMESPACE)
        yield made


def test_every_right_is_used_and_none_is_missing(own):
    w, port = own, free_port()
    w.kubectl.apply(hooks.configuration(port), hooks.validating_configuration(port))
    account = w.plane.service_account_kubeconfig(SYSTEM_NAMESPACE, ACCOUNT, server=w.proxy.url)
    denied = []
    w.proxy.after = lambda seen: denied.append(seen) if seen.status == 403 else None
    # "It is there already", once for each kind: the operator looks what that is.
    answered = set()

    def already(seen):
        _, _, resource, _, verb = asked(seen.method, seen.path)
        if verb == "create" and resource in ("jobs", "persistentvolumes", "persistentvolumeclaims") and resource not in answered:
            answered.add(resource)
            return Refusal(409, "AlreadyExists")
        return None

    w.proxy.refuse = already
    operator = w.start_operator("--warmup-start-deadline=8s", kubeconfig=account, webhook_port=port).ready()
    w.agents.secret = until(lambda: shared_secret(w.kubectl), "the operator makes the shared Secret")

    # A copy of a ModelCache that is no more.
    gone = "11111111-2222-4333-8444-555555555555"
    w.agents.by_node["node-1"].caches[gone] = Cache(gone, {
        "namespace": w.namespace, "name": "gone", "source": {"uri": "oss://models/gone/", "include": []}, "medium": "Memory", "sizeBytes": 1})
    w.apply()
    w.until_ready()
    pods = Pods(w.plane, w.namespace)
    assert is_injected(pods.create(pod("labelled")))
    # The same Event a second time is one Event that counts.
    for count in (1, 2):
        w.kubectl("annotate", "modelcache", "qwen", "-n", w.namespace, f"modelcache.io/evict-requested=node-0@2026-01-02T03:04:0{count}Z")
        w.until(lambda count=count: sum(one["count"] for one in w.events("Evicted")) == count, "a copy is dropped when somebody asks")
        # The Event may come before the status.
        w.until(lambda: w.copies().get("node-0") == "Ready", "the copy is back")
        w.until_ready()
    w.kubectl("patch", "secret", hooks.SECRET, "-n", SYSTEM_NAMESPACE, "--type=merge", "-p", '{"stringData":{"tls.key":"garbage"}}')
    until(lambda: "PRIVATE KEY" in hooks.secret(w.kubectl)["tls.key"], "a new key")
    w.until(lambda: gone not in w.agents.by_node["node-1"].caches, "the copy that nobody wants is dropped")
    assert ask(operator, "/nodes", "no token").status == 401
    w.kubelets.paused = True
    w.add_node("node-2")
    w.until(lambda: "node-2" in w.condition("Degraded").get("message", ""), "a Job without pods is looked into")
    w.kubelets.paused = False
    operator.stop()
    pods.create(pod("missed"))
    operator = w.start_operator(kubeconfig=account, webhook_port=port).ready()
    w.until(lambda: w.events("InjectionMissed"), "the missed pod is told of")
    w.kubectl("delete", "modelcache", "qwen", "-n", w.namespace, "--wait=false")
    w.until(lambda: w.get() is None and not w.volumes(), "the ModelCache is gone")
    operator.stop()
    pods.close()

    assert not denied, denied
    requests = [asked(one.method, one.path) for one in w.proxy.requests]
    unused = {right for right in granted(w.kubectl) if not any(uses(right, request) for request in requests)}
    assert unused == UNSEEN, "\n".join(map(str, sorted(unused)))


def shared_secret(kubectl):
    one = kubectl.get("secret", "modelcache-agent-auth", "-n", SYSTEM_NAMESPACE)
    return one and base64.b64decode(one["data"]["secret"]).decode().strip()

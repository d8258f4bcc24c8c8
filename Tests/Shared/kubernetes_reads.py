"""What `kubectl get -o json` says, by plain requests over kept connections: 4 ms a look, where a kubectl is a process of 150 ms.

Tests that wait for a state look at it again and again. A failure is an AssertionError with the server's words, as of a kubectl that ends with one.
"""
import base64
import collections
import dataclasses
import http.client
import json
import ssl
import tempfile
import time
import urllib.parse

# Where the kinds that tests read are, by their plural; kubectl's short names beside them.
PATHS = {
    plural: path for path, plurals in {
        "/api/v1": "configmaps endpoints events namespaces nodes persistentvolumeclaims persistentvolumes pods secrets serviceaccounts services",
        "/apis/apps/v1": "daemonsets deployments", "/apis/batch/v1": "jobs", "/apis/coordination.k8s.io/v1": "leases",
        "/apis/rbac.authorization.k8s.io/v1": "clusterroles clusterrolebindings roles rolebindings",
        "/apis/admissionregistration.k8s.io/v1": "mutatingwebhookconfigurations validatingwebhookconfigurations",
        "/apis/apiextensions.k8s.io/v1": "customresourcedefinitions", "/apis/modelcache.io/v1alpha1": "modelcaches",
    }.items() for plural in plurals.split()}
SHORT = {"crd": "customresourcedefinitions", "pvc": "persistentvolumeclaims", "pv": "persistentvolumes", "mcache": "modelcaches"}
OF_NO_NAMESPACE = {
    "namespaces", "nodes", "persistentvolumes", "clusterroles", "clusterrolebindings", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
    "customresourcedefinitions"}


@dataclasses.dataclass
class Asked:
    """The arguments of `kubectl get`, as far as tests use them."""

    plurals: list[str]
    name: str | None = None
    namespace: str | None = None
    everywhere: bool = False
    query: dict[str, str] = dataclasses.field(default_factory=dict)


def asked(arguments) -> Asked:
    words, found = collections.deque(map(str, arguments)), Asked([])
    while words:
        option, equals, value = words.popleft().partition("=")
        match option:
            case "-A" | "--all-namespaces":
                found.everywhere = True
            case "-n" | "--namespace":
                found.namespace = value if equals else words.popleft()
            case "-l" | "--selector":
                found.query["labelSelector"] = value if equals else words.popleft()
            case "--field-selector":
                found.query["fieldSelector"] = value if equals else words.popleft()
            case _ if option.startswith("-") or found.name is not None:
                raise ValueError(f"not read over HTTP: {option} of {arguments}")
            case _ if found.plurals:
                found.name = option
            case _:
                kinds, _, name = option.partition("/")
                found.plurals, found.name = [plural_of(one) for one in kinds.split(",")], name or None
    if found.name is not None and len(found.plurals) != 1:
        raise ValueError(f"one name of several kinds: {arguments}")
    return found


def plural_of(kind: str) -> str:
    plural = next((one for one in (kind, f"{kind}s", SHORT.get(kind)) if one in PATHS), None)
    if plural is None:
        raise ValueError(f"{kind} is none of the kinds that are read over HTTP: {', '.join(sorted(PATHS))}")
    return plural


class Unreadable(ValueError):
    """A kubeconfig that needs more than a client certificate or a token: kubectl reads it."""


class KubernetesReads:
    """Reads from the API server of one kubeconfig. Threads may share it: a connection is one request's at a time."""

    def __init__(self, config: dict):
        """`config`: as `kubectl config view --raw --minify --flatten -o json` tells it, with a client certificate or a token."""
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        if other := {"insecure-skip-tls-verify", "tls-server-name", "proxy-url"} & cluster.keys():
            raise Unreadable(f"the kubeconfig has {', '.join(sorted(other))}")
        self._server = urllib.parse.urlsplit(cluster["server"])
        self._namespace = config["contexts"][0]["context"].get("namespace", "default")
        self._headers = {"Accept": "application/json, */*"} | ({"Authorization": f"Bearer {user['token']}"} if user.get("token") else {})
        self._tls = ssl.create_default_context(cadata=_decoded(cluster, "certificate-authority-data"))
        if certificate := _decoded(user, "client-certificate-data"):
            # The standard library reads them from files alone.
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
                file.write(f"{certificate}\n{_decoded(user, 'client-key-data')}")
                file.flush()
                self._tls.load_cert_chain(file.name)
        elif not user.get("token"):
            raise Unreadable("the kubeconfig has neither a client certificate nor a token")
        self._idle: list[http.client.HTTPSConnection] = []

    def get(self, *arguments, seconds=60) -> dict | None:
        """The object or the list that `kubectl get` of these arguments gives as JSON; None when there is none of that name."""
        what = asked(arguments)
        if what.name is not None:
            return self._object(self._path(what, what.plurals[0]), seconds)
        lists = [self._list(self._path(what, plural), seconds) for plural in what.plurals]
        return lists[0] if len(lists) == 1 else {"apiVersion": "v1", "kind": "List", "items": [one for each in lists for one in each["items"]]}

    def text(self, path: str, seconds=60, **query) -> str:
        """What the API server answers to a path, such as a pod's log."""
        status, body = self._answer(path + ("?" + urllib.parse.urlencode(query) if query else ""), seconds)
        if status != 200:
            raise _refusal(path, status, body)
        return body.decode(errors="replace")

    def _path(self, what: Asked, plural: str) -> str:
        namespace = "" if what.everywhere or plural in OF_NO_NAMESPACE else f"/namespaces/{what.namespace or self._namespace}"
        name = "" if what.name is None else "/" + urllib.parse.quote(what.name, safe="")
        return f"{PATHS[plural]}{namespace}/{plural}{name}" + ("?" + urllib.parse.urlencode(what.query) if what.query else "")

    def _object(self, path, seconds) -> dict | None:
        status, body = self._answer(path, seconds)
        if status == 404 and _is_of_a_name(body):
            return None
        if status != 200:
            raise _refusal(path, status, body)
        return _shown(json.loads(body))

    def _list(self, path, seconds) -> dict:
        status, body = self._answer(path, seconds)
        if status != 200:
            raise _refusal(path, status, body)
        found = json.loads(body)
        # kubectl tells each item's kind, the API server that of the list.
        kind = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return found | {"items": [_shown(kind | one) for one in found.get("items") or []]}

    def _answer(self, path, seconds) -> tuple[int, bytes]:
        """Asks again while the server says that it has too much to do, as kubectl does."""
        deadline = time.monotonic() + seconds
        while True:
            status, headers, body = self._request(path, max(0.1, deadline - time.monotonic()))
            pause = headers.get("Retry-After")
            if status not in (429, 503) or not pause or time.monotonic() + float(pause) > deadline:
                return status, body
            time.sleep(float(pause))

    def _request(self, path, seconds):
        """Over a kept connection, or over a new one where there is none or where a server that has ended since left one behind."""
        while True:
            connection, is_kept = self._connection()
            try:
                connection.timeout = seconds
                if connection.sock:
                    connection.sock.settimeout(seconds)
                connection.request("GET", self._server.path.rstrip("/") + path, headers=self._headers)
                answer = connection.getresponse()
                found = answer.status, answer.headers, answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_kept and not isinstance(error, TimeoutError):
                    continue
                raise AssertionError(f"GET {path} of {self._server.netloc}: {error or type(error).__name__}") from error
            except BaseException:
                connection.close()
                raise
            if answer.will_close:
                connection.close()
            else:
                self._idle.append(connection)
            return found

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        try:
            return self._idle.pop(), True
        except IndexError:
            return http.client.HTTPSConnection(self._server.hostname, self._server.port, context=self._tls), False


def _decoded(entry: dict, name: str) -> str | None:
    return base64.b64decode(entry[name]).decode() if entry.get(name) else None


def _shown(one: dict) -> dict:
    """As kubectl shows it: without the notes of who manages which field."""
    one["metadata"].pop("managedFields", None)
    return one


def _is_of_a_name(body: bytes) -> bool:
    """Whether a 404 says that there is no such object; of a kind that the server does not know it says something else."""
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return told.get("reason") == "NotFound" and bool((told.get("details") or {}).get("name"))


def _refusal(path: str, status: int, body: bytes) -> AssertionError:
    try:
        said = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        said = body[:300].decode(errors="replace")
    return AssertionError(f"GET {path}: {status}: {said.strip()}")

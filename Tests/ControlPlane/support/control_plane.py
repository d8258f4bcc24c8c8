"""A real Kubernetes control plane without nodes: etcd, kube-apiserver and, for garbage collection and namespaces,
kube-controller-manager, as processes of the person who runs the tests, on loopback.

Certificates, RBAC and admission are as in a cluster: anonymous requests are refused, ServiceAccount tokens are
signed, webhooks are called. Any of the processes can be stopped, killed and started again on the same state.

As a program it runs one until interrupted: python3 control_plane.py [FOLDER]
"""
import base64
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(REPOSITORY / "Tests/Shared"))

from kubernetes_reads import KubernetesReads, Unreadable  # noqa: E402
from ports import free_port  # noqa: E402

CLUSTER_TOOLS = REPOSITORY / "hack" / "lib" / "cluster"
ISSUER = "https://kubernetes.default.svc.cluster.local"
# What an API server needs beside it for objects to live and die as in a cluster. Not the Job, DaemonSet and
# Deployment controllers: tests without nodes play those themselves.
CONTROLLERS = (
    "namespace,garbagecollector,serviceaccount,serviceaccount-token,root-ca-cert-publisher,"
    "persistentvolume-binder,pvc-protection,pv-protection,ttl-after-finished"
)


def assets() -> pathlib.Path:
    """The folder with etcd, kube-apiserver and kubectl: KUBEBUILDER_ASSETS as other operators' tests read it,
    else Kubernetes built from Debian's sources (the first time this takes minutes)."""
    if folder := os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [name for name in ("etcd", "kube-apiserver", "kubectl") if not (pathlib.Path(folder) / name).exists()]
        if missing:
            raise FileNotFoundError(f"KUBEBUILDER_ASSETS={folder} holds no {', '.join(missing)}")
        return pathlib.Path(folder)
    built = subprocess.run([CLUSTER_TOOLS / "kubernetes-binaries", "control"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(built.stdout.strip())


class Kubectl:
    """kubectl on one kubeconfig; with --request-timeout, so that a stopped API server is an error and not a hang."""

    def __init__(self, kubeconfig, program="kubectl"):
        self.kubeconfig = pathlib.Path(kubeconfig)
        self.program = str(program)
        self._reads = None

    def __call__(self, *arguments, input=None, check=True, seconds=60) -> str:
        """Its standard output; AssertionError with what it said when it fails and `check` is set."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", f"--request-timeout={seconds}s", *map(str, arguments)]
        # Discovery is cached by host and port; a later server on the same port must not find it.
        environment = os.environ | {"KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache")}
        if isinstance(input, (dict, list)):
            input = json.dumps(input)
        done = subprocess.run(command, input=input, capture_output=True, text=True, env=environment, timeout=seconds + 30)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def wait_established(self, definition="modelcaches.modelcache.io", seconds=120) -> None:
        """Until the API server serves the definition's resources. Not `kubectl wait`: of 1.20 it fails on an object that has no conditions yet."""
        deadline = time.monotonic() + seconds
        while not self._is_established(definition):
            assert time.monotonic() < deadline, f"{definition} is not established after {seconds} s"
            time.sleep(0.1)

    def _is_established(self, definition) -> bool:
        found = self.get("crd", definition) or {}
        conditions = (found.get("status") or {}).get("conditions") or []
        if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return False
        # kubectl applies what it discovers, which a server may tell a moment later.
        with contextlib.suppress(AssertionError):
            return found["spec"]["names"]["kind"] in self.reads.text(f"/apis/{found['spec']['group']}/{found['spec']['versions'][0]['name']}")
        return False

    @property
    def reads(self) -> KubernetesReads:
        """Looks without a process for each: tests look often."""
        if self._reads is None:
            self._reads = KubernetesReads(self.config())
        return self._reads

    def get(self, *arguments) -> dict | None:
        """The object or list as decoded JSON; None when there is none of that name."""
        try:
            reads = self.reads
        except Unreadable:
            text = self("get", *arguments, "-o", "json", "--ignore-not-found")
            return json.loads(text) if text.strip() else None
        return reads.get(*arguments)

    def config(self) -> dict:
        """The kubeconfig's current context, with all that it names inside."""
        return json.loads(self("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))

    def apply(self, *objects, server_side=True) -> None:
        """Applies objects (dictionaries) or manifests (text)."""
        for one in objects:
            self("apply", *(["--server-side"] if server_side else []), "-f", "-", input=one)


_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """prctl(PR_SET_PDEATHSIG): a test run that is killed leaves no server behind."""
    _libc.prctl(1, signal.SIGKILL)


class Process:
    """One program of the control plane; its arguments stay, so it can start again where it was."""

    def __init__(self, arguments, log):
        self.arguments = [str(one) for one in arguments]
        self.log = pathlib.Path(log)
        self.process = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        if self.alive:
            return
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=_end_with_parent)

    def stop(self, seconds=8) -> None:
        """SIGTERM, and SIGKILL after `seconds`: an API server waits a minute for its watches."""
        if self.alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
            self.kill()

    def kill(self) -> None:
        if self.alive:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as with a lost network."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def last_words(self) -> str:
        return f"{self.log}:\n" + self.log.read_text(errors="replace")[-3000:]


class ExistingCluster:
    """A cluster that is there already (USE_EXISTING_CLUSTER=true, KUBECONFIG). Its processes are not ours."""

    own = False

    def __init__(self, kubeconfig):
        self.admin_kubeconfig = pathlib.Path(kubeconfig)
        self.kubectl = Kubectl(kubeconfig, shutil.which("kubectl") or assets() / "kubectl")
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="mc-existing-"))
        self._cluster = self.kubectl.config()["clusters"][0]["cluster"]
        self.server = self._cluster["server"]

    def tls(self) -> ssl.SSLContext:
        authority = base64.b64decode(self._cluster.get("certificate-authority-data", "")).decode()
        return ssl.create_default_context(cadata=authority or None)

    def service_account_kubeconfig(self, namespace, name) -> pathlib.Path:
        """A kubeconfig with a token of this ServiceAccount, which must exist."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=1h").strip()
        file = self._folder / f"{namespace}-{name}.kubeconfig"
        file.write_text(json.dumps(token_config(self._cluster, token, name)))
        return file

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def token_config(cluster, token, name) -> dict:
    """A kubeconfig's content for a bearer token on this cluster entry."""
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": name}}],
    }


class ControlPlane:
    """etcd + kube-apiserver (+ controllers) with state in `folder`.

    server: the API server's URL; admin_kubeconfig: a file for cluster-admin by client certificate;
    admin_token: the same identity as a bearer token, which also passes through a proxy that ends TLS.
    """

    own = True

    def __init__(self, folder, controllers=True, api_server_flags=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.assets = assets()
        self.certificates = self.folder / "pki"
        self.port, self.etcd_port = free_port(), free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.etcd_server = f"https://127.0.0.1:{self.etcd_port}"
        self.admin_token = os.urandom(16).hex()
        self.audit_log = self.folder / "audit.log"
        self._make_certificates()
        self.admin_kubeconfig = self.kubeconfig("admin")
        self.kubectl = Kubectl(self.admin_kubeconfig, self.assets / "kubectl")
        self.etcd = self._etcd()
        self.api_server = self._api_server(api_server_flags)
        program = self.assets / "kube-controller-manager"
        self.controllers = self._controllers(program) if controllers and program.exists() else None

    # Life

    def start(self) -> "ControlPlane":
        self.etcd.start()
        self.api_server.start()
        self.ready()
        if self.controllers:
            self.controllers.start()
            # They work when the first thing they make is there; pods need it too.
            try:
                self.kubectl("wait", "--for=create", "serviceaccount/default", "-n", "default", "--timeout=120s")
            except AssertionError as error:
                raise AssertionError(f"{error}: {self.controllers.last_words()}") from None
        return self

    def ready(self, seconds=180) -> None:
        """Returns when /readyz says ok; AssertionError with the log's end when it does not in time."""
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            for process in (self.etcd, self.api_server):
                if not process.alive:
                    raise AssertionError(f"{process.arguments[0]} ended: {process.last_words()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the API server is not ready after {seconds} s: {self.api_server.last_words()}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        request = urllib.request.Request(self.server + "/readyz", headers={"Authorization": f"Bearer {self.admin_token}"})
        try:
            with urllib.request.urlopen(request, timeout=3, context=self.tls()) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def close(self) -> None:
        for process in (self.controllers, self.api_server, self.etcd):
            if process:
                # Nothing of theirs is needed any more: no time for graceful ends.
                process.kill()

    # What tests do to it

    def compact(self) -> int:
        """Compacts etcd to its present revision: a watch that resumes from before is answered 410."""
        revision = json.loads(self.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        self.etcdctl("compact", str(revision))
        return revision

    def snapshot(self) -> pathlib.Path:
        """A backup of etcd as it is now, for `restore`."""
        file = self.folder / "etcd.snapshot"
        file.unlink(missing_ok=True)
        self.etcdctl("snapshot", "save", str(file))
        return file

    def restore(self, snapshot) -> None:
        """Puts the backup in etcd's place, with everything stopped meanwhile, as
        https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster asks:
        objects and resource versions are those of the backup."""
        for process in (self.controllers, self.api_server, self.etcd):
            if process:
                process.stop()
        shutil.rmtree(self.folder / "etcd")
        peer = next(one.split("=", 1)[1] for one in self.etcd.arguments if one.startswith("--initial-advertise-peer-urls="))
        self.etcdctl("snapshot", "restore", str(snapshot), "--name=default", f"--data-dir={self.folder}/etcd",
                     f"--initial-cluster=default={peer}", f"--initial-advertise-peer-urls={peer}")
        for process in (self.etcd, self.api_server):
            process.start()
        self.ready()
        if self.controllers:
            self.controllers.start()

    def deletions(self, resource, namespace) -> list[tuple[str, str]]:
        """What was deleted so far, one by one and with success: its name and the user who asked."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        done = [one for one in map(json.loads, lines) if one["responseStatus"].get("code") in (200, 202)]
        targets = [(one["objectRef"], one["user"]["username"]) for one in done]
        return [(at["name"], user) for at, user in targets if (at["resource"], at.get("namespace")) == (resource, namespace)]

    def etcdctl(self, *arguments) -> str:
        done = subprocess.run(
            [self.assets / "etcdctl", f"--endpoints={self.etcd_server}", f"--cacert={self.certificates}/ca.crt",
             f"--cert={self.certificates}/etcd.crt", f"--key={self.certificates}/etcd.key", *arguments],
            capture_output=True, text=True, env=os.environ | {"ETCDCTL_API": "3"})
        if done.returncode != 0:
            raise AssertionError(f"etcdctl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    # Identities

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificates / "ca.crt")

    def issue(self, name, subject, *alternatives) -> tuple[pathlib.Path, pathlib.Path]:
        """A certificate of the cluster's CA and its key: for a user (/O=group/CN=name) or for a server, such as a
        proxy that tests put before the API server (alternatives IP:127.0.0.1, DNS:name)."""
        self._certificates("issue", self.certificates, "ca", name, subject, *alternatives)
        return self.certificates / f"{name}.crt", self.certificates / f"{name}.key"

    def kubeconfig(self, name, server=None) -> pathlib.Path:
        """A kubeconfig for an issued certificate; `server` may name a proxy instead of the API server."""
        suffix = "" if server is None else "-" + server.rsplit(":", 1)[-1]
        file = self.folder / f"{name}{suffix}.kubeconfig"
        self._certificates("kubeconfig", self.certificates, file, server or self.server, "ca", name)
        return file

    def token_kubeconfig(self, token, name, server=None) -> pathlib.Path:
        """A kubeconfig that carries a bearer token (a ServiceAccount's, or admin_token)."""
        file = self.folder / f"{name}.kubeconfig"
        config = token_config({"server": server or self.server, "certificate-authority": str(self.certificates / "ca.crt")}, token, name)
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file

    def service_account_kubeconfig(self, namespace, name, server=None) -> pathlib.Path:
        """A kubeconfig with a token of this ServiceAccount, which must exist: what a pod of its would be allowed."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=1h").strip()
        return self.token_kubeconfig(token, f"{namespace}-{name}", server)

    # Programs

    def _certificates(self, *arguments) -> None:
        subprocess.run([CLUSTER_TOOLS / "certificates", *map(str, arguments)], check=True)

    def _make_certificates(self) -> None:
        folder = self.certificates
        self._certificates("authority", folder, "ca")
        self._certificates("authority", folder, "front-proxy-ca")
        self._certificates("token-key", folder, "service-account")
        local = ("IP:127.0.0.1", "DNS:localhost")
        self.issue("apiserver", "/CN=kube-apiserver", *local, "DNS:kubernetes.default.svc", "DNS:kubernetes.default")
        self.issue("etcd", "/CN=etcd", *local)
        self.issue("admin", "/O=system:masters/CN=admin")
        self.issue("controllers", "/CN=system:kube-controller-manager")
        tokens = folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self.admin_token},admin,admin,"system:masters"\n')

    def _etcd(self) -> Process:
        pki = self.certificates
        peer = f"http://127.0.0.1:{free_port()}"
        return Process([
            self.assets / "etcd", "--name=default", f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls={self.etcd_server}", f"--advertise-client-urls={self.etcd_server}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--client-cert-auth", f"--trusted-ca-file={pki}/ca.crt", f"--cert-file={pki}/etcd.crt",
            f"--key-file={pki}/etcd.key", "--quota-backend-bytes=4294967296", "--log-level=warn", "--logger=zap",
        ], self.folder / "etcd.log")

    def _audit_policy(self) -> pathlib.Path:
        """Deletions alone, when they are answered: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/"""
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "verbs": ["delete"]}, {"level": "None"}]}))
        return policy

    def _api_server(self, flags) -> Process:
        pki = self.certificates
        return Process([
            self.assets / "kube-apiserver", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}", f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
            f"--cert-dir={self.folder}", f"--client-ca-file={pki}/ca.crt", f"--token-auth-file={pki}/tokens.csv",
            "--anonymous-auth=false", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            f"--etcd-servers={self.etcd_server}", f"--etcd-cafile={pki}/ca.crt", f"--etcd-certfile={pki}/etcd.crt",
            f"--etcd-keyfile={pki}/etcd.key", "--service-cluster-ip-range=10.0.0.0/24",
            f"--service-account-issuer={ISSUER}", f"--api-audiences={ISSUER}",
            f"--service-account-signing-key-file={pki}/service-account.key",
            f"--service-account-key-file={pki}/service-account.pub", "--enable-aggregator-routing=true",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt", "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--audit-policy-file={self._audit_policy()}", f"--audit-log-path={self.audit_log}", *flags,
        ], self.folder / "kube-apiserver.log")

    def _controllers(self, program) -> Process:
        pki = self.certificates
        kubeconfig = self.kubeconfig("controllers")
        # Up to 1.23 it also opens a fixed port without TLS, which a second control plane would find taken.
        known = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
        insecure = ["--port=0"] if " --port int" in known else []
        return Process([
            program, f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}", f"--controllers={CONTROLLERS}", "--leader-elect=false",
            f"--root-ca-file={pki}/ca.crt", f"--service-account-private-key-file={pki}/service-account.key",
            "--use-service-account-credentials=true", "--bind-address=127.0.0.1", f"--secure-port={free_port()}",
            f"--cert-dir={self.folder}", *insecure,
        ], self.folder / "kube-controller-manager.log")


@contextlib.contextmanager
def control_plane(folder=None, **options):
    """One for the length of a `with`: the existing cluster when USE_EXISTING_CLUSTER says so, else one of its own
    whose folder is removed at the end (kept with MODELCACHE_TESTS_KEEP)."""
    if os.environ.get("USE_EXISTING_CLUSTER", "").lower() == "true":
        existing = ExistingCluster(os.environ.get("KUBECONFIG") or pathlib.Path.home() / ".kube" / "config")
        try:
            yield existing
        finally:
            existing.close()
        return
    made = folder is None
    if made:
        # In memory where there is one: etcd waits for every write to reach the disk.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.mkdtemp(prefix="mc-api-", dir=memory)
    plane = ControlPlane(folder, **options)
    try:
        yield plane.start()
    finally:
        plane.close()
        if made and not os.environ.get("MODELCACHE_TESTS_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    with control_plane(*(pathlib.Path(one).resolve() for one in sys.argv[1:2])) as plane:
        print(f"ready: {plane.server}\nexport KUBECONFIG={plane.admin_kubeconfig}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()

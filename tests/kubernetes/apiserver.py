# tests/kubernetes/apiserver.py: the fixture: a real etcd and kube-apiserver on loopback, with RBAC, Node authorization and
# tokens that are bound to a pod on a node. Needs no root. Ends what it started, by process id.
import base64
import functools
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ADMIN = "admin-token"
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
GROUP = "/apis/partywall.dev/v1alpha1"


def program(name):
    """The path of a program: of PARTYWALL_KUBE_BIN, of the cache, of the system. Fails when there is none."""
    cache = os.environ.get("PARTYWALL_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "partywall")
    folders = [os.environ.get("PARTYWALL_KUBE_BIN", "")]
    folders += sorted(map(str, pathlib.Path(cache).glob("kubernetes-*/bin")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(filter(None, folders + [os.environ["PATH"]])))
    if not found:
        raise AssertionError(
            f"{name} is not there: tools/test builds it into {cache}/kubernetes-VERSION/bin; or name a folder "
            "that has it in PARTYWALL_KUBE_BIN")
    return found


def wait_until(holds, seconds, what):
    """What `holds` returns once that is true. Fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class ApiServer:
    """Started on construction; ready when that returns. `folder` holds admin.kubeconfig, ca.crt and the logs."""

    def __init__(self, *flags, program="kube-apiserver"):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="partywall-kube-"))
        self.processes = []
        try:
            self.start(program, flags)
        except BaseException:
            self.stop()
            raise

    def start(self, name, flags):
        peer, client, self.port = free_ports(3)
        self.url = f"https://127.0.0.1:{self.port}"
        (self.folder / "tokens.csv").write_text(
            f'{ADMIN},admin,admin,"system:masters"\nviewer-token,viewer,viewer,"viewers"\n')
        key = self.folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        subprocess.run(["openssl", "rsa", "-in", key, "-pubout", "-out", self.folder / "sa.pub"],
                       check=True, capture_output=True)
        self.spawn("etcd", f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync", "--name=test",
                   f"--listen-client-urls=http://127.0.0.1:{client}",
                   f"--advertise-client-urls=http://127.0.0.1:{client}",
                   f"--listen-peer-urls=http://127.0.0.1:{peer}",
                   f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                   f"--initial-cluster=test=http://127.0.0.1:{peer}")
        self.spawn(name, f"--etcd-servers=http://127.0.0.1:{client}",
                   f"--secure-port={self.port}", "--bind-address=127.0.0.1",
                   "--advertise-address=127.0.0.1", f"--cert-dir={self.folder}/certs",
                   f"--service-account-key-file={self.folder}/sa.pub",
                   f"--service-account-signing-key-file={self.folder}/sa.key",
                   "--service-account-issuer=https://kubernetes.default.svc",
                   "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC",
                   f"--token-auth-file={self.folder}/tokens.csv", "--allow-privileged=true",
                   "--endpoint-reconciler-type=none", *flags)
        certificate = self.folder / "certs/apiserver.crt"
        wait_until(lambda: self.alive() and certificate.exists(), 60, "the API server has a certificate")
        # It signs itself, and stands before its own chain.
        self.tls = ssl.create_default_context(cafile=certificate)
        wait_until(lambda: self.alive() and self.ready(), 90, "the API server is ready")
        wait_until(lambda: self.get("/api/v1/namespaces/default")[0] == 200, 30, "namespace default")
        shutil.copy(certificate, self.folder / "ca.crt")
        self.kubeconfig = self.write_kubeconfig("admin", ADMIN)

    def spawn(self, name, *flags):
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes.append((name, subprocess.Popen(
                [program(name), *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)))

    def alive(self):
        for name, process in self.processes:
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text().splitlines()
                raise AssertionError(f"{name} ended:\n" + "\n".join(log[-15:]))
        return True

    def ready(self):
        try:
            return self.call("GET", "/readyz", raw=True) == (200, "ok")
        except OSError:
            return False

    def stop(self):
        """The API server first: it never ends on TERM once its etcd is gone."""
        for _, process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write_kubeconfig(self, name, token):
        authority = base64.b64encode((self.folder / "certs/apiserver.crt").read_bytes()).decode()
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": self.url,
                                                    "certificate-authority-data": authority}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        return path

    # --- requests: each answers (HTTP status, body)

    def call(self, method, path, body=None, token=ADMIN, kind=JSON, raw=False):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": JSON})
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        if raw:
            return status, text
        # Of a path that is not served the answer is plain text.
        return status, json.loads(text) if text.startswith("{") else {"message": text.strip()}

    def get(self, path, token=ADMIN):
        return self.call("GET", path, token=token)

    def create(self, path, body, token=ADMIN, dry_run=False):
        options = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.call("POST", path + options, body, token)

    def apply(self, path, body, token=ADMIN, manager="test"):
        return self.call("PATCH", f"{path}?fieldManager={manager}&force=true&fieldValidation=Strict", body,
                         token, APPLY)

    def delete(self, path, token=ADMIN):
        return self.call("DELETE", path, token=token)

    def must(self, answer, wanted=(200, 201)):
        """The body of an answer that has to be one of success."""
        status, body = answer
        if status not in wanted:
            raise AssertionError(f"answered {status}: {body.get('message', body)}")
        return body

    # --- what tests begin with

    def install_crds(self, definitions):
        """Applies the definitions and waits until they are served."""
        for definition in definitions:
            name = definition["metadata"]["name"]
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            self.must(self.apply(path, definition))
            plural = definition["spec"]["names"]["plural"]
            wait_until(lambda: self.get(f"{GROUP}/{plural}")[0] == 200, 30, f"{plural} are served")

    def add_policy(self, documents):
        """Creates these Tiers and Tenants."""
        for document in documents:
            plural = "tiers" if document["kind"] == "Tier" else "tenants"
            self.must(self.create(f"{GROUP}/{plural}", document))

    def path_for(self, document, namespace):
        """Where such an object is created: in its own namespace or this one, or in none. Fails with KeyError when this API
        server does not serve its kind."""
        path, plural, in_namespace = self.resources()[document["apiVersion"], document["kind"]]
        namespace = document["metadata"].get("namespace", namespace)
        return f"{path}/namespaces/{namespace}/{plural}" if in_namespace else f"{path}/{plural}"

    @functools.cache
    def resources(self):
        """{(apiVersion, kind): (path, plural, whether it is in a namespace)} of all that this API server serves."""
        found = {}
        groups = self.must(self.get("/apis"))["groups"]
        for version in ["v1"] + [one["groupVersion"] for group in groups for one in group["versions"]]:
            path = "/api/v1" if version == "v1" else f"/apis/{version}"
            for one in self.must(self.get(path))["resources"]:
                if "/" not in one["name"]:
                    found[version, one["kind"]] = (path, one["name"], one["namespaced"])
        return found

    def add_node(self, name):
        self.must(self.create("/api/v1/nodes", {"metadata": {"name": name}}), (201, 409))

    def add_namespace(self, name):
        self.must(self.create("/api/v1/namespaces", {"metadata": {"name": name}}), (201, 409))

    def add_service_account(self, namespace, name):
        self.add_namespace(namespace)
        self.must(self.create(f"/api/v1/namespaces/{namespace}/serviceaccounts",
                              {"metadata": {"name": name}}), (201, 409))

    def node_token(self, node, namespace, account):
        """A token as the kubelet of that node mounts it into a pod of this service account."""
        name = f"{account}-{node}"
        self.add_node(node)
        self.add_service_account(namespace, account)
        pods = f"/api/v1/namespaces/{namespace}/pods"
        status, pod = self.create(pods, {
            "metadata": {"name": name},
            "spec": {"nodeName": node, "serviceAccountName": account,
                     "containers": [{"name": "agent", "image": "localhost/none"}]}})
        if status == 409:
            pod = self.must(self.get(f"{pods}/{name}"))
        elif status != 201:
            raise AssertionError(pod)
        return self.token(namespace, account, {"kind": "Pod", "apiVersion": "v1", "name": name,
                                               "uid": pod["metadata"]["uid"]})

    def token(self, namespace, account, bound_to=None):
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"expirationSeconds": 3600}}
        if bound_to:
            body["spec"]["boundObjectRef"] = bound_to
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return self.must(self.create(path, body))["status"]["token"]

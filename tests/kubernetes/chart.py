# tests/kubernetes/chart.py: the objects that the chart makes, as helm renders them, and an API server that has them.
import pathlib
import subprocess

import yaml
from apiserver import ApiServer, program

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/partywall"
NAMESPACE = "partywall"
ACCOUNT = "partywall"
# The oldest version of Kubernetes that the chart is for; tools/test builds its API server.
OLDEST = "1.30"


def render(*values, only=None, version=None):
    """The objects of `helm template` with these values (as of --set-json), in order; `only`: of one template; `version`: for
    this one of Kubernetes."""
    words = [program("helm"), "template", "partywall", CHART, "--namespace", NAMESPACE, "--no-hooks"]
    for value in values:
        words += ["--set-json", value]
    if only:
        words += ["--show-only", f"templates/{only}"]
    if version:
        words += ["--kube-version", f"{version}.0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


PATHS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


def install(server, objects):
    """Applies rendered objects of these kinds. Fails when the API server refuses one."""
    for one in objects:
        path = f"{PATHS[one['kind']]}/{one['metadata']['name']}"
        server.must(server.apply(path, one, manager="helm"))


def serve(test, *templates):
    """Gives a test class its `server`: an API server with the chart's definitions and what these templates of it make. A class
    whose attribute `kubernetes` is OLDEST gets that version."""
    version = getattr(test, "kubernetes", None)
    test.server = ApiServer(program=f"kube-apiserver{'-oldest' if version else ''}")
    test.addClassCleanup(test.server.stop)
    test.server.install_crds(render(only="crds.yaml", version=version))
    test.server.add_namespace(NAMESPACE)
    for template in templates:
        install(test.server, render(only=template, version=version))

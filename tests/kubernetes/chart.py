# tests/kubernetes/chart.py: the objects that the chart makes, as helm renders them. Talks to no cluster.
import pathlib
import subprocess

import yaml
from apiserver import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/partywall"
NAMESPACE = "partywall"
ACCOUNT = "partywall"


def render(*values, only=None):
    """The objects of `helm template` with these values (as of --set-json), in order; `only`: of one template."""
    words = [program("helm"), "template", "partywall", CHART, "--namespace", NAMESPACE, "--no-hooks"]
    for value in values:
        words += ["--set-json", value]
    if only:
        words += ["--show-only", f"templates/{only}"]
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

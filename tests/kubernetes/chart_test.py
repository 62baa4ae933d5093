# tests/kubernetes/chart_test.py: the chart as helm and a real API server see it: lint, every object that it makes, with many
# values, and values that must stop it with their name. Needs no root.
import re
import subprocess
import unittest

import yaml
from apiserver import ApiServer, program
from chart import CHART, NAMESPACE

VALUES = {
    "defaults": [],
    "everything on": ["admission.guardTenancy.enabled=true", "podMonitor.enabled=true", "prometheusRule.enabled=true",
                      "dashboards.enabled=true", 'clusterCIDRs=["10.244.0.0/16","fd00:244::/56"]',
                      'serviceCIDRs=["10.96.0.0/16"]', 'unassignedNamespaces="deny"', 'infrastructure.reaches=["9090/TCP"]',
                      'resources={"limits":{"memory":"1Gi"}}', 'podLabels={"a":"b"}', 'podAnnotations={"c":"d"}',
                      'image.pullSecrets=[{"name":"key"}]', 'nodeSelector={"pool":"a"}',
                      'serviceAccount.annotations={"e":"f"}', "maxTenants=4096"],
    "everything off": ["admission.enabled=false", "uninstallHook.enabled=false", "syscalls=false", "infrastructure.lane=[]",
                       "infrastructure.offers=[]"],
    "taken out": ["uninstall=true"],
}
# Kinds that a cluster without the Prometheus operator does not know.
OPERATOR = {"PodMonitor", "PrometheusRule"}
BAD = [("maxTenants=1", "maxTenants"), ('maxTenants="many"', "maxTenants"), ("no=1", "no"), ('edgeOrder="middle"', "edgeOrder"),
       ('clusterCIDRs=["10.0.0.0"]', "clusterCIDRs"), ('clusterCIDRs="10.0.0.0/8"', "clusterCIDRs"),
       ('unassignedNamespaces="maybe"', "unassignedNamespaces"), ("metrics.port=0", "port"),
       ('bpffs="/tmp/x"', "bpffs"), ('infrastructure.offers=["53"]', "offers"), ("admission.guard=true", "guard"),
       ('admission.guardTenancy.labelPrefixes=[]', "labelPrefixes"), ("dashboards.labels.a=1", "labels"),
       ('image.pullPolicy="Often"', "pullPolicy"), ("prometheusRule.rules=[]", "rules")]


def template(*values, hooks=True):
    words = [program("helm"), "template", "partywall", CHART, "--namespace", NAMESPACE]
    words += [] if hooks else ["--no-hooks"]
    for value in values:
        words += ["--set-json", value]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


class ChartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = ApiServer()
        cls.addClassCleanup(cls.server.stop)
        cls.server.install_crds(CHART / "files/crds")
        for namespace in (NAMESPACE, "partywall-test"):
            cls.server.add_service_account(namespace, "default")  # which a controller makes, elsewhere
        cls.paths = cls.resources()

    @classmethod
    def resources(cls):
        """{(apiVersion, kind): (path, whether it is in a namespace)} of all that this API server serves."""
        found = {}
        groups = cls.server.must(cls.server.get("/apis"))["groups"]
        versions = ["v1"] + [one["groupVersion"] for group in groups for one in group["versions"]]
        for version in versions:
            path = "/api/v1" if version == "v1" else f"/apis/{version}"
            for one in cls.server.must(cls.server.get(path))["resources"]:
                if "/" not in one["name"]:
                    found[version, one["kind"]] = (path, one["name"], one["namespaced"])
        return found

    def path_of(self, one):
        path, plural, in_namespace = self.paths[one["apiVersion"], one["kind"]]
        namespace = one["metadata"].get("namespace", NAMESPACE)
        return f"{path}/namespaces/{namespace}/{plural}" if in_namespace else f"{path}/{plural}"

    def test_lint(self):
        done = subprocess.run([program("helm"), "lint", "--strict", CHART], capture_output=True, text=True, timeout=60)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_the_api_server_takes_every_object(self):
        kinds = set()
        for name, values in VALUES.items():
            done = template(*values)
            self.assertEqual(0, done.returncode, done.stderr)
            for one in filter(None, yaml.safe_load_all(done.stdout)):
                kinds.add(one["kind"])
                if one["kind"] in OPERATOR:
                    continue
                with self.subTest(f"{name}: {one['kind']} {one['metadata']['name']}"):
                    status, body = self.server.create(self.path_of(one), one, dry_run=True)
                    if status == 409 and one["kind"] == "Namespace":
                        continue  # made above, for what is in it
                    self.assertEqual(201, status, body.get("message"))
        self.assertLessEqual({"DaemonSet", "ConfigMap", "ServiceAccount", "ClusterRole", "Role", "Job", "Pod", "Tenant", "Tier",
                              "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} | OPERATOR, kinds)

    def test_an_expression_that_is_none_would_be_refused(self):
        for one in filter(None, yaml.safe_load_all(template(*VALUES["everything on"], hooks=False).stdout)):
            if one["kind"] == "ValidatingAdmissionPolicy":
                broken = {**one, "spec": {**one["spec"], "validations": [{"expression": "object.metadata.name =="}]}}
                self.assertEqual(422, self.server.create(self.path_of(one), broken, dry_run=True)[0])

    def test_bad_values_are_named(self):
        for value, name in BAD:
            with self.subTest(value):
                done = template(value)
                self.assertNotEqual(0, done.returncode)
                self.assertRegex(done.stderr, rf"\b{re.escape(name)}\b")

    def test_least_privilege(self):
        [agent] = [one for one in yaml.safe_load_all(template(hooks=False).stdout) if one and one["kind"] == "DaemonSet"]
        spec = agent["spec"]["template"]["spec"]
        self.assertTrue(spec["hostNetwork"])
        self.assertFalse(spec.get("hostPID") or spec.get("hostIPC"))
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            self.assertEqual({"drop": ["ALL"], "add": ["BPF", "NET_ADMIN", "PERFMON"]}, context["capabilities"])
            self.assertTrue(context["readOnlyRootFilesystem"])
            self.assertFalse(context["allowPrivilegeEscalation"] or context.get("privileged"))
            mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
            self.assertTrue(mounts["/sys/fs/cgroup"])
        folders = {volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
        self.assertEqual({"/sys/fs/cgroup", "/sys/fs/bpf", "/run/partywall"}, folders)


if __name__ == "__main__":
    unittest.main(verbosity=2)

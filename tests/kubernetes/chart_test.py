# tests/kubernetes/chart_test.py: the chart as helm and a real API server see it: lint, every object that it makes, with many
# values, and values that must stop it with their name. Needs no root.
import re
import subprocess
import unittest

import yaml
from apiserver import program
from chart import CHART, NAMESPACE, serve

VALUES = {
    "defaults": [],
    "everything on": ["admission.guardTenancy.enabled=true", "podMonitor.enabled=true", "prometheusRule.enabled=true",
                      "dashboards.enabled=true", 'clusterCIDRs=["10.244.0.0/16","fd00:244::/56"]',
                      'serviceCIDRs=["10.96.0.0/16"]', 'unassignedNamespaces="deny"', 'infrastructure.reaches=["9090/TCP"]',
                      'resources={"limits":{"memory":"1Gi"}}', 'podLabels={"a":"b"}', 'podAnnotations={"c":"d"}',
                      'image.pullSecrets=[{"name":"key"}]', 'nodeSelector={"pool":"a"}',
                      'serviceAccount.annotations={"e":"f"}', "maxTenants=4096", 'https.certificateSecret="tls"',
                      'https.nodeCIDRs=["10.77.0.0/24"]'],
    "another's token": ["podMonitor.enabled=true", 'podMonitor.tokenSecret="mine"', 'podMonitor.tlsConfig={}'],
    "everything off": ["https.enabled=false", "admission.enabled=false", "uninstallHook.enabled=false", "syscalls=false", "infrastructure.lane=[]",
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
       ('image.pullPolicy="Often"', "pullPolicy"), ("prometheusRule.rules=[]", "rules"), ("https.port=0", "port"), ('https.nodeCIDRs=["10.0.0.0"]', "nodeCIDRs"),
       ('https.certificateSecret="A b"', "certificateSecret"), ("podMonitor.enabled=true,https.enabled=false", "https.enabled")]


def template(*values, hooks=True):
    words = [program("helm"), "template", "partywall", CHART, "--namespace", NAMESPACE]
    words += [] if hooks else ["--no-hooks"]
    for value in values:
        words += ["--set-json", value]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


class ChartTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        serve(cls)
        for namespace in (NAMESPACE, "partywall-test"):
            cls.server.add_service_account(namespace, "default")  # which a controller makes, elsewhere

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
                    status, body = self.server.create(self.server.path_for(one, NAMESPACE), one, dry_run=True)
                    if status == 409 and one["kind"] in ("Namespace", "CustomResourceDefinition"):
                        continue  # made above, for what is in it or of it
                    self.assertEqual(201, status, body.get("message"))
        self.assertLessEqual({"DaemonSet", "ConfigMap", "ServiceAccount", "ClusterRole", "Role", "Job", "Pod", "Tenant", "Tier",
                              "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} | OPERATOR, kinds)

    def test_definitions_come_with_the_chart_and_stay(self):
        def definitions(*values):
            return {one["spec"]["names"]["plural"]: one for one in yaml.safe_load_all(template(*values).stdout)
                    if one and one["kind"] == "CustomResourceDefinition"}

        found = definitions()
        self.assertEqual({"tiers", "tenants", "tenantnodes"}, set(found))
        for plural, one in found.items():
            self.assertEqual("keep", one["metadata"]["annotations"]["helm.sh/resource-policy"])
            self.assertEqual(yaml.safe_load((CHART / f"files/crds/{plural}.yaml").read_text()), one)
        self.assertEqual({}, definitions("crds.install=false"))

    def test_an_expression_that_is_none_would_be_refused(self):
        for one in filter(None, yaml.safe_load_all(template(*VALUES["everything on"], hooks=False).stdout)):
            if one["kind"] == "ValidatingAdmissionPolicy":
                broken = {**one, "spec": {**one["spec"], "validations": [{"expression": "object.metadata.name =="}]}}
                self.assertEqual(422, self.server.create(self.server.path_for(one, NAMESPACE), broken, dry_run=True)[0])

    def test_bad_values_are_named(self):
        for value, name in BAD:
            with self.subTest(value):
                done = template(value)
                self.assertNotEqual(0, done.returncode)
                self.assertRegex(done.stderr, rf"\b{re.escape(name)}\b")

    def test_metrics_take_a_token(self):
        def objects(*values):
            return list(filter(None, yaml.safe_load_all(template(*values, hooks=False).stdout)))

        made = objects("podMonitor.enabled=true")
        [monitor] = [one for one in made if one["kind"] == "PodMonitor"]
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        self.assertEqual(("https", {"name": "partywall-scraper", "key": "token"}),
                         (endpoint["scheme"], endpoint["authorization"]["credentials"]))
        self.assertIn("$1:9724", [one.get("replacement") for one in endpoint["relabelings"]])
        [token] = [one for one in made if one["kind"] == "Secret"]
        self.assertEqual("partywall-scraper", token["metadata"]["annotations"]["kubernetes.io/service-account.name"])
        [binding] = [one for one in made if one["kind"] == "ClusterRoleBinding" and one["metadata"]["name"] == "partywall-scraper"]
        self.assertEqual(("partywall-metrics-reader", "partywall-scraper"),
                         (binding["roleRef"]["name"], binding["subjects"][0]["name"]))
        roles = {one["metadata"]["name"]: one["rules"] for one in made if one["kind"] == "ClusterRole"}
        self.assertEqual([{"apiGroups": ["partywall.dev"], "resources": ["tenants/metrics"], "verbs": ["get"]}],
                         roles["partywall-metrics-reader"])
        reviews = [(one["resources"], one["verbs"]) for one in roles["partywall"] if "reviews" in one["resources"][0]]
        self.assertEqual([(["tokenreviews"], ["create"]), (["subjectaccessreviews"], ["create"])], reviews)
        self.assertEqual([], [one["kind"] for one in objects("podMonitor.enabled=true", 'podMonitor.tokenSecret="mine"')
                              if one["kind"] == "Secret"])
        off = objects("https.enabled=false")
        self.assertNotIn("tokenreviews", yaml.safe_dump_all(off))
        self.assertNotIn("9724", yaml.safe_dump_all(off))

    def test_nodes_are_reached_at_the_port_where_that_is_said(self):
        def lane(*values):
            [config] = [one for one in yaml.safe_load_all(template(*values, hooks=False).stdout)
                        if one and one["kind"] == "ConfigMap"]
            return yaml.safe_load(config["data"]["partywalld.yaml"]).get("infrastructure", [])

        entry = {"name": "partywall-https-0", "cidr": "10.77.0.0/24", "direction": "egress",
                 "ports": [{"protocol": "TCP", "port": 9724}]}
        self.assertNotIn(entry, lane())
        self.assertIn(entry, lane('https.nodeCIDRs=["10.77.0.0/24"]'))
        self.assertEqual([entry], lane('https.nodeCIDRs=["10.77.0.0/24"]', "infrastructure.lane=[]"))
        self.assertEqual([], lane('https.nodeCIDRs=["10.77.0.0/24"]', "infrastructure.lane=[]", "https.enabled=false"))
        self.assertIn('"53/UDP,53/TCP"', template().stdout)
        self.assertIn('"53/UDP,53/TCP,9724/TCP"', template('https.nodeCIDRs=["10.77.0.0/24"]').stdout)

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

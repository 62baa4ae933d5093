# tests/kubernetes/oldest_test.py: the oldest Kubernetes that the chart is for: its API server takes every object, an agent works
# with it, and what its definitions cannot say the agent says. As root.
import unittest

import admission_test
import agent_test
import yaml
from chart import CHART, NAMESPACE, OLDEST, render, serve
from crd_test import CORPUS, Cluster, Folder, documents, kubectl_reads


def without_rules(schema):
    """A copy of definitions, or of a part of one, without what CEL says."""
    if isinstance(schema, dict):
        return {key: without_rules(value) for key, value in schema.items() if key != "x-kubernetes-validations"}
    return [without_rules(one) for one in schema] if isinstance(schema, list) else schema


class OldestTest(unittest.TestCase):
    kubernetes = OLDEST

    @classmethod
    def setUpClass(cls):
        serve(cls)

    def test_it_is_the_oldest(self):
        version = self.server.must(self.server.get("/version"))["gitVersion"]
        self.assertTrue(version.startswith(f"v{OLDEST}."), version)
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(f">={OLDEST}.0-0", chart["kubeVersion"])

    def test_it_takes_every_object(self):
        made = render("admission.guardTenancy.enabled=true", "dashboards.enabled=true", version=OLDEST)
        for one in made:
            if one["kind"] == "CustomResourceDefinition":
                continue  # in force already
            with self.subTest(f"{one['kind']} {one['metadata']['name']}"):
                status, body = self.server.create(self.server.path_for(one, NAMESPACE), one, dry_run=True)
                self.assertEqual(201, status, body.get("message"))
        self.assertLess({"ValidatingAdmissionPolicy", "DaemonSet"}, {one["kind"] for one in made})

    def test_it_would_refuse_the_rules_of_newer_ones(self):
        newer = {one["metadata"]["name"]: one for one in render(only="crds.yaml")}
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
        for name in ("tenants.partywall.dev", "tenantnodes.partywall.dev"):
            status, body = self.server.apply(path + name, newer[name])
            self.assertEqual(422, status)
            self.assertRegex(body["message"], "cost|undeclared reference")

    def test_only_rules_are_left_out(self):
        self.assertEqual(without_rules(render(only="crds.yaml")), render(only="crds.yaml", version=OLDEST))

    def test_good_documents(self):
        cluster = Cluster(self.server)
        for file in [CORPUS / "full.yaml", *sorted((CORPUS / "good").glob("*.yaml"))]:
            for _, text in documents(file):
                with self.subTest(file.name, document=text):
                    status, body = cluster.answer(kubectl_reads(text))
                    self.assertEqual(201, status, body.get("message"))

    def test_bad_documents_are_refused_by_it_or_by_the_agent(self):
        cluster, folder = Cluster(self.server), Folder()
        refused, left = 0, 0
        for file in sorted((CORPUS / "bad").glob("*.yaml")):
            for field, text in documents(file):
                with self.subTest(file.name, document=text):
                    if cluster.refused_fields(kubectl_reads(text)):
                        refused += 1
                        continue
                    left += 1
                    self.assertIn(field, folder.refused_fields(text))
        self.assertGreater(refused, 50)
        self.assertGreater(left, 100)


class AgentTest(agent_test.AgentTest):
    kubernetes = OLDEST


class AdmissionTest(admission_test.AdmissionTest):
    kubernetes = OLDEST
    # A rule of the definitions; here it is the agents who refuse such an object, as the unit tests show.
    test_built_in_tenants_have_no_object = None


class GuardTest(admission_test.GuardTest):
    kubernetes = OLDEST


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/kubernetes/admission_test.py: what the chart lets whom write, asked of a real API server: an agent with its own token, an
# agent of another node, people with and without the right. Needs no root.
import unittest

from apiserver import ADMIN, GROUP, MERGE, wait_until
from chart import ACCOUNT, NAMESPACE, install, render, serve

NODES = f"{GROUP}/tenantnodes"
LONG = "node-" + "x" * 70


def tenant_node(tenant="acme", node="n1", **more):
    label = node if len(node) <= 63 else f"{node[:52]}-0123456789"
    return {"apiVersion": "partywall.dev/v1alpha1", "kind": "TenantNode", "tenant": tenant, "node": node,
            "metadata": {"name": f"{tenant}.{node}",
                         "labels": {"partywall.dev/tenant": tenant, "partywall.dev/node": label}}, **more}


class AdmissionTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        serve(cls, "rbac.yaml", "admission.yaml")
        cls.one, cls.two, cls.long = (cls.server.node_token(node, NAMESPACE, ACCOUNT) for node in ("n1", "n2", LONG))
        cls.unbound = cls.server.token(NAMESPACE, ACCOUNT)
        # Somebody with every right on the group and on namespaces, but on no admission policy.
        cls.server.must(cls.server.apply("/apis/rbac.authorization.k8s.io/v1/clusterroles/editors", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "editors"},
            "rules": [{"apiGroups": ["partywall.dev"], "resources": ["*"], "verbs": ["*"]},
                      {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["*"]}]}))
        cls.server.must(cls.server.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/editors", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "editors"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "editors"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "viewers"}]}))
        cls.editor = "viewer-token"
        cls.server.must(cls.server.create(f"{GROUP}/tiers", {"metadata": {"name": "gold"}, "kind": "Tier",
                                                             "apiVersion": "partywall.dev/v1alpha1"}))
        cls.server.must(cls.server.create(f"{GROUP}/tenants", {
            "metadata": {"name": "acme"}, "kind": "Tenant", "apiVersion": "partywall.dev/v1alpha1",
            "spec": {"tier": "gold"}}))
        # A policy takes effect a moment after it was written, and rights after they were given.
        wait_until(lambda: cls.create(tenant_node("probe", "n2"), cls.one) == 403, 30, "the agents' policy holds")
        wait_until(lambda: cls.create(tenant_node("probe"), cls.editor) == 403, 30, "the policy for others holds")
        wait_until(lambda: cls.create(tenant_node("probe"), cls.one) == 201, 30, "an agent has its rights")

    @classmethod
    def create(cls, body, token, dry_run=True):
        return cls.server.create(NODES, body, token, dry_run)[0]

    def refused(self, answer, words):
        self.assertIn(answer[0], (403, 422), answer[1])
        self.assertIn(words, answer[1]["message"])

    # --- TenantNodes

    def test_an_agent_writes_its_own_node_only(self):
        server = self.server
        self.assertEqual(201, self.create(tenant_node("own"), self.one, dry_run=False))
        self.refused(server.create(NODES, tenant_node("own", "n2"), self.one), "may not write for node n2")
        self.assertEqual(201, self.create(tenant_node("own", "n2"), self.two, dry_run=False))
        change = {"pods": 3}
        for node, token, other in (("n1", self.one, self.two), ("n2", self.two, self.one)):
            path = f"{NODES}/own.{node}"
            self.refused(server.call("PATCH", path, change, other, MERGE), "may not write")
            self.refused(server.apply(path, tenant_node("own", node, pods=9), other), "may not write")
            self.refused(server.delete(path, other), "may not write")
            self.assertEqual(3, server.must(server.call("PATCH", path, change, token, MERGE))["pods"])
            self.assertEqual(200, server.apply(path, tenant_node("own", node, pods=4), token)[0])
            self.assertEqual(200, server.delete(path, token)[0])

    def test_an_agent_cannot_delete_all_of_them(self):
        self.assertEqual(201, self.create(tenant_node("many", "n2"), self.two, dry_run=False))
        self.assertNotEqual(200, self.server.call("DELETE", NODES, token=self.one)[0])

    def test_a_token_without_a_node_writes_nothing(self):
        self.refused(self.server.create(NODES, tenant_node("lost"), self.unbound), "not bound to a node")

    def test_names_labels_and_owners_agree(self):
        wrong = tenant_node("shape")
        wrong["metadata"]["name"] = "shape.n2"
        self.refused(self.server.create(NODES, wrong, self.one), "TENANT.NODE")
        for label, value in (("partywall.dev/tenant", "other"), ("partywall.dev/node", "n2"),
                             ("partywall.dev/tenant", None), ("partywall.dev/node", None)):
            wrong = tenant_node("shape")
            wrong["metadata"]["labels"][label] = value
            self.refused(self.server.create(NODES, wrong, self.one), f"the label {label}")
        wrong = tenant_node("shape")
        wrong["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "x"}]
        self.refused(self.server.create(NODES, wrong, self.one), "owned by its Node")
        wrong["metadata"]["ownerReferences"][0]["name"] = "n1"
        self.assertEqual(201, self.create(wrong, self.one))

    def test_a_nodes_name_too_long_for_a_label(self):
        self.assertEqual(201, self.create(tenant_node("long", LONG), self.long))
        wrong = tenant_node("long", LONG)
        wrong["metadata"]["labels"]["partywall.dev/node"] = "node-" + "y" * 47 + "-0123456789"
        self.refused(self.server.create(NODES, wrong, self.long), "the label partywall.dev/node")

    def test_administrators_are_free_and_nobody_else(self):
        self.assertEqual(201, self.create(tenant_node("admin", "n2"), ADMIN))
        self.refused(self.server.create(NODES, tenant_node("admin"), self.editor), "only Partywall's agents")

    def test_built_in_tenants_have_no_object(self):
        for name in ("unassigned", "infrastructure"):
            body = {"apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
                    "spec": {"tier": "gold"}}
            self.refused(self.server.create(f"{GROUP}/tenants", body), "built-in tenant")
            self.assertEqual(201, self.create(tenant_node(name), self.one), "what a node holds of it, it has")

    # --- status

    def test_status_is_written_by_agents(self):
        for path, status in (("tenants/acme", {"pods": 1}), ("tiers/gold", {"tenants": 1})):
            url = f"{GROUP}/{path}/status"
            self.assertEqual(200, self.server.call("PATCH", url, {"status": status}, self.one, MERGE)[0])
            self.refused(self.server.call("PATCH", url, {"status": status}, self.editor, MERGE),
                         "only Partywall's agents")
            spec = self.server.must(self.server.get(f"{GROUP}/{path}")).get("spec", {})
            body = self.server.must(self.server.call("PATCH", url, {"spec": {"tier": "free", "limits": {}}},
                                                     self.one, MERGE))
            self.assertEqual(spec, body.get("spec", {}), "a status does not change what is asked for")

    # --- the agent's rights: all that it needs, and nothing else

    ALLOWED = (
        [("", "", kind, verb) for kind in ("pods", "namespaces", "nodes", "services") for verb in ("get", "list", "watch")]
        + [("", "partywall.dev", kind, verb) for kind in ("tiers", "tenants") for verb in ("get", "list", "watch")]
        + [("", "partywall.dev", f"{kind}/status", verb) for kind in ("tiers", "tenants")
           for verb in ("get", "update", "patch")]
        + [("", "partywall.dev", "tenantnodes", verb)
           for verb in ("get", "list", "watch", "create", "update", "patch", "delete")]
        # Whose a token is, and what he may: for whoever asks over HTTPS.
        + [("", "authentication.k8s.io", "tokenreviews", "create"),
           ("", "authorization.k8s.io", "subjectaccessreviews", "create")]
        + [(NAMESPACE, "coordination.k8s.io", "leases", "create")])
    VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind",
             "escalate", "approve")
    KINDS = (
        [("", kind) for kind in (
            "pods", "pods/status", "pods/exec", "pods/log", "pods/eviction", "pods/ephemeralcontainers", "pods/binding",
            "nodes", "nodes/status", "nodes/proxy", "namespaces", "namespaces/status", "namespaces/finalize", "services",
            "services/status", "services/proxy", "secrets", "configmaps", "endpoints", "events", "serviceaccounts",
            "serviceaccounts/token", "persistentvolumes", "users", "groups")]
        + [("apps", kind) for kind in ("daemonsets", "deployments")]
        + [("partywall.dev", kind) for kind in (
            "tiers", "tenants", "tenantnodes", "tiers/status", "tenants/status", "tenants/metrics", "tenantnodes/status")]
        + [("coordination.k8s.io", "leases"), ("discovery.k8s.io", "endpointslices"),
           ("networking.k8s.io", "networkpolicies"), ("apiextensions.k8s.io", "customresourcedefinitions"),
           ("authentication.k8s.io", "tokenreviews"), ("authorization.k8s.io", "subjectaccessreviews"),
           ("rbac.authorization.k8s.io", "clusterroles"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
           ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "rolebindings"),
           ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
           ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
           ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
           ("certificates.k8s.io", "certificatesigningrequests")])

    def may(self, namespace, group, kind, verb, name=""):
        resource, _, sub = kind.partition("/")
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
            "resourceAttributes": {"namespace": namespace, "group": group, "resource": resource, "subresource": sub,
                                   "verb": verb, "name": name}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return self.server.must(self.server.create(path, body, self.one))["status"]["allowed"]

    def test_rights_are_exactly_these(self):
        found = set()
        for group, kind in self.KINDS:
            for verb in self.VERBS:
                if self.may("", group, kind, verb):
                    found.add(("", group, kind, verb))
                elif self.may(NAMESPACE, group, kind, verb):
                    found.add((NAMESPACE, group, kind, verb))
                elif self.may("kube-system", group, kind, verb):
                    found.add(("kube-system", group, kind, verb))
        self.assertEqual(sorted(self.ALLOWED), sorted(found))

    def test_its_lease_and_no_other(self):
        for verb in ("get", "update", "patch"):
            self.assertTrue(self.may(NAMESPACE, "coordination.k8s.io", "leases", verb, "partywall-aggregator"))
            self.assertFalse(self.may(NAMESPACE, "coordination.k8s.io", "leases", verb, "another"))
            self.assertFalse(self.may("kube-system", "coordination.k8s.io", "leases", verb, "partywall-aggregator"))

    def test_real_requests(self):
        server, agent = self.server, self.one
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                 "metadata": {"name": "partywall-aggregator"}, "spec": {"holderIdentity": "n1"}}
        leases = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"
        self.assertEqual(201, server.create(leases.format(NAMESPACE), lease, agent)[0])
        self.assertEqual(200, server.call("PATCH", leases.format(NAMESPACE) + "/partywall-aggregator",
                                          {"spec": {"holderIdentity": "n2"}}, agent, MERGE)[0])
        for path in ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", "/api/v1/namespaces", "/api/v1/services",
                     "/api/v1/nodes/n1", f"{GROUP}/tiers", f"{GROUP}/tenants",
                     f"{NODES}?labelSelector=partywall.dev%2Ftenant%20in%20%28acme%29"):
            self.assertEqual(200, server.get(path, agent)[0], path)
        pod = f"/api/v1/namespaces/{NAMESPACE}/pods/{ACCOUNT}-n1"
        refused = [
            ("GET", "/api/v1/secrets", None), ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/any", None),
            ("GET", "/api/v1/configmaps", None), ("PATCH", pod, {"metadata": {"labels": {"tenant": "a"}}}),
            ("PATCH", pod + "/status", {"status": {"podIP": "10.0.0.1"}}), ("DELETE", pod, None),
            ("PATCH", "/api/v1/nodes/n1", {"spec": {"podCIDR": "10.0.0.0/8"}}),
            ("PATCH", "/api/v1/nodes/n1/status", {"status": {}}), ("DELETE", "/api/v1/nodes/n2", None),
            ("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": {"tenant": "acme"}}}),
            ("POST", leases.format("kube-system"), lease), ("POST", leases.format("default"), lease),
            ("PATCH", f"{GROUP}/tenants/acme", {"spec": {"mode": "audit"}}), ("DELETE", f"{GROUP}/tiers/gold", None),
            ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tenants.partywall.dev", None),
            ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/partywall-own-node", None),
            ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token", {"spec": {}})]
        for method, path, body in refused:
            with self.subTest(f"{method} {path}"):
                kind = MERGE if method == "PATCH" else "application/json"
                self.assertEqual(403, server.call(method, path, body, agent, kind)[0])


class GuardTest(unittest.TestCase):
    """admission.guardTenancy: who decides which tenant a namespace belongs to."""

    @classmethod
    def setUpClass(cls):
        serve(cls, "rbac.yaml")
        cls.server.must(cls.server.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/everybody", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "everybody"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "viewers"}]}))
        cls.agent = cls.server.node_token("n1", NAMESPACE, ACCOUNT)
        cls.other = "viewer-token"

    def namespace(self, name, labels, token, dry_run=True):
        return self.server.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}}, token, dry_run)

    def tenant(self, name, token):
        return self.server.create(f"{GROUP}/tenants", {
            "apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": name},
            "spec": {"tier": "gold"}}, token)

    def relabel(self, labels, token):
        return self.server.call("PATCH", "/api/v1/namespaces/shop?dryRun=All", {"metadata": {"labels": labels}}, token,
                                MERGE)[0]

    def test_off_then_on(self):
        wait_until(lambda: self.namespace("probe", {}, self.other)[0] == 201, 30, "the other one's rights")
        self.assertEqual([], [one for one in render(only="admission.yaml")
                              if one["metadata"]["name"].endswith(("-namespaces", "-tenancy"))])
        self.assertEqual(201, self.namespace("x", {"tenant": "acme"}, self.other)[0], "control: off, it is free")
        self.assertEqual(201, self.tenant("before", self.other)[0])
        self.server.must(self.namespace("shop", {"tenant": "acme", "team": "a"}, ADMIN, dry_run=False))
        install(self.server, render('admission.guardTenancy.enabled=true', only="admission.yaml"))
        wait_until(lambda: self.namespace("x", {"tenant": "acme"}, self.other)[0] == 403, 30, "the guard of labels")
        wait_until(lambda: self.server.delete(f"{GROUP}/tenants/before?dryRun=All", self.other)[0] == 403, 30,
                   "the guard of tenants")

        self.assertIn("whose a namespace is", self.namespace("x", {"tenant-x": "1"}, self.other)[1]["message"])
        self.assertEqual(403, self.namespace("x", {"partywall.dev/any": "1"}, self.other)[0])
        self.assertEqual(201, self.namespace("x", {"team": "a"}, self.other)[0], "other labels are everybody's")
        self.assertEqual(403, self.relabel({"tenant": "other"}, self.other))
        self.assertEqual(403, self.relabel({"tenant": None}, self.other))
        self.assertEqual(403, self.relabel({"partywall.dev/any": "1"}, self.other))
        self.assertEqual(200, self.relabel({"team": "b", "stage": "live"}, self.other))
        for labels in ({"tenant": "other"}, {"tenant": None}):
            self.assertEqual(200, self.relabel(labels, ADMIN))
        self.assertEqual(403, self.tenant("after", self.other)[0])
        self.assertEqual(403, self.server.call("PATCH", f"{GROUP}/tenants/before", {"spec": {"mode": "audit"}}, self.other,
                                               MERGE)[0])
        self.assertEqual(201, self.tenant("after", ADMIN)[0])
        status = {"status": {"pods": 1}}
        self.assertEqual(200, self.server.call("PATCH", f"{GROUP}/tenants/after/status", status, self.agent, MERGE)[0],
                         "agents go on")

    def test_other_groups_and_prefixes(self):
        objects = render('admission.guardTenancy={"enabled":true,"groups":["net-admins","oidc:ops"],'
                         '"labelPrefixes":["owner"]}', only="admission.yaml")
        text = str([one for one in objects if one["kind"] == "ValidatingAdmissionPolicy"])
        for words in ("['net-admins','oidc:ops']", "['owner']"):
            self.assertIn(words, text.replace('"', "").replace("\\", ""))

    def test_values_that_would_be_code_are_refused(self):
        for groups in ('["a\'b"]', "[]", '"a"'):
            with self.assertRaises(AssertionError) as refused:
                render(f'admission.guardTenancy.groups={groups}', only="admission.yaml")
            self.assertIn("groups", str(refused.exception))


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/kubernetes/agent_test.py: a real agent with the chart's configuration, rights and admission policies follows a real API
# server: two tenants in, TenantNodes and statuses out, nothing refused. Root, for the agent; pods are cgroups made by hand.
import os
import re
import sys
import unittest

import yaml
from apiserver import GROUP, MERGE, wait_until
from chart import ACCOUNT, CHART, NAMESPACE, ROOT, render, serve

sys.path.insert(0, str(ROOT / "tests/system"))
from attackers import clients, servers  # noqa: E402
from partywall import Agent, World, free_port  # noqa: E402

NODE = "node-1"
OBJECTS = """
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: standard}
spec: {limits: {egress: {ceiling: 1Gbit}}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  tier: standard
  members: [{namespaces: {matchLabels: {tenant: acme}}}]
  network: {egress: [{to: [{tenant: partner}], ports: [{port: 8080}]}]}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: partner}
spec:
  tier: standard
  members: [{namespaces: {names: [partner]}}]
  network: {ingress: [{from: [{tenant: acme}], ports: [{port: 8080}]}]}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: lonely}
spec: {tier: platinum, members: [{namespaces: {names: [lonely]}}]}
"""


class ClusterAgent(Agent):
    """A partywalld that follows an API server with the chart's configuration, but for what is this machine's."""

    def __init__(self, world, kubeconfig, *values):
        super().__init__(world, None)
        [config] = [one for one in render('clusterCIDRs=["10.77.0.0/16"]', *values, only="configmap.yaml")]
        [self.config] = config["data"].values()
        self.path = self.folder + "/partywalld.yaml"
        with open(self.path, "w") as file:
            file.write(self.config)
        self.https_port = free_port()
        # A pod mounts a token; here the kubeconfig holds one. No interface of this machine is a pod's.
        self.flags = ("--config", self.path, "--kubeconfig", str(kubeconfig), "--edge-interfaces", "pw-none-*",
                      "--node", NODE, "--https", f"127.0.0.1:{self.https_port}")

    def command(self, *more):
        words = super().command(*more)
        for flag in ("--policy-dir", "--node"):
            at = words.index(flag)
            del words[at:at + 2]
        return words


class AgentTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("the agent loads programs: run as root")
        serve(cls, "rbac.yaml", "admission.yaml")
        token = cls.server.node_token(NODE, NAMESPACE, ACCOUNT)
        cls.server.add_policy(yaml.safe_load_all(OBJECTS))
        cls.world = World(("a", "b", "c"))
        cls.addClassCleanup(cls.world.close)
        # A namespace, a pod there with the address of a host of the world, and its cgroup.
        cls.places = {host: cls.pod(host, namespace, labels) for host, namespace, labels in (
            ("a", "shop", {"tenant": "acme"}), ("b", "partner", {}), ("c", "loose", {}))}
        cls.agent = ClusterAgent(cls.world, cls.server.write_kubeconfig("agent", token)).start(timeout=40)

    @classmethod
    def pod(cls, host, namespace, labels):
        server = cls.server
        server.add_service_account(namespace, "default")
        server.must(server.call("PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}}, kind=MERGE))
        pods = f"/api/v1/namespaces/{namespace}/pods"
        made = server.must(server.create(pods, {"metadata": {"name": "it"}, "spec": {
            "nodeName": NODE, "containers": [{"name": "it", "image": "localhost/none"}]}}))
        address = cls.world.hosts[host][0]
        server.must(server.call("PATCH", f"{pods}/it/status", {"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}, kind=MERGE))
        return cls.world.place(f"besteffort/pod{made['metadata']['uid']}/container", host)

    def tearDown(self):
        self.world.end_children()

    def tenant(self, name):
        body = self.server.must(self.server.get(f"{GROUP}/tenants/{name}"))
        conditions = {one["type"]: one for one in body.get("status", {}).get("conditions", [])}
        return body.get("status", {}), conditions

    def is_realised(self, name):
        return self.tenant(name)[1].get("Realised", {}).get("status") == "True"

    def test_every_key_of_the_charts_configuration_is_known(self):
        self.assertNotRegex(self.agent.log(), "unknown|not known")
        self.assertGreater(len(yaml.safe_load(self.agent.config)), 15)

    def test_it_publishes_what_the_node_holds(self):
        def published():
            items = self.server.must(self.server.get(f"{GROUP}/tenantnodes"))["items"]
            return {one["metadata"]["name"]: one for one in items} if len(items) > 2 else None

        found = wait_until(published, 20, "TenantNodes")
        for tenant, host in (("acme", "a"), ("partner", "b")):
            one = wait_until(lambda: published().get(f"{tenant}.{NODE}"), 20, f"{tenant}'s TenantNode")
            self.assertEqual([self.world.hosts[host][0]], one["addresses"])
            self.assertEqual(1, one["pods"])
            self.assertEqual([NODE], [owner["name"] for owner in one["metadata"]["ownerReferences"]])
        self.assertNotIn(f"lonely.{NODE}", found)

    def test_statuses_tell_what_is(self):
        for name in ("acme", "partner"):
            wait_until(lambda: self.is_realised(name), 30, f"{name} is realised")
            status = self.tenant(name)[0]
            self.assertEqual(("1/1", 1, 1), (status["summary"], status["nodesTotal"], status["pods"]))
        refused = wait_until(lambda: self.tenant("lonely")[1].get("Accepted"), 30, "lonely's condition")
        self.assertEqual("False", refused["status"])
        self.assertIn("platinum", refused["message"])
        tier = wait_until(lambda: self.server.must(self.server.get(f"{GROUP}/tiers/standard")).get("status"), 30, "a tier's")
        self.assertEqual(2, tier["tenants"])

    def test_it_enforces_it(self):
        a, b, c = self.places["a"], self.places["b"], self.places["c"]
        for port in (8080, 8081):
            b.serve(servers.tcp_echo, b.v4, port)

        def ask(place, port):
            try:
                place.run(clients.tcp_ask, b.v4, port)
            except OSError:
                return False
            return True

        wait_until(lambda: ask(a, 8080), 20, "both sides' rules let it pass")
        self.assertFalse(ask(a, 8081), "no rule names this port")
        self.assertFalse(ask(c, 8080), "a pod without a tenant does not reach one")

    def test_its_rights_are_enough(self):
        wait_until(lambda: self.is_realised("acme"), 30, "acme is realised")
        self.assertEqual(0, self.agent.metric("partywall_kubernetes_errors_total"))
        self.assertNotRegex(self.agent.log(), r"(?i)forbidden|\b40[0139]\b|\b422\b")

    def test_alerts_and_dashboards_name_its_metrics(self):
        page = self.agent.scrape()
        text = "".join(file.read_text() for file in [CHART / "files/alerts.yaml", *CHART.glob("files/dashboards/*.json")])
        for name in set(re.findall(r"partywall_kubernetes_\w+", text)):
            self.assertRegex(page, rf"(?m)^{name} ")
        self.assertEqual(1, self.agent.metric("partywall_kubernetes_synced"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/kubernetes/agent_cut_off_test.py: an agent that cannot reach its API server goes on enforcing what it knew, says
# how old that is, does so after a restart as well, and catches up afterwards. Root, for the agent.
import os
import unittest

import agent_test
import yaml
from agent_test import NODE, OBJECTS, ClusterAgent
from apiserver import GROUP, MERGE, wait_until
from attackers import clients, servers
from chart import ACCOUNT, NAMESPACE, serve
from faulty_proxy import TcpProxy
from partywall import World


class CutOffTest(unittest.TestCase):
    pod = agent_test.AgentTest.__dict__["pod"]

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("the agent loads programs: run as root")
        serve(cls, "rbac.yaml", "admission.yaml")
        cls.server.add_policy(yaml.safe_load_all(OBJECTS))
        cls.world = World(("a", "b", "c"))
        cls.addClassCleanup(cls.world.close)
        cls.places = {host: cls.pod(host, namespace, labels) for host, namespace, labels in (
            ("a", "shop", {"tenant": "acme"}), ("b", "partner", {}), ("c", "loose", {}))}
        cls.proxy = TcpProxy(cls.server.port)
        cls.addClassCleanup(cls.proxy.stop)
        token = cls.server.node_token(NODE, NAMESPACE, ACCOUNT)
        path = cls.server.write_kubeconfig("agent", token)
        path.write_text(path.read_text().replace(f":{cls.server.port}", f":{cls.proxy.port}"))
        cls.agent = ClusterAgent(cls.world, path).start(timeout=60)

    def tearDown(self):
        self.world.end_children()

    def reaches(self, host):
        try:
            self.places[host].run(clients.tcp_ask, self.places["b"].v4, 8080)
        except OSError:
            return False
        return True

    def expect_what_was_in_force(self):
        for _ in range(5):
            self.assertTrue(self.reaches("a"), "acme may, by both sides' rules")
            self.assertFalse(self.reaches("c"), "a pod without a tenant may not")

    def stale(self):
        return self.agent.metric("partywall_kubernetes_stale") == 1

    def test_a_tier_deleted_in_use(self):
        def gone(tenant):
            conditions = self.server.must(self.server.get(f"{GROUP}/tenants/{tenant}")).get("status", {}).get("conditions", [])
            return [one["message"] for one in conditions if one["type"] == "Accepted" and "is gone" in one["message"]]

        self.places["b"].serve(servers.tcp_echo, self.places["b"].v4, 8080)
        wait_until(lambda: self.reaches("a"), 30, "both sides' rules let it pass")
        tier = next(yaml.safe_load_all(OBJECTS))
        self.server.must(self.server.delete(f"{GROUP}/tiers/{tier['metadata']['name']}"))
        wait_until(lambda: gone("acme") and gone("partner"), 30, "their statuses say that it is gone")
        self.expect_what_was_in_force()
        self.agent.kill()
        self.agent.start(timeout=60)
        wait_until(lambda: self.agent.metric("partywall_kubernetes_synced") == 1, 30, "the next agent knows the cluster")
        self.expect_what_was_in_force()
        self.server.add_policy([tier])
        wait_until(lambda: not gone("acme") and not gone("partner"), 30, "it is there again")
        self.expect_what_was_in_force()

    def test_without_its_api_server(self):
        self.places["b"].serve(servers.tcp_echo, self.places["b"].v4, 8080)
        wait_until(lambda: self.reaches("a"), 30, "both sides' rules let it pass")
        self.expect_what_was_in_force()
        wait_until(lambda: not self.stale(), 30, "it is up to date")

        # What changes now, it cannot know.
        self.proxy.refuse()
        self.server.must(self.server.call("PATCH", f"{GROUP}/tenants/partner", {
            "spec": {"network": {"ingress": []}}}, kind=MERGE))
        self.expect_what_was_in_force()
        wait_until(self.stale, 150, "it says that what it knows is old")
        self.expect_what_was_in_force()

        self.agent.kill()
        self.expect_what_was_in_force()
        self.agent.start(timeout=60)
        self.expect_what_was_in_force()
        self.assertTrue(self.stale())
        self.assertEqual(0, self.agent.metric("partywall_kubernetes_synced"))

        self.proxy.listen()
        wait_until(lambda: not self.reaches("a"), 90, "it enforces what was changed in the meantime")
        self.assertFalse(self.reaches("c"))
        wait_until(lambda: not self.stale(), 30, "it is up to date")
        self.assertEqual(1, self.agent.metric("partywall_kubernetes_synced"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

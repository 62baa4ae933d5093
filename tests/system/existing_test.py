# tests/system/existing_test.py: connections that are older than the agent: not cut by attaching, judged and
# counted from the next packet on, cut when the policy denies them.
import unittest

from attackers import clients, servers
from partywall import WorldTest, passed, refused, tenant, tenants, wait_until

ALLOW = """
  network:
    {direction}:
      - {word}: [{{tenant: {peer}}}]
"""
A_TO_B = (tenant("a", 1, ALLOW.format(direction="egress", word="to", peer="b")),
          tenant("b", 2, ALLOW.format(direction="ingress", word="from", peer="a")))
APART = (tenant("a", 1), tenant("b", 2))


class ExistingTest(WorldTest):
    hosts = ("a", "b", "c")
    policy = tenants(*A_TO_B, tenant("c", 3))
    start_agent = False

    def test_older_connections(self):
        a, b, c = (self.world.place(name, name) for name in "abc")
        server = b.serve(servers.tcp_echo, "::", 5001)
        friend = a.start(clients.talk, b.v4, server.port)
        friend6 = a.start(clients.talk, b.v6, server.port)
        foe = c.start(clients.talk, b.v4, server.port)
        for talker in (friend, friend6, foe):
            self.assertEqual("connected", talker.hear())
            self.assertTrue(talker.ask((b"before", 5)), "control: without an agent all talk")

        self.agent.start()

        for talker in (friend, friend6):
            self.assertTrue(talker.ask((b"x" * 100_000, 5)), "an allowed one goes on")
        usage = self.agent.usage()
        for name, directions in (("a", ("egress", "ingress")), ("b", ("egress", "ingress"))):
            for direction in directions:
                self.assertGreater(passed(usage[name], direction, "bytes"), 200_000)
                self.assertEqual(0, refused(usage[name], direction))
        self.assertFalse(foe.ask((b"after", 1)), "a denied one is cut at its next packet")
        self.assertGreater(refused(self.agent.usage("c"), "egress", "tenant_floor"), 0)

        # A policy that turns against a connection cuts it; one that turns back lets it go on.
        self.agent.apply(tenants(*APART, tenant("c", 3)))
        self.assertFalse(friend.ask((b"now denied", 1)))
        self.agent.apply(self.policy)
        wait_until(lambda: friend.ask((b"", 1)) and friend.ask((b"again", 2)), 20,
                   "the connection goes on")


if __name__ == "__main__":
    unittest.main(verbosity=2)

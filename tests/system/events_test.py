# tests/system/events_test.py: denials as JSON Lines: what they say, that a flood hides nobody's, that what
# is lost is counted.
import errno
import json
import unittest

from attackers import clients, crafted, floods, servers
from partywall import WorldTest, refused, tenant, tenants, wait_until, would_refuse

BUDGET = 50  # events at once, and per second


class EventsTest(WorldTest):
    hosts = ("a", "b", "c")
    policy = tenants(tenant("a", 1), tenant("b", 2), tenant("c", 3, mode="audit"))

    @classmethod
    def prepare(cls):
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")

    def wait_for_event(self, **fields):
        def found():
            return [event for event in self.agent.events()
                    if all(event.get(key) == value for key, value in fields.items())]

        return wait_until(found, 10, f"an event with {fields}")

    def test_denied_call(self):
        self.assert_errno(errno.EPERM, self.a.run, clients.tcp_ask, self.b.v4, 4001)
        event = self.wait_for_event(tenant="a", hook="connect", peer_port=4001)[0]
        self.assertEqual("tenant_floor", event["reason"])
        for told in (self.b.v4, "other_tenant", "testnode", '"b"', "TCP", "python"):
            self.assertIn(told.lower(), json.dumps(event).lower(), "the event says it")
        self.assertTrue(self.a.run(clients.tcp_ask, self.a.v4, self.a.serve(
            servers.tcp_echo, self.a.v4, 4002).port))
        self.assertEqual([], [one for one in self.agent.events() if one["peer_port"] == 4002],
                         "what is allowed is no event")

    def test_denied_packet(self):
        body = crafted.udp4(self.a.v4, self.b.v4, 4000, 4003, b"raw")
        self.assert_errno(errno.EPERM, self.a.run, crafted.raw4, self.b.v4, 17, body)
        event = self.wait_for_event(tenant="a", hook="egress", peer_port=4003)[0]
        self.assertEqual("tenant_floor", event["reason"])
        for told in (self.a.v4, self.b.v4, "UDP", "4000"):
            self.assertIn(told.lower(), json.dumps(event).lower())

    def test_audit(self):
        """c is in audit mode: its own verdicts are told and not carried out; b's still are."""
        before = self.agent.usage("c")["calls_would_deny"].get("tenant_floor", 0)
        self.c.run(clients.udp_send_strict, self.b.v4, 4004)
        self.wait_for_event(tenant="c", hook="sendmsg", peer_port=4004)
        self.wait_for_event(tenant="c", hook="egress", peer_port=4004)
        self.assertEqual(before + 1, self.agent.usage("c")["calls_would_deny"]["tenant_floor"])
        self.assertEqual({}, self.agent.usage("c")["calls_denied"])

    def test_by_command(self):
        self.assert_errno(errno.EPERM, self.a.run, clients.tcp_ask, self.b.v4, 4006)
        self.wait_for_event(tenant="a", peer_port=4006)
        said = self.agent.cli("events", "--tenant", "a", "-o", "json").stdout.splitlines()
        self.assertIn(4006, [json.loads(line)["peer_port"] for line in said])
        self.assertEqual({"a"}, {json.loads(line)["tenant"] for line in said})

    def test_flood_hides_nobody(self):
        floods_of_a = [self.a.start(floods.call_flood, self.b.v4, 4005) for _ in range(2)]
        for flood in floods_of_a:
            flood.hear()
            flood.tell("go")
        wait_until(lambda: self.agent.usage("a")["events"]["throttled"] > 10_000, 10,
                   "a's flood is over its budget")
        for number in range(BUDGET):
            self.b.run(clients.refusal, clients.udp_send_strict, self.a.v4, 4100 + number)

        def ports():
            return {event["peer_port"] for event in self.agent.events()
                    if event["tenant"] == "b" and event["hook"] == "sendmsg"}

        wait_until(lambda: set(range(4100, 4100 + BUDGET)) <= ports(), 10, "50 of 50 of b's events")
        self.assertEqual(0, self.agent.usage("b")["events"]["throttled"])
        for flood in floods_of_a:
            flood.tell("stop")
            flood.hear()
        self.assert_all_accounted("a")

    def assert_all_accounted(self, name):
        usage = self.agent.usage(name)
        denials = sum(usage["calls_denied"].values()) + sum(usage["calls_would_deny"].values()) + \
            sum(count(usage, direction) for count in (refused, would_refuse)
                for direction in ("egress", "ingress"))
        events = usage["events"]
        self.assertEqual(denials, events["sent"] + events["throttled"] + events["dropped"])
        wait_until(lambda: sum(event["tenant"] == name for event in self.agent.events()) ==
                   events["sent"], 10, "every event that was sent is in the file")
        self.assertGreater(events["throttled"], 0)
        print(f"  {name}: {denials} denials = {events['sent']} events + {events['throttled']} over "
              f"the budget + {events['dropped']} that the ring had no room for", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)

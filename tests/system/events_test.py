# tests/system/events_test.py: denials as JSON Lines: what they say, that a flood hides nobody's, that what
# is lost is counted.
import errno
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
        self.a.run(clients.refusal, clients.tcp_ask, self.b.v4, 4001)
        event = self.wait_for_event(tenant="a", hook="connect")[0]
        print(" ", event)

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

# tests/system/limits_test.py: a tenant's rates, measured with real traffic. Prints what it measured; never
# compares a rate with anything but the bytes that arrived.
import time
import unittest

from attackers import floods, servers
from partywall import (WorldTest, link_counters, passed, refused, tenant, tenants,
                       would_refuse)
from slow import SLOW, scaled

TO_WORLD = """
  network:
    egress:
      - to: [{cidr: 0.0.0.0/0}, {cidr: "::/0"}]
    ingress:
      - from: [{cidr: 0.0.0.0/0}, {cidr: "::/0"}]
"""
SECONDS = 5
IP_UDP = 28


def mbits(usual):
    """A rate in Mbit/s that this machine can exceed; at less than 10 the burst would be measured."""
    return max(10, scaled(usual))


def limited(direction, bits=None, packets=None, mode="enforce", burst=""):
    limits = "  limits:\n"
    if bits:
        limits += f"    {direction}: {{ceiling: {bits}{burst}}}\n"
    if packets:
        limits += f"    packetsPerSecond: {packets}\n"
    return tenants(tenant("a", 1, TO_WORLD, limits=limits if bits or packets else "", mode=mode))


class LimitsTest(WorldTest):
    hosts = ("a", "world")
    policy = limited("egress")

    @classmethod
    def prepare(cls):
        cls.a, cls.outside = cls.world.place("a", "a"), cls.world.place(None, "world")

    def setUp(self):
        self.world.offload("a", True)
        self.world.offload("world", True)

    def ends(self, direction):
        """(sender, receiver) so that tenant a is judged in that direction."""
        return (self.a, self.outside) if direction == "egress" else (self.outside, self.a)

    def udp_rate(self, direction, size=1400, cpus=(None,), seconds=SECONDS, mbit=None):
        """Wire bits and packets per second that arrive, senders going `mbit` (or all out)."""
        sender, receiver = self.ends(direction)
        sink = receiver.serve(servers.udp_counter, receiver.v4)
        pace = mbit * 1e6 / 8 / (size + IP_UDP) if mbit else None
        senders = [sender.start(floods.udp_flood, receiver.v4, sink.port, size, seconds, pace, cpu)
                   for cpu in cpus]
        for one in senders:
            one.hear()
        begin = time.monotonic()
        for one in senders:
            one.tell("go")
        for one in senders:
            one.hear(seconds + 20)
        elapsed = time.monotonic() - begin
        count_bytes, count = sink.ask("?")
        self.world.end_children()
        return (count_bytes + count * IP_UDP) * 8 / elapsed, count / elapsed

    def tcp_rate(self, direction, flows=4, seconds=SECONDS, **keywords):
        """Payload bits per second that arrive."""
        sender, receiver = self.ends(direction)
        sink = receiver.serve(servers.tcp_sink, receiver.v4)
        flood = sender.start(floods.tcp_flood, receiver.v4, sink.port, seconds, flows,
                             *keywords.values())
        flood.hear()
        begin = time.monotonic()
        flood.tell("go")
        flood.hear(seconds + 20)
        total = sink.ask("?")
        elapsed = time.monotonic() - begin
        self.world.end_children()
        return total * 8 / elapsed

    def check(self, what, measured, rate, least):
        """Never more than the rate; at least this part of it, where the machine can send so much."""
        print(f"  {what}: {measured / 1e6:.2f} Mbit/s of {rate / 1e6:.0f} "
              f"({measured / rate:.3f})", flush=True)
        self.assertLessEqual(measured, rate * 1.02, what)
        self.assertGreaterEqual(measured, rate * least * (1 if SLOW == 1 else 0.75), what)

    def test_control_without_a_limit(self):
        self.agent.apply(limited("egress") + "# no limit\n")
        for direction in ("egress", "ingress"):
            self.assertGreater(self.udp_rate(direction, seconds=1)[0], scaled(60e6))
            self.assertGreater(self.tcp_rate(direction, seconds=1), scaled(500e6))

    def test_rates(self):
        for mbit in sorted({mbits(usual) for usual in (10, 50, 400)}):
            for direction in ("egress", "ingress"):
                self.agent.apply(limited(direction, f"{mbit}Mbit"))
                # Not all out, so that a full receive buffer is not what is measured.
                rate, _ = self.udp_rate(direction, mbit=min(mbit * 2.5, mbits(700)))
                self.check(f"UDP {direction}", rate, mbit * 1e6, 0.80)
                self.check(f"4 x TCP {direction}", self.tcp_rate(direction), mbit * 1e6, 0.80)

    def test_without_offload(self):
        self.world.offload("a", False)
        self.world.offload("world", False)
        for direction in ("egress", "ingress"):
            self.agent.apply(limited(direction, f"{mbits(50)}Mbit"))
            self.check(f"4 x TCP {direction}, no GSO", self.tcp_rate(direction), mbits(50) * 1e6,
                       0.80)

    def test_small_segments_pay_for_their_headers(self):
        self.world.cut_before("world")
        rate = mbits(20) * 1e6
        self.agent.apply(limited("egress", f"{mbits(20)}Mbit"))
        header = self.world.frame_header_bytes("a", "world")
        before, counted = self.outside.run(link_counters), self.agent.usage("a")
        begin = time.monotonic()
        payload = self.tcp_rate("egress", flows=2, congestion="cubic", max_segment=88)
        elapsed = time.monotonic() - begin
        after, now = self.outside.run(link_counters), self.agent.usage("a")
        wire = after["rx_bytes"] - before["rx_bytes"] - \
            header * (after["rx_packets"] - before["rx_packets"])
        charged = passed(now, "egress", "bytes") - passed(counted, "egress", "bytes")
        self.check("TCP with segments of 88, on the wire", wire * 8 / elapsed, rate, 0.70)
        print(f"  of which payload {payload / 1e6:.2f}; charged / wire {charged / wire:.4f}")
        self.assertLess(abs(charged / wire - 1), 0.02)
        self.assertLess(payload, rate * 0.75, "headers are paid for")

    def test_two_processors_share_one_rate(self):
        mbit = mbits(100)
        self.agent.apply(limited("egress", f"{mbit}Mbit"))
        rate, _ = self.udp_rate("egress", cpus=(0, 1), mbit=mbit * 1.5)
        self.check("UDP from two processors", rate, mbit * 1e6, 0.80)

    def test_packets_per_second(self):
        self.agent.apply(limited("egress", packets="5k"))
        _, packets = self.udp_rate("egress", size=100, mbit=20)
        print(f"  {packets:.0f} packets/s of 5000")
        self.assertLessEqual(packets, 5000 * 1.02)
        self.assertGreaterEqual(packets, 5000 * 0.80)
        self.assertGreater(refused(self.agent.usage("a"), "egress", "limit_packets"), 1000)

    def test_change_under_traffic(self):
        sink = self.outside.serve(servers.udp_counter, self.outside.v4)
        self.agent.apply(limited("egress", "10Mbit"))
        flood = self.a.start(floods.udp_flood, self.outside.v4, sink.port, 1400, None, 20_000)
        flood.hear()
        flood.tell("go")
        for mbit in (50, 10, 100) if SLOW == 1 else (20, 10, 30):
            self.agent.apply(limited("egress", f"{mbit}Mbit"))
            begin, (first, count_first) = time.monotonic(), sink.ask("?")
            # Time is what is measured here: two seconds of it.
            flood.pipe.poll(2)
            elapsed, (last, count) = time.monotonic() - begin, sink.ask("?")
            rate = (last - first + (count - count_first) * IP_UDP) * 8 / elapsed
            print(f"  changed to {mbit} Mbit/s: {rate / 1e6:.2f}", flush=True)
            self.assertLess(abs(rate / (mbit * 1e6) - 1), 0.10)
        sent, refusals = flood.ask("stop")
        self.assertGreater(sent, 0)
        self.assertEqual(0, refusals, "what is over a rate is lost as on a full link: no EPERM")
        self.assertGreater(refused(self.agent.usage("a"), "egress", "limit_bytes"), 1000)

    def test_audit_counts_and_lets_pass(self):
        self.agent.apply(limited("egress", "10Mbit", mode="audit"))
        before = would_refuse(self.agent.usage("a"), "egress", "limit_bytes")
        sender = self.a.start(floods.udp_flood, self.outside.v4, 9, 1400, 1, 5000)
        sender.hear()
        sent, refusals = sender.ask("go")
        usage = self.agent.usage("a")
        self.assertEqual(0, refusals)
        over = would_refuse(usage, "egress", "limit_bytes") - before
        print(f"  audit: {over} of {sent} packets over 10 Mbit/s, all passed")
        self.assertGreater(over, sent * 0.5)


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/system/accounting_test.py: what is counted is what was there: bytes and packets against the
# interface, connections, refusals and system calls against what the programs did.
import json
import os
import platform
import socket
import subprocess
import tempfile
import unittest

from attackers import clients, crafted, floods, servers
from partywall import (WorldTest, link_counters, passed, refused, run, tenant,
                       tenants, wait_until)

OPEN_WORLD = """
  network:
    egress:
      - to: [{cidr: 0.0.0.0/0}]
    ingress:
      - from: [{cidr: 0.0.0.0/0}]
"""
WINDOW = 16_000  # so little under way that no queue between the two ends overflows
NOBODY = "(unattributed)"
X86 = platform.machine() == "x86_64"


def totals(usage, direction):
    return {field: passed(usage, direction, field) for field in ("bytes", "packets")}


class InterfaceTest(WorldTest):
    """Everything that crosses a's interface is IPv4 of a's own sockets, so sums must be equal."""

    hosts = ("a", "world")
    policy = tenants(tenant("a", 1, OPEN_WORLD))

    @classmethod
    def prepare(cls):
        world = cls.world
        cls.a, cls.outside = world.place("a", "a"), world.place(None, "world")
        cls.stranger = world.place("stranger", "a")
        hosts = {"a": cls.a, "world": cls.outside}
        for name, place in hosts.items():
            place.command("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            world.cut_before(name)  # from here on interfaces receive packets as a wire carries them
        for name, other in (("a", "world"), ("world", "a")):
            free = world.place(None, name)
            address = world.place(None, other).run(hardware_address)
            free.command("ip", "neigh", "replace", hosts[other].v4, "lladdr", address, "dev", "eth0",
                         "nud", "permanent")

    def wire(self):
        """What was received at both ends: a's ingress, and a's egress seen from the other end."""
        away, home = self.outside.run(link_counters), self.a.run(link_counters)
        return {direction: {"bytes": end["rx_bytes"] - self.header[direction] * end["rx_packets"],
                            "packets": end["rx_packets"]}
                for direction, end in (("egress", away), ("ingress", home))}

    def measure_headers(self):
        self.header = {"egress": self.world.frame_header_bytes("a", "world"),
                       "ingress": self.world.frame_header_bytes("world", "a")}

    def reconcile(self, what, traffic):
        """Runs traffic() and holds counters against interfaces: equal to the byte."""
        wire, counted = self.wire(), self.agent.usage("a")
        traffic()
        differences = None

        def equal():
            nonlocal differences
            now_wire, now = self.wire(), self.agent.usage("a")
            differences = {
                (direction, field): (now_wire[direction][field] - wire[direction][field],
                                     totals(now, direction)[field] -
                                     totals(counted, direction)[field])
                for direction in ("egress", "ingress") for field in ("bytes", "packets")}
            return all(one == other for one, other in differences.values())

        try:
            wait_until(equal, 5, what)  # the last packets may still be on their way
        except AssertionError:
            self.fail(f"{what}: (interface, counted): {differences}")
        print(f"  {what}: {differences['egress', 'bytes'][0]} B out, "
              f"{differences['ingress', 'bytes'][0]} B in: equal", flush=True)
        self.assertGreater(differences["egress", "bytes"][0], 0)

    def test_bytes_and_packets(self):
        for offload in (True, False):
            self.world.offload("a", offload)
            self.world.offload("world", offload)
            self.measure_headers()
            state = "offload on" if offload else "offload off"
            for max_segment in (None, 88):
                size = 20_000_000 if max_segment is None else 2_000_000
                sink = self.outside.serve(servers.tcp_sink, self.outside.v4, 0, WINDOW)
                self.reconcile(f"TCP out, segments {max_segment or 1448}, {state}",
                               lambda: self.a.run(floods.tcp_send_exactly, self.outside.v4,
                                                  sink.port, size, max_segment))
                home = self.a.serve(servers.tcp_sink, self.a.v4, 0, WINDOW)
                self.reconcile(f"TCP in, segments {max_segment or 1448}, {state}",
                               lambda: self.outside.run(floods.tcp_send_exactly, self.a.v4,
                                                        home.port, size, max_segment))
            udp = self.outside.serve(servers.udp_echo, self.outside.v4)
            self.reconcile(f"UDP, {state}", lambda: [self.a.run(
                clients.udp_ask, self.outside.v4, udp.port, b"u" * size) for size in (1, 500, 1472)])
            # To one that does not answer: what comes for a closed socket is nobody's.
            silent = self.outside.serve(servers.udp_counter, self.outside.v4)
            self.reconcile(f"UDP in super-packets, {state}", lambda: self.a.run(
                floods.udp_send_segmented, self.outside.v4, silent.port, 1000, 20))
            self.reconcile(f"ping, {state}", lambda: self.a.run(clients.ping, self.outside.v4))

    def test_unclaimed_cgroups_have_a_row(self):
        """What nobody's process receives is refused, and still adds up with the interface."""
        self.stranger.serve(servers.raw_sink, socket.AF_INET, 132)
        self.measure_headers()
        wire = self.wire()["ingress"]["bytes"]
        before = refused(self.agent.usage(NOBODY), "ingress", "unknown_cgroup", "bytes")
        for _ in range(10):
            self.outside.run(crafted.raw4, self.a.v4, 132, b"n" * 100)
        row = wait_until(lambda: self._grown(before, 10 * 120), 5, "10 packets counted")
        self.assertEqual(before + 10 * 120, row)
        self.assertEqual(10 * 120, self.wire()["ingress"]["bytes"] - wire)

    def _grown(self, before, least):
        now = refused(self.agent.usage(NOBODY), "ingress", "unknown_cgroup", "bytes")
        return now if now >= before + least else None


class CountTest(WorldTest):
    hosts = ("a", "b", "c")
    policy = tenants(
        tenant("a", 1, "\n  network:\n    egress: [{to: [{tenant: b}]}]\n"),
        tenant("b", 2, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n"),
        tenant("c", 3))

    @classmethod
    def prepare(cls):
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")

    def test_connections(self):
        server = self.b.serve(servers.tcp_echo, "::")
        before = self.agent.usage()
        for number in range(37):
            address = self.b.v4 if number % 2 else self.b.v6
            self.assertTrue(self.a.run(clients.tcp_ask, address, server.port))
        for _ in range(11):
            self.c.run(clients.refusal, clients.tcp_ask, self.b.v4, server.port)
        now = self.agent.usage()
        for name, direction, wanted in (("a", "egress", 37), ("b", "ingress", 37),
                                        ("c", "egress", 0), ("b", "egress", 0)):
            self.assertEqual(wanted, now[name][direction]["connections"] -
                             before[name][direction]["connections"], (name, direction))
        self.assertEqual(11, now["c"]["calls_denied"]["tenant_floor"] -
                         before["c"]["calls_denied"].get("tenant_floor", 0))
        self.assertEqual(before["a"]["calls_denied"], now["a"]["calls_denied"])

    def test_counters_only_grow(self):
        server = self.b.serve(servers.tcp_echo, "::")
        last = totals(self.agent.usage("a"), "egress")
        for _ in range(3):
            self.assertTrue(self.a.run(clients.tcp_ask, self.b.v4, server.port, b"x" * 10_000))
            self.agent.kill()
            self.assertTrue(self.a.run(clients.tcp_ask, self.b.v4, server.port, b"x" * 10_000))
            between = totals(self.agent.usage("a"), "egress")
            self.assertGreaterEqual(between["bytes"], last["bytes"] + 20_000, "counted meanwhile")
            self.agent.start()
            now = totals(self.agent.usage("a"), "egress")
            for field in now:
                self.assertGreaterEqual(now[field], between[field], field)
            self.assertEqual(now["bytes"], self.agent.metric(
                "partywall_traffic_bytes_total", tenant="a", direction="egress", verdict="allow"))
            last = now


class SystemCallTest(WorldTest):
    hosts = ("a",)
    policy = tenants(tenant("a", 1), tenant("b", 2))

    @classmethod
    def prepare(cls):
        cls.a, cls.b = cls.world.place("a", "a"), cls.world.place("b", "a")
        cls.folder = tempfile.TemporaryDirectory(prefix="pw-sys-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.program = cls.folder.name + "/system_calls"
        source = os.path.join(os.path.dirname(__file__), "attackers/system_calls.c")
        run("gcc", "-O1", "-o", cls.program, source)

    def count(self, tenant_name, abi):
        return self.agent.metric("partywall_syscalls_total", tenant=tenant_name, abi=abi,
                                 syscall="getppid") or 0

    def test_exact(self):
        self.a.command(self.program, "0", "0")
        native, compat, others = self.count("a", "native"), self.count("a", "compat"), \
            self.count("b", "native")
        self.a.command(self.program, "12345", "678")
        self.assertEqual(12345, self.count("a", "native") - native)
        if X86:
            self.assertEqual(678, self.count("a", "compat") - compat)
        self.assertEqual(others, self.count("b", "native"))
        self.b.command(self.program, "99", "0")
        self.assertEqual(99, self.count("b", "native") - others)

    def test_switched_off(self):
        self.agent.terminate()
        self.agent.start("--syscalls", "false")
        try:
            self.assertNotIn("syscall_enter", os.listdir(self.agent.bpffs + "/links"))
            before = self.agent.metric("partywall_syscalls_total", tenant="a")
            self.a.command(self.program, "1000", "0")
            self.assertEqual(before, self.agent.metric("partywall_syscalls_total", tenant="a"))
        finally:
            self.agent.terminate()
            self.agent.start()
        self.assertIn("syscall_enter", os.listdir(self.agent.bpffs + "/links"))


def hardware_address():
    return json.loads(subprocess.run(["ip", "-j", "link", "show", "eth0"], capture_output=True,
                                     text=True, check=True).stdout)[0]["address"]


if __name__ == "__main__":
    unittest.main(verbosity=2)

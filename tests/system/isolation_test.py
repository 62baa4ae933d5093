# tests/system/isolation_test.py: who reaches whom, with real sockets and with crafted packets. Every
# refusal has its control: the same traffic between processes that no tenant owns arrives.
import errno
import os
import socket
import unittest

from attackers import clients, crafted, servers
from partywall import WorldTest, refused, tenant, tenants, wait_until

OPEN, CLOSED = 5001, 5002

PORTS = f"""ports: [{{protocol: TCP, port: {OPEN}}}, {{protocol: UDP, port: {OPEN}}}, {{protocol: ICMP}}]"""
A = tenant("a", 1, f"""
  network:
    egress:
      - to: [{{tenant: b}}]
        {PORTS}
      - to: [{{cidr: 0.0.0.0/0}}, {{cidr: "::/0"}}]
""")
B = tenant("b", 2, f"""
  network:
    ingress:
      - from: [{{tenant: a}}]
        {PORTS}
""")
# c lets a in, which a does not ask for; and asks for b, who does not let it in.
C = tenant("c", 3, """
  network:
    ingress:
      - from: [{tenant: a}]
    egress:
      - to: [{tenant: b}]
""")
GLOB = """apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: globbed}
spec:
  tier: plain
  members:
    - cgroup: $ROOT/pods/*/g-*
      addresses: [10.77.4.0/24]
"""


class IsolationTest(WorldTest):
    policy = tenants(A, B, C, GLOB)

    @classmethod
    def prepare(cls):
        cls.a, cls.a2 = cls.world.place("a", "a"), cls.world.place("a", "a2")
        cls.b, cls.c = cls.world.place("b", "b"), cls.world.place("c", "c")
        # The same hosts without a tenant: the control.
        cls.free = {name: cls.world.place(None, name) for name in cls.world.hosts}
        cls.outside = cls.free["world"]

    def assert_refused_at_once(self, place, function, *args):
        number, seconds = place.run(clients.refusal, function, *args)
        self.assertEqual(errno.EPERM, number, f"{function.__name__}{args}")
        self.assertLess(seconds, 0.1)

    def assert_silent(self, sink, tenant_name, direction, reason, attack, count=1):
        """attack() brings `count` refusals of that reason, exactly, and nothing to the sink."""
        before = len(sink.ask("?"))
        counted = refused(self.agent.usage(tenant_name), direction, reason)
        attack()
        wait_until(lambda: refused(self.agent.usage(tenant_name), direction, reason) >=
                   counted + count, 5, f"{count} x {reason} counted for {tenant_name}")
        self.assertEqual(counted + count,
                         refused(self.agent.usage(tenant_name), direction, reason))
        self.assertEqual(before, len(sink.ask("?")))

    def assert_arrives(self, sink, payload):
        wait_until(lambda: any(payload in data for data, _ in sink.ask("?")), 5,
                   f"{payload} at the sink")

    # --- the matrix

    def test_matrix(self):
        places = {"a": self.a, "b": self.b, "c": self.c}
        allowed = {("a", "b")} | {(name, name) for name in places}
        wrong = []
        for target_name, target in places.items():
            for family in (0, 1):
                address = (target.v4, target.v6)[family]
                tcp = target.serve(servers.tcp_echo, address, OPEN)
                udp = target.serve(servers.udp_echo, address, OPEN)
                for source_name, source in places.items():
                    wanted = 0 if (source_name, target_name) in allowed else errno.EPERM
                    for attempt in ((clients.tcp_ask, address, OPEN),
                                    (clients.udp_ask, address, OPEN),
                                    (clients.ping, address, 0.5)):
                        number, seconds = source.run(clients.refusal, *attempt)
                        if wanted and family and attempt[0] is clients.ping:
                            # The kernel drops it and does not tell the sender.
                            if number != errno.ETIMEDOUT:
                                wrong.append((source_name, target_name, "ping6", number))
                        elif number != wanted or (wanted and seconds > 0.1):
                            wrong.append((source_name, target_name, attempt[0].__name__, address,
                                          os.strerror(number), seconds))
                tcp.end()
                udp.end()
        self.assertEqual([], wrong)

    def test_one_tenant_on_two_hosts(self):
        server = self.a2.serve(servers.tcp_echo, "::", 6000)
        for address in (self.a2.v4, self.a2.v6):
            self.assertTrue(self.a.run(clients.tcp_ask, address, server.port))
            self.assertTrue(self.a.run(clients.ping, address))

    def test_port_that_no_rule_names(self):
        self.b.serve(servers.tcp_echo, self.b.v4, CLOSED)
        for address in (self.b.v4, self.b.v6):
            self.assert_refused_at_once(self.a, clients.tcp_ask, address, CLOSED)
            self.assert_refused_at_once(self.a, clients.udp_ask, address, CLOSED)
        self.assertTrue(self.b.run(clients.tcp_ask, self.b.v4, CLOSED))

    # --- calls

    def test_v4_mapped(self):
        self.b.serve(servers.tcp_echo, self.b.v4, OPEN)
        self.b.serve(servers.udp_echo, self.b.v4, OPEN)
        for ask in (clients.tcp_ask, clients.udp_ask):
            self.assertTrue(self.a.run(ask, "::ffff:" + self.b.v4, OPEN))
            self.assert_refused_at_once(self.a, ask, "::ffff:" + self.c.v4, OPEN)

    def test_address_of_no_family(self):
        sink = self.b.serve(servers.udp_sink, self.b.v4, OPEN)
        self.a.run(clients.udp_send_unspec, self.b.v4, OPEN, b"unspec")
        self.assert_arrives(sink, b"unspec")
        self.assert_refused_at_once(self.a, clients.udp_send_unspec, self.c.v4, OPEN)

    def test_connected_udp(self):
        self.b.serve(servers.udp_echo, self.b.v4, OPEN)
        self.assertTrue(self.a.run(clients.udp_ask, self.b.v4, OPEN, b"x", 2, True))
        self.assert_refused_at_once(self.a, clients.udp_ask, self.c.v4, OPEN, b"x", 2, True)

    def test_ping_sockets(self):
        for address in (self.b.v4, self.b.v6):
            self.assertTrue(self.a.run(clients.ping, address, 2, False, True))
            self.assertTrue(self.a.run(clients.ping, address, 2, True))
        for raw, connected in ((False, False), (False, True), (True, False)):
            self.assert_refused_at_once(self.a, clients.ping, self.c.v4, 2, raw, connected)
        self.assert_refused_at_once(self.a, clients.ping, self.c.v6, 2, False, True)
        before = refused(self.agent.usage("a"), "egress", "tenant_floor")
        self.assert_errno(errno.ETIMEDOUT, self.a.run, clients.ping, self.c.v6, 0.5)
        self.assertEqual(before + 1, refused(self.agent.usage("a"), "egress", "tenant_floor"),
                         "the kernel does not tell the sender of an ICMPv6 packet that it dropped it")

    def test_bind_to_a_foreign_address(self):
        for address in (self.b.v4, self.b.v6, "10.77.9.77"):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                self.assert_refused_at_once(self.a, clients.bind_only, address, 0, kind)
                self.assert_errno(errno.EADDRNOTAVAIL, self.free["a"].run, clients.bind_only,
                                  address, 0, kind)
        for address in (self.a.v4, self.a.v6, "0.0.0.0", "::", "127.0.0.1"):
            self.assertTrue(self.a.run(clients.bind_only, address))

    def test_fast_open(self):
        self.b.serve(servers.tcp_echo, self.b.v4, OPEN)
        for by_connect in (False, True):
            self.assertTrue(self.a.run(clients.fast_open, self.b.v4, OPEN, by_connect))
            self.assert_refused_at_once(self.a, clients.fast_open, self.c.v4, OPEN, by_connect)

    def test_mptcp(self):
        self.b.serve(servers.tcp_echo, self.b.v4, OPEN, clients.IPPROTO_MPTCP)
        ask = (clients.tcp_ask, self.b.v4, OPEN, b"x", 3, None, clients.IPPROTO_MPTCP)
        self.assertTrue(self.a.run(*ask))
        self.assert_refused_at_once(self.c, *ask)

    # --- the world

    def test_world_answers_and_does_not_ask(self):
        self.outside.serve(servers.tcp_echo, self.outside.v4, 80)
        self.outside.serve(servers.udp_echo, self.outside.v4, 53)
        self.outside.serve(servers.udp_echo, self.outside.v6, 53)
        self.assertTrue(self.a.run(clients.tcp_ask, self.outside.v4, 80))
        for address in (self.outside.v4, self.outside.v6):
            self.assertTrue(self.a.run(clients.udp_ask, address, 53))
            self.assertTrue(self.a.run(clients.udp_ask, address, 53, b"x", 2, True))
            self.assertTrue(self.a.run(clients.ping, address))
        sink = self.a.serve(servers.udp_sink, self.a.v4)
        free_sink = self.free["a"].serve(servers.udp_sink, self.a.v4)
        self.assert_silent(sink, "a", "ingress", "world", lambda: self.outside.run(
            clients.udp_send, self.a.v4, sink.port, b"unasked", 3), 3)
        self.outside.run(clients.udp_send, self.a.v4, free_sink.port, b"unasked")
        self.assert_arrives(free_sink, b"unasked")
        server = self.a.serve(servers.tcp_echo, self.a.v4)
        self.assert_errno(errno.ETIMEDOUT, self.outside.run, clients.tcp_ask, self.a.v4,
                          server.port, b"x", 0.5)
        # c has a list of its own that names nobody outside.
        self.assert_refused_at_once(self.c, clients.tcp_ask, self.outside.v4, 80)

    def test_reply_from_another_port_is_unasked(self):
        echo = self.outside.serve(servers.udp_echo, self.outside.v4, 53)
        sink = self.a.serve(servers.udp_sink, self.a.v4)
        self.assertEqual(53, echo.port)
        self.assert_silent(sink, "a", "ingress", "world", lambda: self.outside.run(
            clients.udp_send, self.a.v4, sink.port, b"forged", 1, self.outside.v4, 5353))

    # --- crafted packets

    def test_spoofed_source(self):
        for spoof, address, victims in (
                (crafted.spoof4, self.b.v4, (self.c.v4, "10.77.9.77")),
                (crafted.spoof6, self.b.v6, (self.c.v6, "fd77:0:0:9::77"))):
            sink = self.b.serve(servers.udp_sink, address, OPEN)
            for source in victims:
                self.assert_silent(sink, "a", "egress", "source_address", lambda: self.assertEqual(
                    errno.EPERM, self.a.run(clients.refusal, spoof, source, address, OPEN,
                                            b"spoof")[0]))
            own = self.a.v6 if ":" in address else self.a.v4
            self.a.run(spoof, own, address, OPEN, b"own source")
            self.assert_arrives(sink, b"own source")
            free_sink = self.free["b"].serve(servers.udp_sink, address)
            self.free["a"].run(spoof, victims[0], address, free_sink.port, b"spoof")
            self.assert_arrives(free_sink, b"spoof")
            sink.end()

    def test_raw_socket_to_a_port_that_no_rule_names(self):
        sink = self.b.serve(servers.udp_sink, self.b.v4, CLOSED)
        self.assert_silent(sink, "a", "egress", "tenant_port", lambda: self.assertEqual(
            errno.EPERM, self.a.run(clients.refusal, crafted.spoof4, self.a.v4, self.b.v4, CLOSED,
                                    b"raw")[0]))
        body = crafted.udp4(self.a.v4, self.b.v4, 4000, CLOSED, b"raw")
        for send in (crafted.raw4, crafted.raw4_connected):
            self.assert_silent(sink, "a", "egress", "tenant_port", lambda: self.assertEqual(
                errno.EPERM, self.a.run(clients.refusal, send, self.b.v4, 17, body)[0]))

    def test_other_protocols(self):
        sink = self.free["b"].serve(servers.raw_sink, socket.AF_INET, 132)
        self.assert_silent(sink, "a", "egress", "protocol", lambda: self.assertEqual(
            errno.EPERM, self.a.run(clients.refusal, crafted.raw4, self.b.v4, 132, b"sctp!")[0]))
        self.free["a"].run(crafted.raw4, self.b.v4, 132, b"sctp!")
        self.assert_arrives(sink, b"sctp!")

    def test_ip_options(self):
        sink = self.b.serve(servers.udp_sink, self.b.v4, OPEN)
        free_sink = self.free["b"].serve(servers.udp_sink, self.b.v4)
        for number, attack in enumerate((
                lambda place, port, data: place.run(clients.refusal, crafted.options_by_setsockopt,
                                                    self.b.v4, port, data),
                lambda place, port, data: place.run(clients.refusal, crafted.options_by_cmsg,
                                                    self.b.v4, port, data),
                lambda place, port, data: place.run(clients.refusal, crafted.options4, place.v4,
                                                    self.b.v4, port, data))):
            self.assert_silent(sink, "a", "egress", "ip_options", lambda: self.assertEqual(
                errno.EPERM, attack(self.a, OPEN, b"options")[0]))
            self.assertEqual(0, attack(self.free["a"], free_sink.port, b"control %d" % number)[0])
            self.assert_arrives(free_sink, b"control %d" % number)

    def test_fragments(self):
        sink = self.b.serve(servers.udp_sink, self.b.v4, OPEN)
        free_sink = self.free["b"].serve(servers.udp_sink, self.b.v4)
        for first in (8, 16):  # 8: nothing but the UDP header
            self.assert_silent(sink, "a", "egress", "fragment", lambda: self.assertEqual(
                errno.EPERM, self.a.run(clients.refusal, crafted.fragments4, self.a.v4, self.b.v4,
                                        OPEN, b"f" * 40, first)[0]))
            self.free["a"].run(crafted.fragments4, self.a.v4, self.b.v4, free_sink.port,
                               b"control" * first, first)
            self.assert_arrives(free_sink, b"control" * first)
        sink6 = self.b.serve(servers.udp_sink, self.b.v6, OPEN)
        self.assert_silent(sink6, "a", "egress", "fragment", lambda: self.assertEqual(
            errno.EPERM, self.a.run(clients.refusal, crafted.fragments6, self.a.v6, self.b.v6,
                                    OPEN, b"f" * 40)[0]))
        free_sink6 = self.free["b"].serve(servers.udp_sink, self.b.v6)
        self.free["a"].run(crafted.fragments6, self.a.v6, self.b.v6, free_sink6.port, b"c" * 40)
        self.assert_arrives(free_sink6, b"c" * 40)

    def test_datagram_that_the_kernel_fragments(self):
        for address in (self.b.v4, self.b.v6):
            server = self.b.serve(servers.udp_echo, address, OPEN)
            self.assertTrue(self.a.run(clients.udp_ask, address, OPEN, b"large" * 1000))
            self.assert_refused_at_once(self.a, clients.udp_ask, address, CLOSED, b"large" * 1000)
            server.end()

    def test_extension_headers(self):
        sink = self.b.serve(servers.udp_sink, self.b.v6, OPEN)
        closed = self.b.serve(servers.udp_sink, self.b.v6, CLOSED)
        free_sink = self.free["b"].serve(servers.udp_sink, self.b.v6)
        for headers in ((60,), (0, 60), (60, 60, 60)):
            text = b"behind %d" % len(headers) + bytes(headers)
            self.a.run(crafted.extension6, self.a.v6, self.b.v6, OPEN, text, headers)
            self.assert_arrives(sink, text)
            self.assert_silent(closed, "a", "egress", "tenant_port", lambda: self.assertEqual(
                errno.EPERM, self.a.run(clients.refusal, crafted.extension6, self.a.v6, self.b.v6,
                                        CLOSED, text, headers)[0]))
        many = (60,) * 7
        for headers in (many, (43,)):
            self.assert_silent(sink, "a", "egress", "extension_header", lambda: self.assertEqual(
                errno.EPERM, self.a.run(clients.refusal, crafted.extension6, self.a.v6, self.b.v6,
                                        OPEN, b"x", headers)[0]))
        self.free["a"].run(crafted.extension6, self.a.v6, self.b.v6, free_sink.port, b"many", many)
        self.assert_arrives(free_sink, b"many")

    def test_multicast(self):
        for group in ("239.7.7.7", "ff05::77"):
            member = self.b.serve(servers.join_group, group, 7700)
            control = self.free["c"].serve(servers.join_group, group, 7700)
            self.assert_refused_at_once(self.a, clients.udp_send_strict, group, 7700)
            self.assert_silent(member, "b", "ingress", "multicast", lambda: self.outside.run(
                clients.udp_send, group, 7700, b"to the group"))
            wait_until(lambda: b"to the group" in control.ask("?"), 5, "the group's other member")
            member.end()
            control.end()

    # --- loopback: tenants that share a network namespace

    def test_loopback_between_tenants(self):
        b, c = self.world.place("b", "a"), self.world.place("c", "a")
        for address in ("127.0.0.1", "::1", self.a.v4):
            if address == self.a.v4:
                tcp = self.a.serve(servers.tcp_echo, address, CLOSED)
                udp = self.a.serve(servers.udp_echo, address, CLOSED)
                friend = self.a
            else:
                tcp = b.serve(servers.tcp_echo, address, CLOSED)
                udp = b.serve(servers.udp_echo, address, CLOSED)
                friend = b
            for ask in (clients.tcp_ask, clients.udp_ask):
                self.assert_refused_at_once(c, ask, address, CLOSED)
                self.assertTrue(friend.run(ask, address, CLOSED))
                self.assertTrue(self.free["a"].run(ask, address, CLOSED), "a host process")
            tcp.end()
            udp.end()

    def test_loopback_to_a_port_that_nobody_bound_by_name(self):
        b, c = self.world.place("b", "a"), self.world.place("c", "a")
        sink = b.serve(unbound_sink)
        self.assert_silent(sink, "b", "ingress", "tenant_floor", lambda: c.run(
            clients.udp_send, "127.0.0.1", sink.port, b"unasked"))
        b.run(clients.udp_send, "127.0.0.1", sink.port, b"friend")
        self.assert_arrives(sink, b"friend")
        listener = b.serve(unbound_listener)
        self.assert_errno(errno.ETIMEDOUT, c.run, clients.tcp_ask, "127.0.0.1", listener.port,
                          b"x", 0.5)
        self.assertTrue(b.run(clients.tcp_ask, "127.0.0.1", listener.port))

    def test_port_theft(self):
        b, c = self.world.place("b", "a"), self.world.place("c", "a")
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            holder = b.serve(hold_port, kind, 7000)
            before = self.agent.usage("c")["calls_denied"].get("port_owned", 0)
            for address in ("0.0.0.0", "127.0.0.1"):
                self.assert_errno(errno.EPERM, c.run, clients.bind_only, address, 7000, kind, True)
            self.assertEqual(before + 2, self.agent.usage("c")["calls_denied"]["port_owned"])
            self.assertTrue(b.run(clients.bind_only, "0.0.0.0", 7000, kind, True))
            holder.end()
            self.assertTrue(c.run(clients.bind_only, "0.0.0.0", 7000, kind, True))

    # --- sockets that change hands

    def channel(self):
        ends = socket.socketpair()
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def test_socket_belongs_to_who_made_it(self):
        self.b.serve(servers.udp_echo, self.b.v4, OPEN)
        # c's socket in a's hands reaches b no more than c does ...
        ours, theirs = self.channel()
        before = refused(self.agent.usage("c"), "egress", "tenant_floor")
        self.c.start(clients.hold_socket, ours).hear()
        self.assert_errno(errno.EPERM, self.a.run, clients.use_socket, theirs, (self.b.v4, OPEN),
                          b"stolen")
        self.assertEqual(before + 1, refused(self.agent.usage("c"), "egress", "tenant_floor"))
        # ... and a's socket in the hands of a host process reaches what a reaches, and no more.
        for target, wanted in ((self.b.v4, True), (self.c.v4, False)):
            self.a.start(clients.hold_socket, ours).hear()
            attempt = (self.outside.run, clients.use_socket, theirs, (target, OPEN), b"lent",
                       socket.SOCK_DGRAM, socket.AF_INET, 2)
            if wanted:
                self.assertEqual(b"lent", attempt[0](*attempt[1:]))
            else:
                self.assert_errno(errno.EPERM, *attempt)

    def test_socket_outlives_its_cgroup(self):
        self.b.serve(servers.udp_echo, self.b.v4, OPEN)
        for target, wanted in ((self.b.v4, True), (self.c.v4, False)):
            ours, theirs = self.channel()
            brief = self.world.place("a/brief", "a")
            child = brief.start(clients.hold_socket, ours)
            child.hear()
            child.end()
            wait_until(lambda: self._removed(brief.cgroup), 5, "the cgroup is gone")
            attempt = (self.outside.run, clients.use_socket, theirs, (target, OPEN), b"late",
                       socket.SOCK_DGRAM, socket.AF_INET, 2)
            if wanted:
                self.assertEqual(b"late", attempt[0](*attempt[1:]))
            else:
                self.assert_errno(errno.EPERM, *attempt)

    @staticmethod
    def _removed(folder):
        try:
            os.rmdir(folder)
            return True
        except OSError:
            return not os.path.exists(folder)

    # --- cgroups

    def test_unclassified_cgroup(self):
        stranger = self.world.place("stranger", "a")
        sink = self.outside.serve(servers.udp_sink, self.outside.v4)
        for target, port in ((self.outside.v4, sink.port), (self.b.v4, OPEN), (self.a.v4, 9)):
            self.assert_refused_at_once(stranger, clients.udp_ask, target, port)
            self.assert_refused_at_once(stranger, clients.tcp_ask, target, port)
        self.assert_refused_at_once(stranger, clients.ping, self.outside.v4)
        self.assertEqual([], sink.ask("?"))
        self.assertEqual(0, self.free["a"].run(clients.udp_send, self.outside.v4, sink.port))
        wait_until(lambda: sink.ask("?"), 5, "the control's datagram")

    def test_fresh_cgroups_belong_from_their_first_packet(self):
        self.b.serve(servers.udp_echo, self.b.v4, OPEN)
        failures = self.free["a"].run(fresh_children, self.world.path("a"), 500, clients.udp_ask,
                                      (self.b.v4, OPEN), timeout=120)
        self.assertEqual({0: 500}, failures, "of a: all pass")
        failures = self.free["c"].run(fresh_children, self.world.path("c"), 500, clients.udp_ask,
                                      (self.b.v4, OPEN), timeout=120)
        self.assertEqual({errno.EPERM: 500}, failures, "of c: none passes")

    def test_glob_members(self):
        server = self.outside.serve(servers.udp_echo, self.outside.v4)
        ask = (clients.udp_ask, self.outside.v4, server.port)
        other = self.world.place("pods/one/h-1", "d")
        member = self.world.place("pods/one/g-1", "d")
        wait_until(lambda: member.run(clients.refusal, *ask)[0] == 0, 5, "g-1 is classified")
        below = self.world.place("pods/one/g-1/below", "d")
        self.assertTrue(below.run(*ask))
        self.assert_refused_at_once(other, *ask)

    def test_outside_the_managed_root_nothing_changes(self):
        free = self.free
        before = self.agent.usage()
        tcp = free["b"].serve(servers.tcp_echo, "::", 8000)
        udp = free["b"].serve(servers.udp_echo, "::", 8000)
        self.assertEqual((8000, 8000), (tcp.port, udp.port))
        for address in (free["b"].v4, free["b"].v6):
            for ask in (clients.tcp_ask, clients.udp_ask):
                self.assertTrue(free["c"].run(ask, address, 8000))
            self.assertTrue(free["c"].run(clients.ping, address))
        self.assertEqual(before, self.agent.usage())


def unbound_sink(pipe):
    """A UDP socket that got its port from a send, not from bind()."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.sendto(b"x", ("127.0.0.1", 9))
    pipe.send(server.getsockname()[1])
    server.setblocking(False)
    seen = []
    while True:
        pipe.recv()
        try:
            while True:
                seen.append(server.recvfrom(4096))
        except (BlockingIOError, ConnectionRefusedError):
            pass
        pipe.send(list(seen))


def unbound_listener(pipe):
    """A TCP socket that got its port from listen()."""
    listener = socket.socket()
    listener.listen()
    pipe.send(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.sendall(connection.recv(4096))


def hold_port(pipe, kind, port):
    holder = socket.socket(socket.AF_INET, kind)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        holder.listen()
    pipe.send(port)
    pipe.recv()


def fresh_children(parent, count, function, args):
    """Makes `count` cgroups one after another; in each, a new process makes its first call at once.
    Returns {errno: how often}."""
    outcomes = {}
    for number in range(count):
        folder = f"{parent}/fresh-{number}"
        os.mkdir(folder)
        pid = os.fork()
        if pid == 0:
            with open(folder + "/cgroup.procs", "w") as procs:
                procs.write("0")
            os._exit(clients.refusal(function, *args)[0])
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        outcomes[code] = outcomes.get(code, 0) + 1
        os.rmdir(folder)
    return outcomes


if __name__ == "__main__":
    unittest.main(verbosity=2)

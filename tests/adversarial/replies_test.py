# tests/adversarial/replies_test.py: what is answered, and what is rewritten on the way: rows 36, 37 and 48 of
# the catalogue, and that a port scan tells nothing.
import socket
import struct
import unittest

from rows import B, C, CLOSED, D, OPEN, POLICY, Rows, member
from attackers import clients, crafted, frames
from partywall import tenants, wait_until

BOTH = ("both_planes",)
NOBODY_LISTENS = 5999
# Service addresses, which nobody has: the node sends on what comes for them. Odd ones are masqueraded.
TO_C, TO_C_MASQUERADED, TO_B, TO_B_MASQUERADED = (f"10.96.0.{n}" for n in (10, 11, 20, 21))
NAT = f"""
table ip services {{
  chain before {{
    type nat hook prerouting priority -100;
    ip daddr {{ {TO_C}, {TO_C_MASQUERADED} }} dnat to 10.77.3.2
    ip daddr {{ {TO_B}, {TO_B_MASQUERADED} }} dnat to 10.77.2.2
  }}
  chain after {{
    type nat hook postrouting priority 100;
    ct original ip daddr {{ {TO_C_MASQUERADED}, {TO_B_MASQUERADED} }} masquerade
  }}
}}
"""
ECHO_REPLY, ECHO_REPLY6, UNREACHABLE, UNREACHABLE6 = 0, 129, 3, 1
TCP_FIN, TCP_RST, TCP_ACK, SO_MARK = 1, 4, 16, 36


def answers(version, protocol, matches):
    """Packets that a sends back, at the world's wire."""
    def probe(where, token):
        source = socket.inet_pton(socket.AF_INET6, "fd77:0:0:1::2") if version == 6 else \
            socket.inet_aton("10.77.1.2")
        at, size = (22, 16) if version == 6 else (26, 4)
        header, number = (54, 20) if version == 6 else (34, 23)
        found = sum(len(frame) > header + 13 and frame[at:at + size] == source and
                    frame[number] == protocol and matches(frame[header:])
                    for frame in where.ask("frames"))
        return found, found
    return probe


class RepliesTest(Rows, unittest.TestCase):
    hosts = ("a", "b", "c", "world")

    @classmethod
    def prepare(cls):
        cls.uplink_mac = cls.world.gateway_mac("world")
        cls.world.feed("node", NAT, "nft", "-f", "-")

    # --- honest, beside the attacks

    def test_3_service_of_a_tenant_that_one_may_talk_to(self):
        """Row 36: who is rewritten on the way is still let in, and answered."""
        self.agent_of(True)
        for address in (TO_B, TO_B_MASQUERADED):
            for place in (self.world.place("a", "a"), self.world.place(None, "a")):
                self.assertTrue(place.run(clients.udp_ask, address, OPEN))
                self.assertTrue(place.run(clients.tcp_ask, address, OPEN))

    # --- row 48

    def test_4_48_established_connection_when_the_policy_turns(self):
        agent = self.agent_of(True)
        for place in (self.world.place("a", "a"), self.world.place(None, "a")):
            talk = place.start(clients.talk, self.world.hosts["b"][0], OPEN)
            self.assertEqual("connected", talk.hear())
            self.assertTrue(talk.ask((b"before", 3)))
            agent.apply(tenants(member("a", 1), B, C, D))
            try:
                self.posts["b"].ask("clear")
                token = self.new_token()
                self.assertFalse(talk.ask((token, 1)), "it is cut")
                self.assertEqual([], [one for one in self.posts["b"].ask("frames") if token in one])
            finally:
                agent.apply(POLICY)
            # What the kernel still has to send again arrives now.
            wait_until(lambda: any(token in one for one in self.posts["b"].ask("payloads")), 10,
                       "the connection goes on")
            talk.end()
        type(self).heart.ask("beat")

    # --- the port scan

    def test_5_port_scan_oracle(self):
        """Of a target that is denied, an open and a closed port look the same: no answer at all."""
        agent = self.agent_of(True)
        for scanner in (self.world.place(None, "world"), self.world.place(None, "c")):
            for version, address in enumerate((self.world.hosts["a"][0], self.world.hosts["a"][1])):
                self.clear()
                seen = {}
                for port in (OPEN, CLOSED, NOBODY_LISTENS):
                    seen[port] = (scanner.run(clients.refusal, clients.tcp_ask, address, port, b"x",
                                              0.5)[0],
                                  scanner.run(clients.refusal, clients.udp_ask, address, port, b"x",
                                              0.2)[0])
                self.assertEqual(1, len(set(seen.values())), f"{address}: {seen}")
                self.assertNotEqual(0, scanner.run(clients.refusal, clients.ping, address, 0.2)[0])
                back = self.posts[scanner.host].ask("frames")
                self.assertEqual([], [one for one in back if from_host(one, address)])
        self.assertGreater(agent.usage("a")["ingress"]["refused"]["world"]["packets"], 0)


    def test_6_scan_with_segments_that_open_nothing(self):
        """Row 37: of a workload that came after the agent, they need a connection that it knows."""
        agent = self.agent_of(True)
        before = agent.usage("d")["ingress"]["refused"].get("world", {}).get("packets", 0)
        self.world.add_host("d", 4)
        self.world.place("d", "d").run(clients.udp_send, "10.77.4.1", 9, b"hello")
        address = self.world.hosts["d"][0]
        for flags in (TCP_ACK, TCP_RST | TCP_ACK, TCP_FIN):
            self.clear()
            self.world.place(None, "world").run(out_of_the_blue, "10.77.9.2", address, flags)
            wait_until(lambda: agent.usage("d")["ingress"]["refused"]["world"]["packets"] ==
                       before + 1, 5, "one more refusal")
            before += 1
            back = self.posts["world"].ask("frames")
            self.assertEqual([], [one for one in back if from_host(one, address)])


def out_of_the_blue(source, target, flags):
    crafted.raw4(target, socket.IPPROTO_TCP, crafted.tcp4(source, target, 4000, NOBODY_LISTENS, flags))


def from_host(frame, address):
    if ":" in address:
        return frame[12:14] == b"\x86\xdd" and frame[22:38] == socket.inet_pton(
            socket.AF_INET6, address)
    return frame[12:14] == b"\x08\0" and frame[26:30] == socket.inet_aton(address)


row = RepliesTest.row


def denied(tenant="c", reason="tenant_floor"):
    return {(tenant, "ingress", reason): 1}


# --- addresses that are rewritten

@row(36, denied(), legs=("cgroup_plane", "both_planes", "edge_alone"))
def service_address(scene):
    """The sender sees an address of nobody's; only the receiver's end knows who is meant."""
    scene.attack(clients.udp_send_strict, TO_C, CLOSED, scene.token)


@row(36, {}, legs=("cgroup_plane",), held=False)
def masquerade_without_the_edge(scene):
    """Not held by the cgroup plane alone: the sender is the node by now, at an address of c's net."""
    scene.attack(clients.udp_send_strict, TO_C_MASQUERADED, CLOSED, scene.token)


@row(36, denied(), legs=("both_planes", "edge_alone"))
def masquerade(scene):
    """The mark of the source interface still says who it was."""
    scene.attack(clients.udp_send_strict, TO_C_MASQUERADED, CLOSED, scene.token)


@row(36, denied(), legs=("both_planes", "edge_alone"))
def masquerade_with_a_mark_of_its_own(scene):
    scene.attack(send_marked, 0x00030000, TO_C_MASQUERADED, CLOSED, scene.token,
                 needs=("net_admin",))


def send_marked(mark, address, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, SO_MARK, struct.pack("=I", mark))
        client.sendto(payload, (address, port))


# --- answers to nothing

@row(37, denied("a", "world"), legs=BOTH, at="a", by="frame")
def error_about_a_flow_that_is_none(scene):
    quoted = frames.datagram4(scene.a.v4, scene.outsider.v4, 7, scene.token, 4321)
    scene.attack(frames.send_frames, [frames.unreachable4(scene.outsider.v4, scene.a.v4, quoted)],
                 scene.test.uplink_mac, needs=("net_raw",), place=scene.outsider)


@row(37, {("c", "egress", "tenant_floor"): 1}, legs=BOTH, at="a", by="frame")
def error_of_a_stranger(scene):
    """c tells a that a datagram to b did not arrive."""
    quoted = frames.datagram4(scene.a.v4, scene.b.v4, OPEN, scene.token)
    scene.attack(frames.send_frames, [frames.unreachable4(scene.c.v4, scene.a.v4, quoted)],
                 scene.world.gateway_mac("c"), needs=("net_raw",), place=scene.c)


@row(40, {("b", "egress", "tenant_floor"): 1}, legs=BOTH, at="a", by="frame")
def answer_that_nobody_asked_for(scene):
    """From b's open port, which may answer a and not begin."""
    scene.attack(frames.send_frames, [frames.datagram4(scene.b.v4, scene.a.v4, 4322, scene.token, OPEN)],
                 scene.world.gateway_mac("b"), needs=("net_raw",), place=scene.b)


# --- the kernel's own answers

@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(4, 6, lambda header: header[13] & TCP_RST))
def reset_of_a_closed_port(scene):
    scene.attack(clients.tcp_ask, scene.a.v4, NOBODY_LISTENS, scene.token, 0.9,
                 place=scene.outsider)


@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(6, 6, lambda header: header[13] & TCP_RST))
def reset_of_a_closed_port_v6(scene):
    scene.attack(clients.tcp_ask, scene.a.v6, NOBODY_LISTENS, scene.token, 0.9,
                 place=scene.outsider)


@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(4, 1, lambda header: header[0] == ECHO_REPLY))
def echo_reply(scene):
    scene.attack(clients.ping, scene.a.v4, 0.3, place=scene.outsider)


@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(6, 58, lambda header: header[0] == ECHO_REPLY6))
def echo_reply_v6(scene):
    scene.attack(clients.ping, scene.a.v6, 0.3, place=scene.outsider)


@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(4, 1, lambda header: header[0] == UNREACHABLE))
def port_unreachable(scene):
    scene.attack(clients.udp_send_strict, scene.a.v4, NOBODY_LISTENS, scene.token,
                 place=scene.outsider)


@row(37, denied("a", "world"), legs=BOTH, at="world",
     probe=answers(6, 58, lambda header: header[0] == UNREACHABLE6))
def port_unreachable_v6(scene):
    scene.attack(clients.udp_send_strict, scene.a.v6, NOBODY_LISTENS, scene.token,
                 place=scene.outsider)


@row(37, {}, legs=("cgroup_plane",), at="world", held=False,
     probe=answers(4, 6, lambda header: header[13] & TCP_RST))
def reset_without_the_edge(scene):
    """Not held by the cgroup plane alone: no socket of a's sends it."""
    scene.attack(clients.tcp_ask, scene.a.v4, NOBODY_LISTENS, scene.token, 0.9,
                 place=scene.outsider)


@row(37, {}, legs=BOTH, at="world", held=False,
     probe=answers(4, 6, lambda header: header[13] & TCP_RST))
def segment_that_opens_nothing(scene):
    """Not held where the workload was there before the agent: it may be of a connection that was
    open then, which is not cut."""
    scene.attack(out_of_the_blue, scene.outsider.v4, scene.a.v4, TCP_ACK, needs=("net_raw",),
                 place=scene.outsider)


if __name__ == "__main__":
    unittest.main(verbosity=2)

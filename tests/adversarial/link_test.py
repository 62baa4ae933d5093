# tests/adversarial/link_test.py: what a workload may not tell its neighbours on one bridge: rows 4 and 38 of
# the catalogue. Needs the edge plane: no socket hook sees a frame.
import socket
import unittest

from rows import CLOSED, OPEN, Rows
from attackers import clients, frames
from edge_world import BridgedWorld, quick_sysctl
from partywall import run

EDGE = ("both_planes", "edge_alone")
RAW = ("net_raw",)
GROUP4, GROUP6 = "239.7.7.7", "ff05::77"
ALL_NODES_MAC = b"\x33\x33\0\0\0\x01"


def denied(reason, count=1):
    return {("a", "egress", reason): count}


class LinkTest(Rows, unittest.TestCase):
    """a tries it on b, with whom it may talk: what it says about the link is what is refused."""

    world_type = BridgedWorld

    @classmethod
    def prepare(cls):
        cls.macs = {host: cls.world.mac(host) for host in "abcd"}
        # Else b doubts whatever it hears of a neighbour within a second after the last news.
        cls.world.place(None, "b").run(quick_sysctl, "net.ipv4.neigh.eth0.locktime=0")
        cls.outside_mac = cls.world.mac("world")

    @classmethod
    def greet(cls, host):
        """Without a question for an address, which all would hear."""
        cls.world.place(host, host).run(frames.send_frames, [frames.datagram4(
            cls.world.hosts[host][0], "10.77.9.2", 9, b"hello")], cls.outside_mac)


row = LinkTest.row


def send(scene, bodies, ethertype, to=None, sender=None):
    scene.attack(frames.send_frames, bodies, to or scene.test.macs["b"], ethertype, sender,
                 needs=RAW)


def poisoned(address):
    """Whether b believes that `address` is at a's MAC; twice: on its wire and in its table."""
    def probe(where, token):
        world = LinkTest.world
        table = world._in("b", "ip", "neigh", "show", "to", address)
        believes = int(LinkTest.macs["a"].hex(":") in table)
        if believes:  # ready for the next attempt
            run("nsenter", f"--net={world.netns_path('b')}", "ip", "neigh", "flush", "dev", "eth0")
        return believes, believes
    return probe


def knows_router(where, token):
    found = LinkTest.world._in("b", "ip", "-6", "route", "show", "default", "proto", "ra")
    if found:  # ready for the next attempt
        LinkTest.world._in("b", "ip", "-6", "route", "flush", "proto", "ra")
    return int(bool(found)), int(bool(found))


def icmp_arrived(version, kind):
    """Frames of an ICMP type at the receiver's wire."""
    def probe(where, token):
        found = 0
        for frame in where.ask("frames"):
            if version == 4 and frame[12:14] == b"\x08\0" and frame[23] == 1:
                found += frame[34] == kind
            if version == 6 and frame[12:14] == b"\x86\xdd" and frame[20] == 58:
                found += frame[54] == kind
        return found, found
    return probe


# --- the link address

@row(4, denied("link_address"), legs=EDGE, at="b")
def foreign_mac(scene):
    send(scene, [frames.datagram4(scene.a.v4, scene.b.v4, OPEN, scene.token)], frames.IP4,
         sender=scene.test.macs["c"])


@row(4, denied("source_address"), legs=EDGE, at="b")
def foreign_source_in_a_frame(scene):
    send(scene, [frames.datagram4(scene.c.v4, scene.b.v4, OPEN, scene.token)], frames.IP4)


@row(4, denied("frame"), legs=EDGE, at="b", by="frame")
def frame_of_another_kind(scene):
    send(scene, [scene.token], 0x88b5)


# --- address resolution

@row(4, denied("neighbor"), legs=EDGE, at="b", probe=poisoned("10.77.3.2"))
def arp_reply_for_anothers_address(scene):
    mine = scene.test.macs["a"]
    scene.world._in("b", "ip", "neigh", "replace", scene.c.v4, "lladdr",
                    scene.test.macs["c"].hex(":"), "nud", "stale", "dev", "eth0")
    send(scene, [frames.arp(2, mine, scene.c.v4, scene.test.macs["b"], scene.b.v4)], frames.ARP)


@row(4, denied("neighbor"), legs=EDGE, at="b", probe=poisoned("10.77.3.2"))
def arp_question_from_anothers_address(scene):
    mine = scene.test.macs["a"]
    scene.world._in("b", "ip", "neigh", "replace", scene.c.v4, "lladdr",
                    scene.test.macs["c"].hex(":"), "nud", "stale", "dev", "eth0")
    send(scene, [frames.arp(1, mine, scene.c.v4, b"\0" * 6, scene.b.v4)], frames.ARP)


@row(4, denied("neighbor"), legs=EDGE, at="b", probe=poisoned("fd77:0:0:3::2"))
def neighbour_advertisement_for_anothers_address(scene):
    scene.world._in("b", "ip", "neigh", "replace", scene.c.v6, "lladdr",
                    scene.test.macs["c"].hex(":"), "nud", "stale", "dev", "eth0")
    send(scene, [frames.neighbor_advert(scene.c.v6, scene.test.macs["a"], scene.b.v6)], frames.IP6)


@row(4, denied("neighbor"), legs=EDGE, at="b", probe=knows_router)
def router_advertisement(scene):
    mine = scene.test.macs["a"]
    send(scene, [frames.router_advert(link_local(mine), mine)], frames.IP6, ALL_NODES_MAC)


@row(4, denied("neighbor"), legs=EDGE, at="b", probe=icmp_arrived(6, 137))
def redirect_v6(scene):
    mine = link_local(scene.test.macs["a"])
    send(scene, [frames.redirect6(mine, scene.b.v6, mine, scene.c.v6)], frames.IP6)


@row(4, denied("neighbor"), legs=EDGE, at="b", probe=icmp_arrived(4, 5))
def redirect_v4(scene):
    send(scene, [frames.redirect4(scene.a.v4, scene.b.v4, scene.a.v4, scene.c.v4)], frames.IP4)


@row(4, denied("neighbor"), legs=EDGE, at="b", by="frame")
def dhcp_server(scene):
    send(scene, [frames.dhcp_reply(scene.a.v4, "10.77.2.66", scene.test.macs["b"], scene.token)],
         frames.IP4, frames.BROADCAST)


# --- words about the link, with other words in them

def heard(*tenants, reason="multicast"):
    """It may leave, and is refused where it arrives."""
    return {(tenant, "ingress", reason): 1 for tenant in tenants}


@row(4, denied("malformed"), legs=EDGE, by="frame")
def arp_as_a_channel(scene):
    """With something behind the question."""
    mine = scene.test.macs["a"]
    question = frames.arp(1, mine, scene.a.v4, b"\0" * 6, scene.c.v4) + scene.token
    send(scene, [question], frames.ARP, scene.test.macs["c"])


@row(4, denied("tenant_floor"), legs=EDGE, by="frame")
def solicitation_as_a_channel(scene):
    send(scene, [frames.neighbor_solicit(scene.a.v6, scene.test.macs["a"], scene.c.v6, scene.token)],
         frames.IP6, scene.test.macs["c"])


@row(4, denied("source_address"), legs=EDGE, by="frame")
def listener_report_as_a_channel(scene):
    send(scene, [frames.listener_report(link_local(scene.test.macs["a"]), scene.token)], frames.IP6,
         b"\x33\x33\0\0\0\x16")


@row(4, heard("b", "c", "d"), legs=EDGE, by="frame")
def dhcp_question_as_a_channel(scene):
    send(scene, [frames.dhcp_question(scene.test.macs["a"], scene.token)], frames.IP4,
         frames.BROADCAST)


# --- frames that are not quite what they seem

@row(4, denied("tenant_floor"), legs=EDGE, by="frame")
def vlan_tag(scene):
    kind, body = frames.tagged([7], frames.datagram4(scene.a.v4, scene.c.v4, CLOSED, scene.token))
    send(scene, [body], kind, scene.test.macs["c"])


@row(4, denied("tenant_floor"), legs=EDGE, by="frame")
def two_vlan_tags(scene):
    kind, body = frames.tagged([7, 8], frames.datagram4(scene.a.v4, scene.c.v4, CLOSED, scene.token))
    send(scene, [body], kind, scene.test.macs["c"])


@row(4, denied("frame"), legs=EDGE, by="frame")
def four_vlan_tags(scene):
    kind, body = frames.tagged([7, 8, 9, 10], frames.datagram4(
        scene.a.v4, scene.c.v4, CLOSED, scene.token))
    send(scene, [body], kind, scene.test.macs["c"])


@row(4, denied("frame"), legs=EDGE, by="frame")
def link_layer_control(scene):
    """A length instead of a type, as of old."""
    body = b"\xaa\xaa\x03\0\0\0\x08\0" + frames.datagram4(scene.a.v4, scene.c.v4, CLOSED, scene.token)
    send(scene, [body], len(body), scene.test.macs["c"])


# --- addresses that nobody declared

@row(5, denied("source_address"), legs=EDGE, by="frame")
def link_local_addresses(scene):
    send(scene, [frames.datagram6(link_local(scene.test.macs["a"]), link_local(scene.test.macs["c"]),
                                  CLOSED, scene.token)], frames.IP6, scene.test.macs["c"])


@row(5, heard("c", reason="tenant_floor"), legs=EDGE, by="frame")
def address_that_c_did_not_declare(scene):
    """a may talk with the world, and takes c's second address for it."""
    send(scene, [frames.datagram4(scene.a.v4, "10.88.3.3", CLOSED, scene.token)], frames.IP4,
         scene.test.macs["c"])


@row(5, denied("source_address"), legs=EDGE, by="frame", at="b")
def no_source_at_all(scene):
    send(scene, [frames.datagram4("0.0.0.0", scene.b.v4, OPEN, scene.token)], frames.IP4)


def link_local(mac):
    """The address that a host makes of its MAC."""
    words = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return "fe80::" + ":".join(words[at:at + 2].hex() for at in range(0, 8, 2))


# --- many receivers at once

@row(38, denied("multicast"), by="frame")
def multicast_v4(scene):
    scene.attack(clients.udp_send_strict, GROUP4, CLOSED, scene.token)


@row(38, denied("multicast"), by="frame")
def multicast_v6(scene):
    scene.attack(send_to_group6, GROUP6, CLOSED, scene.token)


LOOPED = {("a", "egress", "multicast"): 1, ("a", "ingress", "multicast"): 1}


@row(38, LOOPED, by="frame")
def broadcast(scene):
    """The kernel makes two of it: one for the link, one for the sender's own host."""
    scene.attack(send_broadcast, "255.255.255.255", CLOSED, scene.token)


@row(38, denied("multicast"), by="frame", legs=EDGE)
def multicast_in_a_frame(scene):
    send(scene, [frames.datagram4(scene.a.v4, GROUP4, CLOSED, scene.token)], frames.IP4,
         b"\x01\0\x5e\x07\x07\x07")


def send_to_group6(group, port, payload):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF,
                          socket.if_nametoindex("eth0"))
        client.sendto(payload, (group, port))


def send_broadcast(address, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.bind(("", 0))
        client.sendto(payload, (address, port))


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/adversarial/packets_test.py: packets that no honest socket sends: rows 1 to 14 and 18 of the catalogue,
# between workloads that the node routes.
import errno
import re
import socket
import struct
import unittest

from rows import CLOSED, MARK_MASK, OPEN, POLICY, SLOW, Rows
from attackers import clients, crafted, frames, privileges, xdp
from netlink import Netlink
from partywall import CLONE_NEWNET, LIBC

EDGE = ("both_planes", "edge_alone")
RAW = ("net_raw",)
NEW_USER = 0x10000000
IPPROTO_SCTP, SCTP_INIT = 132, 1


def denied(reason, count=1, tenant="a", direction="egress"):
    return {(tenant, direction, reason): count}


class PacketsTest(Rows, unittest.TestCase):
    """a may talk to b on OPEN, and to nobody else."""

    @classmethod
    def prepare(cls):
        cls.gateway = cls.world.gateway_mac("a")

    def test_47_user_namespace(self):
        """Being root in a user namespace of one's own is worth nothing on the interface; the same frame
        with the capability in the namespace that owns the interface is row 1, and arrives."""
        control = [one for one in self.rows if one.play is af_packet]
        self.assert_tested(control[0])
        a = self.world.place("a", "a")
        token = self.new_token()
        self.clear()
        frame = [frames.datagram4(a.v4, self.world.hosts["c"][0], CLOSED, token)]
        for flags, device, wanted in ((NEW_USER, "eth0", errno.EPERM),
                                      (NEW_USER | CLONE_NEWNET, "lo", None)):
            said = a.run(in_user_namespace, flags, frames.send_frames, frame, self.gateway,
                         frames.IP4, None, False, device)
            self.assertIn(said, (wanted, "no user namespaces"))
        self.assertEqual([], [one for one in self.posts["c"].ask("frames") if token in one])


def in_user_namespace(flags, function, *args):
    """The errno of the function as nobody who has become root of new namespaces; None: it succeeded."""
    privileges.keep_only()
    if LIBC.unshare(flags):
        return "no user namespaces"  # some kernels let only root make them
    if flags & CLONE_NEWNET:
        Netlink().up("lo")
    try:
        function(*args)
        return None
    except OSError as error:
        return error.errno


row = PacketsTest.row


# --- past the IP layer: no socket hook sees them

@row(1, denied("tenant_floor"), legs=EDGE)
def af_packet(scene):
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.a.v4, scene.c.v4, CLOSED, scene.token)], scene.test.gateway, needs=RAW)


@row(1, denied("tenant_floor"), legs=EDGE)
def af_packet_v6(scene):
    scene.attack(frames.send_frames, [frames.datagram6(
        scene.a.v6, scene.c.v6, CLOSED, scene.token)], scene.test.gateway, frames.IP6, needs=RAW)


@row(1, denied("tenant_port"), legs=EDGE, at="b")
def af_packet_to_a_closed_port(scene):
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.a.v4, scene.b.v4, CLOSED, scene.token)], scene.test.gateway, needs=RAW)


@row(2, denied("tenant_floor"), legs=EDGE)
def af_packet_past_the_queue(scene):
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.a.v4, scene.c.v4, CLOSED, scene.token)], scene.test.gateway, frames.IP4, None, True,
        needs=RAW)


@row(3, denied("tenant_floor"), legs=EDGE)
def af_xdp(scene):
    scene.attack(xdp.send_one, frames.datagram4(scene.a.v4, scene.c.v4, CLOSED, scene.token),
                 scene.test.gateway, needs=RAW)


@row(4, denied("link_address"), legs=EDGE, at="b")
def foreign_mac(scene):
    """To a port that is open: only the link address is wrong."""
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.a.v4, scene.b.v4, OPEN, scene.token)], scene.test.gateway, frames.IP4,
        b"\x02\0\0\0\0\x77", needs=RAW)


@row(4, denied("source_address"), legs=EDGE, at="b")
def foreign_source_in_a_frame(scene):
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.c.v4, scene.b.v4, OPEN, scene.token)], scene.test.gateway, needs=RAW)


# --- raw sockets

@row(5, denied("source_address"), at="b")
def raw_foreign_source(scene):
    scene.attack(crafted.spoof4, scene.c.v4, scene.b.v4, OPEN, scene.token, needs=RAW)


@row(5, denied("source_address"), at="b")
def raw_source_of_the_world(scene):
    scene.attack(crafted.spoof4, "10.77.9.77", scene.b.v4, OPEN, scene.token, needs=RAW)


@row(5, denied("source_address"), at="b")
def raw_foreign_source_v6(scene):
    scene.attack(crafted.spoof6, scene.c.v6, scene.b.v6, OPEN, scene.token, needs=RAW)


@row(6, denied("tenant_floor"))
def raw_connect(scene):
    body = crafted.udp4(scene.a.v4, scene.c.v4, 4000, CLOSED, scene.token)
    scene.attack(crafted.raw4_connected, scene.c.v4, 17, body, needs=RAW)


@row(7, denied("tenant_floor"), by="frame")
def ping_socket(scene):
    scene.attack(ping_with, scene.c.v4, scene.token)


@row(7, denied("tenant_floor"), by="frame")
def ping_socket_v6(scene):
    scene.attack(ping_with, scene.c.v6, scene.token)


def ping_with(address, token):
    v6 = ":" in address
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM,
                       socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP) as client:
        client.sendto(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, 1) + token, (address, 0))


@row(8, {"cgroup_plane": {("a", "calls", "source_address"): 1},
         "both_planes": {("a", "calls", "source_address"): 1},
         "edge_alone": denied("source_address")}, at="b")
def transparent_source(scene):
    scene.attack(crafted.transparent, scene.c.v4, scene.b.v4, OPEN, scene.token, needs=RAW)


# --- what hides the ports

@row(9, denied("tenant_port"), at="b")
def extension_headers(scene):
    scene.attack(crafted.extension6, scene.a.v6, scene.b.v6, CLOSED, scene.token, (0, 60),
                 needs=RAW)


@row(9, denied("extension_header"), at="b")
def many_extension_headers(scene):
    scene.attack(crafted.extension6, scene.a.v6, scene.b.v6, OPEN, scene.token, (60,) * 7,
                 needs=RAW)


@row(9, {"cgroup_plane": denied("fragment", 2), "both_planes": denied("fragment", 2),
         "edge_alone": {("a", "egress", "tenant_port"): 1, ("a", "egress", "fragment"): 1}}, at="b")
def fragments_v6(scene):
    scene.attack(crafted.each6, scene.b.v6, crafted.fragment_pair6(
        scene.a.v6, scene.b.v6, CLOSED, scene.token + b"........"), needs=RAW)


@row(10, denied("fragment"), at="b", by="frame")
def later_fragment_alone(scene):
    """Its payload looks like a header with an open port."""
    later = crafted.ip4(scene.a.v4, scene.b.v4, 17, struct.pack("!HHHH", 4000, OPEN, 64, 0) +
                        scene.token, fragment=5, identity=78)
    scene.attack(crafted.each4, scene.a.v4, scene.b.v4, [later], needs=RAW)


@row(11, {"cgroup_plane": denied("fragment", 2), "both_planes": denied("fragment", 2),
          "edge_alone": {("a", "egress", "tenant_port"): 1, ("a", "egress", "fragment"): 1}}, at="b")
def tiny_first_fragment(scene):
    scene.attack(crafted.each4, scene.a.v4, scene.b.v4, crafted.fragment_pair4(
        scene.a.v4, scene.b.v4, CLOSED, scene.token, 8), needs=RAW)


@row(11, {"cgroup_plane": denied("fragment", 2), "both_planes": denied("fragment", 2),
          "edge_alone": {("a", "egress", "malformed"): 1, ("a", "egress", "fragment"): 1}},
     at="b", by="frame")
def first_fragment_without_the_flags(scene):
    """Eight bytes of a TCP header: its ports are open, and what it does is in the next one."""
    whole = crafted.tcp4(scene.a.v4, scene.b.v4, 4000, OPEN, 2, scene.token)
    scene.attack(crafted.each4, scene.a.v4, scene.b.v4, [
        crafted.ip4(scene.a.v4, scene.b.v4, 6, whole[:8], fragment=0x2000, identity=79),
        crafted.ip4(scene.a.v4, scene.b.v4, 6, whole[8:], fragment=1, identity=79)], needs=RAW)


@row(10, {"edge_alone": {("a", "egress", "fragment"): 1}}, legs=("edge_alone",), by="frame")
def later_fragment_to_another_target(scene):
    """The first one went where it may; the next has its number and goes to c."""
    first, later = crafted.fragment_pair4(scene.a.v4, scene.b.v4, OPEN, b"." * 8 + scene.token, 16,
                                          80)
    later = crafted.ip4(scene.a.v4, scene.c.v4, 17, later[20:], fragment=2, identity=80)
    scene.attack(crafted.each4, scene.a.v4, scene.b.v4, [first], needs=RAW)
    scene.attack(crafted.each4, scene.a.v4, scene.c.v4, [later], needs=RAW)


@row(12, {"cgroup_plane": {("a", "calls", "tenant_port"): 1},
          "both_planes": {("a", "calls", "tenant_port"): 1},
          "edge_alone": {("a", "egress", "tenant_port"): 1, ("a", "egress", "fragment"): 3}},
     at="b")
def datagram_that_the_kernel_fragments(scene):
    """5,000 bytes: four fragments, of which only the first has ports."""
    scene.attack(clients.udp_send_strict, scene.b.v4, CLOSED, (scene.token * 300)[:5000])


@row(13, denied("ip_options"), at="b")
def options_by_setsockopt(scene):
    scene.attack(crafted.options_by_setsockopt, scene.b.v4, OPEN, scene.token)


@row(13, denied("ip_options"), at="b")
def options_by_cmsg(scene):
    scene.attack(crafted.options_by_cmsg, scene.b.v4, OPEN, scene.token)


@row(13, denied("ip_options"), at="b")
def options_by_hand(scene):
    scene.attack(crafted.options4, scene.a.v4, scene.b.v4, OPEN, scene.token, needs=RAW)


@row(14, denied("ip_options"))
def source_route(scene):
    """The node is asked to send it on to c: who looks at the target alone sees the node."""
    scene.attack(crafted.source_routed4, scene.a.v4, "10.77.1.1", scene.c.v4, CLOSED, scene.token,
                 needs=RAW)


# --- other protocols

def raw_protocols(number):
    def play(scene):
        scene.attack(crafted.raw4, scene.b.v4, number, scene.token, needs=RAW)
    return play


for name, number in (("sctp", 132), ("dccp", 33), ("udp_lite", 136), ("ah", 51),
                     ("unknown_protocol", 253)):
    play = raw_protocols(number)
    play.__name__ = "raw_" + name
    row(18, denied("protocol"), at="b", by="frame")(play)

for name, number in (("ipip", 4), ("sit", 41), ("gre", 47), ("esp", 50)):
    play = raw_protocols(number)
    play.__name__ = f"raw_{name}"
    row(15, denied("tunnel"), at="b", by="frame")(play)


def sctp_association(scene):
    """The first chunk of one; nobody has to listen."""
    scene.attack(sctp_connect, scene.b.v4, OPEN)


def sctp_connect(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP) as client:
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
        client.connect((address, port))


def first_chunks(where, token):
    found = sum(frame[12:14] == b"\x08\0" and frame[23] == IPPROTO_SCTP and frame[46] == SCTP_INIT
                for frame in where.ask("frames"))
    return found, found


def has_sctp():
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SCTP).close()
        return True
    except OSError:
        return False


if has_sctp():
    # The second packet takes back the first, as the socket is closed.
    row(18, denied("protocol", 2), at="b", probe=first_chunks)(sctp_association)
else:
    print("row 18: SCTP sockets are not on this kernel", flush=True)


class NamedInterfacesTest(PacketsTest):
    """The same, where the policy says whose each interface is, and no flag names any."""

    policy = re.sub(r"- cgroup: \$ROOT/(\w+)\n", r'- cgroup: $ROOT/\1\n      interface: "pw-\1*"\n',
                    POLICY)
    edge_flags = ("--edge-mark-mask", MARK_MASK)


for name in dir(NamedInterfacesTest):
    if name.startswith("test_0_"):  # to name an interface is to have the edge plane
        setattr(NamedInterfacesTest, name, None)


if SLOW > 1:
    del NamedInterfacesTest  # emulated machines have enough with the other one


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/system/netlink.py: makes pairs of network devices, quickly and of kinds that ip(8) may not know.
# One socket works in the namespace that it was made in. Talks to the kernel directly.
import os
import socket
import struct

NEWLINK, NEWADDR, NEWROUTE, NEWNEIGH = 16, 20, 24, 28
REQUEST, ACK, CREATE, EXCL = 1, 4, 0x400, 0x200
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 18, 28
INFO_KIND, INFO_DATA, PEER = 1, 2, 1  # the peer's number is the same for veth and netkit
IFF_UP = 1
PERMANENT = 0x80


def attribute(kind, *values):
    body = b"".join(value.encode() + b"\0" if isinstance(value, str) else value for value in values)
    size = 4 + len(body)
    return struct.pack("=HH", size, kind) + body + b"\0" * (-size % 4)


def link(index=0, flags=0, change=0):
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


class Netlink:
    """Requests one after the other; each fails with the kernel's OSError."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.bind((0, 0))
        self.number = 0

    def ask(self, kind, body, flags=0):
        self.number += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags,
                                     self.number, 0) + body)
        answer = self.socket.recv(65536)
        error = struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(-error, f"netlink request {kind}: {os.strerror(-error)}")

    def pair(self, kind, name, peer, peer_netns, mac=None, data=b""):
        """A pair of devices: `name` here, `peer` in the namespace of that handle, with that MAC."""
        theirs = link() + attribute(IFLA_IFNAME, peer) + \
            attribute(IFLA_NET_NS_FD, struct.pack("=I", peer_netns)) + \
            (attribute(IFLA_ADDRESS, mac) if mac else b"")
        self.ask(NEWLINK, link() + attribute(IFLA_IFNAME, name) + attribute(
            IFLA_LINKINFO, attribute(INFO_KIND, kind), attribute(
                INFO_DATA, attribute(PEER, theirs), data)), CREATE | EXCL)

    def up(self, name):
        self.ask(NEWLINK, link(0, IFF_UP, IFF_UP) + attribute(IFLA_IFNAME, name))

    def address(self, index, address, bits):
        raw = socket.inet_aton(address)
        self.ask(NEWADDR, struct.pack("=BBBBI", socket.AF_INET, bits, 0, 0, index) +
                 attribute(2, raw) + attribute(1, raw), CREATE | EXCL)

    def neighbor(self, index, address, mac):
        self.ask(NEWNEIGH, struct.pack("=BxxxiHBB", socket.AF_INET, index, PERMANENT, 0, 1) +
                 attribute(1, socket.inet_aton(address)) + attribute(2, mac), CREATE | EXCL)

    def default_route(self, index, gateway):
        self.ask(NEWROUTE, struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(
            5, socket.inet_aton(gateway)) + attribute(4, struct.pack("=I", index)), CREATE | EXCL)

    def close(self):
        self.socket.close()

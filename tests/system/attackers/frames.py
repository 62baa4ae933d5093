# tests/system/attackers/frames.py: whole frames, written past IP: AF_PACKET with and without queueing
# discipline, ARP, neighbour discovery, DHCP. Needs CAP_NET_RAW.
import socket
import struct

from attackers.clients import checksum
from attackers.crafted import ip6, udp4, udp6

SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
IP4, ARP, VLAN, IP6 = 0x0800, 0x0806, 0x8100, 0x86dd
BROADCAST = b"\xff" * 6
ICMP6_ALL_NODES = "ff02::1"


def ip4(source, target, protocol, body, options=b"", fragment=0, identity=1):
    """An IPv4 packet with its checksum, which nobody else will fill in."""
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(body), identity, fragment,
                       64, protocol, 0, socket.inet_aton(source), socket.inet_aton(target)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def datagram4(source, target, port, payload, source_port=4000):
    return ip4(source, target, 17, udp4(source, target, source_port, port, payload))


def datagram6(source, target, port, payload, source_port=4000):
    return ip6(source, target, 17, udp6(source, target, source_port, port, payload))


def datagram(source, target, port, payload):
    return (datagram6 if ":" in target else datagram4)(source, target, port, payload)


def send_frames(bodies, to, ethertype=IP4, sender=None, bypass=False, device="eth0"):
    """Sends each body in a frame to the MAC `to`; from `sender`, else from the device's own."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((device, 0))
        if bypass:
            raw.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        own = raw.getsockname()[4]
        for body in bodies:
            raw.send(to + (sender or own) + struct.pack("!H", ethertype) + body)
    return len(bodies)


def own_mac(device="eth0"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((device, 0))
        return raw.getsockname()[4]


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, IP4, 6, 4, operation, sender_mac,
                       socket.inet_aton(sender), target_mac, socket.inet_aton(target))


def icmp6(source, target, kind, rest, hops=255):
    """ICMPv6 of that type; `rest` is what follows the checksum."""
    body = struct.pack("!BBH", kind, 0, 0) + rest
    pseudo = socket.inet_pton(socket.AF_INET6, source) + \
        socket.inet_pton(socket.AF_INET6, target) + struct.pack("!IHBB", len(body), 0, 0, 58)
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    packet = ip6(source, target, 58, body)
    return packet[:7] + bytes([hops]) + packet[8:]


def neighbor_advert(claimed, mac, target):
    """Solicited, override: `claimed` is at `mac`."""
    return icmp6(claimed, target, 136, struct.pack("!I16sBB6s", 0x60000000, socket.inet_pton(
        socket.AF_INET6, claimed), 2, 1, mac))


def router_advert(source, mac, target=ICMP6_ALL_NODES):
    """`source` is a router for the next half hour."""
    return icmp6(source, target, 134, struct.pack("!BBHII", 64, 0, 1800, 0, 0) +
                 struct.pack("!BB6s", 1, 1, mac))


def redirect6(source, target, better, destination):
    return icmp6(source, target, 137, struct.pack("!I16s16s", 0, socket.inet_pton(
        socket.AF_INET6, better), socket.inet_pton(socket.AF_INET6, destination)))


def redirect4(source, target, gateway, destination):
    """ICMP redirect for host: quotes a datagram of the target's to the destination."""
    quoted = datagram4(target, destination, 7, b"")
    body = struct.pack("!BBH4s", 5, 1, 0, socket.inet_aton(gateway)) + quoted[:28]
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ip4(source, target, 1, body)


def dhcp_reply(source, offered, mac, token):
    """A server's offer to `mac`, broadcast; the token stands where the boot file's name may."""
    bootp = struct.pack("!BBBBIHH4s4s4s4s", 2, 1, 6, 0, 7, 0, 0, b"\0" * 4,
                        socket.inet_aton(offered), socket.inet_aton(source), b"\0" * 4)
    bootp += mac + b"\0" * 10 + b"\0" * 64 + token.ljust(128, b"\0") + b"\x63\x82\x53\x63"
    bootp += bytes([53, 1, 2, 54, 4]) + socket.inet_aton(source) + b"\xff"
    return ip4(source, "255.255.255.255", 17, udp4(source, "255.255.255.255", 67, 68, bootp))


def neighbor_solicit(source, mac, target, token=b""):
    return icmp6(source, target, 135, struct.pack("!I16sBB6s", 0, socket.inet_pton(
        socket.AF_INET6, target), 1, 1, mac) + token)


def listener_report(source, token=b""):
    """A multicast listener report, and something behind it."""
    return icmp6(source, "ff02::16", 143, struct.pack("!HH", 0, 0) + token)


def dhcp_question(mac, token):
    bootp = struct.pack("!BBBBIHH16s", 1, 1, 6, 0, 7, 0, 0, b"\0" * 16) + mac + b"\0" * 10
    bootp += b"\0" * 64 + token.ljust(128, b"\0") + b"\x63\x82\x53\x63" + bytes([53, 1, 1, 255])
    return ip4("0.0.0.0", "255.255.255.255", 17, udp4("0.0.0.0", "255.255.255.255", 68, 67, bootp))


def unreachable4(source, target, quoted):
    """ICMP: a packet of the target's did not get to its port."""
    body = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ip4(source, target, 1, body)


def tagged(tags, body, ethertype=IP4):
    """(ethertype, body) of a frame behind VLAN tags."""
    for tag in reversed(tags):
        body = struct.pack("!HH", tag, ethertype) + body
        ethertype = VLAN
    return ethertype, body

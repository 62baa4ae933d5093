# tests/system/attackers/crafted.py: packets that no honest socket sends: spoofed, fragmented, with options.
# Needs CAP_NET_RAW, as a tenant's container may have it.
import socket
import struct

from attackers.clients import checksum

RR_OPTION = bytes([7, 7, 4, 0, 0, 0, 0, 0])  # record route with one slot, and an end


def udp4(source, target, source_port, target_port, payload):
    length = 8 + len(payload)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 17, length)
    header = struct.pack("!HHHH", source_port, target_port, length, 0)
    total = checksum(pseudo + header + payload) or 0xffff
    return struct.pack("!HHHH", source_port, target_port, length, total) + payload


def udp6(source, target, source_port, target_port, payload):
    length = 8 + len(payload)
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + \
        struct.pack("!IHBB", length, 0, 0, 17)
    header = struct.pack("!HHHH", source_port, target_port, length, 0)
    total = checksum(pseudo + header + payload) or 0xffff
    return struct.pack("!HHHH", source_port, target_port, length, total) + payload


def tcp4(source, target, source_port, target_port, flags, payload=b""):
    """A segment out of the blue."""
    header = struct.pack("!HHIIBBHHH", source_port, target_port, 1000, 2000, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + \
        struct.pack("!BBH", 0, 6, len(header) + len(payload))
    total = checksum(pseudo + header + payload)
    return header[:16] + struct.pack("!H", total) + header[18:] + payload


def ip4(source, target, protocol, body, options=b"", fragment=0, identity=1):
    words = 5 + len(options) // 4
    return struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(body), identity, fragment,
                       64, protocol, 0, socket.inet_aton(source), socket.inet_aton(target)) + \
        options + body


def send4(source, target, packets):
    """Sends finished IPv4 packets through a raw socket. OSError EPERM when refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        for packet in packets:
            raw.sendto(packet, (target, 0))


def spoof4(source, target, port, payload):
    send4(source, target, [ip4(source, target, 17, udp4(source, target, 4000, port, payload))])


def fragment_pair4(source, target, port, payload, first_bytes=16, identity=77):
    """One datagram in two fragments, the first with `first_bytes` of it."""
    whole = udp4(source, target, 4000, port, payload)
    assert first_bytes % 8 == 0 and len(whole) > first_bytes
    return [ip4(source, target, 17, whole[:first_bytes], fragment=0x2000,
                identity=identity),
            ip4(source, target, 17, whole[first_bytes:], fragment=first_bytes // 8,
                identity=identity)]


def fragments4(source, target, port, payload, first_bytes=16):
    send4(source, target, fragment_pair4(source, target, port, payload, first_bytes))


def options4(source, target, port, payload):
    send4(source, target, [ip4(source, target, 17, udp4(source, target, 4000, port, payload),
                               options=RR_OPTION)])


def options_by_setsockopt(target, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, RR_OPTION)
        client.sendto(payload, (target, port))


def options_by_cmsg(target, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendmsg([payload], [(socket.IPPROTO_IP, socket.IP_RETOPTS, RR_OPTION)], 0,
                       (target, port))


def raw4(target, protocol, body):
    """A raw socket whose header the kernel writes: any protocol."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as raw:
        raw.sendto(body, (target, 0))


def raw4_connected(target, protocol, body):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as raw:
        raw.connect((target, 0))
        raw.send(body)


def ip6(source, target, next_header, body):
    return struct.pack("!IHBB16s16s", 6 << 28, len(body), next_header, 64,
                       socket.inet_pton(socket.AF_INET6, source),
                       socket.inet_pton(socket.AF_INET6, target)) + body


def send6(target, packets):
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for packet in packets:
            raw.sendto(packet, (target, 0))


def spoof6(source, target, port, payload):
    send6(target, [ip6(source, target, 17, udp6(source, target, 4000, port, payload))])


def extension6(source, target, port, payload, headers=(60,)):
    """UDP behind extension headers: 0 hop-by-hop, 60 destination options, 43 routing."""
    chain = list(headers) + [17]
    body = b""
    for number, header in enumerate(headers):
        if header == 43:
            body += struct.pack("!BBBBI", chain[number + 1], 0, 253, 0, 0)
        else:
            body += struct.pack("!BBBB4s", chain[number + 1], 0, 1, 4, b"\0" * 4)  # PadN
    body += udp6(source, target, 4000, port, payload)
    send6(target, [ip6(source, target, chain[0], body)])


def fragment_pair6(source, target, port, payload):
    whole = udp6(source, target, 4000, port, payload)
    cut = 16
    return [ip6(source, target, 44, struct.pack("!BBHI", 17, 0, 1, 99) + whole[:cut]),
            ip6(source, target, 44, struct.pack("!BBHI", 17, 0, cut, 99) + whole[cut:])]


def fragments6(source, target, port, payload):
    send6(target, fragment_pair6(source, target, port, payload))


def each4(source, target, packets):
    """send4 of one packet after the other, also when one is refused."""
    for packet in packets:
        try:
            send4(source, target, [packet])
        except PermissionError:
            pass


def each6(target, packets):
    for packet in packets:
        try:
            send6(target, [packet])
        except PermissionError:
            pass


def transparent(source, target, port, payload):
    """A datagram from an address that the host does not have."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        client.bind((source, 0))
        client.sendto(payload, (target, port))


def source_routed4(source, first_hop, final, port, payload):
    """Goes to the first hop, which is asked to send it on to the final target."""
    option = bytes([131, 7, 4]) + socket.inet_aton(final) + b"\0"
    body = udp4(source, final, 4000, port, payload)
    send4(source, first_hop, [ip4(source, first_hop, 17, body, options=option)])

# tests/system/attackers/floods.py: senders at full speed. Each sends until it is told to stop or its time is
# up, and then says what it sent.
import errno
import os
import select
import socket
import struct
import time

from attackers.servers import family_of
from slow import scaled

SO_SNDBUFFORCE = 32
UDP_SEGMENT = 103
TCP_CONGESTION = 13
SO_MAX_PACING_RATE, SO_TXTIME = 47, 61


def udp_flood(pipe, address, port, size=1400, seconds=None, per_second=None, cpu=None, segment=0):
    """Answers (datagrams accepted by the kernel, datagrams refused with EPERM)."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    client = socket.socket(family_of(address), socket.SOCK_DGRAM)
    client.connect((address, port)) if per_second is None and not segment else None
    client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
    if segment:
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
    pipe.send("ready")
    pipe.recv()
    payload = b"u" * size
    sent = refused = 0
    begin = time.monotonic()
    while True:
        elapsed = time.monotonic() - begin
        if seconds is not None and elapsed > seconds:
            break
        if seconds is None and pipe.poll():
            pipe.recv()
            break
        if per_second is not None and sent + refused > elapsed * per_second:
            select.select([], [], [], 0.001)
            continue
        for _ in range(16):
            try:
                client.sendto(payload, (address, port))
                sent += 1
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOBUFS):
                    raise
                refused += 1
    return sent, refused


def tcp_flood(pipe, address, port, seconds=None, flows=1, congestion="cubic", max_segment=None,
              cpu=None):
    """Fills `flows` connections. Answers the payload bytes that the kernel took."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    clients = []
    for _ in range(flows):
        client = socket.socket(family_of(address), socket.SOCK_STREAM)
        client.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, congestion.encode())
        if max_segment:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        client.connect((address, port))
        client.setblocking(False)
        clients.append(client)
    pipe.send("ready")
    pipe.recv()
    payload = b"t" * 65536
    sent = 0
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        if end is None and pipe.poll():
            pipe.recv()
            break
        _, writable, _ = select.select([], clients, [], 0.1)
        for client in writable:
            try:
                sent += client.send(payload)
            except BlockingIOError:
                pass
    return sent


def tcp_send_exactly(address, port, size, max_segment=None, congestion="cubic"):
    """Sends `size` bytes over one connection, closes it, and waits until the peer has it all."""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as client:
        client.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, congestion.encode())
        if max_segment:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment)
        client.settimeout(30)
        client.connect((address, port))
        client.sendall(b"t" * size)
        client.shutdown(socket.SHUT_WR)
        return client.recv(1) == b""


def udp_send_segmented(address, port, segment, count, begin=b""):
    """One super-packet of `count` datagrams by UDP_SEGMENT, each of which begins with `begin`. The
    kernel or the device cuts it."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
        client.sendto(begin.ljust(segment, b"s") * count, (address, port))


def raw_flood(pipe, target, body, per_second=scaled(2000)):
    """UDP through a raw socket, which no call hook sees: only packets are judged."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    pipe.send("ready")
    pipe.recv()
    sent = refused = 0
    begin = time.monotonic()
    while not pipe.poll():
        if sent + refused > (time.monotonic() - begin) * per_second:
            select.select([pipe], [], [], 0.001)
            continue
        try:
            raw.sendto(body, (target, 0))
            sent += 1
        except PermissionError:
            refused += 1
    pipe.recv()
    return sent, refused


def call_flood(pipe, address, port, count=None):
    """Denied sendto calls as fast as they go: `count` of them, or until told to stop."""
    client = socket.socket(family_of(address), socket.SOCK_DGRAM)
    pipe.send("ready")
    pipe.recv()
    refused = 0
    while refused < count if count else not (refused % 64 == 0 and pipe.poll()):
        try:
            client.sendto(b"x", (address, port))
            raise AssertionError("a datagram was let through")
        except PermissionError:
            refused += 1
    return refused


def steered_flood(address, port, seconds, size=1400):
    """UDP that asks for a priority, a mark and a departure time of its own. Needs CAP_NET_ADMIN."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 7)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0xdead)
        client.setsockopt(socket.SOL_SOCKET, SO_TXTIME, struct.pack("=iI", time.CLOCK_MONOTONIC, 0))
        client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, b"\xff" * 4)
        end = time.monotonic() + seconds
        sent = 0
        while time.monotonic() < end:
            leave = struct.pack("=Q", time.monotonic_ns() - 1_000_000)
            try:
                client.sendmsg([b"u" * size], [(socket.SOL_SOCKET, SO_TXTIME, leave)], 0,
                               (address, port))
                sent += 1
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOBUFS):
                    raise
        return sent

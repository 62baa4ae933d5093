# tests/system/attackers/clients.py: one short conversation each, run in a place by Place.run(). Errors are
# the kernel's own OSErrors.
import ctypes
import errno
import os
import select
import socket
import struct
import time

from attackers.servers import family_of

TCP_FASTOPEN_CONNECT = 30
IPPROTO_MPTCP = 262
LIBC = ctypes.CDLL(None, use_errno=True)


def tcp_ask(address, port, payload=b"x", timeout=3, source=None, protocol=0, family=None):
    """Connects, sends, waits for the echo. TimeoutError (ETIMEDOUT) when packets are lost."""
    with socket.socket(family or family_of(address), socket.SOCK_STREAM, protocol) as client:
        client.settimeout(timeout)
        if source:
            client.bind((source, 0))
        try:
            client.connect((address, port))
            client.sendall(payload)
            left = len(payload)
            while left:
                data = client.recv(65536)
                if not data:
                    return False
                left -= len(data)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, f"{address}:{port} never answered") from None
    return True


def refusal(function, *args, **keywords):
    """(errno, seconds) of a call that must fail; (0, seconds) when it succeeds."""
    begin = time.monotonic()
    try:
        function(*args, **keywords)
        return 0, time.monotonic() - begin
    except OSError as error:
        return error.errno, time.monotonic() - begin


def udp_ask(address, port, payload=b"x", timeout=2, connected=False, source=None, family=None):
    """Sends a datagram and waits for its echo. ETIMEDOUT when none comes."""
    with socket.socket(family or family_of(address), socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        if source:
            client.bind((source, 0))
        try:
            if connected:
                client.connect((address, port))
                client.send(payload)
            else:
                client.sendto(payload, (address, port))
            return client.recvfrom(65536)[0] == payload
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, f"{address}:{port} never answered") from None


def udp_send(address, port, payload=b"x", count=1, source=None, source_port=0):
    """Sends datagrams and waits for nothing. Returns how many sends were refused with EPERM."""
    refused = 0
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        if source or source_port:
            client.bind((source or "", source_port))
        for _ in range(count):
            try:
                client.sendto(payload, (address, port))
            except PermissionError:
                refused += 1
    return refused


def udp_send_strict(address, port, payload=b"x"):
    """Sends one datagram. OSError when the send is refused."""
    with socket.socket(family_of(address), socket.SOCK_DGRAM) as client:
        client.sendto(payload, (address, port))


def udp_send_unspec(address, port, payload=b"x"):
    """sendto with an address of family AF_UNSPEC, which IPv4 takes for its own."""
    target = struct.pack("=H", socket.AF_UNSPEC) + struct.pack("!H", port) + \
        socket.inet_aton(address) + b"\0" * 8
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        if LIBC.sendto(client.fileno(), payload, len(payload), 0, target, len(target)) < 0:
            raise OSError(ctypes.get_errno(), "sendto(AF_UNSPEC)")


def ping(address, timeout=2, raw=False, connected=False):
    """One echo request from a ping socket (or a raw one); ETIMEDOUT when no reply comes."""
    v6 = ":" in address
    family = socket.AF_INET6 if v6 else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    kind, answer = (128, 129) if v6 else (8, 0)
    body = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xffff, 1) + b"partywall"
    if raw and not v6:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with socket.socket(family, socket.SOCK_RAW if raw else socket.SOCK_DGRAM, protocol) as client:
        if connected:
            client.connect((address, 0))
            client.send(body)
        else:
            client.sendto(body, (address, 0))
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([client], [], [], left)[0]:
                raise OSError(errno.ETIMEDOUT, f"{address} never answered a ping")
            data, _ = client.recvfrom(2048)
            if raw and not v6:
                data = data[(data[0] & 15) * 4:]
            if data[0] == answer:
                return True


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def fast_open(address, port, by_connect=False, timeout=3, payload=b"fast"):
    """Data in the SYN: by sendto(MSG_FASTOPEN) or by the socket option. Waits for the echo."""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                          struct.pack("@ll", int(timeout), int(timeout % 1 * 1e6)))
        if by_connect:
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            client.connect((address, port))
            client.sendall(payload)
        else:
            client.sendto(payload, socket.MSG_FASTOPEN, (address, port))
        client.settimeout(timeout)
        try:
            return client.recv(len(payload)) == payload
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "no echo") from None


def bind_only(address, port=0, kind=socket.SOCK_STREAM, reuse_port=False):
    with socket.socket(family_of(address), kind) as server:
        if reuse_port:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
    return True


def talk(pipe, address, port, family=None):
    """Keeps one TCP connection. Each message is (payload, timeout); answers True when echoed."""
    client = socket.socket(family or family_of(address), socket.SOCK_STREAM)
    client.settimeout(5)
    client.connect((address, port))
    pipe.send("connected")
    while True:
        payload, timeout = pipe.recv()
        client.settimeout(timeout)
        try:
            client.sendall(payload)
            left = len(payload)
            while left:
                left -= len(client.recv(65536))
            pipe.send(True)
        except TimeoutError:
            pipe.send(False)


def hold_socket(pipe, channel, kind=socket.SOCK_DGRAM, family=socket.AF_INET, connect_to=None,
                bind_to=None):
    """Makes a socket here and hands it over the Unix socket `channel`."""
    made = socket.socket(family, kind)
    if bind_to:
        made.bind(bind_to)
    if connect_to:
        made.connect(connect_to)
    socket.send_fds(channel, [b"s"], [made.fileno()])
    made.close()
    return True


def use_socket(channel, target, payload, kind=socket.SOCK_DGRAM, family=socket.AF_INET, wait=0,
               connected=False):
    """Takes a socket from `channel` and sends with it; with wait > 0 returns what comes back."""
    _, handles, _, _ = socket.recv_fds(channel, 16, 1)
    with socket.socket(family, kind, fileno=handles[0]) as taken:
        if connected:
            taken.send(payload)
        else:
            taken.sendto(payload, target)
        if not wait:
            return True
        if not select.select([taken], [], [], wait)[0]:
            return None
        return taken.recvfrom(65536)[0]

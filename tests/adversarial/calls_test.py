# tests/adversarial/calls_test.py: ways to send that do not look like connect and send: rows 19 to 23 and 49 of
# the catalogue. Nobody here has a capability.
import ctypes
import os
import socket
import struct
import unittest

from rows import CLOSED, Rows
from attackers import clients, floods, uring

BRIEF = 50  # processes
ONE_SYN = 0.9  # seconds: before the second one is sent


def denied(calls=1, packets=1):
    """A call is refused, and no packet is made; where no call is judged, the packet is."""
    call = {("a", "calls", "tenant_floor"): calls}
    return {"cgroup_plane": call, "both_planes": call,
            "edge_alone": {("a", "egress", "tenant_floor"): packets}}


class CallsTest(Rows, unittest.TestCase):
    """a tries to reach c, with whom it may not talk."""


row = CallsTest.row


@row(19, denied())
def unconnected_datagram(scene):
    scene.attack(clients.udp_send_strict, scene.c.v4, CLOSED, scene.token)


@row(19, denied())
def unconnected_datagram_v6(scene):
    scene.attack(clients.udp_send_strict, scene.c.v6, CLOSED, scene.token)


@row(19, denied())
def address_of_no_family(scene):
    scene.attack(clients.udp_send_unspec, scene.c.v4, CLOSED, scene.token)


@row(19, denied(1, 8))
def many_datagrams_in_one_call(scene):
    """The first one's refusal ends the call."""
    scene.attack(send_many, scene.c.v4, CLOSED, scene.token, 8)


def send_many(address, port, payload, count):
    """sendmmsg, to an address and without connect."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = ctypes.create_string_buffer(struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) +
                                       socket.inet_aton(address) + b"\0" * 8, 16)
    body = ctypes.create_string_buffer(payload, len(payload))
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(body), len(payload)), 16)
    # struct mmsghdr: msghdr (name, its length, vectors, their number, control, its length, flags),
    # bytes sent
    message = struct.pack("=QI4xQQQQI4xI4x", ctypes.addressof(name), 16, ctypes.addressof(vector), 1,
                          0, 0, 0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        if libc.sendmmsg(client.fileno(), message * count, count, 0) < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")


@row(20, denied())
def v4_mapped_tcp(scene):
    scene.attack(clients.tcp_ask, "::ffff:" + scene.c.v4, CLOSED, scene.token, ONE_SYN)


@row(20, denied())
def v4_mapped_udp(scene):
    scene.attack(clients.udp_send_strict, "::ffff:" + scene.c.v4, CLOSED, scene.token)


@row(21, denied())
def fast_open_by_send(scene):
    scene.attack(clients.fast_open, scene.c.v4, CLOSED, False, ONE_SYN, scene.token)


@row(21, denied())
def fast_open_by_connect(scene):
    scene.attack(clients.fast_open, scene.c.v4, CLOSED, True, ONE_SYN, scene.token)


@row(22, denied())
def mptcp(scene):
    scene.attack(clients.tcp_ask, scene.c.v4, CLOSED, scene.token, ONE_SYN, None,
                 clients.IPPROTO_MPTCP)


@row(23, denied())
def io_uring(scene):
    scene.attack(uring.connect_and_send, scene.c.v4, CLOSED, scene.token)


@row(23, denied())
def io_uring_message(scene):
    scene.attack(uring.send_message, scene.c.v4, CLOSED, scene.token)


@row(23, denied())
def io_uring_kernel_thread(scene):
    """SQPOLL: a thread of the kernel makes the calls."""
    scene.attack(uring.connect_and_send, scene.c.v4, CLOSED, scene.token, socket.SOCK_DGRAM, True)


@row(23, denied())
def io_uring_message_by_kernel_thread(scene):
    scene.attack(uring.send_message, scene.c.v4, CLOSED, scene.token, True)


@row(44, denied(1, 20))
def super_packet(scene):
    """Twenty datagrams in one send, which stay together on their way through the node."""
    scene.attack(floods.udp_send_segmented, scene.c.v4, CLOSED, 100, 20, scene.token)


@row(49, denied(BRIEF, BRIEF))
def brief_processes(scene):
    """Each is gone before anybody could have looked at it."""
    scene.attack(many_processes, BRIEF, clients.udp_send_strict, scene.c.v4, CLOSED, scene.token)


def many_processes(count, function, *args):
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(clients.refusal(function, *args)[0] & 127)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

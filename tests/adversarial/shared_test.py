# tests/adversarial/shared_test.py: tenants in one network namespace, as with hostNetwork: rows 32 to 35 and 39
# of the catalogue. There the cgroup plane is alone, and what it does not hold is said.
import socket
import unittest

from rows import CLOSED, Rows
from attackers import clients, crafted, frames, servers

BOTH = ("cgroup_plane", "both_planes")
HELD_PORT, DISCARD = 7000, 9
VSOCK_LOCAL = 1  # this machine itself: never a hypervisor
SENT = 100


class SharedTest(Rows, unittest.TestCase):
    """Workloads of b and c in the namespace of d, and one of a in the node's."""


row = SharedTest.row


def counted_by(sink):
    return lambda: len(sink.ask("?"))


# --- what no IP hook sees

@row(32, {}, held=False, legs=BOTH)
def abstract_unix_socket(scene):
    """Not held in a shared network namespace: one namespace for each tenant is what holds it."""
    name = b"\0" + scene.token
    sink = scene.start(scene.of("b", "d"), unix_sink, name)
    scene.attack(unix_send, name, scene.token, place=scene.of("c", "d"))
    scene.found = counted_by(sink)


def unix_sink(pipe, name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name)
        pipe.send("listens")
        count_messages(pipe, server)


def unix_send(name, payload):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(payload, name)


def count_messages(pipe, server):
    """Answers every message of the test with what the socket was given since the start."""
    seen = []
    server.setblocking(False)
    while True:
        pipe.recv()
        try:
            while data := server.recv(65536):  # until there is no more, or the end
                seen.append(data)
        except BlockingIOError:
            pass
        pipe.send(list(seen))


def has_vsock_loopback():
    """Asked by binding to the machine's own number, which only the loopback transport has."""
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as server:
            server.bind((VSOCK_LOCAL, socket.VMADDR_PORT_ANY))
            server.listen()
            with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
                client.settimeout(5)
                client.connect((VSOCK_LOCAL, server.getsockname()[1]))
            return True
    except OSError:
        return False


def vsock_loopback(scene):
    """Not held: vsock knows neither namespaces nor cgroups."""
    sink = scene.start(scene.b, vsock_sink)
    scene.attack(vsock_send, sink.port, scene.token, place=scene.c)
    scene.found = counted_by(sink)


def vsock_sink(pipe):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as server:
        server.bind((VSOCK_LOCAL, socket.VMADDR_PORT_ANY))
        server.listen()
        pipe.send(server.getsockname()[1])
        connection, _ = server.accept()
        count_messages(pipe, connection)


def vsock_send(port, payload):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
        client.connect((VSOCK_LOCAL, port))
        client.sendall(payload)


if has_vsock_loopback():
    row(33, {}, held=False, legs=BOTH)(vsock_loopback)
else:
    print("row 33: vsock loopback is not on this kernel", flush=True)


@row(33, {"both_planes": {("c", "egress", "tenant_floor"): 1}}, legs=("both_planes",), at="b")
def packet_socket_made_by_a_tenant(scene):
    """It may be made; what it sends is judged at the interface."""
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.c.v4, scene.b.v4, CLOSED, scene.token)], scene.world.gateway_mac("c"),
        needs=("net_raw",), place=scene.c)


# --- hostNetwork

@row(34, {("a", "calls", "tenant_floor"): 1}, legs=BOTH)
def host_network(scene):
    scene.attack(clients.udp_send_strict, scene.c.v4, CLOSED, scene.token,
                 place=scene.world.place("a", "node"))


@row(34, {("a", "egress", "source_address"): 1}, legs=BOTH)
def host_network_raw(scene):
    """The source is the node's own address."""
    scene.attack(crafted.raw4, scene.c.v4, 17, crafted.udp4(
        "10.77.3.1", scene.c.v4, 4000, CLOSED, scene.token), needs=("net_raw",),
        place=scene.world.place("a", "node"))


@row(34, {}, held=False, legs=BOTH)
def host_network_packet_socket(scene):
    """Not held: with NET_RAW on the node's own devices, past their queueing disciplines."""
    scene.attack(frames.send_frames, [frames.datagram4(
        "10.77.3.1", scene.c.v4, CLOSED, scene.token)], scene.world.mac("c"), frames.IP4, None, True,
        "pw-c", needs=("net_raw",), place=scene.world.place("a", "node"))


# --- ports

@row(35, {("c", "calls", "port_owned"): 1}, legs=BOTH)
def port_theft(scene):
    """With SO_REUSEPORT about half of b's datagrams would be c's."""
    holder = scene.start(scene.of("b", "d"), reuse_port, HELD_PORT)
    thief = scene.start(scene.of("c", "d"), reuse_port, HELD_PORT)
    scene.of("b", "d").run(from_many_ports, "127.0.0.1", HELD_PORT, scene.token, SENT)
    scene.found = lambda: len(thief.ask("?"))
    if scene.test.edge is not None:
        scene.test.assertEqual(SENT, len(holder.ask("?")), "all is the holder's")


def reuse_port(pipe, port):
    """Shares the port, if it may."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        server.bind(("0.0.0.0", port))
    except PermissionError:
        pass
    pipe.send(port)
    count_messages(pipe, server)


def from_many_ports(address, port, payload, count):
    for _ in range(count):
        clients.udp_send_strict(address, port, payload)


# --- loopback

@row(39, {("c", "calls", "tenant_floor"): 1}, legs=BOTH)
def loopback(scene):
    sink = scene.start(scene.of("b", "d"), servers.udp_sink, "127.0.0.1", 7001)
    scene.attack(clients.udp_send_strict, "127.0.0.1", 7001, scene.token, place=scene.of("c", "d"))
    scene.found = counted_by(sink)


@row(39, {("c", "calls", "tenant_floor"): 1}, legs=BOTH)
def loopback_v6(scene):
    sink = scene.start(scene.of("b", "d"), servers.udp_sink, "::1", 7002)
    scene.attack(clients.udp_send_strict, "::1", 7002, scene.token, place=scene.of("c", "d"))
    scene.found = counted_by(sink)


@row(39, {("b", "ingress", "tenant_floor"): 1}, legs=BOTH)
def loopback_to_a_port_that_nobody_bound(scene):
    """b's socket has its port from a send: no call hook knows that it is b's."""
    sink = scene.start(scene.of("b", "d"), port_by_sending)
    scene.attack(clients.udp_send_strict, "127.0.0.1", sink.port, scene.token,
                 place=scene.of("c", "d"))
    scene.found = counted_by(sink)


def port_by_sending(pipe):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.sendto(b"x", ("127.0.0.1", DISCARD))
    pipe.send(server.getsockname()[1])
    count_messages(pipe, server)


if __name__ == "__main__":
    unittest.main(verbosity=2)

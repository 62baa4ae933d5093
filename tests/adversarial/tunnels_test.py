# tests/adversarial/tunnels_test.py: what a workload builds inside its own namespace to hide whose packets they
# are: rows 15 to 17 of the catalogue, IP tunnels, SCTP, a second interface, netkit.
import fcntl
import os
import socket
import stat
import struct
import subprocess
import unittest

from rows import CLOSED, OPEN, Rows
from attackers import clients, crafted, frames, privileges
from edge_world import quick_sysctl
from netlink import Netlink

EDGE = ("both_planes", "edge_alone")
ADMIN = ("net_admin", "net_raw")
SETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
INNER, PEER_INSIDE = "10.77.1.77", "192.168.77.2"  # a's own, and nobody's


def denied(reason, count=1, tenant="a"):
    return {(tenant, "egress", reason): count}


class TunnelsTest(Rows, unittest.TestCase):
    """a may talk to b on OPEN and with the world. Devices come and go with the attack."""

    tun = "/dev/net/tun"

    @classmethod
    def prepare(cls):
        cls.gateway = cls.world.gateway_mac("a")
        # Who has a second device on the same link would answer for the first one's address as well.
        cls.world.place(None, "a").run(quick_sysctl, "net.ipv4.conf.all.arp_ignore=1")
        if not os.path.exists(cls.tun):
            cls.tun = f"/dev/pw-tun-{os.getpid()}"
            os.mknod(cls.tun, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
            cls.addClassCleanup(os.unlink, cls.tun)
        cls.world.add_link("a", 6, device="eth1", default=False)
        cls.second_gateway = cls.world.mac("node", "pw-a-eth1")
        if NETKIT:
            add_netkit(cls.world)

    @classmethod
    def settle(cls):
        """a's other interfaces are known to be its, too."""
        if NETKIT:
            cls.world.place("a", "a").run(through_interface, "nk0", cls.world.hosts["a"][0],
                                          "10.77.7.1", CLOSED, b"hello")
        a = cls.world.place("a", "a")
        a.run(second_interface_frame, cls.second_gateway, a.v4, "10.77.6.1", b"hello")
        super().settle()


row = TunnelsTest.row


def ip(*lines):
    """ip commands of the attacker's own. Fails with what ip said."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                          capture_output=True, timeout=60)
    if done.returncode:
        raise AssertionError(f"{lines}: {done.stderr}")


def through_device(device, setup, address, port, payload):
    """Makes a device that ends with the attack, and sends one datagram into it."""
    ip(*setup)
    try:
        clients.udp_send_strict(address, port, payload)
    finally:
        ip(f"link del {device}")


def tunnel(kind, remote, local):
    """A device of that kind with a neighbour that needs no resolution: one datagram, one packet."""
    more = " id 77 dstport 4789 noudpcsum" if kind == "vxlan" else ""
    lines = [f"link add tun77 type {kind}{more} local {local} remote {remote}",
             f"addr add {INNER}/32 dev tun77", "link set tun77 up",
             f"route add {PEER_INSIDE}/32 dev tun77 src {INNER}"]
    if kind == "vxlan":
        lines.append(f"neigh add {PEER_INSIDE} lladdr 02:00:00:00:77:02 dev tun77 nud permanent")
    return lines


def quiet_v6(setup, *args):
    """No router solicitations or the like from the new device: they would be packets of its own."""
    quick_sysctl("net.ipv6.conf.default.disable_ipv6=1")
    try:
        through_device("tun77", setup, *args)
    finally:
        quick_sysctl("net.ipv6.conf.default.disable_ipv6=0")


# --- tunnels

@row(15, denied("tenant_floor"), legs=EDGE, by="frame")
def vxlan(scene):
    """The socket's hook sees the inner packet alone, which goes to an address of nobody's."""
    scene.attack(quiet_v6, tunnel("vxlan", scene.c.v4, scene.a.v4), PEER_INSIDE, CLOSED,
                 scene.token, needs=ADMIN)


@row(15, denied("tunnel"), legs=EDGE, by="frame", at="world")
def vxlan_to_the_world(scene):
    """Which a may talk with, on any port; the world could send it back to c."""
    scene.attack(quiet_v6, tunnel("vxlan", scene.world.hosts["world"][0], scene.a.v4), PEER_INSIDE,
                 CLOSED, scene.token, needs=ADMIN)


def tunnel_ports(number):
    def play(scene):
        scene.attack(clients.udp_send_strict, scene.world.hosts["world"][0], number, scene.token)
    return play


CALL = {("a", "calls", "tunnel"): 1}
for name, number in (("vxlan", 4789), ("flannel", 8472), ("geneve", 6081)):
    attack = tunnel_ports(number)
    attack.__name__ = f"datagram_to_the_port_of_{name}"
    row(15, {"cgroup_plane": CALL, "both_planes": CALL, "edge_alone": denied("tunnel")}, by="frame",
        at="world")(attack)


def has_device(kind):
    """Asked by making one, in a namespace of its own."""
    name = f"pw-probe-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        return subprocess.run(["ip", "-n", name, "link", "add", "probe0", "type", *kind.split()],
                              capture_output=True).returncode == 0
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def tunnel_devices(kind):
    def play(scene):
        scene.attack(quiet_v6, tunnel(kind, scene.world.hosts["world"][0], scene.a.v4), PEER_INSIDE,
                     CLOSED, scene.token, needs=ADMIN)
    return play


for kind in ("ipip", "gre"):
    if has_device(f"{kind} local 192.0.2.1 remote 192.0.2.2"):
        attack = tunnel_devices(kind)
        attack.__name__ = kind + "_device"
        row(15, denied("tunnel"), legs=EDGE, by="frame", at="world")(attack)
    else:
        print(f"row 15: {kind} devices are not on this kernel", flush=True)


def inner_packets(number):
    """An IP tunnel without a device: a raw socket of the outer protocol."""
    def play(scene):
        inner = frames.datagram4("10.77.3.1", scene.c.v4, CLOSED, scene.token)
        body = (struct.pack("!HH", 0, frames.IP4) if number == 47 else b"") + inner
        scene.attack(crafted.raw4, scene.world.hosts["world"][0], number, body, needs=ADMIN)
    return play


for name, number in (("ipip", 4), ("gre", 47)):
    attack = inner_packets(number)
    attack.__name__ = name + "_to_the_world_by_hand"
    row(15, denied("tunnel"), legs=EDGE, by="frame", at="world")(attack)


# --- what a workload forwards

@row(16, denied("tenant_floor"), legs=EDGE)
def tun_and_forwarding(scene):
    """The packet has no socket and no cgroup: only the interface tells whose it is."""
    scene.attack_as_root(write_to_tun, scene.test.tun, frames.datagram4(
        "10.77.1.77", scene.c.v4, CLOSED, scene.token))


@row(16, denied("source_address"), legs=EDGE, at="b")
def tun_with_a_foreign_source(scene):
    scene.attack_as_root(write_to_tun, scene.test.tun, frames.datagram4(
        "192.168.77.9", scene.b.v4, OPEN, scene.token))


def write_to_tun(path, packet):
    with open(path, "r+b", buffering=0) as tun:  # root's alone on some hosts
        privileges.keep_only(*ADMIN)
        fcntl.ioctl(tun, SETIFF, struct.pack("16sH22x", b"tun77", IFF_TUN | IFF_NO_PI))
        quick_sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.tun77.disable_ipv6=1")
        ip("link set tun77 up")
        tun.write(packet)


# --- more addresses, more interfaces

@row(17, denied("link_address"), legs=EDGE, at="b")
def macvlan(scene):
    scene.attack(through_macvlan, scene.b.v4, OPEN, scene.token, scene.test.gateway.hex(":"),
                 needs=ADMIN)


def through_macvlan(address, port, payload, gateway):
    """From an address of its own range behind a second link address."""
    quick_sysctl("net.ipv6.conf.default.disable_ipv6=1")
    # Quiet: what the kernel would say of its own from there is refused, too, and counted.
    ip("link add mv77 link eth0 type macvlan mode bridge", "addr add 10.77.1.99/32 dev mv77",
       "link set mv77 arp off multicast off", "link set mv77 up",
       f"neigh add {address} lladdr {gateway} dev mv77 nud permanent")
    try:
        through_interface("mv77", "10.77.1.99", address, port, payload)
    finally:
        ip("link del mv77")
        quick_sysctl("net.ipv6.conf.default.disable_ipv6=0")


@row(17, denied("tenant_floor"), legs=EDGE)
def second_interface(scene):
    """Multus and the like: held when its host end is among those that the agent is told of."""
    scene.attack(second_interface_frame, scene.test.second_gateway, scene.a.v4, scene.c.v4,
                 scene.token, needs=ADMIN)


def second_interface_frame(gateway, source, address, payload):
    frames.send_frames([frames.datagram4(source, address, CLOSED, payload)], gateway, frames.IP4,
                       None, False, "eth1")


def add_netkit(world):
    """A pair of devices that are no veth, and whose packets have no link header."""
    peer = os.open(world.netns_path("a"), os.O_RDONLY)
    world.place_in_node(make_netkit, "pw-a-nk0", "nk0", peer)
    os.close(peer)
    world.batch("node", "addr add 10.77.7.1/24 dev pw-a-nk0", "link set pw-a-nk0 up")
    world.batch("a", "link set nk0 up")


def make_netkit(name, peer_name, peer_netns):
    netlink = Netlink()
    netlink.pair("netkit", name, peer_name, peer_netns)
    netlink.close()


def through_interface(device, source, target, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        client.bind((source, 0))
        client.sendto(payload, (target, port))


def netkit_interface(scene):
    scene.attack(through_interface, "nk0", scene.a.v4, scene.c.v4, CLOSED, scene.token, needs=ADMIN)


def has_netkit():
    name = f"pw-probe-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    peer = os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        make_netkit("pwprobe0", "pwprobe1", peer)
        subprocess.run(["ip", "link", "del", "pwprobe0"], check=True)
        return True
    except OSError:
        return False
    finally:
        os.close(peer)
        subprocess.run(["ip", "netns", "del", name], check=True)


NETKIT = has_netkit()
if NETKIT:
    row(17, {"both_planes": {("a", "calls", "tenant_floor"): 1}, "edge_alone": denied("tenant_floor")},
        legs=EDGE)(netkit_interface)
else:
    print("row 17: netkit is not on this kernel", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)

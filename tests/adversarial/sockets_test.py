# tests/adversarial/sockets_test.py: sockets that change hands, and cgroups that are made to confuse: rows 24 to
# 31 and 46 of the catalogue.
import os
import select
import socket
import tempfile
import unittest

from rows import CLOSED, OPEN, Rows
from attackers import clients, crafted, frames, privileges, squatter
from partywall import run, wait_until

CGROUP_PLANE = ("cgroup_plane", "both_planes")
CLONE_NEWCGROUP = 0x02000000
LIVES = 30


def denied(reason="tenant_floor", count=1, tenant="a"):
    return {(tenant, "egress", reason): count}


def called(reason="tenant_floor", tenant="a", count=1):
    """Refused at the call by the cgroup plane; where that does not know the process, at the edge."""
    call = {(tenant, "calls", reason): count}
    return {"cgroup_plane": call, "both_planes": call,
            "edge_alone": {(tenant, "egress", reason): count}}


class SocketsTest(Rows, unittest.TestCase):
    @classmethod
    def prepare(cls):
        cls.gateway = cls.world.gateway_mac("a")


row = SocketsTest.row


# --- processes and sockets that move

@row(24, denied(), legs=("both_planes",))
def socket_made_before_the_process_was_moved(scene):
    """No socket hook knows it: the interface does."""
    scene.attack_as_root(move_and_send, scene.world.path("a"), scene.c.v4, CLOSED, scene.token,
                         place=scene.world.place(None, "a"))


def move_and_send(cgroup, address, port, payload):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        enter(cgroup)
        privileges.keep_only()
        client.sendto(payload, (address, port))


def enter(cgroup, file="cgroup.procs"):
    with open(f"{cgroup}/{file}", "w") as procs:
        procs.write("0")


@row(25, denied(tenant="c"), at="b")
def socket_of_c_in_the_hands_of_a(scene):
    """a may talk to b; c's socket may not, whoever holds it."""
    ours, theirs = scene.channel()
    scene.start(scene.c, clients.hold_socket, ours)
    scene.attack(clients.use_socket, theirs, (scene.b.v4, OPEN), scene.token)


@row(25, denied(), at="c")
def socket_of_a_in_the_hands_of_nobody(scene):
    ours, theirs = scene.channel()
    scene.start(scene.a, clients.hold_socket, ours)
    scene.attack(clients.use_socket, theirs, (scene.c.v4, CLOSED), scene.token, place=scene.outsider)


@row(25, denied("interface_tenant"), at="b", legs=("both_planes",))
def process_of_c_behind_the_interface_of_a(scene):
    """With a's own addresses, which only the interface can tell from a's own frames."""
    scene.attack(frames.send_frames, [frames.datagram4(
        scene.a.v4, scene.b.v4, OPEN, scene.token)], scene.test.gateway, needs=("net_raw",),
        place=scene.of("c", "a"))


@row(26, called())
def listener_of_c_in_the_hands_of_b(scene):
    """a may talk to b, and b accepts; but it is c that listens."""
    ours, theirs = scene.channel()
    scene.start(scene.c, clients.hold_socket, ours, socket.SOCK_STREAM, socket.AF_INET, None,
                ("0.0.0.0", 5010))
    acceptor = scene.start(scene.b, accept_from, theirs)
    scene.attack(clients.tcp_ask, scene.c.v4, 5010, scene.token, 0.9)
    scene.found = lambda: acceptor.ask("?")


def accept_from(pipe, chan):
    """Accepts on a listener that it is given. Answers with the number of connections that spoke."""
    _, handles, _, _ = socket.recv_fds(chan, 16, 1)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=handles[0])
    listener.listen(8)
    pipe.send("listens")
    count = 0
    while True:
        ready, _, _ = select.select([listener, pipe], [], [])
        if listener in ready:
            connection, _ = listener.accept()
            connection.sendall(connection.recv(4096))
            count += 1
        elif pipe in ready:
            pipe.recv()
            pipe.send(count)


@row(27, denied())
def socket_outlives_its_cgroup(scene):
    ours, theirs = scene.channel()
    brief = scene.world.place("a/brief", "a") if scene.inside else scene.a
    holder = brief.start(clients.hold_socket, ours)
    holder.hear()
    holder.end()
    if scene.inside:
        wait_until(lambda: removed(brief.cgroup), 5, "the cgroup is gone")
    scene.attack(clients.use_socket, theirs, (scene.c.v4, CLOSED), scene.token, place=scene.outsider)


def removed(folder):
    try:
        os.rmdir(folder)
        return True
    except OSError:
        return not os.path.exists(folder)


@row(28, {("(unattributed)", "calls", "unknown_cgroup"): LIVES}, at="b", legs=CGROUP_PLANE)
def cgroup_made_where_one_was_removed(scene):
    """Were a number used again, the stranger would be taken for a, who may talk to b."""
    for number in range(LIVES):
        brief = scene.world.place(f"a/brief-{number}", "a")
        brief.run(clients.udp_send, scene.b.v4, OPEN, b"honest")
        wait_until(lambda: removed(brief.cgroup), 5, "the cgroup is gone")
        stranger = scene.world.place("stranger", "a")
        scene.attack(clients.udp_send_strict, scene.b.v4, OPEN, scene.token, place=stranger)
        wait_until(lambda: removed(stranger.cgroup), 5, "the cgroup is gone")


# --- cgroups below one's own

@row(29, called(), legs=CGROUP_PLANE)
def nested_cgroup(scene):
    scene.attack(clients.udp_send_strict, scene.c.v4, CLOSED, scene.token,
                 place=scene.world.place("a/deep/er", "a"))


@row(29, called(), legs=CGROUP_PLANE)
def cgroup_namespace(scene):
    scene.attack_as_root(in_own_cgroup_namespace, scene.c.v4, CLOSED, scene.token,
                         place=scene.world.place("a/deep", "a"))


def in_own_cgroup_namespace(*args):
    if privileges.LIBC.unshare(CLONE_NEWCGROUP):
        raise AssertionError("unshare(CLONE_NEWCGROUP)")
    privileges.keep_only()
    clients.udp_send_strict(*args)


@row(30, called(), legs=CGROUP_PLANE)
def threaded_cgroup(scene):
    folder = scene.world.make_cgroup("a/web/thread")
    with open(folder + "/cgroup.type", "w") as file:
        file.write("threaded")
    scene.attack_as_root(as_thread_of, folder, scene.c.v4, CLOSED, scene.token,
                         place=scene.world.place("a/web", "a"))


def as_thread_of(folder, *args):
    enter(folder, "cgroup.threads")
    privileges.keep_only()
    clients.udp_send_strict(*args)


def own_programs(flags):
    """a attaches a program to its own cgroup that lets every packet pass. Its raw socket is a connected one: any other
    hears each answer to the honest flow, too, and is refused what b sends to another socket."""
    def play(scene):
        own = scene.world.place("a/own", "a")
        allows_all = squatter.Squatter(own.cgroup, flags)
        try:
            scene.attack(crafted.raw4_connected, scene.c.v4, 17, crafted.udp4(
                scene.a.v4, scene.c.v4, 4000, CLOSED, scene.token), needs=("net_raw",), place=own)
        finally:
            allows_all.close()
    return play


for name, flags in (("that_may_be_overridden", 1), ("among_many", squatter.ALLOW_MULTI)):
    attack = own_programs(flags)
    attack.__name__ = "own_program_" + name
    row(31, denied(), legs=CGROUP_PLANE)(attack)


# --- the older kind of cgroups

@row(46, called())
def net_cls_and_net_prio(scene):
    """The first version's controllers once took the place of the cgroup in a socket."""
    folder = tempfile.mkdtemp(prefix="pw-net-cls-")
    run("mount", "-t", "cgroup", "-o", "net_cls,net_prio", "none", folder)
    try:
        os.mkdir(folder + "/class")
        with open(folder + "/class/net_cls.classid", "w") as file:
            file.write("0x10001")
        scene.attack_as_root(in_class, folder + "/class", scene.c.v4, CLOSED, scene.token)
        wait_until(lambda: removed(folder + "/class"), 5, "the class is empty")
    finally:
        run("umount", folder)
        os.rmdir(folder)


def in_class(folder, *args):
    enter(folder)
    privileges.keep_only()
    clients.udp_send_strict(*args)


if __name__ == "__main__":
    unittest.main(verbosity=2)

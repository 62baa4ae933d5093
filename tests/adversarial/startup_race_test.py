# tests/adversarial/startup_race_test.py: thousands of workloads that live for one packet: cgroup, namespace,
# interface and the first forbidden packet at once. None may arrive, the first included.
#
# PARTYWALL_RACE_WORKLOADS (10000) is how many, PARTYWALL_RACE_SECONDS (80; 40 on emulated machines) how long
# at the most: what does not fit is left out and said. An attached program makes the kernel wait for all
# processors at each interface that comes and goes, under the lock that all network namespaces share: 20 to
# 50 ms.
import os
import socket
import sys
import time
import unittest

from rows import CLOSED, MARK_MASK, POLICY, SLOW
from attackers import frames, post
from edge_world import NodeAgent, RoutedWorld
from netlink import Netlink
from partywall import CLONE_NEWNET, LIBC

WORKLOADS = int(os.environ.get("PARTYWALL_RACE_WORKLOADS", 10_000))
SECONDS = float(os.environ.get("PARTYWALL_RACE_SECONDS", 80 if SLOW == 1 else 40))
# (edge plane on, by frames instead of sockets, share of the workloads, share of the time)
PHASES = ((False, False, 0.8, 0.45), (True, False, 0.16, 0.35), (True, True, 0.04, 0.2))
CONTROL = 100
WORKERS = 2
HOST_MAC = b"\x02\0\0\0\x52\x01"
SOURCE, FOREIGN_SOURCE, GATEWAY = "10.77.1.50", "10.77.3.50", "10.77.1.1"
TOKEN = b"first-packet-of-all"


def live(pipe, node, cgroup, target, first, count, by_frame, seconds):
    """Workloads number first .. first + count - 1, one after the other, as far as time allows. Answers
    with how many sends the kernel took, and how many it refused."""
    pipe.send("ready")
    pipe.recv()
    node_netns = os.open(node, os.O_RDONLY)
    at_node = Netlink()  # this process is in the node's namespace
    taken = refused = 0
    end = time.monotonic() + seconds
    for number in range(first, first + count):
        if time.monotonic() > end:
            break
        folder = f"{cgroup}/race-{number}"
        os.mkdir(folder)
        pid = os.fork()
        if pid == 0:
            os._exit(born(folder, node_netns, at_node, f"pw-r{number}", target, by_frame))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code > 1:
            raise AssertionError(f"workload {number} ended with {code}")
        taken += code == 0
        refused += code == 1
        os.rmdir(folder)
    return taken, refused


def born(folder, node_netns, at_node, port, target, by_frame):
    """0: its packet was sent; 1: refused; 2: it could not live."""
    try:
        with open(folder + "/cgroup.procs", "w") as procs:
            procs.write("0")
        if LIBC.unshare(CLONE_NEWNET):
            return 2
        own = Netlink()
        own.pair("veth", "eth0", port, node_netns, HOST_MAC)
        index = socket.if_nametoindex("eth0")
        own.address(index, SOURCE, 24)
        at_node.up(port)
        own.up("eth0")
        if by_frame:
            # From a's own address, and from one of c's, so that c could take it for its own.
            frames.send_frames([frames.datagram4(source, target, CLOSED, TOKEN)
                                for source in (SOURCE, FOREIGN_SOURCE)], HOST_MAC)
            return 0
        own.neighbor(index, GATEWAY, HOST_MAC)
        own.default_route(index, GATEWAY)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(TOKEN, (target, CLOSED))
        return 0
    except PermissionError:
        return 1
    except OSError as error:
        print(f"workload behind {port}: {error}", file=sys.stderr, flush=True)
        return 2


class StartupRaceTest(unittest.TestCase):
    """Every workload is a's, and sends to c at once."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("this makes cgroups and namespaces: run as root")
        cls.world = RoutedWorld(("a", "c", "world"))
        cls.addClassCleanup(cls.world.close)
        cls.c = cls.world.place("c", "c")
        cls.next = 0

    def run_workloads(self, count, by_frame, seconds=60):
        """(sends taken, refused, arrived at c) of that many workloads, by several workers at once."""
        receiver = self.c.start(post.listen)
        receiver.hear()
        node = self.world.place(None, self.world.node)
        each = int(count // WORKERS)
        workers = []
        for _ in range(WORKERS):
            workers.append(node.start(live, self.world.netns_path(self.world.node),
                                      self.world.make_cgroup("a"), self.world.hosts["c"][0],
                                      self.next, each, by_frame, seconds))
            type(self).next += each
        for worker in workers:
            worker.hear()
        begin = time.monotonic()
        for worker in workers:
            worker.tell("go")
        taken, refused = map(sum, zip(*(worker.hear(seconds + 60) for worker in workers)))
        elapsed = time.monotonic() - begin
        wait_for_quiet(receiver)
        arrived = sum(is_datagram(frame) for frame in receiver.ask("frames"))
        receiver.end()
        how = "frames" if by_frame else "sockets"
        print(f"  {taken + refused} of {each * WORKERS} workloads with {how} in {elapsed:.1f} s: "
              f"{taken} sends taken, {refused} refused, {arrived} arrived", flush=True)
        return taken, refused, arrived

    def test_no_first_packet_leaks(self):
        for by_frame in (False, True):
            taken, _, arrived = self.run_workloads(CONTROL, by_frame)
            self.assertGreater(taken, 0)
            self.assertGreater(arrived, 0, "with no agent they must arrive: nothing is tested")
        for edge, by_frame, share, time_share in PHASES:
            agent = NodeAgent(self.world, POLICY, *(("--edge-interfaces", "pw-*", "--edge-mark-mask",
                                                     MARK_MASK) if edge else ()))
            agent.start()
            taken, refused, arrived = self.run_workloads(WORKLOADS * share, by_frame,
                                                         SECONDS * time_share)
            agent.close()
            self.assertEqual(0, arrived)
            if by_frame:  # a packet socket is not told of a refusal
                self.assertGreater(taken, 0)
            else:
                self.assertEqual(0, taken)
                self.assertGreater(refused, 0)


def is_datagram(frame):
    """Not what the node sends because of one: errors quote it, seconds later."""
    return frame[12:14] == b"\x08\0" and frame[23] == socket.IPPROTO_UDP and TOKEN in frame


def wait_for_quiet(receiver):
    """Until nothing new has come for a while."""
    count = -1
    while count != len(receiver.ask("frames")):
        count = len(receiver.ask("frames"))
        time.sleep(0.2 * SLOW)


if __name__ == "__main__":
    unittest.main(verbosity=2)

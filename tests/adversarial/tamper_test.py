# tests/adversarial/tamper_test.py: who takes the wall itself away: rows 50 to 52 of the catalogue. What cannot be
# prevented is noticed within 5 seconds, mended and told.
import ctypes
import errno
import os
import signal
import time
import unittest

from rows import CLOSED, MARK_MASK, OPEN, POLICY
from attackers import clients, frames, post, privileges, squatter
from edge_world import NodeAgent, RoutedWorld
from partywall import refused, run, wait_until

MENDED = 5  # seconds, at the most
OBJ_GET, PROG_GET_FD_BY_ID, LINK_GET_NEXT_ID, LINK_DETACH = 7, 13, 31, 34


def open_pin(path):
    """A handle of what is pinned there. OSError when one may not."""
    name = ctypes.create_string_buffer(path.encode())
    return squatter.bpf(OBJ_GET, (ctypes.addressof(name), 8), (0, 4), (0, 4))


def detach(paths):
    """Detaches each link; how many were."""
    count = 0
    for path in paths:
        handle = open_pin(path)
        try:
            squatter.bpf(LINK_DETACH, (handle, 4))
            count += 1
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # of kinds that cannot be: tracing
                raise
        finally:
            os.close(handle)
    return count


class TamperTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("these tests make cgroups and namespaces: run as root")
        cls.world = RoutedWorld(("a", "b", "c", "world"))
        cls.addClassCleanup(cls.world.close)
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")
        cls.node = cls.world.place(None, cls.world.node)
        cls.receiver = cls.c.start(post.listen)
        cls.receiver.hear()
        cls.b.start(post.listen).hear()
        cls.gateway = cls.world.gateway_mac("a")
        cls.agent = NodeAgent(cls.world, POLICY, "--edge-interfaces", "pw-*", "--edge-mark-mask",
                              MARK_MASK)
        cls.agent.start()
        cls.tokens = 0

    # --- helpers

    def new_token(self):
        type(self).tokens += 1
        return b"tampered-%04d" % self.tokens

    def leaks(self, by_frame):
        """Whether a's datagram arrives at c."""
        token = self.new_token()
        if by_frame:
            self.a.run(frames.send_frames, [frames.datagram4(self.a.v4, self.c.v4, CLOSED, token)],
                       self.gateway)
        else:
            self.a.run(clients.udp_send, self.c.v4, CLOSED, token)
        # What is sent to b afterwards is answered: by then the first would have arrived.
        self.assertTrue(self.a.run(clients.udp_ask, self.b.v4, OPEN))
        return any(token in frame for frame in self.receiver.ask("frames"))

    def links(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.agent.bpffs)
                if "links" in folder for name in names]

    def assert_tamper(self, tamper, by_frame, opens=True):
        """The wall stands; without the agent looking on, tampering opens it; with it, it is mended.
        Not `opens`: it takes something away, and the other plane still holds."""
        self.assertFalse(self.leaks(by_frame))
        repairs = self.repairs()
        self.agent.signal(signal.SIGSTOP)
        try:
            tamper()
            self.assertEqual(opens, self.leaks(by_frame), "control: the wall is open")
        finally:
            self.agent.signal(signal.SIGCONT)
        begin = time.monotonic()
        wait_until(lambda: self.is_mended(by_frame), MENDED, "the wall stands again")
        print(f"  mended {time.monotonic() - begin:.2f} s after the agent could see it", flush=True)
        wait_until(lambda: self.repairs() > repairs, MENDED, "the metric tells")
        self.assertIn("detached", self.agent.log())
        wait_until(lambda: self.agent.cli("doctor", check=False).returncode == 0, MENDED,
                   "doctor finds nothing")

    def is_mended(self, by_frame):
        try:
            return not self.leaks(by_frame)
        except OSError:  # while half of it stands, an answer may be lost
            return False

    def repairs(self):
        return self.agent.metric("partywall_repairs_total") or 0

    # --- rows

    def test_50_uid_0_without_a_capability(self):
        """The folder of the pins is root's, and that is all that uid 0 needs."""
        def tamper():
            count = self.node.run(as_uid_0, detach, self.links())
            self.assertGreater(count, 1)
        # Filters of the older kind are out of its reach: they are no links, and have no pins.
        reaches_edge = any("edge_" in link for link in self.links())
        for by_frame in (False, True):
            self.assert_tamper(tamper, by_frame, reaches_edge)

    def test_50_a_workload_that_is_not_uid_0(self):
        """Control: the same by anybody else fails at the folder."""
        with self.assertRaises(PermissionError):
            self.a.run(privileges.with_only, (), detach, self.links())
        self.assertFalse(self.leaks(True))

    def test_51_two_capabilities(self):
        """BPF and NET_ADMIN: no handle of anything of ours, and none of what is attached goes away."""
        wanted = {"pins": errno.EACCES, "programs": errno.EPERM, "links": errno.EPERM,
                  "detach": errno.ENOENT}
        self.assertEqual(wanted, self.a.run(two_capabilities, self.links()[0], self.a.cgroup))
        self.assertFalse(self.leaks(False))
        self.assertFalse(self.leaks(True))

    def test_52_root_takes_the_cgroup_plane_off(self):
        def tamper():
            self.take_edge_off()
            self.node.run(detach, [link for link in self.links() if "edge_" not in link])
        self.assert_tamper(tamper, False)

    def test_52_root_takes_the_edge_off(self):
        self.assert_tamper(self.take_edge_off, True)

    # --- no agent at all

    def test_killed_agent(self):
        """What is attached goes on; a workload that comes now, and is attached to nothing, reaches no
        other, whatever address it takes."""
        self.agent.kill()
        self.assertFalse(self.leaks(False))
        self.assertFalse(self.leaks(True))
        self.world.add_host("d", 4)
        d = self.world.place("d", "d")
        sources = (d.v4, "10.77.3.50", "10.77.9.2")  # its own, one of c's, one of the world
        for when in ("while the agent is gone", "once it is back"):
            for source in sources:
                token = self.new_token()
                d.run(frames.send_frames, [frames.datagram4(source, self.c.v4, CLOSED, token)],
                      self.world.gateway_mac("d"))
                self.assertTrue(self.a.run(clients.udp_ask, self.b.v4, OPEN))
                self.assertEqual([], [one for one in self.receiver.ask("frames") if token in one],
                                 f"from {source} {when}")
            if self.agent.process.poll() is not None:
                self.agent.start()
        self.assertGreater(refused(self.agent.usage("d"), "egress", "source_address"), 0)

    def take_edge_off(self):
        """TCX links where the kernel has them, else the queueing discipline and all that is on it."""
        pins = [link for link in self.links() if "edge_" in link]
        if pins:
            self.assertGreaterEqual(self.node.run(detach, pins), 6)
            return
        for host in "abc":
            run("nsenter", f"--net={self.node.netns}", "tc", "qdisc", "del", "dev", "pw-" + host,
                "clsact")


def as_uid_0(function, *args):
    privileges.keep_only(uid=0)
    return function(*args)


def two_capabilities(pin, cgroup):
    """What each attempt fails with."""
    folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    privileges.keep_only("bpf", "net_admin")
    attempts = {
        "pins": lambda: open_pin(pin),
        "programs": lambda: squatter.bpf(PROG_GET_FD_BY_ID, (1, 4), (0, 4), (0, 4)),
        "links": lambda: squatter.bpf(LINK_GET_NEXT_ID, (0, 4), (0, 4), (0, 4)),
        "detach": lambda: squatter.bpf(squatter.PROG_DETACH, (folder, 4), (0, 4),
                                       (squatter.EGRESS, 4))}
    return {name: clients.refusal(attempt)[0] for name, attempt in attempts.items()}


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/system/agent_faults_test.py: what is taken away from a running agent, and who does not read what it
# writes: the wall stands, what can be mended is mended within seconds, what is lost is counted.
import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
import unittest

from attackers import clients, crafted, floods
from partywall import Agent, WorldTest, passed, program, run, tenant, tenants, wait_until

PORT = 5001
MENDED = 5  # seconds, at the most
POLICY = tenants(tenant("a", 1), tenant("b", 2))
LOUD = 45  # tenants, for more events than one may send


def read_what_is_there(descriptor):
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


class AgentFaultsTest(WorldTest):
    hosts = ("a", "b")
    start_agent = False

    @classmethod
    def prepare(cls):
        cls.a, cls.b = (cls.world.place(name, name) for name in "ab")

    def setUp(self):
        self.agent = Agent(self.world, POLICY)
        self.addCleanup(self.agent.close)
        self.addCleanup(self.world.end_children)

    # --- helpers

    @contextlib.contextmanager
    def wall(self):
        """Meanwhile a's calls and packets to b are refused, each of them; what is a's own passes."""
        calls = self.a.start(floods.call_flood, self.b.v4, PORT)
        body = crafted.udp4(self.a.v4, self.b.v4, 4000, PORT, b"leak")
        packets = self.a.start(floods.raw_flood, self.b.v4, body)
        for child in (calls, packets):
            child.hear()
            child.tell("go")
        yield
        self.assertGreater(calls.ask("stop"), 0)  # it has failed if one was let through
        leaked, refused = packets.ask("stop")
        self.assertEqual(0, leaked)
        self.assertGreater(refused, 0)
        self.assert_enforced()
        self.assertTrue(self.a.run(clients.ping, self.a.v4), "control: what is allowed")

    def assert_enforced(self):
        self.assert_errno(errno.EPERM, self.a.run, clients.udp_send_strict, self.b.v4, PORT)
        self.assert_errno(errno.EPERM, self.a.run, clients.ping, self.b.v4)

    def pins(self):
        """Every file and folder of the agent's pins."""
        return sorted(os.path.join(folder, name) for folder, folders, files in
                      os.walk(self.agent.bpffs) for name in folders + files)

    def repairs(self, name):
        return self.agent.metric("partywall_repairs_total", object=name) or 0

    def assert_mended(self, wanted):
        wait_until(lambda: self.pins() == wanted, MENDED, "every pin is there again")
        wait_until(lambda: self.agent.http("/readyz")[0] == 200, MENDED, "it is ready again")
        self.agent.cli("doctor")  # fails when anything does

    def lost(self, sink):
        return self.agent.metric("partywall_event_lines_lost_total", sink=sink) or 0

    def deny(self, port, count=1):
        """Events of a, told apart by the port."""
        self.assertEqual(count, self.a.run(clients.udp_send, self.b.v4, port, b"x", count))

    # --- pins

    def test_a_link_loses_its_pin(self):
        self.agent.start()
        whole = self.pins()
        for name in ("packet_egress", "call_connect4", "cgroup_made"):
            self.assertEqual(0, self.repairs(name), "control")
            with self.wall():
                os.unlink(f"{self.agent.bpffs}/links/{name}")
                self.assertNotEqual(whole, self.pins())
                self.assert_mended(whole)
            self.assertEqual(1, self.repairs(name))
            self.assertIn(f"{name} was detached, replaced or unpinned", self.agent.log())

    def test_maps_lose_their_pins(self):
        self.agent.start()
        whole = self.pins()
        names = os.listdir(self.agent.bpffs + "/maps")
        self.assertGreater(len(names), 10)
        self.deny(6001, 7)
        before = self.agent.usage("a")["calls_denied"]["tenant_floor"]
        with self.wall():
            for name in names:
                os.unlink(f"{self.agent.bpffs}/maps/{name}")
            self.assert_mended(whole)
            self.assertGreaterEqual(self.agent.usage("a")["calls_denied"]["tenant_floor"], before,
                                    "they are the same maps")
        for name in names:
            self.assertEqual(1, self.repairs(name), name)

    def test_the_whole_folder_is_removed(self):
        self.agent.start()
        whole = self.pins()
        generation = self.agent.generation()
        with self.wall():
            shutil.rmtree(self.agent.bpffs)
            self.assert_mended(whole)
            self.assertEqual(0o700, os.stat(self.agent.bpffs).st_mode & 0o777)
            # It holds the lock of the new folder, too.
            second = Agent(self.world, POLICY, bpffs=self.agent.bpffs)
            self.addCleanup(shutil.rmtree, second.folder)
            self.world.clean_ups.remove(second.close)
            code, said = second.refuses()
            second.notify.close()
            self.assertEqual(1, code)
            self.assertIn("another partywalld", said)
        self.assertEqual(generation, self.agent.generation())
        with self.wall():  # the next agent finds everything
            self.agent.kill()
            self.agent.start()
        self.assertEqual(generation + 1, self.agent.generation())

    def test_the_bpffs_is_unmounted(self):
        mount = self.agent.folder + "/bpf"
        os.mkdir(mount)
        run("mount", "-t", "bpf", "-o", "mode=0700", "bpf", mount)
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False, capture_output=True)
        self.addCleanup(self.agent.close)
        self.agent.bpffs = mount + "/pins"
        self.agent.start()
        whole = self.pins()
        self.deny(6001, 7)
        before = self.agent.usage("a")["calls_denied"]["tenant_floor"]
        with self.wall():
            run("umount", "-l", mount)
            self.assertEqual([], self.pins())
            wait_until(lambda: "not on a BPF file system" in self.agent.log(), MENDED, "it says so")
            wait_until(lambda: self.agent.http("/readyz")[0] == 503, MENDED, "it is not ready")
            self.assertIn("not on a BPF file system", self.agent.ask("status")["trouble"])
            self.assertNotEqual(0, self.agent.cli("doctor", check=False).returncode)
            # What changes meanwhile is enforced.
            generation = self.agent.metric("partywall_policy_generation")
            self.agent.write(POLICY + "# changed\n")
            wait_until(lambda: self.agent.metric("partywall_policy_generation") > generation, 5,
                       "the next generation")
        with self.wall():
            run("mount", "-t", "bpf", "-o", "mode=0700", "bpf", mount)
            self.assert_mended(whole)
        self.assertGreater(self.agent.usage("a")["calls_denied"]["tenant_floor"], before + 100)
        with self.wall():
            self.agent.kill()
            self.agent.start()

    # --- events

    def test_events_on_a_full_disk(self):
        logs = self.agent.folder + "/logs"
        os.mkdir(logs)
        run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", logs)
        self.addCleanup(run, "umount", logs)
        self.addCleanup(self.agent.close)
        self.agent.events_path = logs + "/events"
        self.agent.start()
        self.deny(6001)
        wait_until(lambda: len(self.agent.events()) == 1, 5, "control: an event is written")
        self.assertEqual(0, self.lost("file"))
        filler = logs + "/filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"f" * 4096)
        with self.wall():
            wait_until(lambda: self.lost("file") > 20, 10, "lost lines are counted")
            self.assertEqual(200, self.agent.http("/readyz")[0])
        events = self.agent.usage("a")["events"]
        wait_until(lambda: self.told(events) == events["sent"], 5, "written or counted as lost")
        os.unlink(filler)
        lost = self.lost("file")
        wait_until(lambda: self.deny(6002) or any(one["peer_port"] == 6002 for one in self.whole()),
                   10, "events are written again")
        self.assertEqual(lost, self.lost("file"))

    def whole(self):
        """The events of the file, but for the line that was cut off."""
        with open(self.agent.events_path) as file:
            for line in file:
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line)

    def told(self, events):
        return len(list(self.whole())) + self.lost("file")

    def test_nobody_reads_standard_output(self):
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self.addCleanup(os.close, ours)
        self.agent.instead["--events"] = "stdout"
        self.agent.stdout = theirs
        self.agent.start()
        os.close(theirs)
        with self.wall():
            wait_until(lambda: self.lost("file") > 20, 10, "lost lines are counted")
            self.assertEqual(200, self.agent.http("/readyz")[0])
            self.agent.apply(POLICY + "# changed\n")
        lines = os.read(ours, 65536).splitlines(keepends=True)
        self.assertGreater(len(lines), 3)
        for line in lines:
            self.assertTrue(line.endswith(b"\n"))
            self.assertEqual("a", json.loads(line)["tenant"])
        wait_until(lambda: self.deny(6002) or b'"peer_port":6002,' in read_what_is_there(ours), 10,
                   "control: it is read again")

    def test_a_slow_follower_loses_lines(self):
        """The budget of events is each tenant's own: it takes many to outrun a reader."""
        names = [f"t{number}" for number in range(LOUD)]
        self.agent.write(tenants(*(tenant(name, 10 + number)
                                   for number, name in enumerate(names))))
        self.agent.start()
        folders = [self.world.make_cgroup(name) for name in names]
        command = [program("partywall"), "--control-socket", self.agent.control, "events", "-f",
                   "-o", "json"]
        slow = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.addCleanup(slow.wait)
        self.addCleanup(slow.kill)
        self.addCleanup(slow.stdout.close)
        host = self.world.place(None, "a")
        child = host.start(deny_in_each, folders, "10.77.9.9")
        wait_until(lambda: self.lost("reader") > 0, 60, "lost lines are counted")
        self.assertEqual(200, self.agent.http("/readyz")[0])
        self.assertGreater(child.ask("stop"), 1000)
        # Whole lines come out when it reads at last; and once it has caught up, what happens next.
        ports, rest = [], b""
        end = time.monotonic() + 60
        while 6002 not in ports:
            self.assertLess(time.monotonic(), end, f"{len(ports)} lines, none of the last event")
            if not select.select([slow.stdout], [], [], 0.2)[0]:
                host.run(deny_once, folders[0], "10.77.9.9", 6002)  # it waits for news
                continue
            *lines, rest = (rest + os.read(slow.stdout.fileno(), 1 << 16)).split(b"\n")
            ports += [json.loads(line)["peer_port"] for line in lines]
        self.assertGreater(len(ports), 1000)

    def test_rotation(self):
        self.agent.start()
        self.deny(6001)
        wait_until(lambda: len(self.agent.events()) == 1, 5, "the first event")
        old = self.agent.events_path + ".1"
        os.rename(self.agent.events_path, old)
        self.deny(6002)
        wait_until(lambda: len(self.ports(old)) == 2, 5,
                   "until it is told, it goes on with the old file")
        self.agent.signal(signal.SIGHUP)
        wait_until(lambda: os.path.exists(self.agent.events_path), 5, "a new file")
        self.deny(6003)
        wait_until(lambda: [one["peer_port"] for one in self.agent.events()] == [6003], 5,
                   "the third event")
        self.assertEqual([6001, 6002], self.ports(old))
        self.assertEqual(0, self.lost("file"))

    @staticmethod
    def ports(path):
        with open(path) as file:
            return [json.loads(line)["peer_port"] for line in file if line.endswith("\n")]

    # --- scrapes

    def test_a_stalled_scrape_holds_up_nobody(self):
        self.agent.start()
        stalled = []
        for _ in range(50):
            client = socket.create_connection(("127.0.0.1", self.agent.metrics_port))
            self.addCleanup(client.close)
            client.sendall(b"GET /metrics HTTP/1.1\r\n")  # and no more
            stalled.append(client)
        with self.wall():
            self.agent.apply(POLICY + "# changed\n")
            self.assertEqual(2, self.agent.metric("partywall_policy_generation"))
        self.assertGreater(passed(self.agent.usage("a"), "egress"), 0)


def deny_in_each(pipe, folders, address):
    """Goes from cgroup to cgroup and makes denied calls, until told to stop. Answers how many."""
    refused = 0
    while not pipe.poll():
        for folder in folders:
            refused += deny_once(folder, address, 6001, 50)
    pipe.recv()
    return refused


def deny_once(folder, address, port, count=1):
    with open(folder + "/cgroup.procs", "w") as procs:
        procs.write("0")
    return clients.udp_send(address, port, b"x", count)


if __name__ == "__main__":
    unittest.main(verbosity=2)

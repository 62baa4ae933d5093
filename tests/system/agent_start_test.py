# tests/system/agent_start_test.py: an agent that cannot start says why and leaves everything as it was; one that
# can needs three capabilities, answers root alone, and is ready when it enforces.
import errno
import json
import os
import re
import signal
import socket
import stat
import time
import unittest

from attackers import clients
from attackers.squatter import ALLOW_MULTI, Squatter
from partywall import (Agent, WorldTest, ask_control, parse_metrics, program, run, tenant, tenants,
                       wait_until)

PORT = 5001
POLICY = tenants(tenant("a", 1), tenant("b", 2))
NOBODY = 65534
CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF = 12, 38, 39
NEEDED = "-all,+bpf,+net_admin,+perfmon"

# (configuration file, what is said of it). $FILE is its path.
MISTAKES = (
    ("metric: 127.0.0.1:1\n", r"line 1: unknown key \"metric\", did you mean metrics\?"),
    ("logLevel: info\nlogLevel: warn\n", r"line 2: \"logLevel\" is written twice"),
    ("maxTenants: many\n", "max-tenants"),
    ("maxTenants: 1\n", "max-tenants"),
    ("logFormat: xml\n", "log-format"),
    ("syscalls: maybe\n", "syscalls"),
    ("node: [n1]\n", "line 1: node takes one value"),
    ("node: {\n", r"line \d"),
    ("- node\n", "mapping of keys"),
    ("node: a\n---\nnode: b\n", "second document"),
    ("infrastructure: dns\n", r"$FILE:1:\d+.*infrastructure"),
    ("infrastructure:\n  - {name: dns, cidr: 10.0.0.53/33}\n", r"$FILE:2:\d+.*cidr"),
    ("infrastructure:\n  - {name: dns, cidr: 10.0.0.53/8}\n", r"$FILE:2:\d+.*10\.0\.0\.0/8"),
    ("infrastructure:\n  - {cidr: 10.0.0.53/32}\n", r"$FILE:2:\d+.*name"),
    ("infrastructure:\n  - {name: dns}\n", r"$FILE:2:\d+.*cidr"),
    ("infrastructure:\n  - {name: dns, cidr: 10.0.0.53/32, port: 53}\n",
     r"$FILE:2:\d+.*\"?port\"?.*ports"),
    ("infrastructure:\n  - {name: dns, cidr: 10.0.0.53/32, direction: both}\n",
     r"$FILE:2:\d+.*direction"),
    ("infrastructure:\n  - {name: dns, cidr: 10.77.1.53/32}\n", "10.77.1"),  # is tenant a's
)


class AgentStartTest(WorldTest):
    hosts = ("a", "b", "c")
    start_agent = False

    @classmethod
    def prepare(cls):
        cls.a, cls.b = (cls.world.place(name, name) for name in "ab")

    def setUp(self):
        self.agent = Agent(self.world, POLICY)
        self.addCleanup(self.agent.close)
        self.addCleanup(self.world.end_children)

    # --- helpers

    def attached(self):
        """(program id, attach type) of all that is attached to the managed root."""
        shown = run(program("bpftool"), "-j", "cgroup", "show", self.world.path())
        return {(one["id"], one["attach_type"]) for one in json.loads(shown.strip() or "[]")}

    def assert_untouched(self):
        """Nothing is attached, pinned or refused."""
        self.assertEqual(set(), self.attached())
        self.assertFalse(os.path.exists(self.agent.bpffs))
        self.assertFalse(os.path.exists(self.agent.control))
        self.a.run(clients.udp_send_strict, self.b.v4, PORT)

    def assert_enforced(self):
        self.assert_errno(errno.EPERM, self.a.run, clients.udp_send_strict, self.b.v4, PORT)
        self.assert_errno(errno.EPERM, self.a.run, clients.ping, self.b.v4)
        self.assertTrue(self.a.run(clients.ping, self.a.v4))

    def assert_refuses(self, pattern, *flags, code=1):
        ended, said = self.agent.refuses(*flags)
        self.assertRegex(said, pattern)
        self.assertEqual(code, ended, said)
        self.assertNotIn("READY=1", self.agent.notifications())
        return said

    def config(self, text):
        path = self.agent.folder + "/partywalld.yaml"
        with open(path, "w") as file:
            file.write(text)
        return path

    # --- what it cannot have

    def test_a_taken_port(self):
        with socket.create_server(("127.0.0.1", self.agent.metrics_port)):
            self.assert_refuses(f"metrics on 127.0.0.1:{self.agent.metrics_port}: Address already")
            self.assert_untouched()
        self.agent.start()
        self.assert_enforced()
        self.agent.terminate()
        before = self.attached()
        self.assertEqual(8, len(before))
        with socket.create_server(("127.0.0.1", self.agent.metrics_port)):
            self.assert_refuses("Address already in use")
        self.assertEqual(before, self.attached(), "the wall stands as it did")
        self.assert_enforced()

    def test_an_address_that_all_could_read(self):
        self.agent.instead["--metrics"] = f"0.0.0.0:{self.agent.metrics_port}"
        self.assert_refuses("tenants could read.*--metrics-remote")
        self.assert_untouched()
        self.agent.start("--metrics-remote")
        self.assertEqual(200, self.agent.http("/readyz")[0])

    def test_files_that_cannot_be(self):
        for flag, value, said in (
                ("--events", self.agent.folder + "/no/events", "open the events file .*/no/events"),
                ("--control-socket", self.agent.folder + "/no/such/x.sock", "/no/such"),
                ("--control-socket", "/tmp/" + "x" * 200, "at most 107 bytes"),
                ("--bpffs", self.agent.folder + "/pins", "not on a BPF file system"),
                ("--config", self.agent.folder + "/none.yaml", "none.yaml")):
            own = self.agent.instead.copy()
            self.agent.instead[flag] = value
            self.assert_refuses(said, code=2 if flag == "--config" else 1)
            self.assert_untouched()
            self.agent.instead = own
        self.agent.start()

    def test_a_squatter(self):
        """Who tolerates no other program on the cgroup, or above it, is named."""
        inner = self.world.root + "/inner"
        self.world.make_cgroup("inner")
        for root in (self.world.root, inner):
            self.agent.instead["--cgroup-root"] = root
            self.agent.write(POLICY.replace("$ROOT", root))
            squatter = Squatter(self.world.path())
            try:
                alone = self.attached()
                self.assertEqual({squatter.id()}, {one for one, _ in alone})
                self.assert_refuses(f"attach packet_egress.*program {squatter.id()} is attached")
                self.assertEqual(alone, self.attached(), "nothing of ours stays")
                self.assertFalse(os.path.exists(self.agent.bpffs))
            finally:
                squatter.close()
        self.agent.instead = {}
        self.agent.write(POLICY)
        friendly = Squatter(self.world.path(), ALLOW_MULTI)
        try:
            self.agent.start()
            self.assert_enforced()
            self.assertIn(friendly.id(), {one for one, _ in self.attached()})
        finally:
            friendly.close()

    # --- what it is told

    def test_mistakes_in_the_configuration(self):
        for text, said in MISTAKES:
            with self.subTest(text):
                path = self.config(text)
                # Of an entry that a policy cannot stand beside, the policy tells.
                code = 1 if "infrastructure" in text else 2
                told = self.assert_refuses(said.replace("$FILE", re.escape(path)), "--config", path,
                                           code=code)
                self.assertIn("partywalld.yaml", told)
                self.assert_untouched()
        path = self.config("logFormat: json\nsyscalls: false\ninfrastructure:\n"
                           "  - {name: dns, cidr: 10.0.0.53/32}\n")
        self.agent.start("--config", path)
        self.assertTrue(self.agent.log().startswith("{"), "control: what it says is done")
        self.assertEqual("off", self.agent.ask("status")["syscalls"])
        self.agent.terminate()
        self.assert_refuses("this is no YAML", "--config", self.config("node: {\n"), code=2)
        self.assert_enforced()

    def test_every_mistake_of_the_infrastructure_is_told(self):
        path = self.config("infrastructure:\n  - {name: dns, cidr: 10.0.0.53/33}\n"
                           "  - {name: api, cidr: 10.0.0.1/32, direction: both}\n  - {name: x}\n")
        said = self.assert_refuses("the configuration cannot be used", "--config", path)
        for line in (2, 3, 4):
            self.assertIn(f"{path}:{line}:", said)

    def test_nothing_to_enforce(self):
        self.agent.write(tenants(tenant("a", 1, tier="none"), tenant("b", 2, mode="perhaps"),
                                 tenant("c", 1)))
        self.agent.write("kind: [\n", "second.yaml")
        said = self.assert_refuses("nothing is enforced: .*partywall check")
        for problem in ("policy.yaml:", "second.yaml:", '"none"|none', "perhaps", "10.77.1.0/24"):
            self.assertRegex(said, problem)
        self.assert_untouched()
        os.unlink(self.agent.policy_dir + "/second.yaml")
        self.agent.write(POLICY)
        self.agent.start()
        self.assert_enforced()

    def test_no_policy_at_all(self):
        os.unlink(self.agent.policy_dir + "/policy.yaml")
        self.assert_refuses("no \\*.yaml")
        os.rmdir(self.agent.policy_dir)
        self.assert_refuses(re.escape(self.agent.policy_dir))
        self.assert_untouched()

    def test_the_last_good_policy(self):
        """What is enforced after a reboot with a bad policy: the copy of the last good one."""
        self.agent.start()
        self.agent.terminate()
        # As after a reboot: no pins, but the state folder.
        run(program("partywall"), "--bpffs", self.agent.bpffs, "--state-dir",
            self.agent.folder + "/none", "uninstall", "--yes")
        self.assert_untouched()
        self.agent.write(POLICY + "---\nkind: [\n")
        self.agent.start()
        self.assert_enforced()
        self.assertIn("enforcing the last good policy", self.agent.log())
        self.assertEqual(0, self.agent.metric("partywall_policy_valid"))
        self.assertFalse(self.agent.ask("status")["policy"]["valid"])
        before = self.agent.generation()
        self.agent.write(POLICY + "# mended\n")
        wait_until(lambda: self.agent.generation() > before, 5, "the mended policy")
        self.assertEqual(1, self.agent.metric("partywall_policy_valid"))

    def test_json_log(self):
        self.agent.start("--log-format", "json", "--log-level", "debug")
        self.agent.write("kind: [\n", "second.yaml")
        wait_until(lambda: "stays in force" in self.agent.log(), 5, "it complains")
        self.assertEqual(0, self.agent.terminate())
        lines = [json.loads(line) for line in self.agent.log().splitlines()]
        self.assertEqual({"info", "error"}, {line["level"] for line in lines})
        for line in lines:
            self.assertEqual({"time", "level", "message"}, set(line))
        self.assertTrue(any("second.yaml:" in line["message"] for line in lines))

    # --- when it can

    def test_ready_means_enforced(self):
        """Of a process that does nothing but try, nothing passes that began after READY=1."""
        many = [tenant(f"t{number}", 0, cgroup=f"$ROOT/t{number}").replace("10.77.0.0/24",
                f"10.{100 + number // 250}.{number % 250}.0/24").replace("fd77:0:0:0::/64",
                f"fd77:1:0:{number:x}::/64") for number in range(1000)]
        self.agent.write(tenants(tenant("a", 1), tenant("b", 2), *many))
        trying = self.a.start(send_until_refused, self.b.v4, PORT)
        trying.hear()
        self.agent.spawn("--max-tenants", "2048")
        wait_until(lambda: "READY=1" in self.agent.notifications() or self.agent.process.poll(), 60,
                   self.agent.log())
        ready = time.monotonic()
        passed, last = trying.ask("stop")
        self.assertLess(last, ready)
        self.assertGreater(passed, 1000, "control: it was not refused from the start")
        self.assertEqual(200, self.agent.http("/readyz")[0])
        self.assert_enforced()

    def test_three_capabilities_are_enough(self):
        """And a cgroupfs that it may only read. Without one of the three, it says what is missing."""
        read_only = (f"mount -o remount,bind,ro {self.world.mount} && "
                     f"! mkdir {self.world.path('x')} 2>/dev/null && exec setpriv --no-new-privs "
                     '--inh-caps=-all --bounding-set="$0" "$@"')
        sandbox = ["unshare", "--mount", "--propagation", "private", "sh", "-c", read_only]
        for lacking in ("bpf", "net_admin", "perfmon"):
            self.agent.prefix = [*sandbox, NEEDED.replace(f",+{lacking}", "")]
            self.assert_refuses(f"this process lacks CAP_{lacking.upper()}:")
            self.assert_untouched()
        self.agent.prefix = [*sandbox, NEEDED]
        self.agent.start()
        with open(f"/proc/{self.agent.process.pid}/status") as status:
            held = int(re.search(r"CapEff:\s+(\w+)", status.read()).group(1), 16)
        self.assertEqual(1 << CAP_NET_ADMIN | 1 << CAP_PERFMON | 1 << CAP_BPF, held)
        self.assert_enforced()
        self.assert_everything_works()
        self.agent.kill()
        self.agent.start()
        self.assert_enforced()
        self.assert_everything_works()

    def assert_everything_works(self):
        agent = self.agent
        agent.cli("doctor")
        self.a.run(clients.refusal, clients.udp_send_strict, self.b.v4, 6001)
        wait_until(lambda: 6001 in [one["peer_port"] for one in agent.events()], 5, "the event")
        self.assertIn("6001", agent.cli("events").stdout)
        page = agent.scrape()
        families = {re.match(r"\w+", line).group() for line in page.splitlines() if line[0] != "#"}
        for family in ("partywall_traffic_bytes_total", "partywall_calls_denied_total",
                       "partywall_syscalls_total", "partywall_map_memory_bytes",
                       "process_resident_memory_bytes"):
            self.assertIn(family, families)
        self.assertEqual({1.0}, {value for _, value in
                                 parse_metrics(page, "partywall_program_attached")})
        # What comes later: cgroups, policies, tampering.
        self.world.make_cgroup("a/child")
        self.assert_errno(errno.EPERM, self.world.place("a/child", "a").run,
                          clients.udp_send_strict, self.b.v4, PORT)
        stray = f"stray{agent.generation()}"
        self.world.make_cgroup(stray)
        agent.apply(POLICY + f"---\n{tenant('c', 3, cgroup=f'$ROOT/{stray}')}")
        self.world.place(stray, "c").run(clients.udp_send_strict, "10.77.9.9", PORT)
        os.unlink(agent.bpffs + "/links/packet_egress")
        wait_until(lambda: os.path.exists(agent.bpffs + "/links/packet_egress"), 5, "mended")
        agent.apply(POLICY + "# back\n")
        agent.signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP" in agent.log(), 5, "the reload")

    # --- whom it answers

    def test_the_control_socket_is_for_root_outside_the_managed_root(self):
        self.agent.start()
        path = self.agent.control
        self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        self.assertTrue(ask_control(path, "status")["ready"], "control: root, outside")
        self.assertIn("managed root", self.a.run(ask_control, path, "status")["error"])
        nested = self.world.place("a/deep/er", "a")
        self.assertIn("managed root", nested.run(ask_control, path, "events")["error"])
        outside = self.world.place(None, "a")
        self.assertTrue(outside.run(ask_control, path, "status")["ready"])
        self.assert_errno(errno.EACCES, outside.run, ask_as_nobody, path)
        # Were the modes of the socket and its folder to fail, it still looks who asks.
        os.chmod(self.agent.folder, 0o755)
        os.chmod(path, 0o666)
        self.assertIn("only root", outside.run(ask_as_nobody, path)["error"])
        self.assertTrue(ask_control(path, "status")["ready"])

    def test_a_socket_that_was_left_behind(self):
        self.agent.start()
        self.agent.kill()
        self.assertTrue(os.path.exists(self.agent.control), "control: it was left behind")
        self.agent.start()
        self.assertTrue(self.agent.ask("status")["ready"])


def ask_as_nobody(path):
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return ask_control(path, "status")


def send_until_refused(pipe, address, port):
    """Sends datagrams. Answers how many were let through, and when the last of these began."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        pipe.send("ready")
        passed, last, begin = 0, 0, 0
        try:
            while True:
                begin = time.monotonic()
                client.sendto(b"x", (address, port))
                passed, last = passed + 1, begin
        except PermissionError:
            pipe.recv()
    return passed, last


if __name__ == "__main__":
    unittest.main(verbosity=2)

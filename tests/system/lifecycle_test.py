# tests/system/lifecycle_test.py: the agent comes, goes, is killed and is told nonsense; the wall stands.
import errno
import json
import os
import shutil
import signal
import subprocess
import unittest

from attackers import clients, crafted, floods, servers
from partywall import (Agent, WorldTest, parse_metrics, passed, program, run, tenant, tenants,
                       wait_until)
from slow import scaled

PORT = 5001
SWAPS = scaled(1000)
A = tenant("a", 1, "\n  network:\n    egress: [{to: [{tenant: b}]}]\n")
B = tenant("b", 2, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n")
C = tenant("c", 3)
GOOD = tenants(A, B, C)
APART = tenants(tenant("a", 1), tenant("b", 2), C)
BAD = GOOD + "---\napiVersion: partywall.dev/v1alpha1\nkind: Tenant\nmetadata: {name: d}\nspec: {teir: x}\n"


class LifecycleTest(WorldTest):
    hosts = ("a", "b", "c")
    start_agent = False

    @classmethod
    def prepare(cls):
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")

    def setUp(self):
        self.agent = Agent(self.world, GOOD)
        self.agent.start()
        self.addCleanup(self.agent.close)
        self.addCleanup(self.world.end_children)  # before the agent: no leak while it closes

    # --- helpers

    def traffic(self):
        """Starts an allowed flow (a to b), and two denied ones (c to b): by call and by packet.
        Returns a function that stops them and checks that not one packet went wrong."""
        allowed_sink = self.b.serve(servers.udp_counter, self.b.v4, PORT)
        denied_sink = self.b.serve(servers.udp_sink, self.b.v4, PORT + 1)
        allowed = self.a.start(floods.udp_flood, self.b.v4, PORT, 200, None, scaled(3000))
        calls = self.c.start(floods.udp_flood, self.b.v4, PORT + 1, 20, None,
                             scaled(2000))
        body = crafted.udp4(self.c.v4, self.b.v4, 4000, PORT + 1, b"leak")
        packets = self.c.start(floods.raw_flood, self.b.v4, body)
        for child in (allowed, calls, packets):
            child.hear()
            child.tell("go")
        wait_until(lambda: allowed_sink.ask("?")[1] > 100, 5, "the allowed flow runs")

        def stop():
            sent, dropped = allowed.ask("stop")
            leaked_calls, refused_calls = calls.ask("stop")
            leaked_packets, refused_packets = packets.ask("stop")
            self.assertEqual(0, dropped, "allowed, but refused")
            wait_until(lambda: allowed_sink.ask("?")[1] == sent, 5, f"all {sent} arrive")
            self.assertEqual((0, 0), (leaked_calls, leaked_packets), "denied, but sent")
            self.assertEqual([], denied_sink.ask("?"))
            for count in (sent, refused_calls, refused_packets):
                self.assertGreater(count, 100)
            print(f"  {sent} allowed arrived, {refused_calls} calls and {refused_packets} packets "
                  "refused, 0 wrong", flush=True)

        return stop

    def assert_wall_stands(self):
        self.assert_errno(errno.EPERM, self.c.run, clients.udp_send_strict, self.b.v4, PORT)
        self.assert_errno(errno.EPERM, self.c.run, clients.ping, self.b.v4)
        self.assertTrue(self.a.run(clients.ping, self.b.v4))

    def links(self):
        """link name -> (link id, program id)."""
        found = {}
        for name in os.listdir(self.agent.bpffs + "/links"):
            shown = json.loads(run(program("bpftool"), "-j", "link", "show", "pinned",
                                   f"{self.agent.bpffs}/links/{name}"))
            shown = shown[0] if isinstance(shown, list) else shown
            found[name] = (shown["id"], shown["prog_id"])
        return found

    def attached_programs(self):
        shown = run(program("bpftool"), "-j", "cgroup", "show", self.world.path())
        return json.loads(shown) if shown.strip() else []

    # --- killed, restarted

    def test_kill_under_flood(self):
        stop = self.traffic()
        for _ in range(5):
            sent = passed(self.agent.usage("a"), "egress")
            self.agent.kill()
            wait_until(lambda: passed(self.agent.usage("a"), "egress") > sent + 100, 5,
                       "counters go on while no agent runs")
            self.agent.start()
        stop()

    def test_restart_adopts(self):
        before = self.links()
        self.assertGreaterEqual(len(before), 10)
        generation = self.agent.generation()
        self.agent.kill()
        self.assert_wall_stands()
        self.agent.start()
        after = self.links()
        self.assertEqual(before.keys(), after.keys())
        # The kernel has no BPF_LINK_UPDATE for tracepoints: those are attached anew.
        verdicts = [name for name in before if name.startswith(("packet_", "call_"))]
        self.assertEqual(8, len(verdicts))
        for name in verdicts:
            self.assertEqual(before[name][0], after[name][0], f"{name}: the same link")
            self.assertNotEqual(before[name][1], after[name][1], f"{name}: a new program")
        self.assertGreaterEqual(self.agent.generation(), generation)
        self.assert_wall_stands()

    def test_second_agent_refuses(self):
        second = Agent(self.world, GOOD, bpffs=self.agent.bpffs)
        try:
            code, said = second.refuses()
            self.assertNotEqual(0, code)
            self.assertRegex(said, "another|already")
        finally:
            second.notify.close()
            shutil.rmtree(second.folder)
            self.world.clean_ups.remove(second.close)
        self.assertIsNone(self.agent.process.poll())
        self.assert_wall_stands()

    def test_terminate_leaves_enforcement(self):
        stop = self.traffic()
        self.assertEqual(0, self.agent.terminate())
        self.assertRegex(self.agent.log(), "(?i)enforce|in place|stays|remain")
        self.assertRegex(self.agent.log(), "partywall uninstall")
        self.assert_wall_stands()
        self.assertFalse(self.agent.status()["agent_running"])
        stop()

    # --- policy

    def test_reload_by_signal(self):
        before = self.agent.generation()
        self.agent.write(APART)
        self.agent.signal(signal.SIGHUP)
        wait_until(lambda: self.agent.generation() > before, 5, "a new generation")
        self.assert_errno(errno.EPERM, self.a.run, clients.ping, self.b.v4)
        for count in (1, 2):
            wait_until(lambda: self.agent.log().count("SIGHUP: ") >= count, 5, "it logs the reload")
            self.agent.signal(signal.SIGHUP)
        self.assertIsNone(self.agent.process.poll())

    def bad_policy_is_visible(self):
        def seen():
            return "teir" in self.agent.log()

        wait_until(seen, 10, "the bad field in the log")
        self.assertRegex(self.agent.log(), r"policy\.yaml:\d+")
        wait_until(lambda: self.agent.metric("partywall_policy_valid") == 0 or
                   (self.agent.metric("partywall_policy_errors") or 0) > 0, 5, "the metric")
        wait_until(lambda: "teir" in json.dumps(self.agent.status()["agent"]), 5, "the status")
        self.assert_wall_stands()

    def test_bad_policy(self):
        generation = self.agent.generation()
        stop = self.traffic()
        self.agent.write(BAD)
        self.bad_policy_is_visible()
        self.assertEqual(generation, self.agent.generation())
        stop()
        self.agent.write(GOOD + "# again good\n")
        wait_until(lambda: "teir" not in json.dumps(self.agent.status()["agent"]), 10, "all is well")

    def test_restart_with_a_bad_policy(self):
        stop = self.traffic()
        self.agent.kill()
        self.agent.write(BAD)
        self.agent.start()
        self.bad_policy_is_visible()
        stop()

    def test_folder_swapped_by_rename(self):
        new = self.agent.folder + "/new"
        os.mkdir(new)
        with open(new + "/all.yaml", "w") as file:
            file.write(self.agent.text(APART))
        before = self.agent.generation()
        os.rename(self.agent.policy_dir, self.agent.folder + "/old")
        os.rename(new, self.agent.policy_dir)
        wait_until(lambda: self.agent.generation() > before, 10, "the new folder's policy")
        self.assert_errno(errno.EPERM, self.a.run, clients.ping, self.b.v4)
        before = self.agent.generation()
        self.agent.write(GOOD, "all.yaml")
        wait_until(lambda: self.agent.generation() > before, 10, "a change in the new folder")
        self.assert_wall_stands()

    def test_mounted_config_map(self):
        """Kubernetes swaps a symbolic link; no file is ever written in place."""
        agent = self.agent
        for name, text in (("..one", GOOD), ("..two", APART)):
            os.mkdir(f"{agent.policy_dir}/{name}")
            with open(f"{agent.policy_dir}/{name}/all.yaml", "w") as file:
                file.write(agent.text(text))
        os.symlink("..one", agent.policy_dir + "/..data")
        os.unlink(agent.policy_dir + "/policy.yaml")
        os.symlink("..data/all.yaml", agent.policy_dir + "/all.yaml")
        wait_until(lambda: agent.status() and self.a.run(clients.refusal, clients.ping,
                                                         self.b.v4)[0] == 0, 10, "policy one")
        os.symlink("..two", agent.policy_dir + "/..next")
        os.rename(agent.policy_dir + "/..next", agent.policy_dir + "/..data")
        wait_until(lambda: self.a.run(clients.refusal, clients.ping, self.b.v4)[0] == errno.EPERM,
                   10, "policy two")

    def test_folder_deleted(self):
        generation = self.agent.generation()
        stop = self.traffic()
        shutil.rmtree(self.agent.policy_dir)
        wait_until(lambda: self.agent.policy_dir in self.agent.log().split("READY")[-1] and
                   "last good" in self.agent.log().lower(), 10, "it says that the folder is gone")
        self.assertEqual(generation, self.agent.generation())
        self.assert_wall_stands()
        stop()
        os.mkdir(self.agent.policy_dir)
        self.agent.write(APART)
        wait_until(lambda: self.agent.generation() > generation, 10, "the folder is back")

    def test_removed_tenant(self):
        series = {labels.get("tenant") for labels, _ in parse_metrics(
            self.agent.scrape(), "partywall_traffic_bytes_total")}
        self.assertIn("c", series)
        self.agent.apply(tenants(A, B))
        wait_until(lambda: 'tenant="c"' not in self.agent.scrape(), 5, "c's series are gone")
        self.assertIn('tenant="a"', self.agent.scrape())
        before = self.agent.usage("(unattributed)")["calls_denied"].get("unknown_cgroup", 0)
        self.assert_errno(errno.EPERM, self.c.run, clients.udp_send_strict, self.c.v4, 9)
        self.assertEqual(before + 1, self.agent.usage("(unattributed)")["calls_denied"]
                         ["unknown_cgroup"])

    def test_swaps_under_traffic(self):
        """a to b is denied by either policy and would be allowed by half of each; a to c is allowed
        by both, in two ways."""
        port = f"ports: [{{protocol: UDP, port: {PORT}}}]"
        one = tenants(
            tenant("a", 1, "\n  network:\n    egress: [{to: [{tenant: b}, {tenant: c}]}]\n"),
            tenant("b", 2, "\n  network:\n    ingress: []\n"),
            tenant("c", 3, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n"))
        two = tenants(
            tenant("a", 1, f"\n  network:\n    egress: [{{to: [{{tenant: c}}], {port}}}]\n"),
            tenant("b", 2, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n"),
            tenant("c", 3, f"\n  network:\n    ingress: [{{from: [{{tenant: a}}], {port}}}]\n"))
        self.agent.apply(one)
        allowed_sink = self.c.serve(servers.udp_counter, self.c.v4, PORT)
        denied_sink = self.b.serve(servers.udp_sink, self.b.v4, PORT)
        allowed = self.a.start(floods.udp_flood, self.c.v4, PORT, 100, None, scaled(3000))
        calls = self.a.start(floods.udp_flood, self.b.v4, PORT, 20, None, scaled(3000))
        body = crafted.udp4(self.a.v4, self.b.v4, 4000, PORT, b"leak")
        packets = self.a.start(floods.raw_flood, self.b.v4, body, scaled(3000))
        for child in (allowed, calls, packets):
            child.hear()
            child.tell("go")
        for number in range(SWAPS):
            self.agent.apply((two, one)[number % 2])
        sent, dropped = allowed.ask("stop")
        self.assertEqual(0, dropped)
        self.assertEqual((0, 0), (calls.ask("stop")[0], packets.ask("stop")[0]))
        self.assertEqual([], denied_sink.ask("?"))
        wait_until(lambda: allowed_sink.ask("?")[1] == sent, 5, f"all {sent} arrive")
        print(f"  {SWAPS} swaps: {sent} allowed arrived, 0 leaked", flush=True)
        # Control: both halves together do allow it.
        self.agent.apply(GOOD)
        self.a.run(clients.udp_send_strict, self.b.v4, PORT, b"control")
        wait_until(lambda: denied_sink.ask("?"), 5, "the control's datagram")

    # --- tampered with, misconfigured, removed

    def test_detached_link_is_attached_again(self):
        for name in ("packet_egress", "call_connect4"):
            healthy = self.agent.cli("doctor", check=False)
            self.assertIn(name, healthy.stdout + healthy.stderr)
            run(program("bpftool"), "link", "detach", "pinned", f"{self.agent.bpffs}/links/{name}")
            wait_until(lambda: any(name in str(found.get("name", "")) for found in
                                   self.attached_programs()), 5, f"{name} is attached again")
            self.assert_wall_stands()
            self.assertIn(name, self.agent.log())

    def test_uninstall(self):
        busy = self.agent.cli("uninstall", "--yes", check=False)
        self.assertNotEqual(0, busy.returncode, "an agent runs")
        self.assert_wall_stands()
        programs = {ids[1] for ids in self.links().values()}
        self.agent.terminate()
        self.assertNotEqual([], self.attached_programs())
        said = self.agent.cli("uninstall", "--yes").stdout
        self.assertIn("packet_egress", said)
        self.assertFalse(os.path.exists(self.agent.bpffs))
        self.assertEqual([], self.attached_programs())
        wait_until(lambda: not programs & {one["id"] for one in json.loads(
            run(program("bpftool"), "-j", "prog", "show"))}, 10, "the programs are gone")
        self.assertTrue(self.c.run(clients.ping, self.b.v4), "no wall")
        self.assertIn("nothing", self.agent.cli("uninstall", "--yes").stdout)

    def test_other_size(self):
        self.agent.terminate()
        code, said = self.agent.refuses("--max-tenants", "99")
        self.assertNotEqual(0, code)
        self.assertRegex(said, "max-tenants|tenants")
        self.assertRegex(said, "1024")
        self.assert_wall_stands()

    def test_pins_outside_a_bpffs(self):
        self.agent.terminate()
        self.agent.cli("uninstall", "--yes")
        self.agent.bpffs = self.agent.folder + "/pins"
        code, said = self.agent.refuses()
        self.assertNotEqual(0, code)
        self.assertRegex(said, "bpffs|BPF file system")
        self.assertEqual([], self.attached_programs())


if __name__ == "__main__":
    unittest.main(verbosity=2)

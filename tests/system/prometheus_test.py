# tests/system/prometheus_test.py: a real Prometheus scrapes the agent and agrees with the counters.
import json
import os
import re
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

from attackers import clients, floods, servers
from partywall import (WorldTest, free_port, passed, program, run, tenant, tenants, wait_until)

A = tenant("a", 1, "\n  network:\n    egress: [{to: [{tenant: b}]}]\n")
B = tenant("b", 2, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n")
C = tenant("c", 3)
CONFIG = """global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: partywall
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class PrometheusTest(WorldTest):
    hosts = ("a", "b", "c")
    policy = tenants(A, B, C)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")
        cls.folder = tempfile.TemporaryDirectory(prefix="pw-sys-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.port = free_port()
        with open(cls.folder.name + "/prometheus.yml", "w") as file:
            file.write(CONFIG.format(port=cls.agent.metrics_port))
        with open(cls.folder.name + "/log", "w") as log:
            cls.server = subprocess.Popen(
                [program("prometheus"), f"--config.file={cls.folder.name}/prometheus.yml",
                 f"--storage.tsdb.path={cls.folder.name}/data",
                 f"--web.listen-address=127.0.0.1:{cls.port}"], stdout=log, stderr=log)
        cls.addClassCleanup(cls.stop)

        def up():
            return cls.query("up{job='partywall'}") == {(): 1.0}

        wait_until(up, 30, "Prometheus has scraped the agent")

    @classmethod
    def stop(cls):
        cls.server.terminate()
        cls.server.wait(20)

    @classmethod
    def query(cls, expression, *labels):
        """{(label values): value}; {} while the server does not answer."""
        url = f"http://127.0.0.1:{cls.port}/api/v1/query?" + urllib.parse.urlencode(
            {"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return {}
        return {tuple(one["metric"].get(label, "") for label in labels): float(one["value"][1])
                for one in found}

    def test_page_is_clean(self):
        page = self.agent.scrape()
        checked = subprocess.run([program("promtool"), "check", "metrics"], input=page,
                                 capture_output=True, text=True, timeout=30)
        self.assertEqual((0, "", ""), (checked.returncode, checked.stdout, checked.stderr))
        self.assertIn("# HELP partywall_", page)
        broken = subprocess.run([program("promtool"), "check", "metrics"],
                                input="partywall_total_bad 1\n", capture_output=True, text=True,
                                timeout=30)
        self.assertNotEqual(0, broken.returncode, "control: promtool does complain")

    def test_the_documents_queries_and_alerts_are_understood(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        with open(root + "/docs/metrics.md") as file:
            fences = dict(re.findall(r"^```(\w+)\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL))
        queries = re.split(r"\n(?! )", re.sub(r"^#.*\n|\n(?=\n)", "", fences["promql"],
                                             flags=re.MULTILINE).strip())
        self.assertGreater(len(queries), 10)
        for query in queries:
            with self.subTest(query):
                self.assertEqual("success", self.ask(query)["status"])
        self.assertNotEqual("success", self.ask("sum by tenant (x))")["status"], "control")
        rules = self.folder.name + "/rules.yml"
        with open(rules, "w") as file:
            file.write(fences["yaml"])
        self.assertIn("SUCCESS", run(program("promtool"), "check", "rules", rules))

    def ask(self, expression):
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode(
            {"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def test_series_equal_counters(self):
        sink = self.b.serve(servers.tcp_sink, self.b.v4)
        self.a.run(floods.tcp_send_exactly, self.b.v4, sink.port, 3_000_000)
        for _ in range(7):
            self.c.run(clients.refusal, clients.udp_ask, self.b.v4, 5001)
        usage = self.agent.usage()
        expression = "sum by (tenant, direction) (partywall_traffic_bytes_total{verdict='allow'})"
        wanted = {(name, direction): passed(usage[name], direction, "bytes")
                  for name in "ab" for direction in ("egress", "ingress")}
        self.assertGreater(wanted["a", "egress"], 3_000_000)
        found = {}

        def equal():
            found.update(self.query(expression, "tenant", "direction"))
            return all(found.get(key) == value for key, value in wanted.items())

        try:
            wait_until(equal, 10, "equality")
        except AssertionError:
            self.fail(f"Prometheus has {found}, the counters {wanted}")
        denied = usage["c"]["calls_denied"]["tenant_floor"]
        self.assertEqual(7, denied)
        wait_until(lambda: self.query("sum by (tenant) (partywall_calls_denied_total)", "tenant")
                   .get(("c",)) == denied, 10, "c's refusals")

    def test_removed_tenant(self):
        expression = "count by (tenant) (partywall_traffic_bytes_total)"
        wait_until(lambda: ("c",) in self.query(expression, "tenant"), 10, "c has series")
        self.agent.apply(tenants(A, B))
        self.addCleanup(self.agent.apply, self.policy)
        wait_until(lambda: ("c",) not in self.query(expression, "tenant"), 10, "c has none")
        self.assertIn(("a",), self.query(expression, "tenant"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

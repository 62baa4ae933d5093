# tests/kubernetes/dashboards_test.py: a real Prometheus scrapes a real agent under traffic, and answers every query of the chart's
# dashboards with something. Root, for the agent.
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from chart import CHART, ROOT, render

sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tools/lib"))
import dashboards  # noqa: E402
from attackers import clients, floods, frames, servers  # noqa: E402
from edge_world import NodeAgent, RoutedWorld  # noqa: E402
from partywall import free_port, program, tenant, tenants, wait_until  # noqa: E402

FOLDER = CHART / "files/dashboards"
CONFIG = """global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: partywall
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
A = tenant("a", 1, "\n  network:\n    egress: [{to: [{tenant: b}, {cidr: 0.0.0.0/0}]}]\n",
           limits="  limits:\n    egress: {ceiling: 2Mbit}\n    ingress: {ceiling: 1Gbit}\n    packetsPerSecond: 100k\n")
B = tenant("b", 2, "\n  network:\n    ingress: [{from: [{tenant: a}]}]\n")
C = tenant("c", 3)
D = tenant("d", 4, mode="audit")
E = tenant("e", 5, cgroup="$ROOT/e-*")
POLICY = tenants(A, B, C, D, E)


def pages():
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def queries(page):
    """(panel's title, query) of every target of a page."""
    for panel in page["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


class DashboardsTest(unittest.TestCase):
    """What is written; needs no agent."""

    def test_files_are_what_the_script_writes(self):
        for name, text in dashboards.files().items():
            self.assertEqual(text, (FOLDER / name).read_text(),
                             f"{name} is old: python3 tools/lib/dashboards.py helm/partywall/files/dashboards")

    def test_panels_do_not_overlap_and_are_explained(self):
        for name, page in pages().items():
            taken = set()
            for panel in page["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, f"{name}: {panel['title']} lies over another")
                self.assertLessEqual(at["x"] + at["w"], 24)
                taken |= cells
                self.assertTrue(panel["type"] == "row" or panel["description"], panel["title"])
            self.assertEqual(len(page["panels"]), len({panel["id"] for panel in page["panels"]}))

    def test_metrics_and_labels_are_the_agents(self):
        told = subprocess.run([program("partywalld"), "--print-metrics"], capture_output=True, text=True, check=True)
        known = set(re.findall(r"^\| `(\w+)`", told.stdout, re.MULTILINE))
        for name, page in pages().items():
            for title, query in queries(page):
                for metric in re.findall(r"\b(?:partywall|process)_\w+", query):
                    self.assertIn(re.sub("_bucket$", "", metric), known, f"{name}: {title}")

    def test_the_chart_hands_them_on(self):
        made = render("dashboards.enabled=true", only="dashboards.yaml")
        found = {key: json.loads(text) for one in made for key, text in one["data"].items()}
        self.assertEqual({f"partywall-{name}.json": page for name, page in pages().items()}, found)
        self.assertEqual({"1"}, {one["metadata"]["labels"]["grafana_dashboard"] for one in made})
        self.assertFalse([one for one in render() if "dashboard" in one["metadata"]["name"]])


class QueriesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = RoutedWorld(("a", "b", "c", "d", "world"))
        cls.addClassCleanup(cls.world.close)
        cls.a, cls.b, cls.c, cls.d = (cls.world.place(name, name) for name in "abcd")
        cls.agent = NodeAgent(cls.world, POLICY, "--edge-interfaces", "pw-*").start()
        cls.folder = tempfile.TemporaryDirectory(prefix="pw-sys-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.port = free_port()
        pathlib.Path(cls.folder.name, "prometheus.yml").write_text(CONFIG.format(port=cls.agent.metrics_port))
        with open(cls.folder.name + "/log", "w") as log:
            cls.server = subprocess.Popen(
                [*cls.agent.prefix, program("prometheus"), f"--config.file={cls.folder.name}/prometheus.yml",
                 f"--storage.tsdb.path={cls.folder.name}/data", f"--web.listen-address=127.0.0.1:{cls.port}"],
                stdout=log, stderr=log)
        cls.addClassCleanup(cls.stop)
        wait_until(lambda: cls.query("up == 1"), 60, "Prometheus has scraped the agent")
        cls.fullest = max(wait_until(lambda: cls.query("partywall_map_entries / partywall_map_capacity"), 10, "maps"))
        cls.traffic()

    @classmethod
    def stop(cls):
        cls.server.terminate()
        cls.server.wait(20)

    @classmethod
    def ask(cls, path, **words):
        """What Prometheus answers, in the node's namespace; None while it does not."""
        url = f"http://127.0.0.1:{cls.port}/api/v1/{path}?" + urllib.parse.urlencode(words)

        def fetch():
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                return None if error.code == 503 else json.load(error)  # 503: it still starts
            except OSError:
                return None

        return cls.agent.at.run(fetch)

    @classmethod
    def query(cls, expression):
        """[value] of every series of the answer."""
        answer = cls.ask("query", query=expression)
        if not answer:
            return []
        if answer["status"] != "success":
            raise AssertionError(f"{expression}: {answer['error']}")
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    @classmethod
    def traffic(cls):
        """Everything that a panel shows, once or going on: allowed, over a limit, denied, would be denied, calls, policies,
        a cgroup that a pattern claims, a new interface."""
        sink = cls.b.serve(servers.tcp_sink, cls.b.v4)
        counter = cls.b.serve(servers.udp_counter, cls.b.v4)
        cls.a.run(floods.tcp_send_exactly, cls.b.v4, sink.port, 200_000)
        for sender, size, per_second in ((cls.a, 1400, 1000), (cls.d, 200, 50)):
            flood = sender.start(floods.udp_flood, cls.b.v4, counter.port, size, None, per_second)
            flood.hear()
            flood.tell("go")
        cls.agent.apply(POLICY.replace("2Mbit", "3Mbit"))
        cls.world.make_cgroup("e-1")
        cls.world.add_host("e", 5)

        waiting = {"over a limit": 'partywall_traffic_packets_total{tenant="a", reason=~"limit_.*", verdict="deny"}',
                   "would be denied": 'partywall_traffic_packets_total{tenant="d", verdict="would_deny"}',
                   "a call denied": 'partywall_calls_denied_total{tenant="c"}',
                   "a packet denied": 'partywall_traffic_packets_total{tenant="c", verdict="deny"}',
                   "a cgroup classified": "partywall_cgroup_classified_seconds_count",
                   "an interface attached": "partywall_edge_attach_seconds_count",
                   "a policy applied": "partywall_policy_apply_seconds_count"}

        def seen():
            cls.c.run(clients.refusal, clients.udp_ask, cls.b.v4, 5001)
            cls.c.run(clients.refusal, clients.tcp_ask, cls.b.v4, 5001)
            cls.c.run(frames.send_frames, [frames.datagram4(cls.c.v4, cls.b.v4, 5001, b"denied")], gateway)
            for what in [what for what, metric in waiting.items() if cls.query(f"increase({metric}[5m]) > 0")]:
                del waiting[what]
            return not waiting

        gateway = cls.world.gateway_mac("c")
        try:
            wait_until(seen, 60, "everything is seen")
        except AssertionError as error:
            raise AssertionError(f"{error}: {', '.join(waiting)}") from None

    def fill(self, query, tenant_name="a"):
        node = f"127.0.0.1:{self.agent.metrics_port}"
        return (query.replace("$__rate_interval", "10s").replace("$tenant", tenant_name)
                .replace('=~"$node"', '=~".*"').replace("$node", node))


    def test_every_query_is_answered(self):
        count = 0
        for name, page in pages().items():
            for title, query in queries(page):
                if "partywall_kubernetes_" in query:
                    self.query(self.fill(query))  # is understood; agent_test.py asks an agent in a cluster for its series
                    continue
                count += 1
                with self.subTest(f"{name}: {title}", query=query):
                    # What a tenant is refused is the refused tenant's to show.
                    refusals = name == "tenant" and title in ("Denied", "Calls denied", "Events")
                    values = self.query(self.fill(query, "c" if refusals else "a"))
                    self.assertTrue(values, "no series")
                    self.assertFalse(all(value != value for value in values), "nothing but NaN")
                    self.assertNotIn("$", self.fill(query))
        self.assertGreater(count, 60)

    def test_figures_are_true(self):
        page = pages()
        by_title = {name: dict(queries(one)) for name, one in page.items()}

        def value(name, title, tenant_name="a"):
            return max(self.query(self.fill(by_title[name][title], tenant_name)))

        self.assertEqual(1, value("fleet", "Nodes that enforce"))
        self.assertEqual(0, value("fleet", "Nodes that do not"))
        self.assertEqual(5, value("fleet", "Tenants"))
        self.assertEqual(0, value("fleet", "Policy refused"))
        self.assertEqual(1, value("node", "Programs attached"))
        self.assertEqual(1, value("tenant", "In audit mode", "d"))
        self.assertEqual(0, value("tenant", "In audit mode", "a"))
        self.assertGreater(value("tenant", "Held back", "a"), 0)
        self.assertGreater(value("tenant", "Would be denied", "d"), 0)
        ceiling = 3e6 / 8
        wait_until(lambda: 0.7 * ceiling < value("tenant", "Sends", "a") < 1.1 * ceiling, 30,
                   "the tenant that sends too much is shown at its ceiling")

    def test_a_fresh_agent_has_room(self):
        self.assertLess(self.fullest, 0.5, "of its fullest map, before any change of policy")

    def test_choices_have_values(self):
        for name, page in pages().items():
            for variable in page["templating"]["list"][1:]:
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
                found = self.ask("series", **{"match[]": metric, "start": time.time() - 60})["data"]
                self.assertTrue(any(label in one for one in found), f"{name}: {variable['name']}")

    def test_an_empty_answer_would_be_noticed(self):
        self.assertEqual([], self.query("partywall_no_such_metric"))


if __name__ == "__main__":
    unittest.main(verbosity=2)

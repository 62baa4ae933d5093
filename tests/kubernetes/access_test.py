# tests/kubernetes/access_test.py: who reads what of an agent over HTTPS, with a real API server that knows the tokens and the
# rights. Root, for the agent. Every denial stands beside what is allowed.
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import time
import unittest
import urllib.parse
import urllib.request

import agent_test
import yaml
from agent_test import NODE, OBJECTS, ClusterAgent
from apiserver import GROUP, MERGE, free_ports, program, wait_until
from attackers import clients
from chart import ACCOUNT, CHART, NAMESPACE, serve
from faulty_proxy import TcpProxy
from partywall import World
from partywall import program as own_program

ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
PROMETHEUS = """global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: partywall
    scheme: https
    authorization: {{credentials_file: {folder}/token}}
    tls_config: {{ca_file: {folder}/tls.crt}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
KEPT = 10  # seconds that an answer of the API server is good for


def make_certificate(folder, name):
    """NAME.crt and NAME.key there, for 127.0.0.1, signed by itself."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)


class AccessTest(unittest.TestCase):
    pod = agent_test.AgentTest.__dict__["pod"]

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("the agent loads programs: run as root")
        cls.tokens = []
        cls.sources = 1
        serve(cls, "rbac.yaml", "admission.yaml")
        cls.server.add_policy(yaml.safe_load_all(OBJECTS))
        cls.world = World(("a", "b", "c"))
        cls.addClassCleanup(cls.world.close)
        cls.places = {host: cls.pod(host, namespace, labels) for host, namespace, labels in (
            ("a", "shop", {"tenant": "acme"}), ("b", "partner", {}), ("c", "loose", {}))}
        cls.proxy = TcpProxy(cls.server.port)
        cls.addClassCleanup(cls.proxy.stop)
        path = cls.server.write_kubeconfig("agent", cls.server.node_token(NODE, NAMESPACE, ACCOUNT))
        cls.server.must(cls.server.call("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": {
            "addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]}}, kind=MERGE))
        path.write_text(path.read_text().replace(f":{cls.server.port}", f":{cls.proxy.port}"))
        cls.agent = ClusterAgent(cls.world, path, 'https.nodeCIDRs=["10.9.0.0/24"]')
        cls.folder = cls.agent.folder
        for name in ("tls", "next"):
            make_certificate(cls.folder, name)
        cls.verified = ssl.create_default_context(cafile=f"{cls.folder}/tls.crt")
        cls.agent.start("--https-certificate", f"{cls.folder}/tls.crt", "--https-key", f"{cls.folder}/tls.key",
                        "--log-level", "debug", timeout=60)

    def tearDown(self):
        self.world.end_children()

    # --- who asks

    def account(self, name, role=None, tenant=None):
        """A token of a new service account that has this ClusterRole, or the right to one tenant."""
        self.server.add_service_account("default", name)
        if tenant:
            role = name
            self.server.must(self.server.create(ROLES, {"metadata": {"name": name}, "rules": [
                {"apiGroups": ["partywall.dev"], "resources": ["tenants/metrics"], "resourceNames": [tenant],
                 "verbs": ["get"]}]}))
        if role:
            self.server.must(self.server.create(BINDINGS, {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]}))
        token = self.server.token("default", name)
        self.tokens.append(token)
        return token

    def operator(self, name):
        return self.account(name, role="partywall-metrics-reader")

    def new_source(self):
        """An address of this machine that has not asked yet."""
        type(self).sources += 1
        return f"127.0.0.{self.sources}"

    def ask(self, path, token=None, source="127.0.0.1", method="GET", context=None):
        """(status, headers, body)."""
        if token and token not in self.tokens:
            self.tokens.append(token)
        connection = http.client.HTTPSConnection("127.0.0.1", self.agent.https_port, timeout=30, source_address=(source, 0),
                                                 context=context or self.verified)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def status(self, *words, **more):
        return self.ask(*words, **more)[0]

    def expect(self, wanted, *words, **more):
        got, headers, body = self.ask(*words, **more)
        self.assertEqual(wanted, got, body)
        return headers, body

    def until(self, wanted, seconds, *words):
        """Seconds until the answer is that, asked for once a second at most."""
        start = time.monotonic()
        while (got := self.status(*words)) != wanted:
            if time.monotonic() - start > seconds:
                raise AssertionError(f"still {got} after {seconds} s, not {wanted}")
            time.sleep(0.5)
        return time.monotonic() - start

    # --- what is read

    def test_an_operator_reads_all(self):
        headers, body = self.expect(200, "/metrics", self.operator("op-all"))
        self.assertEqual("text/plain; version=0.0.4; charset=utf-8", headers["Content-Type"])
        plain = self.agent.scrape()

        def names(page):
            return {line.split("{")[0].split(" ")[0] for line in page.splitlines() if not line.startswith("#")}

        self.assertGreaterEqual(names(body) | {"partywall_https_requests_total"}, names(plain))
        for tenant in ("acme", "partner", "unassigned", "(unattributed)"):
            self.assertIn(f'tenant="{tenant}"', body)

    def test_a_tenant_reads_its_own_and_no_more(self):
        for tenant, other in (("acme", "partner"), ("partner", "acme")):
            token = self.account(f"own-{tenant}", tenant=tenant)
            _, body = self.expect(200, f"/tenants/{tenant}/metrics", token)
            series = [line for line in body.splitlines() if not line.startswith("#")]
            self.assertGreater(len(series), 4)
            for line in series:
                self.assertIn(f'{{tenant="{tenant}"', line)
            self.assertNotIn(other, body)
            self.expect(200, f"/tenants/{tenant}/events", token)
            for path in (f"/tenants/{other}/metrics", f"/tenants/{other}/events", "/metrics", "/tenants/unassigned/metrics"):
                self.expect(403, path, token)
            self.expect(200, f"/tenants/{other}/metrics", self.operator(f"op-{other}"))

    def test_events_name_nobody_else(self):
        token = self.account("events-acme", tenant="acme")
        with self.assertRaises(OSError):
            self.places["a"].run(clients.tcp_ask, self.places["b"].v4, 8081)

        def written():
            lines = pathlib.Path(self.agent.events_path).read_text().splitlines()
            return [one for one in map(json.loads, lines) if one["tenant"] == "acme" and one["peer_tenant"] == "partner"]

        [whole, *_] = wait_until(written, 10, "the event is in the agent's file, with the peer's name")
        headers, body = self.expect(200, "/tenants/acme/events", token)
        own = [json.loads(line) for line in body.splitlines()]
        self.assertEqual("application/x-ndjson", headers["Content-Type"])
        self.assertIn({**whole, "peer_tenant": None}, own)
        self.assertEqual({"acme"}, {one["tenant"] for one in own})
        self.assertNotIn("partner", body)
        _, other = self.expect(200, "/tenants/partner/events", self.account("events-partner", tenant="partner"))
        self.assertNotIn('"acme"', other)

    def test_nobody_learns_which_tenants_there_are(self):
        token = self.account("prober", tenant="acme")
        answers = {self.ask(f"/tenants/{name}/metrics", token)[::2] for name in ("partner", "lonely", "never-was")}
        self.assertEqual([403], [status for status, _ in answers])
        operator = self.operator("op-prober")
        self.expect(404, "/tenants/never-was/metrics", operator)
        self.expect(200, "/tenants/partner/metrics", operator)
        self.expect(404, "/no/such/page", operator)

    def test_the_command_in_the_guide_gives_the_right(self):
        guide = (pathlib.Path(CHART).parents[1] / "docs/kubernetes.md").read_text()
        self.server.add_service_account("shop", "grafana")
        for command in re.findall(r"^    kubectl (create clusterrole(?:binding)? acme-metrics .*)$", guide, re.MULTILINE):
            subprocess.run([program("kubectl"), "--kubeconfig", self.server.kubeconfig, *command.split()], check=True,
                           capture_output=True, timeout=60)
        token = self.server.token("shop", "grafana")
        self.tokens.append(token)
        self.expect(200, "/tenants/acme/metrics", token)
        self.expect(403, "/tenants/partner/metrics", token)

    def test_prometheus_scrapes_all(self):
        folder = pathlib.Path(self.folder)
        (folder / "token").write_text(self.operator("prometheus"))
        (folder / "prometheus.yml").write_text(PROMETHEUS.format(folder=folder, port=self.agent.https_port))
        [port] = free_ports(1)
        with open(folder / "prometheus.log", "w") as log:
            process = subprocess.Popen([own_program("prometheus"), f"--config.file={folder}/prometheus.yml",
                                        f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
                                       stdout=log, stderr=log)
        try:
            def ask(query):
                url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
                try:
                    with urllib.request.urlopen(url, timeout=10) as answer:
                        return json.load(answer)["data"]["result"]
                except OSError:
                    return None

            wait_until(lambda: ask('up{job="partywall"} == 1'), 60, "Prometheus has scraped the agent")
            found = wait_until(lambda: ask("partywall_tenant_info"), 20, "its series")
            self.assertLessEqual({"acme", "partner"}, {one["metric"]["tenant"] for one in found})
        finally:
            process.terminate()
            process.wait(20)

    # --- who is refused

    def test_without_a_good_token(self):
        self.assertEqual("ok\n", self.expect(200, "/healthz")[1])
        source = self.new_source()
        for path in ("/metrics", "/tenants/acme/metrics", "/tenants/acme/events", "/", "/tenants/none/metrics"):
            headers, _ = self.expect(401, path)
            self.assertEqual('Bearer realm="partywall"', headers["WWW-Authenticate"])
        headers, _ = self.expect(401, "/metrics", "garbage-that-no-server-knows", source=source)
        self.assertIn("invalid_token", headers["WWW-Authenticate"])
        good = self.operator("op-token")
        self.expect(401, "/metrics", good[:-4] + "AAAA", source=source)
        self.expect(200, "/metrics", good, source=source)

    def test_without_the_right(self):
        self.expect(403, "/metrics", self.account("nobody"))
        self.expect(200, "/metrics", self.operator("somebody"))

    def test_other_methods(self):
        token = self.operator("op-methods")
        for method in ("POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
            self.assertEqual(501, self.status("/metrics", token, method=method), method)
        self.expect(200, "/metrics", token)

    def test_plain_http(self):
        with socket.create_connection(("127.0.0.1", self.agent.https_port), timeout=20) as plain:
            token = self.operator("op-plain")
            plain.sendall(f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            said = b""
            while more := plain.recv(4096):
                said += more
        self.assertNotIn(b"partywall", said)
        self.assertNotIn(b"HTTP/1.1 200", said)
        self.expect(200, "/metrics", self.operator("op-tls"))

    def test_off_loopback_there_is_nothing_else(self):
        config = yaml.safe_load(self.agent.config)
        self.assertRegex(config["metrics"], r"^127\.0\.0\.1:")
        self.assertEqual("*:9724", config["https"])
        self.assertNotIn("metricsRemote", config)

    def test_pods_of_tenants_reach_it_where_the_chart_says_so(self):
        """Both ends: the node's address for the sender, the agent's pod for the receiver."""
        def explain(to, port):
            said = self.agent.cli("explain", "--from", "acme", "--to", to, "--port", str(port), "-o", "json", check=False)
            return json.loads(said.stdout)

        for to in ("10.9.0.1", "infrastructure"):
            self.assertTrue(explain(to, 9724)["passes"], to)
            self.assertFalse(explain(to, 9723)["passes"], to)
        self.assertFalse(explain("10.9.1.1", 9724)["passes"])

    # --- what changes

    def test_a_token_that_is_revoked(self):
        token = self.operator("op-revoked")
        self.expect(200, "/metrics", token)
        self.server.must(self.server.delete("/api/v1/namespaces/default/serviceaccounts/op-revoked"))
        self.until(401, KEPT + 2, "/metrics", token)
        self.expect(200, "/metrics", self.operator("op-not-revoked"))

    def test_a_right_that_is_taken_away(self):
        token, other = self.account("loses", tenant="acme"), self.account("keeps", tenant="acme")
        for one in (token, other):
            self.expect(200, "/tenants/acme/metrics", one)
        self.server.must(self.server.delete(f"{BINDINGS}/loses"))
        self.until(403, KEPT + 2, "/tenants/acme/metrics", token)
        self.expect(200, "/tenants/acme/metrics", other)

    def test_without_its_api_server(self):
        token = self.operator("op-cut-off")
        self.expect(200, "/metrics", token)
        self.proxy.refuse()
        try:
            self.expect(200, "/metrics", token)
            headers, body = self.expect(503, "/metrics", self.operator("op-unknown"))
            self.assertEqual("5", headers["Retry-After"])
            self.assertNotIn("partywall_", body)
            self.assertGreater(KEPT + 2, self.until(503, KEPT + 2, "/metrics", token))
            self.assertEqual("ok\n", self.expect(200, "/healthz")[1])
        finally:
            self.proxy.listen()
        self.until(200, 20, "/metrics", token)

    def test_a_new_certificate(self):
        def shown():
            return ssl.get_server_certificate(("127.0.0.1", self.agent.https_port)).strip()

        own = {name: pathlib.Path(self.folder, f"{name}.crt").read_text() for name in ("tls", "next")}
        keys = {name: pathlib.Path(self.folder, f"{name}.key").read_text() for name in ("tls", "next")}
        self.assertEqual(own["tls"].strip(), shown())
        try:
            pathlib.Path(self.folder, "tls.crt").write_text(own["next"])
            self.assertEqual(own["tls"].strip(), shown(), "the key is not there yet")
            pathlib.Path(self.folder, "tls.key").write_text(keys["next"])
            self.assertEqual(own["next"].strip(), shown())
            token = self.operator("op-certificate")
            self.expect(200, "/metrics", token, context=ssl.create_default_context(cadata=own["next"]))
            with self.assertRaises(ssl.SSLError):
                self.ask("/metrics", token)
        finally:
            pathlib.Path(self.folder, "tls.crt").write_text(own["tls"])
            pathlib.Path(self.folder, "tls.key").write_text(keys["tls"])
        self.assertEqual(own["tls"].strip(), shown())

    # --- who asks too much

    def test_a_user_who_asks_too_often(self):
        greedy, other = self.account("greedy", tenant="acme"), self.account("modest", tenant="acme")
        self.expect(200, "/tenants/acme/metrics", other)
        answers = []
        while len(answers) < 200 and 429 not in answers:
            status, headers, _ = self.ask("/tenants/acme/metrics", greedy, source=self.new_source())
            answers.append(status)
        self.assertEqual({200, 429}, set(answers))
        self.assertGreaterEqual(len(answers), 20)
        self.expect(200, "/tenants/acme/metrics", other)
        time.sleep(int(headers["Retry-After"]))
        self.expect(200, "/tenants/acme/metrics", greedy)

    def test_an_address_that_guesses(self):
        def reviews():
            return self.agent.metric("partywall_https_reviews_total", kind="token", result="no") or 0

        guesser, known, new = self.new_source(), self.operator("op-known"), self.operator("op-new")
        self.expect(200, "/metrics", known, source=guesser)
        before = reviews()
        answers = [self.status("/metrics", f"guess-number-{number}", source=guesser) for number in range(40)]
        self.assertEqual({401, 429}, set(answers))
        self.assertLess(reviews() - before, 25, "the API server is spared")
        self.assertEqual(answers.count(401), reviews() - before)
        self.expect(200, "/metrics", known, source=guesser)
        self.expect(200, "/metrics", new, source=self.new_source())

    def test_slow_clients_keep_nobody_out(self):
        token, source = self.operator("op-slow"), self.new_source()
        slow = []
        self.addCleanup(lambda: [one.close() for one in slow])
        for number in range(150):
            one = socket.create_connection(("127.0.0.1", self.agent.https_port), timeout=20, source_address=(source, 0))
            if number % 5 == 0:
                one.sendall(b"\x16\x03\x01")  # as a handshake begins
            slow.append(one)
        # These have shaken hands, and say a letter at a time.
        for _ in range(20):
            one = socket.create_connection(("127.0.0.1", self.agent.https_port), timeout=20, source_address=(source, 0))
            slow.append(self.verified.wrap_socket(one, server_hostname="127.0.0.1"))
            slow[-1].sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        for _ in range(5):
            start = time.monotonic()
            self.expect(200, "/metrics", token)
            self.assertLess(time.monotonic() - start, 5)

        def gone(one):
            try:
                one.settimeout(0.01)
                one.sendall(b"x")
                return one.recv(1) == b""
            except (TimeoutError, ssl.SSLWantReadError):
                return False
            except OSError:
                return True

        wait_until(lambda: all(gone(one) for one in slow), 20, "each has had its time")
        self.expect(200, "/metrics", token)
        self.assertGreater(self.agent.metric("partywall_https_connections_dropped_total", reason="crowd"), 0)

    # --- what is told of it

    def test_zz_no_token_is_anywhere(self):
        """Last, when all the others have been."""
        texts = {path: path.read_bytes() for path in pathlib.Path(self.folder).rglob("*") if path.is_file()
                 and path.name not in ("token", "prometheus.log") and "data" not in path.parts}
        texts["metrics"] = self.agent.scrape().encode()
        self.assertIn(b"ready: enforcing", texts[pathlib.Path(self.agent.log_path)])
        self.assertIn(b"reviews of a token fail", texts[pathlib.Path(self.agent.log_path)])
        self.assertIn(b"peer_tenant", texts[pathlib.Path(self.agent.events_path)])
        self.assertGreater(len(self.tokens), 20)
        for token in self.tokens:
            for piece in {token, token[-40:]}:
                for path, text in texts.items():
                    self.assertNotIn(piece.encode(), text, path)

    def test_zz_its_rights_were_enough(self):
        self.assertNotRegex(self.agent.log(), r"(?i)forbidden|HTTP 40[13]")
        for kind in ("token", "access"):
            self.assertGreater(self.agent.metric("partywall_https_reviews_total", kind=kind, result="yes"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

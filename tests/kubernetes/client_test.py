# tests/kubernetes/client_test.py: the agent's Kubernetes client against a real API server, through proxies that do
# harm. After every fault it knows what the server has, and nothing was gone that is there. Needs no root.
import json
import os
import pathlib
import random
import signal
import subprocess
import unittest

from apiserver import ADMIN, wait_until
from chart import ROOT, serve
from faulty_proxy import HttpProxy, TcpProxy

PROGRAMS = pathlib.Path(os.environ.get("PARTYWALL_BIN", ROOT / "build/release/bin")).resolve()
FOLLOWER = PROGRAMS.parent / "tests/kubernetes_follower"
MAPS = "/api/v1/namespaces/watched/configmaps"
GROUP = "/apis/partywall.dev/v1alpha1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/partywall-aggregator"


class Follower:
    """The client in a process of its own, asked over its standard input."""

    def __init__(self, folder, port, authority, node="n1", uid="none", token=ADMIN, token_file=None):
        path = folder / f"follower-{node}.kubeconfig"
        user = {"tokenFile": str(token_file)} if token_file else {"token": token}
        path.write_text(json.dumps({
            "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": f"https://127.0.0.1:{port}",
                                                    "certificate-authority": str(authority)}}],
            "users": [{"name": "it", "user": user}]}))
        self.process = subprocess.Popen([FOLLOWER, path, node, uid], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def state(self):
        return self.ask(do="state")

    def maps(self):
        return self.state()["maps"]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        self.ask(do="stop")
        self.process.wait(10)


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        serve(cls)
        cls.server.add_namespace("watched")
        cls.authority = cls.server.folder / "ca.crt"

    def setUp(self):
        for name in list(self.truth()):
            self.server.must(self.server.delete(f"{MAPS}/{name.split('/')[1]}"))
        for i in range(25):
            self.write(f"m{i}")
        self.followers = []

    def tearDown(self):
        for one in self.followers:
            one.kill()

    # --- what there is

    def write(self, name, **data):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"name": name}},
                "data": {"value": str(random.random()), **data}}
        self.server.must(self.server.apply(f"{MAPS}/{name}", body))

    def truth(self):
        items = self.server.must(self.server.get(MAPS))["items"]
        return {f"watched/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in items}

    def follow(self, port, authority=None, **more):
        one = Follower(self.server.folder, port, authority or self.authority, **more)
        self.followers.append(one)
        return one

    def agrees(self, follower, seconds=20):
        """Waits until the follower knows what there is; returns its state."""
        truth = self.truth()

        def same():
            state = follower.maps()
            return state if state["synced"] and state["objects"] == truth else None

        return wait_until(same, seconds, "the follower knows all objects")

    def proxy(self):
        made = HttpProxy(self.server.port, self.server.tls, self.server.folder)
        self.addCleanup(made.stop)
        return made

    def tcp_proxy(self):
        made = TcpProxy(self.server.port)
        self.addCleanup(made.stop)
        return made

    # --- without faults

    def test_follows_changes(self):
        follower = self.follow(self.server.port)
        self.assertEqual(0, self.agrees(follower)["gone"])
        self.write("m3")
        self.write("new")
        self.server.must(self.server.delete(f"{MAPS}/m4"))
        state = self.agrees(follower)
        self.assertEqual(1, state["gone"])
        self.assertEqual({}, state["errors"])
        self.assertEqual(1, state["lists"])

        # The server ends each watch after three seconds here; nothing is listed again.
        wait_until(lambda: follower.maps()["watches"] >= 3, 30, "the watch is taken up again")
        self.write("m5")
        state = self.agrees(follower)
        self.assertEqual((1, {}), (state["lists"], state["errors"]))

    def test_everything_goes_over_one_connection(self):
        proxy = self.tcp_proxy()
        follower = self.follow(proxy.port)
        self.agrees(follower)
        wait_until(lambda: follower.state()["leads"], 20, "it has the Lease")
        self.assertGreater(follower.state()["requests"], 8)
        self.assertEqual(1, proxy.connections)

    def test_asks_for_metadata_only(self):
        follower = self.follow(self.server.port)
        self.agrees(follower)
        space = wait_until(lambda: follower.ask(do="namespace", name="watched"), 10, "it knows the namespace")
        self.assertEqual("watched", space["metadata"]["name"])
        self.assertNotIn("status", space)
        self.assertNotIn("spec", space)

    def test_another_selector(self):
        follower = self.follow(self.server.port)
        self.agrees(follower)
        follower.ask(do="select", labels="name in (m1,m2)")
        wait_until(lambda: set(follower.maps()["objects"]) == {"watched/m1", "watched/m2"}, 10, "two are left")
        self.write("m7")
        follower.ask(do="select", labels="")
        self.agrees(follower)

    # --- connections

    def test_connections_that_are_cut(self):
        proxy = self.tcp_proxy()
        follower = self.follow(proxy.port)
        self.agrees(follower)
        for i in range(10):
            proxy.cut()
            self.write(f"m{i}")
        state = self.agrees(follower)
        self.assertEqual(0, state["gone"])
        self.assertGreater(state["errors"].get("connection", 0), 0, state)

    def test_a_connection_that_stalls(self):
        proxy = self.tcp_proxy()
        follower = self.follow(proxy.port)
        self.agrees(follower)
        proxy.stall()
        self.write("m1")
        state = self.agrees(follower)
        self.assertEqual(0, state["gone"])
        self.assertGreater(state["errors"].get("timeout", 0), 0, state)

    def test_a_server_that_is_gone_for_a_while(self):
        proxy = self.tcp_proxy()
        follower = self.follow(proxy.port)
        before = self.agrees(follower)
        self.assertFalse(before["stale"])
        proxy.refuse()
        self.server.must(self.server.delete(f"{MAPS}/m1"))
        wait_until(lambda: follower.maps()["stale"], 20, "it says that it is stale")
        state = follower.maps()
        self.assertEqual(before["objects"], state["objects"])
        self.assertTrue(state["synced"])
        proxy.listen()
        state = self.agrees(follower)
        self.assertFalse(state["stale"])
        self.assertEqual(1, state["gone"])

    def test_an_api_server_that_is_started_again(self):
        follower = self.follow(self.server.port)
        before = self.agrees(follower)
        index, (name, process) = next((i, one) for i, one in enumerate(self.server.processes)
                                      if one[0] == "kube-apiserver")
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: follower.maps()["errors"].get("connection", 0) > 3, 20, "it notices")
        self.assertEqual(before["objects"], follower.maps()["objects"])
        with open(self.server.folder / "again.log", "w") as log:
            self.server.processes[index] = (name, subprocess.Popen(process.args, stdout=log, stderr=log))
        wait_until(self.server.ready, 90, "the API server is ready again")
        self.write("m1")
        self.server.must(self.server.delete(f"{MAPS}/m2"))
        self.assertEqual(1, self.agrees(follower, 60)["gone"])

    # --- what the server says

    def harmed(self, harm, kind=None, lists_again=False):
        """What a follower knows behind a proxy that harm(proxy, count) has set up; `count` is told of each fault."""
        proxy = self.proxy()
        faults = []
        harm(proxy, faults)
        follower = self.follow(proxy.port, proxy.authority)
        wait_until(lambda: follower.maps()["synced"], 30, "a first list")
        for round_ in range(12):
            self.write(f"m{round_}")
        wait_until(lambda: faults, 30, "the fault has happened")
        self.write("last")
        state = self.agrees(follower, 30)
        self.assertEqual(0, state["gone"])
        if lists_again:
            wait_until(lambda: follower.maps()["lists"] > 1, 20, "it lists again")
        if kind:
            self.assertGreater(state["errors"].get(kind, 0), 0, state)
        return state

    def test_no_harm(self):
        state = self.harmed(lambda proxy, faults: faults.append("none"))
        self.assertEqual({}, state["errors"])

    def answers(self, status, watch, times=3, every=2, **headers):
        """Every second request is answered like this, so many times."""
        seen = []

        def harm(proxy, faults):
            def fault(request):
                if not request.path.startswith(MAPS) or request.is_watch() != watch or len(faults) >= times:
                    return False
                seen.append(request.path)
                if len(seen) % every:
                    return False
                faults.append(request.path)
                request.answer(status, {"kind": "Status", "code": status, "message": "harm"}, **headers)
                return True
            proxy.fault = fault
        return harm

    def test_410_within_a_list(self):
        self.harmed(self.answers(410, watch=False), "expired")

    def test_410_of_a_watch(self):
        self.harmed(self.answers(410, watch=True), "expired", lists_again=True)

    def test_500_of_a_list(self):
        self.harmed(self.answers(500, watch=False), "status")

    def test_500_of_a_watch(self):
        self.assertEqual(1, self.harmed(self.answers(500, watch=True), "status")["lists"])

    def test_429(self):
        self.harmed(self.answers(429, watch=False, times=1, Retry_After="1"), "throttled")

    def test_410_as_an_event(self):
        def harm(proxy, faults):
            def events(line):
                if len(faults) < 3 and b'"MODIFIED"' in line and b'"watched"' in line:
                    faults.append(line)
                    return [json.dumps({"type": "ERROR", "object": {
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "code": 410,
                        "reason": "Expired", "message": "harm"}}).encode() + b"\n"]
                return [line]
            proxy.events = events
        self.harmed(harm, "expired", lists_again=True)

    def test_truncated_events(self):
        def harm(proxy, faults):
            def events(line):
                if len(faults) < 3 and b'"ConfigMap"' in line:
                    faults.append(line)
                    return [line[:len(line) // 2] + b"\n"]
                return [line]
            proxy.events = events
        self.harmed(harm, "garbage", lists_again=True)

    def test_a_truncated_list(self):
        def harm(proxy, faults):
            def page(text):
                if len(faults) < 3 and b"ConfigMapList" in text:
                    faults.append(text)
                    return text[:len(text) // 2]
                return text
            proxy.page = page
        self.harmed(harm, "garbage")

    def test_repeated_events(self):
        def harm(proxy, faults):
            def events(line):
                faults.append(line)
                return [line] * 3
            proxy.events = events
        state = self.harmed(harm)
        self.assertEqual({}, state["errors"])
        self.assertGreater(state["repeated"], 0)

    def test_reordered_events(self):
        def harm(proxy, faults):
            held = []

            def events(line):
                if b'"ConfigMap"' not in line:
                    return [line]
                # One is held back until the next one has gone ahead of it.
                if not held:
                    held.append(line)
                    return []
                faults.append(line)
                return [line, held.pop()]
            proxy.events = events

        proxy = self.proxy()
        faults = []
        harm(proxy, faults)
        follower = self.follow(proxy.port, proxy.authority)
        self.agrees(follower)
        for value in range(6):
            self.write("m1", round=str(value))
        state = self.agrees(follower)
        self.assertEqual(3, len(faults))
        self.assertEqual(3, state["repeated"], "what came late was older than what is known")

    # --- tokens

    def test_a_token_that_is_replaced(self):
        file = self.server.folder / "token"
        self.server.add_service_account("default", "follower")
        self.server.must(self.server.apply("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/follower", {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "follower"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "follower", "namespace": "default"}]}))

        def replace(token):
            (self.server.folder / "next").write_text(token)
            (self.server.folder / "next").rename(file)

        replace(self.server.token("default", "follower"))
        follower = self.follow(self.server.port, token_file=file)
        before = self.agrees(follower)
        replace("not-a-token")
        wait_until(lambda: follower.maps()["errors"].get("forbidden", 0) > 0, 20, "the wrong one is refused")
        state = follower.maps()
        self.assertEqual(before["objects"], state["objects"])
        self.assertNotIn("not-a-token", state["last_error"])
        replace(self.server.token("default", "follower"))
        self.write("m1")
        self.assertEqual(0, self.agrees(follower)["gone"])

    # --- what it writes

    def lease(self):
        status, body = self.server.get(LEASE)
        return body["spec"] if status == 200 else {}

    def test_the_lease_is_handed_over(self):
        first = self.follow(self.server.port, node="n1")
        wait_until(lambda: first.state()["leads"], 20, "the first one leads")
        self.assertEqual("n1", self.lease()["holderIdentity"])
        second = self.follow(self.server.port, node="n2")
        self.agrees(second)
        self.assertFalse(second.state()["leads"])
        first.stop()
        wait_until(lambda: second.state()["leads"], 5, "the second one leads after the first one gave up")
        self.assertEqual("n2", self.lease()["holderIdentity"])

        third = self.follow(self.server.port, node="n3")
        self.agrees(third)
        self.assertFalse(third.state()["leads"])
        second.kill()
        wait_until(lambda: third.state()["leads"], 15, "the third one leads after the second one was killed")
        self.assertEqual("n3", self.lease()["holderIdentity"])

    def test_a_leader_that_is_cut_off_stops_before_another_one_begins(self):
        proxy = self.tcp_proxy()
        first = self.follow(proxy.port, node="n1")
        wait_until(lambda: first.state()["leads"], 20, "the first one leads")
        second = self.follow(self.server.port, node="n2")
        self.agrees(second)
        proxy.refuse()

        def handed_over():
            # In this order: whoever leads afterwards may have begun in between.
            leads = second.state()["leads"]
            self.assertFalse(leads and first.state()["leads"], "two leaders")
            return leads

        wait_until(handed_over, 20, "the second one leads")

    def nodes(self):
        items = self.server.must(self.server.get(f"{GROUP}/tenantnodes"))["items"]
        return {one["metadata"]["name"]: one for one in items}

    def test_tenant_nodes_and_statuses(self):
        self.server.add_node("n1")
        uid = self.server.must(self.server.get("/api/v1/nodes/n1"))["metadata"]["uid"]
        self.server.must(self.server.apply(f"{GROUP}/tiers/gold", {
            "apiVersion": "partywall.dev/v1alpha1", "kind": "Tier", "metadata": {"name": "gold"}, "spec": {}}))
        self.server.must(self.server.apply(f"{GROUP}/tenants/acme", {
            "apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"tier": "gold", "members": [{"namespaces": {"names": ["acme"]}}]}}))

        def fields(pods, generation=1, realised=True):
            return {"addresses": [f"10.0.0.{i + 1}" for i in range(pods)], "pods": pods,
                    "hostPorts": [{"protocol": "TCP", "port": 8080}], "observedGeneration": generation,
                    "conditions": [{"type": "Realised", "status": "True" if realised else "False",
                                    "reason": "Enforced" if realised else "MapFull", "message": "words"}]}

        follower = self.follow(self.server.port, node="n1", uid=uid)
        follower.ask(do="publish", tenants={"acme": fields(2), "beta": fields(1)})
        wait_until(lambda: follower.state()["settled"], 20, "all is written")
        nodes = self.nodes()
        self.assertEqual({"acme.n1", "beta.n1"}, set(nodes))
        acme = nodes["acme.n1"]
        self.assertEqual(["10.0.0.1", "10.0.0.2"], acme["addresses"])
        self.assertEqual([{"protocol": "TCP", "port": 8080}], acme["hostPorts"])
        self.assertEqual({"partywall.dev/tenant": "acme", "partywall.dev/node": "n1"}, acme["metadata"]["labels"])
        self.assertEqual(uid, acme["metadata"]["ownerReferences"][0]["uid"])
        self.assertIn("lastTransitionTime", acme["conditions"][0])

        def status():
            return self.server.must(self.server.get(f"{GROUP}/tenants/acme")).get("status", {})

        wait_until(lambda: status().get("summary") == "1/1", 20, "the status is there")
        said = status()
        self.assertEqual((1, 1, 2, []), (said["nodesTotal"], said["nodesRealised"], said["pods"], said["lagging"]))
        self.assertEqual({"Accepted": "True", "Realised": "True", "Degraded": "False", "Conflict": "False"},
                         {one["type"]: one["status"] for one in said["conditions"]})

        # Somebody writes the same object in between: read and written again.
        self.server.must(self.server.call("PATCH", f"{GROUP}/tenantnodes/acme.n1", {"pods": 77},
                                          kind="application/merge-patch+json"))
        follower.ask(do="publish", tenants={"acme": fields(3, realised=False)})
        wait_until(lambda: follower.state()["settled"], 20, "all is written")
        self.assertEqual({"acme.n1": 3}, {name: one["pods"] for name, one in self.nodes().items()})
        wait_until(lambda: status().get("summary") == "0/1", 20, "the status follows")
        self.assertEqual([{"node": "n1", "reason": "MapFull", "message": "words"}], status()["lagging"])
        self.assertEqual("", follower.state()["writer"])

        # Nothing is written when nothing has changed.
        version = self.nodes()["acme.n1"]["metadata"]["resourceVersion"]
        tenant = self.server.must(self.server.get(f"{GROUP}/tenants/acme"))["metadata"]["resourceVersion"]
        follower.ask(do="publish", tenants={"acme": fields(3, realised=False)})
        again = self.follow(self.server.port, node="n1", uid=uid)
        again.ask(do="publish", tenants={"acme": fields(3, realised=False)})
        wait_until(lambda: again.state()["settled"] and again.maps()["synced"], 20, "it knows what there is")
        self.assertEqual(version, self.nodes()["acme.n1"]["metadata"]["resourceVersion"])
        self.assertEqual(tenant,
                         self.server.must(self.server.get(f"{GROUP}/tenants/acme"))["metadata"]["resourceVersion"])
        again.ask(do="publish", tenants={})
        wait_until(lambda: again.state()["settled"] and not self.nodes(), 20, "all are deleted")
        wait_until(lambda: status().get("summary") == "0/0", 20, "so does the status")
        self.assertEqual(0, status()["pods"])
        # Of what the leader has not heard anything new, it says nothing new.
        tenant = self.server.must(self.server.get(f"{GROUP}/tenants/acme"))["metadata"]["resourceVersion"]
        self.server.must(self.server.apply(f"{GROUP}/tenants/beta", {
            "apiVersion": "partywall.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": "beta"},
            "spec": {"tier": "gold", "members": [{"namespaces": {"names": ["beta"]}}]}}))
        wait_until(lambda: self.server.must(self.server.get(f"{GROUP}/tenants/beta")).get("status"), 20, "beta has one")
        wait_until(lambda: self.server.must(self.server.get(f"{GROUP}/tiers/gold"))["status"]["tenants"] == 2, 20,
                   "the tier counts it")
        self.assertEqual(tenant,
                         self.server.must(self.server.get(f"{GROUP}/tenants/acme"))["metadata"]["resourceVersion"])


if __name__ == "__main__":
    unittest.main()

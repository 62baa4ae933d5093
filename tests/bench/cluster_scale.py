# tests/bench/cluster_scale.py: agents on a cluster of 1,000 nodes, 30,000 pods and 1,000 tenants, whose pods come and go: a real
# API server, real agents on two of the nodes, and what the others would write. And one watch on all pods, to compare.
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "kubernetes"))

from apiserver import ADMIN, GROUP, ApiServer, program  # noqa: E402, F401  (program: for tools/bench)
from chart import CHART, NAMESPACE, install, render  # noqa: E402
from cluster_agent import Endpoints, NodeAgent, Process  # noqa: E402
from cluster_crowd import Crowd, node_name, tenant_name  # noqa: E402
from cluster_writer import MERGE, Write, Writer  # noqa: E402
from figures import Figure, Goal, say  # noqa: E402

NODES = 1000
NODES_QUICK = 100
PODS_PER_SECOND = 50   # that end, and as many that start
SECONDS = 90
SECONDS_QUICK = 15
LATE_SECONDS = 20      # what is not in force by then never will be

RSS = Goal(at_most=128)      # MB
CPU = Goal(at_most=5)        # % of a core while pods come and go
LATENCY = Goal(at_most=500)  # ms, 99th percentile


class Cluster:
    """The API server, filled, and agents on the first two nodes."""

    def __init__(self, name, build, nodes):
        self.build = build
        self.crowd = Crowd(nodes)
        self.agents = {}   # node -> NodeAgent
        self.stay = set()  # pods that do not go
        self.server = ApiServer()
        try:
            self.server.install_crds(render(only="crds.yaml"))
            self.server.add_namespace(NAMESPACE)
            install(self.server, render(only="rbac.yaml"))
            install(self.server, render(only="admission.yaml"))
            self.writer = Writer(self.server, ADMIN)
            self.fill()
            for node in (0, 1):
                self.agents[node] = NodeAgent(f"{name}-{node}", build, self.server, node)
            for pod in list(self.crowd.pods.values()):
                if pod.node in self.agents:
                    self.start_pod(pod)
            self.writer.finish()
        except BaseException:
            self.close()
            raise

    def close(self):
        for agent in self.agents.values():
            agent.close()
        self.server.stop()

    def write_all(self, what, writes):
        writes = list(writes)
        until = self.writer.done + len(writes)
        said = time.monotonic()

        def progress(done):
            nonlocal said
            if time.monotonic() - said > 20:
                said = time.monotonic()
                say(f"    {what}: {len(writes) - (until - done)} of {len(writes)}")

        for write in writes:
            self.writer.put(write)
        self.writer.finish(progress)

    def fill(self):
        crowd = self.crowd
        say(f"  cluster: {crowd.nodes} nodes, {len(crowd.pods)} pods, {crowd.tenants} tenants, "
            f"{len(crowd.held)} TenantNodes")
        self.write_all("nodes", (Write("POST", "/api/v1/nodes", crowd.node(node)) for node in range(crowd.nodes)))
        self.write_all("tiers", [Write("POST", f"{GROUP}/tiers", crowd.tier())])
        names = range(crowd.tenants)
        self.write_all("namespaces", (Write("POST", "/api/v1/namespaces", crowd.namespace(one)) for one in names))
        self.write_all("accounts", (
            Write("POST", f"/api/v1/namespaces/{tenant_name(one)}/serviceaccounts", {"metadata": {"name": "default"}})
            for one in names))
        self.write_all("services", (
            Write("POST", f"/api/v1/namespaces/{tenant_name(one)}/services", crowd.service(one)) for one in names))
        self.write_all("tenants", (Write("POST", f"{GROUP}/tenants", crowd.tenant(one)) for one in names))
        self.write_all("TenantNodes", [
            *(Write("POST", f"{GROUP}/tenantnodes", crowd.infrastructure_node(node)) for node in range(2, crowd.nodes)),
            *(Write("POST", f"{GROUP}/tenantnodes", crowd.tenant_node(tenant, node)) for tenant, node in crowd.held
              if node > 1)])

    # --- pods of nodes with an agent

    def start_pod(self, pod, agent=None):
        agent = agent or self.agents.get(pod.node)
        pods = f"/api/v1/namespaces/{tenant_name(pod.tenant)}/pods"
        key = f"pod {pod.number}"
        made = (lambda body: agent.pod_made(pod.number, body)) if agent else None
        self.writer.put(Write("POST", pods, self.crowd.pod(pod), after=made), key)
        self.writer.put(Write("PATCH", f"{pods}/front-{pod.number}/status", self.crowd.pod_status(pod), MERGE), key)

    def end_pod(self, pod):
        agent = self.agents.get(pod.node)
        path = f"/api/v1/namespaces/{tenant_name(pod.tenant)}/pods/front-{pod.number}?gracePeriodSeconds=0"
        gone = (lambda _: agent.pod_gone(pod.number)) if agent else None
        self.writer.put(Write("DELETE", path, after=gone), f"pod {pod.number}")

    # --- what agents of the other nodes write

    def tell(self, pod, existed, before=None):
        """Of the pod's tenant and node. `existed`: the object was there before."""
        name = f"{tenant_name(pod.tenant)}.{node_name(pod.node)}"
        path = f"{GROUP}/tenantnodes/{name}"
        body = self.crowd.tenant_node(pod.tenant, pod.node)
        if not body["addresses"]:
            write = Write("DELETE", path)
        elif existed:
            write = Write("PATCH", path, {"addresses": body["addresses"], "pods": body["pods"]}, MERGE, before=before)
        else:
            write = Write("POST", f"{GROUP}/tenantnodes", body, before=before)
        self.writer.put(write, path)

    def replace_a_pod(self, random, as_pods, will_write):
        """One ends, one of the same tenant starts on another node."""
        crowd = self.crowd
        gone = crowd.pods[random.choice(self.alive)]
        self.alive.remove(gone.number)
        crowd.remove(gone.number)
        if as_pods or gone.node in self.agents:
            self.end_pod(gone)
        else:
            self.tell(gone, True)
        node = random.randrange(crowd.nodes)
        existed = (gone.tenant, node) in crowd.held
        new = crowd.add(gone.tenant, node)
        self.alive.append(new.number)
        if as_pods or node in self.agents:
            self.start_pod(new)
        else:
            self.tell(new, existed, will_write(new))

    def churn(self, seconds, as_pods=False, will_write=lambda pod: None):
        """Replaces pods, evenly. How many it were, and the seconds that took: more than asked for when the server is slow."""
        self.alive = [number for number in self.crowd.pods if number not in self.stay]
        start = time.monotonic()
        count = int(seconds * PODS_PER_SECOND)
        for turn in range(count):
            due = start + turn / PODS_PER_SECOND
            # What waits is not written late without being noticed.
            while (now := time.monotonic()) < due or self.writer.waiting() > 4 * PODS_PER_SECOND:
                time.sleep(max(due - now, 0.005))
            self.replace_a_pod(self.crowd.random, as_pods, will_write)
        self.writer.finish()
        return count, time.monotonic() - start


class Meter:
    """What some processes use from now on."""

    def __init__(self, processes):
        self.processes = processes
        self.start = time.monotonic()
        self.before = {name: self._now(process) for name, process in processes.items()}

    @staticmethod
    def _now(process):
        requests = process.metrics()["requests_total"] if isinstance(process, NodeAgent) else 0
        return process.cpu_seconds(), process.bytes_received(), requests

    def figures(self, prefix, changes, goals=True):
        seconds = time.monotonic() - self.start
        for name, process in self.processes.items():
            # Before the metrics are asked for, which takes CPU time as well.
            cpu = process.cpu_seconds()
            then_cpu, then_bytes, then_requests = self.before[name]
            _, received, requests = self._now(process)
            yield Figure(f"{prefix}.{name}.cpu", (cpu - then_cpu) / seconds * 100, "% of a core", CPU if goals else None)
            yield Figure(f"{prefix}.{name}.bytes", (received - then_bytes) / changes, "bytes/pod")
            if isinstance(process, NodeAgent):
                yield Figure(f"{prefix}.{name}.requests", (requests - then_requests) / seconds, "requests/s")
            yield Figure(f"{prefix}.{name}.rss", process.rss_mb(), "MB", RSS if goals else None)


def settled(agents, seconds=120):
    """Waits until agents have said and heard all that there is, for two seconds: no list that still comes, which says nothing
    at all while the server makes it. The leader goes on for minutes writing statuses that differ in numbers, a few a second."""
    end = time.monotonic() + seconds
    before, since = None, time.monotonic()
    while time.monotonic() - since < 2:
        metrics = [agent.metrics() for agent in agents]
        now = [(one["requests_total"], agent.bytes_received()) for one, agent in zip(metrics, agents)]
        if before is None or any(one["stale"] for one in metrics) or \
                any(new > old + most for pair in zip(now, before) for new, old, most in zip(*pair, (20, 100_000))):
            since = time.monotonic()
        before = now
        if time.monotonic() > end:
            raise RuntimeError(f"the agents do not come to rest: {metrics}")
        time.sleep(0.5)


def wait_for_statuses(server, seconds=120):
    """Until each Tenant has one: whoever gets the Lease begins with a list of all TenantNodes."""
    end = time.monotonic() + seconds
    while not all(one.get("status") for one in server.call("GET", f"{GROUP}/tenants")[1]["items"]):
        if time.monotonic() > end:
            raise RuntimeError("no agent writes statuses")
        time.sleep(0.5)


def percentile(values, share):
    return values[min(int(len(values) * share), len(values) - 1)]


def churn_figures(prefix, cluster, agents, endpoints, seconds, everybody=False):
    """`everybody`: the member must know all tenants' pods on other nodes; else those of its own and their neighbours."""
    crowd = cluster.crowd

    def is_followed(pod):
        return everybody or any((pod.tenant + step) % crowd.tenants in own for step in (-1, 0, 1)
                                for own in [crowd.tenants_here[0]])

    def will_write(pod):
        if is_followed(pod):
            return lambda: endpoints.will_write(pod.address, tenant_name(pod.tenant))
        return None

    api_server = next(process for name, process in cluster.server.processes if name == "kube-apiserver")
    api = Process(api_server.pid, cluster.server.port)
    cpu = api.cpu_seconds()
    meter = Meter(agents)
    changes, took = cluster.churn(seconds, will_write=will_write)
    found = list(meter.figures(prefix, changes))
    found.insert(0, Figure(f"{prefix}.pods", changes / took, "pods/s"))
    found.append(Figure(f"{prefix}.apiserver.cpu", (api.cpu_seconds() - cpu) / took * 100, "% of a core"))
    end = time.monotonic() + LATE_SECONDS
    # But for pods that have ended meanwhile, and those whose tenants have.
    there = {pod.address: pod for pod in crowd.pods.values()}
    while missing := [one for one in endpoints.missing() if one in there and is_followed(there[one])]:
        if time.monotonic() > end:
            raise RuntimeError(f"never in force: {len(missing)} addresses, {missing[0]} first; {agents['member'].log()}")
        time.sleep(0.05)
    taken = endpoints.milliseconds()
    found.append(Figure(f"{prefix}.enforced.addresses", len(taken), ""))
    found.append(Figure(f"{prefix}.enforced.median", statistics.median(taken), "ms"))
    found.append(Figure(f"{prefix}.enforced.p99", percentile(taken, 0.99), "ms", LATENCY))
    found.append(Figure(f"{prefix}.enforced.most", taken[-1], "ms"))
    return found


def agents_figures(cluster, seconds):
    """Two agents: the one that writes the statuses for all, and one like all others."""
    leader, member = cluster.agents[1], cluster.agents[0]
    agents = {"leader": leader, "member": member}
    say("  agents: start")
    found = [Figure("kubernetes.leader.start", leader.start(), "s"),
             Figure("kubernetes.member.start", member.start(), "s")]
    wait_for_statuses(cluster.server)
    settled([leader, member])
    for name, agent in agents.items():
        found.append(Figure(f"kubernetes.{name}.rss", agent.rss_mb(), "MB", RSS))
    say("  agents: nothing happens")
    meter = Meter(agents)
    time.sleep(min(seconds, 20))
    found += [one for one in meter.figures("kubernetes.idle", 1, goals=False) if one.id.endswith((".cpu", ".requests"))]

    crowd = cluster.crowd
    endpoints = Endpoints(cluster.build, member.pins)
    own = sorted(crowd.tenants_here[member.node])
    followed = {(tenant + step) % crowd.tenants for tenant in own for step in (-1, 0, 1)}
    found.append(Figure("kubernetes.member.tenants", len(own), ""))
    found.append(Figure("kubernetes.member.followed", len(followed), "tenants"))
    cluster.stay = set(crowd.held[own[0], member.node])
    try:
        say(f"  agents: pods come and go, {seconds} s")
        found += churn_figures("kubernetes.churn", cluster, agents, endpoints, seconds)
        # The worst that is likely: a tenant of this node that everybody talks to; and one that lets pods of nobody in.
        all_names = [tenant_name(one) for one in range(crowd.tenants)]
        for what, more in (("everybody", all_names), ("unassigned", ["unassigned"])):
            one = own[0]
            path = f"{GROUP}/tenants/{tenant_name(one)}"
            cluster.writer.put(Write("PATCH", path, {"spec": crowd.tenant(one, more)["spec"]}, MERGE))
            cluster.writer.finish()
            settled([leader, member])
            say(f"  agents: the same, and a tenant of this node names {what}")
            found += churn_figures(f"kubernetes.{what}", cluster, agents, endpoints, seconds, everybody=True)
    finally:
        endpoints.close()
    errors = member.metrics()["errors_total"] + leader.metrics()["errors_total"]
    found.append(Figure("kubernetes.errors", errors, "", Goal(at_most=0)))
    return found


def all_pods_figures(cluster, seconds):
    """One plain watch on all pods, as the pods of the crowd come and go."""
    crowd = cluster.crowd
    for agent in cluster.agents.values():
        agent.close()
    say("  all pods: write them")
    there = set(cluster.agents)
    for pod in crowd.pods.values():
        if pod.node not in there:
            cluster.start_pod(pod)
    cluster.writer.finish()
    cluster.agents = {}
    process = subprocess.Popen([f"{cluster.build}/bench/bench_all_pods", cluster.server.kubeconfig],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask():
        process.stdin.write("?\n")
        return json.loads(process.stdout.readline())

    try:
        end = time.monotonic() + 120
        while not ask()["synced"]:
            if time.monotonic() > end:
                raise RuntimeError(f"all pods: {ask()['last_error']}")
            time.sleep(0.1)
        there = ask()
        say(f"  all pods: {there['pods']} pods are followed, {there['bytes']} bytes; they come and go, {seconds} s")
        watcher = Process(process.pid, cluster.server.port)
        found = [Figure("kubernetes.all_pods.list", there["bytes"] / 1e6, "MB"),
                 Figure("kubernetes.all_pods.start_rss", watcher.rss_mb(), "MB")]
        meter = Meter({"watch": watcher})
        changes, took = cluster.churn(seconds, as_pods=True)
        found.append(Figure("kubernetes.all_pods.pods", changes / took, "pods/s"))
        found += meter.figures("kubernetes.all_pods", changes, goals=False)
        found.append(Figure("kubernetes.all_pods.events", (ask()["events"] - there["events"]) / changes, "events/pod"))
    finally:
        process.terminate()
        process.wait(10)
    return found


def measure(name, build, quick):
    """The figures of agents on a large cluster."""
    seconds = SECONDS_QUICK if quick else SECONDS
    cluster = Cluster(name, build, NODES_QUICK if quick else NODES)
    try:
        return agents_figures(cluster, seconds) + all_pods_figures(cluster, seconds)
    finally:
        cluster.close()

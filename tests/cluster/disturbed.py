# tests/cluster/disturbed.py: traffic that goes on while the agent dies, is upgraded, loses the API server, and while
# policy and pods change: what may pass passes always, what may not never does.
import concurrent.futures
import time

import cluster
import matrix
import release
import world

PAUSE_MS = 50
# Where an emulated node has much else to do for minutes: agents that start, and pods.
KILLS_PAUSE_MS, CHURN_PAUSE_MS = 200, 1000
# What a stream of partner's may be of its tier's rate: no more than headers and the burst make of it, and no less than an
# emulated machine that is busy otherwise brings about.
RATE_FROM, RATE_TO = 0.80, 1.05
STREAM = "rate"
# As many as an emulated node starts and stops in a minute while it has traffic to carry.
CHURN_AT_ONCE = 12


def flows(addresses):
    """(prober, flow's name, order's rest, whether it may pass: None = it may, but cannot all the time)"""
    pods, services = addresses.pods, addresses.services
    port, node = world.PORT, world.NODES[2][4]
    return [
        ("acme-1", "peer", f"tcp {pods['acme-2'][4]} {port}", True),
        ("acme-1", "peer6", f"tcp {pods['acme-2'][6]} {port}", True),
        ("acme-1", "rule", f"tcp {services['partner/probe'][4]} 80", True),
        ("acme-1", "dns", f"udp {pods['kube-system-2'][4]} {world.DNS}", True),
        ("acme-1", "world", f"tcp {world.WORLD[4]} {port}", True),
        ("loose-1", "peer", f"tcp {pods['loose-2'][4]} {port}", True),
        ("acme-1", "other", f"tcp {pods['umbrella-2'][4]} {port}", False),
        ("acme-1", "other-here", f"tcp {pods['umbrella-1'][4]} {port}", False),
        ("acme-1", "other-port", f"tcp {node} {world.NODE_PORTS['umbrella/far']}", False),
        ("umbrella-1", "other6", f"tcp {pods['acme-2'][6]} {port}", False),
        ("loose-1", "other", f"tcp {pods['acme-2'][4]} {port}", False),
        ("world", "other", f"tcp {pods['acme-1'][4]} {port}", False),
        # As fast as it may, within a tenant whose tier has a rate.
        ("umbrella-1", STREAM, f"stream {pods['umbrella-2'][4]} {port}", True)]


def flows_to_node_2(addresses):
    """By Service, for its pods have other addresses after a boot. What the world sends is refused there alone."""
    services = addresses.services
    return [
        ("acme-1", "here", f"tcp {addresses.pods['acme-3'][4]} {world.PORT}", True),
        ("acme-1", "peer", f"tcp {services['acme/far'][4]} 80", None),
        ("acme-1", "rule", f"tcp {services['partner/far'][6]} 80", None),
        ("loose-1", "peer", f"tcp {services['loose/far'][4]} 80", None),
        ("acme-1", "other", f"tcp {services['umbrella/far'][4]} 80", False),
        ("loose-1", "other", f"tcp {services['umbrella/far'][6]} 80", False),
        ("world", "other", f"tcp {services['acme/far'][4]} 80", False),
        ("world", "other6", f"tcp {services['acme/far'][6]} 80", False)]


def ask(listed, order):
    orders = {}
    for prober, *rest in listed:
        orders.setdefault(prober, []).append(order(*rest))
    answers = {name: iter(said) for name, said in matrix.ask_all(orders).items()}
    return [next(answers[prober]) for prober, *_ in listed]


def during(title, listed, disturb, pause_ms=PAUSE_MS):
    """Runs `disturb` while the flows do, with this pause between two attempts of one. Prints what became of them; returns how
    many went wrong."""
    start = time.monotonic()
    ask(listed, lambda name, order, _: f"flow {name} {order} {pause_ms}")
    try:
        said = disturb() or ""
    finally:
        reports = ask(listed, lambda name, _order, _may: f"end {name}")
    wrong, passed, refused, leaked, dropped, unreachable, gap = 0, 0, 0, 0, 0, 0, 0
    for (prober, name, _, may), report in zip(listed, reports):
        attempts, answered, failed, longest_ms, last, octets, ran_ms = report.split()
        if name == STREAM:
            rate = int(octets) * 8e3 / int(ran_ms) / world.RATE_BITS
            said += f" A stream got {rate:.2f} of its rate."
            wrong += not RATE_FROM <= rate <= RATE_TO
        elif may is False:
            refused, leaked = refused + int(failed), leaked + int(answered)
        elif may:
            passed, dropped, gap = passed + int(answered), dropped + int(failed), max(gap, int(longest_ms))
        else:
            passed, unreachable = passed + int(answered), unreachable + int(failed)
        if int(attempts) == 0 or may and int(failed) or may is False and int(answered) or may is None and answered == "0":
            wrong += 1
            print(f"  WRONG: {prober} {name}: {attempts} attempts, {answered} answered, {failed} failed, {last}")
    print(f"{title}: {time.monotonic() - start:.0f} s; {passed} passed, {dropped} wrongly dropped (longest gap "
          f"{gap} ms), {unreachable} with nobody there; {refused} refused, {leaked} leaked. {said}", flush=True)
    return wrong


def kill_agents(times):
    """On both nodes, with KILL: at once when one runs again, or up to four seconds later, when it enforces."""
    def kill(node):
        for i in range(times):
            cluster.node(node, f"until p=$(pgrep -x partywalld); do sleep 0.1; done; sleep {i % 5}; kill -9 $p")

    with concurrent.futures.ThreadPoolExecutor(len(world.NODES)) as pool:
        list(pool.map(kill, world.NODES))
    return f"{times} agents killed on each node."


def upgrade():
    release.upgrade("--set", "logLevel=debug")
    return "helm upgrade, a new configuration on every node."


def without_api_server(seconds):
    """An agent is killed meanwhile: the next one has what the last one saved."""
    cluster.run(cluster.TOOL, "stop", "apiserver")
    try:
        cluster.node(1, "kill -9 $(pgrep -x partywalld)")
        time.sleep(seconds)
    finally:
        cluster.run(cluster.TOOL, "start", "apiserver")
    cluster.wait_until(lambda: ready() == "ok", 120, "the API server is back")
    return f"API server stopped for {seconds} s, an agent killed meanwhile."


def ready():
    try:
        return cluster.kubectl("get", "--raw", "/readyz")
    except cluster.Failed:
        return ""


def reboot():
    """A power cut, and the time until every pod of node 2 is ready again."""
    before = ready_on("node2")
    cluster.run(cluster.TOOL, "stop", "node2")
    time.sleep(5)
    start = time.monotonic()
    cluster.run(cluster.TOOL, "start", "node2")
    # Its pods count as ready until the machine that is back says otherwise: what it starts are other containers.
    cluster.wait_until(lambda: are_new(ready_on("node2"), before), 420, "every pod of node 2 runs again")
    return f"node 2 was ready again {time.monotonic() - start:.0f} s after it was switched on."


def ready_on(node):
    """(namespace, pod) -> its containers, of the pods there that are ready."""
    found = {}
    for item in cluster.get("pods", "-A", "--field-selector", f"spec.nodeName={node}")["items"]:
        states = item["status"].get("containerStatuses", [])
        if states and all(one["ready"] for one in states):
            place = item["metadata"]["namespace"], item["metadata"]["name"]
            found[place] = [one["containerID"] for one in states]
    return found


def are_new(now, before):
    return all(place in now and not set(now[place]) & set(containers) for place, containers in before.items())


def change_tier():
    for rate in ("900Mbit", "800Mbit", "700Mbit"):
        limits = '{"spec": {"limits": {"egress": {"ceiling": "%s"}, "ingress": {"ceiling": "%s"}}}}' % (rate, rate)
        cluster.kubectl("patch", "tier", "standard", "--type=merge", "-p", limits)
        release.wait_realised()
    cluster.kubectl("patch", "tier", "standard", "--type=merge", "-p", '{"spec": {"limits": null}}')
    return "The tier changed four times."


def churn(pods):
    """So many pods of two tenants come and go, CHURN_AT_ONCE at a time; addresses are used again at once."""
    names = [(tenant, f"churn-{tenant}-{i}") for i in range(CHURN_AT_ONCE // 2) for tenant in ("acme", "umbrella")]
    rounds = max(1, -(-pods // len(names)))
    seen = release.exposure()
    for done in range(rounds):
        print(f"  {done * len(names)} of {rounds * len(names)} pods", flush=True)
        # Pairs of the two tenants, one pair after the other on each node.
        cluster.apply(*(world.pod(tenant, name, 1 + i // 2 % 2) for i, (tenant, name) in enumerate(names)))
        for tenant in ("acme", "umbrella"):
            chosen = [name for owner, name in names if owner == tenant]
            cluster.kubectl("wait", "-n", tenant, "--for=condition=Ready", "--timeout=900s",
                            *(f"pod/{name}" for name in chosen))
            cluster.kubectl("delete", "pod", "-n", tenant, *chosen)
    cgroups, soon, interfaces, passed = (now - then for now, then in zip(release.exposure(), seen))
    return (f"{rounds * len(names)} pods made and deleted: {soon} of their {cgroups} cgroups had a tenant within 50 ms, their "
            f"{interfaces} interfaces had passed {passed} packets when they were attached.")


def relabel(addresses):
    """loose becomes umbrella's, and nobody's again. Returns how many steps came out wrong."""
    target, other = addresses.pods["umbrella-2"][4], addresses.pods["kube-system-2"][4]
    wrong = 0
    for label, steps in (("tenant=umbrella", ((target, True), (other, False))),
                         ("tenant-", ((target, False), (other, True)))):
        cluster.kubectl("label", "namespace", "loose", label)
        start = time.monotonic()
        for address, may in steps:
            def as_wanted(address=address, may=may):
                said = world.prober("loose-1", 1).ask([f"tcp {address} {world.PORT}"])[0]
                return said.startswith("open ") == may
            try:
                cluster.wait_until(as_wanted, 30, label)
                print(f"namespace loose, {label}: {address} {'open' if may else 'closed'} after "
                      f"{time.monotonic() - start:.1f} s", flush=True)
            except cluster.Failed:
                print(f"  WRONG: namespace loose, {label}: {address} is not {'open' if may else 'closed'}", flush=True)
                wrong += 1
    return wrong

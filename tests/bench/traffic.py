# tests/bench/traffic.py: real TCP between two network namespaces, bare and with each way to judge
# it, in turns. Makes namespaces, cgroups and rules of its own and removes them.
import os
import statistics
import subprocess
import tempfile

from figures import Figure, Goal, say

WORKS = ("request", "connect", "stream")
UNIT = {"request": "requests/s", "connect": "connections/s", "stream": "bytes/s"}

# Ratio to bare, with rules, counters and limits on.
RATIO_GOALS = {"request": Goal(at_least=0.95), "connect": Goal(at_least=0.92),
               "stream": Goal(at_least=0.98)}
# What Partywall adds to a request or connection, as a share of what nftables adds.
# The same with the edge plane as well, through a node that routes.
BOTH_GOALS = {"request": Goal(at_least=0.93), "connect": Goal(at_least=0.85),
              "stream": Goal(at_least=0.97)}
ADDED_GOALS = {("request", "nft"): Goal(at_most=0.35), ("connect", "nft"): Goal(at_most=0.45),
               ("connect", "nft_conntrack"): Goal(at_most=0.15)}

CLIENT, SERVER = "10.89.1.1", "10.89.1.2"            # two tenants
SAME_CLIENT, SAME_SERVER = "10.89.2.1", "10.89.2.2"  # one tenant
PORT = 7089
GATEWAY = "169.254.1.1"

POLICY = f"""apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {{name: bench}}
spec:
  limits:
    egress: {{ceiling: 80Gbit}}
    ingress: {{ceiling: 80Gbit}}
    packetsPerSecond: 500M
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: client}}
spec:
  tier: bench
  members:
    - cgroup: $ROOT/client
      addresses: [{CLIENT}/32]
  network:
    egress:
      - to: [{{tenant: server}}]
        ports: [{{protocol: TCP, port: {PORT}}}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: server}}
spec:
  tier: bench
  members:
    - cgroup: $ROOT/server
      addresses: [{SERVER}/32]
  network:
    ingress:
      - from: [{{tenant: client}}]
        ports: [{{protocol: TCP, port: {PORT}}}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: both}}
spec:
  tier: bench
  members:
    - cgroup: $ROOT/both
      addresses: [10.89.2.0/24]
"""

# The verdict of POLICY in nftables' words: a cgroup, its peer, its port; nothing else from these
# cgroups. The two ends differ in who they are and which side of the connection has the port.
RULES = """table inet {table} {{
  chain out {{
    type filter hook output priority 0; policy accept;
    {established}
    socket cgroupv2 level {level} "{cgroup}" ip daddr {peer} tcp {out_port} {port} accept
    socket cgroupv2 level {root_level} "{root}" drop
  }}
  chain in {{
    type filter hook input priority 0; policy accept;
    {established}
    socket cgroupv2 level {level} "{cgroup}" ip saddr {peer} tcp {in_port} {port} accept
    socket cgroupv2 level {root_level} "{root}" drop
  }}
}}
"""


def run(*command, **keywords):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **keywords)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Ground:
    """Two namespaces with a veth between them, and the process that holds the datapath."""

    interfaces = "-"

    def __init__(self, name, programs):
        self.name = name
        self.programs = programs
        self.namespaces = []
        self.switch = None
        self.policy = tempfile.NamedTemporaryFile("w", prefix="pw-bench-", suffix=".yaml")

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make_namespaces(self, *ends):
        for end in ends:
            run("ip", "netns", "add", f"{self.name}-{end}")
            self.namespaces.append(f"{self.name}-{end}")

    def _connect(self):
        run("ip", "link", "add", "eth0", "netns", f"{self.name}-client", "type", "veth",
            "peer", "name", "eth0", "netns", f"{self.name}-server")

    def _route(self):
        """What the two need to reach each other, once they have addresses."""

    def node_prefix(self):
        return ()

    def policy_text(self):
        return POLICY

    def _build(self):
        self._make_namespaces("client", "server")
        self._connect()
        for end, addresses in (("client", (CLIENT, SAME_CLIENT)), ("server", (SERVER, SAME_SERVER))):
            for address in addresses:
                self.inside(end, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            self.inside(end, "ip", "link", "set", "eth0", "up")
            # Connections end with FIN and TIME_WAIT, as they do; a benchmark must not run out of
            # ports for it.
            self.inside(end, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1",
                        "net.ipv4.ip_local_port_range=1024 65535",
                        "net.ipv4.tcp_no_metrics_save=1")
        self._route()
        self.policy.write(self.policy_text())
        self.policy.flush()
        self.switch = subprocess.Popen(
            [*self.node_prefix(), f"{self.programs}/bench_switch", self.name, self.policy.name,
             self.interfaces, "client", "server", "both"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self.switch.stdout.readline().split()
        if not ready or ready[0] != "ready":
            raise RuntimeError("bench_switch did not start")
        self.root = ready[1]

    def __exit__(self, *_):
        if self.switch:
            self.switch.stdin.close()
            self.switch.wait(30)
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        self.policy.close()

    def netns(self, end):
        return f"/run/netns/{self.name}-{end}"

    def inside(self, end, *command, **keywords):
        return run("nsenter", f"--net={self.netns(end)}", *command, **keywords)

    def turn(self, what, on):
        """Switches programs on or off."""
        print(what, "on" if on else "off", file=self.switch.stdin, flush=True)
        answer = self.switch.stdout.readline().strip()
        if answer != "ok":
            raise RuntimeError(f"bench_switch: {what}: {answer or 'gone'}")

    def nft(self, conntrack):
        """Loads the rules at both ends."""
        # nft takes cgroups as paths below /sys/fs/cgroup, and counts levels from the cgroup2 root.
        root = os.path.relpath(self.root, "/sys/fs/cgroup")
        for end, peer, out_port, in_port in (("client", SERVER, "dport", "sport"),
                                             ("server", CLIENT, "sport", "dport")):
            rules = RULES.format(
                table=self.table(), level=2, root_level=1, cgroup=f"{root}/{end}", root=root,
                peer=peer, port=PORT, out_port=out_port, in_port=in_port,
                established="ct state established accept" if conntrack else "")
            self.inside(end, "nft", "-f", "-", input=rules)

    def nft_off(self):
        for end in ("client", "server"):
            self.inside(end, "nft", "delete", "table", "inet", self.table())

    @staticmethod
    def table():
        return "partywall_bench"

    def command(self, what, seconds, client, server, address):
        return [f"{self.programs}/bench_traffic", what, str(seconds), "0",
                f"{self.root}/{client}", self.netns("client"),
                f"{self.root}/{server}", self.netns("server"), address]

    def work(self, what, seconds, same_tenant):
        """What one client and one server do in a second."""
        places = ("both", "both", SAME_SERVER) if same_tenant else ("client", "server", SERVER)
        return float(run(*self.command(what, seconds, *places)))

    def refuses_strangers(self):
        """Whether a client from a cgroup that may not is kept out: a way that lets all pass is fast."""
        try:
            done = subprocess.run(self.command("request", 0.01, "both", "server", SERVER),
                                  capture_output=True, timeout=1, check=False)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode != 0


class NodeGround(Ground):
    """The same two behind a node that routes between their veths, with the edge on the node's ends."""

    interfaces = "pw-*"

    def _connect(self):
        self._make_namespaces("node")
        for end in ("client", "server"):
            run("ip", "link", "add", f"pw-{end}", "netns", f"{self.name}-node", "type", "veth",
                "peer", "name", "eth0", "netns", f"{self.name}-{end}")
            self.inside("node", "ip", "addr", "add", f"{GATEWAY}/32", "dev", f"pw-{end}")
            self.inside("node", "ip", "link", "set", f"pw-{end}", "up")
        self.inside("node", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def _route(self):
        for end, addresses in (("client", (CLIENT, SAME_CLIENT)), ("server", (SERVER, SAME_SERVER))):
            for address in addresses:
                self.inside("node", "ip", "route", "add", f"{address}/32", "dev", f"pw-{end}")
                net = address.rsplit(".", 1)[0]
                self.inside(end, "ip", "route", "del", f"{net}.0/24", "dev", "eth0")
            self.inside(end, "ip", "route", "add", GATEWAY, "dev", "eth0")
            for address in addresses:
                net = address.rsplit(".", 1)[0]
                self.inside(end, "ip", "route", "add", f"{net}.0/24", "via", GATEWAY, "src", address)

    def policy_text(self):
        """An interface belongs to one tenant: by name, so that no stranger can bind it before."""
        text = POLICY
        for end in ("client", "server"):
            text = text.replace(f"- cgroup: $ROOT/{end}\n",
                                f"- cgroup: $ROOT/{end}\n      interface: pw-{end}\n")
        return text

    def node_prefix(self):
        return ("nsenter", f"--net={self.netns('node')}")


class Way:
    """One way to treat the traffic."""

    def __init__(self, name, on, off, judges=True, same_tenant=False):
        self.name = name
        self.on = on
        self.off = off
        self.judges = judges
        self.same_tenant = same_tenant

    def check(self, ground):
        """Fails unless strangers are refused exactly where somebody judges."""
        self.on()
        try:
            if ground.refuses_strangers() != self.judges:
                raise RuntimeError(f"{self.name} {'lets strangers in' if self.judges else 'judges'}")
        finally:
            self.off()


def ways(ground):
    def switch(*programs):
        return (lambda: [ground.turn(program, True) for program in programs],
                lambda: [ground.turn(program, False) for program in programs])

    return [
        Way("bare", lambda: None, lambda: None, judges=False),
        Way("empty", *switch("empty"), judges=False),
        Way("partywall", *switch("partywall")),
        Way("partywall_same_tenant", *switch("partywall"), same_tenant=True),
        Way("partywall_syscalls", *switch("partywall", "syscalls")),
        Way("nft", lambda: ground.nft(False), ground.nft_off),
        Way("nft_conntrack", lambda: ground.nft(True), ground.nft_off),
    ]


def ways_through_node(ground):
    on, off = (lambda: ground.turn("partywall", True)), (lambda: ground.turn("partywall", False))
    return [Way("bare", lambda: None, lambda: None, judges=False), Way("both_planes", on, off)]


def sample(ground, all_ways, rounds, seconds, what_for):
    """(work, way) -> what it did in each round."""
    samples = {}
    for way in all_ways:
        way.check(ground)
    for number in range(rounds):
        say(f"  {what_for}: round {number + 1} of {rounds}")
        # Another way first each time: nobody always follows the same neighbour.
        turned = all_ways[number % len(all_ways):] + all_ways[:number % len(all_ways)]
        for way in turned:
            way.on()
            try:
                for what in WORKS:
                    samples.setdefault((what, way.name), []).append(
                        ground.work(what, seconds, way.same_tenant))
            finally:
                way.off()
    return samples


def measure(name, programs, quick):
    """The figures of real traffic."""
    rounds, seconds = (8, 0.2) if quick else (32, 0.3)
    with Ground(name, programs) as ground:
        all_ways = ways(ground)
        samples = sample(ground, all_ways, rounds, seconds, "traffic")
    found = list(figures_of(samples, [way.name for way in all_ways]))
    with NodeGround(name, programs) as ground:
        all_ways = ways_through_node(ground)
        samples = sample(ground, all_ways, rounds, seconds, "through a node")
    return found + list(figures_through_node(samples, all_ways[1:]))


def ratios(samples, what, name):
    """The median of the ratios to the bare run of the same round."""
    return statistics.median(value / bare for value, bare in
                             zip(samples[what, name], samples[what, "bare"]))


def figures_through_node(samples, all_ways):
    for what in WORKS:
        yield Figure(f"node.{what}.bare", statistics.median(samples[what, "bare"]), UNIT[what])
        for way in all_ways:
            yield Figure(f"node.{what}.{way.name}", ratios(samples, what, way.name), "of bare",
                         BOTH_GOALS[what])


def figures_of(samples, names):
    """Medians of the ratios to the bare run of the same round."""
    for what in WORKS:
        bare = samples[what, "bare"]
        ratio = {name: ratios(samples, what, name) for name in names}
        added = {name: 1 / ratio[name] - 1 for name in names}
        yield Figure(f"traffic.{what}.bare", statistics.median(bare), UNIT[what])
        for name in names[1:]:
            goal = RATIO_GOALS[what] if name in ("partywall", "partywall_same_tenant") else None
            yield Figure(f"traffic.{what}.{name}", ratio[name], "of bare", goal)
        for (work, rival), goal in ADDED_GOALS.items():
            if work == what and added[rival] > 0:
                yield Figure(f"traffic.{what}.added_to_{rival}s",
                             added["partywall"] / added[rival], "of its cost", goal)

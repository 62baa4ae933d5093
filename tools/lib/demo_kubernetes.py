# tools/lib/demo_kubernetes.py: the demo on a real Kubernetes of two emulated nodes (tools/cluster), step by step. Every
# step shows what it runs and checks what came out of it.
import collections
import json
import pathlib
import re
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/cluster"))

import cells  # noqa: E402
import cluster  # noqa: E402
import demo_kubernetes_metrics  # noqa: E402
import matrix  # noqa: E402
import release  # noqa: E402
import world  # noqa: E402
from demo_show import Transcript  # noqa: E402
from demo_stage import DemoFailed  # noqa: E402

# Who tries whom: a namespace, or the world; and the port there.
SOURCES = ("acme", "umbrella", "partner", "loose", "world")
TARGETS = {"acme": world.PORT, "umbrella": world.PORT, "partner": world.PORT, "loose": world.PORT,
           "kube-system": world.DNS, "world": world.PORT}
# source -> targets that it reaches once there are tenants; before, everybody reaches everybody.
APART = {"acme": ("acme", "partner", "kube-system", "world"), "umbrella": ("umbrella", "kube-system", "world"),
         "partner": ("partner", "kube-system", "world"), "loose": ("loose", "kube-system", "world"),
         "world": ("loose", "kube-system")}
OPEN = {source: tuple(TARGETS) for source in SOURCES}


class Demo:
    def __init__(self, show):
        self.show = show
        self.addresses = None
        self.outside = None

    def quietly(self, command, seconds=300):
        """Runs a command in a shell where the API server is reached. Returns (exit code, output)."""
        done = subprocess.run([cluster.TOOL, "run", "bash", "-o", "pipefail", "-c", command], text=True, cwd=SOURCE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout

    def run(self, command, code=0, says="", most=40):
        """Shows a command, runs it, shows what it said. It must end with `code` and say `says`. Returns its output."""
        self.show.command(command)
        ended, output = self.quietly(command)
        self.show.output(output, most)
        if ended != code:
            raise DemoFailed(f"it ended with {ended}, not {code}")
        if not re.search(says, output):
            raise DemoFailed(f"it does not say '{says}'")
        return output

    def tool(self, *command):
        """Shows one of this project's own commands and runs it."""
        self.show.command("tools/" + " ".join(command))
        done = subprocess.run([str(SOURCE / "tools" / command[0]), *command[1:]], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.show.output(re.sub(r"^.*(?:application/vnd|Importing\t).*\n", "", done.stdout, flags=re.MULTILINE))
        if done.returncode:
            raise DemoFailed(f"it ended with {done.returncode}")

    def check(self, text, right):
        if not right:
            raise DemoFailed(text)
        self.show.good(text)

    def attempts(self):
        """(source, target) -> attempts on every way there is."""
        found = collections.defaultdict(list)
        for source in SOURCES:
            prober = source if source == "world" else source + "-1"
            for target, port in TARGETS.items():
                if source == target == "world":
                    continue
                for family in (4, 6):
                    ways = [cells.Way("direct", world.WORLD[family], port)] if target == "world" else \
                        [way for way in cells.ways(self.addresses, target, port, family) if not way.anonymous]
                    found[source, target] += [
                        cells.Cell(f"{source} to {target}", way.name, family, prober, f"tcp {way.address} {way.port}",
                                   cells.OPEN) for way in ways]
        return found

    def matrix(self, reached):
        """Shows who reaches whom on how many ways. reached: source -> targets for which that must be all; else none."""
        attempts = self.attempts()
        expected = {cell: cells.OPEN if target in reached[source] else cells.CLOSED
                    for (source, target), of in attempts.items() for cell in of}
        results = matrix.try_all(list(expected), expected.get)
        heads = [target if target == "world" else f"{target}:{port}" for target, port in TARGETS.items()]
        self.show.write()
        self.show.output("from \\ to".ljust(12) + "".join(head.ljust(16) for head in heads).rstrip())
        for source in SOURCES:
            row = []
            for target in TARGETS:
                of = attempts.get((source, target), [])
                opened = sum(results[cell][0] == cells.OPEN for cell in of)
                row.append(f"{opened} of {len(of)}" if of else "-")
            self.show.output(source.ljust(12) + "".join(cell.ljust(16) for cell in row).rstrip())
        wrong = [f"{cell.relation}, {cell.way}, IPv{cell.family}: {results[cell][0]}, not {want}"
                 for cell, want in expected.items() if results[cell][0] != want]
        if wrong:
            raise DemoFailed("; ".join(wrong))
        self.check(f"all {len(expected)} attempts as expected", True)


def build_stage(demo):
    demo.show.step("A Kubernetes of two nodes, pods of three tenants, and of others")
    demo.tool("cluster", "up")
    demo.tool("cluster", "import", "build/image/partywall-amd64.tar")
    demo.run("kubectl get nodes -o wide | cut -c1-80", says="Ready")
    demo.addresses = world.settle()
    demo.outside = world.outside()
    demo.run("kubectl get pods -A -l pod --sort-by=.metadata.namespace "
             "-o custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,NODE:.spec.nodeName,IP:.status.podIP")


def before(demo):
    demo.show.step("Before: everybody reaches everybody")
    demo.show.say("Each on every way: a pod on the same node, a pod on the other node, ClusterIPs and NodePorts that lead to "
                  "them, over IPv4 and IPv6. The first of each namespace's pods tries; loose belongs to nobody; the world is "
                  "a machine outside.")
    demo.matrix(OPEN)


def install(demo):
    demo.show.step("helm install: nothing changes yet")
    demo.run("helm install partywall helm/partywall -n partywall --create-namespace --wait --timeout 300s "
             "--set image.pullPolicy=Never | head -5", says="deployed")
    demo.run("kubectl get pods -n partywall -o wide | cut -c1-90", says="Running")
    demo.matrix(OPEN)


def tenants(demo):
    demo.show.step("Tenants and tiers")
    demo.run("kubectl get namespaces acme umbrella partner loose -L tenant")
    demo.run("sed 1,2d tests/cluster/policy.yaml", most=60)
    start = time.monotonic()
    demo.run("kubectl apply -f tests/cluster/policy.yaml", says="tenant.partywall.dev/umbrella created")
    demo.run("kubectl wait tenants --all --for=condition=Realised --timeout=60s")
    demo.check(f"in force on both nodes {time.monotonic() - start:.1f} s later", True)
    demo.run("kubectl get tenants,tiers", says=r"acme +standard +enforce +2/2")
    demo.run("kubectl describe tenant acme | sed -n '/^Status:/,$p'", says="Realised")


def after(demo):
    demo.show.step("After: tenants are kept apart, on every way")
    demo.matrix(APART)
    demo.show.say("acme may open partner's port, by a rule of each of the two. Everybody reaches the cluster's DNS, which is "
                  "in the infrastructure lane. Pods that no tenant claims talk as before among themselves.")


def agent_of_node_1():
    """How to ask the agent of the node of every first pod."""
    return f"kubectl exec -n partywall {release.agents()[1]} -- partywall"


def explain(demo):
    demo.show.step("A denied connection, explained")
    address = demo.addresses.pods["umbrella-2"][4]
    demo.run(f"kubectl exec -n acme acme-1 -- partywall-probe try tcp {address} {world.PORT}",
             code=1, says="closed: EPERM")
    agent = agent_of_node_1()
    demo.run(f"{agent} events --tenant acme | grep {address} | tail -1", says="tenant_floor")
    demo.run(f"{agent} explain --from acme --to umbrella --port {world.PORT}", code=1, says="deny: acme -> umbrella")


def change_tier(demo):
    demo.show.step("A tier changes, and rates with it, at once")
    target = demo.addresses.pods["umbrella-2"][4]
    stream = f"kubectl exec -n umbrella umbrella-1 -- partywall-probe stream {target} {world.PORT}"

    def rate(limit):
        said = demo.run(f"{stream} 5", says="Mbit/s")
        measured = float(said.split()[0])
        demo.check(f"umbrella gets {measured:.1f} of its {limit} Mbit/s", 0.8 * limit <= measured <= 1.05 * limit)

    rate(2)
    limits = json.dumps({"spec": {"limits": {way: {"ceiling": "6Mbit"} for way in ("egress", "ingress")}}})
    demo.run(f"kubectl patch tier metered --type merge -p '{limits}'")
    demo.run("kubectl wait tenants --all --for=condition=Realised --timeout=60s", most=0)
    rate(6)
    demo.run(f"{stream} 9 >/dev/null & {agent_of_node_1()} top -n 2 -d 3 | tail -n 7; wait", says=r"umbrella +[56]\.\dM")


def finish(demo):
    demo.show.step("helm uninstall: out of every node's kernel")
    demo.run("helm uninstall partywall -n partywall --wait --timeout 300s", says="uninstalled")
    demo.check("no pin, no program and no process is left on any node",
               not [line for node in world.NODES for line in release.left_on(node)])
    demo.matrix(OPEN)


STEPS = (build_stage, before, install, tenants, after, explain, change_tier, demo_kubernetes_metrics.compare, finish)


def main():
    show = Transcript(len(STEPS), "--pause" in sys.argv)
    demo = Demo(show)
    try:
        return show.perform(STEPS, demo, (DemoFailed, cluster.Failed))
    finally:
        if demo.outside:
            demo.outside.terminate()
            demo.outside.wait()


if __name__ == "__main__":
    sys.exit(main())

# tests/cluster/release.py: Partywall in the cluster, as its chart installs it: install, upgrade, uninstall, and what is
# left on the nodes.
import json
import re

import cluster
import world

NAME, NAMESPACE = "partywall", "partywall"
CHART = str(cluster.ROOT / "helm/partywall")
# On emulated nodes an agent takes its time to load.
SLOW = ["--timeout", "300s"]


def install(*values):
    cluster.helm("install", NAME, CHART, "-n", NAMESPACE, "--create-namespace", "--wait", *SLOW,
                 "--set", "image.pullPolicy=Never", *values)


def upgrade(*values):
    cluster.helm("upgrade", NAME, CHART, "-n", NAMESPACE, "--reuse-values", "--wait", *SLOW, *values)


def uninstall():
    cluster.helm("uninstall", NAME, "-n", NAMESPACE, "--wait", *SLOW)


def test():
    """`helm test`: two tenants of its own, and what each reaches. Returns what became of its pods, by name."""
    said = cluster.helm("test", NAME, "-n", NAMESPACE, *SLOW)
    return dict(re.findall(r"^TEST SUITE: +(client-\S+)\n(?:.*\n)*?Phase: +(\w+)", said, re.MULTILINE))


def agents():
    """Node's number -> name of the agent's pod there."""
    items = cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=partywall")["items"]
    return {int(item["spec"]["nodeName"][-1]): item["metadata"]["name"] for item in items}


def cli(node, *arguments):
    """`partywall ARGUMENTS` in the agent's container on that node."""
    return cluster.kubectl("exec", "-n", NAMESPACE, agents()[node], "--", "/usr/bin/partywall", *arguments)


def left_on(node):
    """What of Partywall is on a node, as lines: pins, programs, filters, processes."""
    pins = cluster.node(node, "find /sys/fs/bpf -mindepth 1")
    programs = json.loads(cluster.node(node, "bpftool -j prog show"))
    processes = cluster.node(node, "pgrep -x partywalld || true")
    # Nothing else on these nodes loads programs, but for the runtime's own for devices.
    return [f"pin {line}" for line in pins.splitlines()] + \
        [f"program {program['id']} {program.get('name', '')}" for program in programs
         if program["type"] != "cgroup_device"] + \
        [f"process {line}" for line in processes.splitlines()]


def wait_realised():
    """Until every tenant is in force on every node, as its status says. Returns the seconds that Tenants are old then."""
    cluster.kubectl("wait", "tenants", "--all", "--for=condition=Realised", "--timeout=180s")
    return cluster.kubectl("get", "tenants")


def apply_policy():
    cluster.kubectl("apply", "-f", str(world.POLICY))
    return wait_realised()


def exposure():
    """What the agents of all nodes have seen since their starts: (cgroups that were given a tenant, those of them within 50 ms
    of being made, interfaces attached, packets that these had passed before)."""
    seen = [0, 0, 0, 0]
    for node in agents():
        text = cluster.node(node, "curl -s http://127.0.0.1:9723/metrics")
        for i, series in enumerate(('cgroup_classified_seconds_bucket{le="+Inf"}', 'cgroup_classified_seconds_bucket{le="0.05"}',
                                    "edge_attach_seconds_count", "edge_unjudged_packets_total")):
            seen[i] += int(re.search(rf"^partywall_{re.escape(series)} (\d+)", text, re.MULTILINE).group(1))
    return seen


def memory_mib(node):
    """What the kernel counts as the agent's, maps included."""
    text = cluster.node(node, "cat /proc/$(pgrep -xo partywalld)/cgroup")
    folder = re.search(r"^0::(\S+)", text, re.MULTILINE).group(1)
    return int(cluster.node(node, f"cat /sys/fs/cgroup{folder}/memory.current")) / 2**20

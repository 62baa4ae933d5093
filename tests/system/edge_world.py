# tests/system/edge_world.py: worlds with a node in the middle: every workload behind a veth whose host end
# (pw-<host>) is in the node's namespace. Routed, as most container networks are, or bridged.
import json
import os

from partywall import Agent, World, run

# host -> third part of its network 10.77.x.0/24 and fd77:0:0:x::/64. "world" is behind the uplink.
ROUTED = {"a": 1, "b": 2, "c": 3, "d": 4, "world": 9}


def quick_sysctl(*settings):
    """Writes settings of the namespace that this runs in: name=value."""
    for setting in settings:
        name, _, value = setting.partition("=")
        with open("/proc/sys/" + name.replace(".", "/"), "w") as file:
            file.write(value)


class NodeWorld(World):
    """What both have in common: the namespace that holds the host ends, and who has which MAC."""

    node = "node"

    @staticmethod
    def bridge_port(host):
        """The host end of a workload, or of the uplink, which is no workload's."""
        return "uplink" if host == "world" else "pw-" + host

    def mac(self, host, device="eth0"):
        """Link address of a device, in bytes: by default of a workload's own end."""
        text = self._in(host, "ip", "-j", "link", "show", "dev", device)
        return bytes.fromhex(json.loads(text)[0]["address"].replace(":", ""))

    def gateway_mac(self, host):
        """Of what a workload sends its packets to."""
        raise NotImplementedError

    def feed(self, namespace, text, *command):
        """Runs a program there that reads its orders from standard input."""
        run("nsenter", f"--net={self.netns_path(namespace)}", *command, input=text)

    def batch(self, namespace, *lines):
        """ip commands, in one process."""
        self.feed(namespace, "\n".join(lines) + "\n", "ip", "-batch", "-")


class RoutedWorld(NodeWorld):
    """The node forwards between the workloads' networks; its address in each is .1."""

    def __init__(self, hosts=tuple(ROUTED)):
        super().__init__(hosts)

    def _build(self, hosts):
        self._namespace(self.node)
        self.hosts[self.node] = ("10.77.9.1", "fd77:0:0:9::1")
        self.batch(self.node, "link set lo up")
        self.place_in_node(quick_sysctl, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                           "net.ipv4.conf.all.accept_source_route=1",
                           "net.ipv4.conf.all.send_redirects=0", "net.ipv4.icmp_ratelimit=0",
                           "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                           "net.ipv4.conf.default.accept_source_route=1",
                           "net.ipv4.conf.default.send_redirects=0")
        for host in hosts:
            self.add_host(host, ROUTED[host])
        os.mkdir(self.path())

    def place_in_node(self, function, *args):
        return self.place(None, self.node).run(function, *args)

    def add_host(self, host, net, number=2):
        self._namespace(host)
        self.hosts[host] = (f"10.77.{net}.{number}", f"fd77:0:0:{net}::{number}")
        self.place(None, host).run(quick_sysctl, "net.ipv4.ping_group_range=0 2147483647",
                                   "net.ipv4.tcp_fastopen=3", "net.ipv4.tcp_no_metrics_save=1",
                                   "net.ipv4.icmp_ratelimit=0",
                                   # No word about fragments that never become whole.
                                   "net.ipv4.ipfrag_time=600", "net.ipv6.ip6frag_time=600",
                                   "net.ipv4.conf.all.accept_source_route=1",
                                   "net.ipv4.conf.default.accept_source_route=1",
                                   "net.ipv4.conf.all.rp_filter=0",
                                   "net.ipv4.conf.default.rp_filter=0")
        self.add_link(host, net, number)

    def add_link(self, host, net, number=2, device="eth0", default=True):
        """One veth between a host and the node."""
        port = self.bridge_port(host) if device == "eth0" else f"pw-{host}-{device}"
        run("ip", "link", "add", port, "netns", f"{self.tag}-{self.node}", "type", "veth",
            "peer", "name", device, "netns", f"{self.tag}-{host}")
        self.batch(self.node, f"addr add 10.77.{net}.1/24 dev {port}",
                   f"addr add fd77:0:0:{net}::1/64 dev {port} nodad", f"link set {port} up")
        routes = [f"route add default via 10.77.{net}.1",
                  f"route add default via fd77:0:0:{net}::1"] if default else []
        self.batch(host, "link set lo up", f"addr add 10.77.{net}.{number}/24 dev {device}",
                   f"addr add fd77:0:0:{net}::{number}/64 dev {device} nodad",
                   f"link set {device} up", *routes)

    def gateway_mac(self, host):
        return self.mac(self.node, self.bridge_port(host))


class BridgedWorld(NodeWorld):
    """All on one link, as a bridge on the node makes it; the node itself has no address there."""

    node = "bridge"

    def _build(self, hosts):
        self.hosts[self.node] = ("", "")
        super()._build(hosts)

    def gateway_mac(self, host):
        raise AssertionError("there is no gateway on the bridge: frames go to the peer's own MAC")


class NodeAgent(Agent):
    """A partywalld in the node's network namespace, where its HTTP pages are, too."""

    def __init__(self, world, policy, *flags):
        super().__init__(world, policy, *flags)
        self.at = world.place(None, world.node)
        self.prefix = ("nsenter", f"--net={self.at.netns}")

    def scrape(self):
        return self.at.run(super().scrape)

    def http(self, path):
        return self.at.run(super().http, path)

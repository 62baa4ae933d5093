# tests/adversarial/rows.py: one row of the catalogue of attacks = one test. Each attack first has to
# deliver with no agent; then nothing of it arrives, and each of its packets is counted once.
import os
import socket
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))

from attackers import clients, post, privileges  # noqa: E402
from edge_world import NodeAgent, RoutedWorld  # noqa: E402
from partywall import tenants, wait_until  # noqa: E402
from slow import SLOW  # noqa: E402

OPEN, CLOSED = post.OPEN, post.CLOSED
MARK_MASK = "0xffff0000"
RULE = f"ports: [{{protocol: TCP, port: {OPEN}}}, {{protocol: UDP, port: {OPEN}}}, {{protocol: ICMP}}]"


def member(name, number, rules=""):
    """A tenant whose workloads run in cgroup $ROOT/<name> with the addresses of network `number`."""
    return f"""apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  tier: plain
  members:
    - cgroup: $ROOT/{name}
      addresses: [10.77.{number}.0/24, "fd77:0:0:{number}::/64"]
{rules}"""


A = member("a", 1, f"""
  network:
    egress:
      - to: [{{tenant: b}}]
        {RULE}
      - to: [{{cidr: 0.0.0.0/0}}, {{cidr: "::/0"}}]
""")
B = member("b", 2, f"""
  network:
    ingress:
      - from: [{{tenant: a}}]
        {RULE}
""")
C, D = member("c", 3), member("d", 4)
POLICY = tenants(A, B, C, D)

# Where an attack is made: (name of the leg, edge plane on, the attacker's process is in its tenant's
# cgroup). The last is a process that no socket hook knows: there, the edge decides alone.
LEGS = (("cgroup_plane", False, True), ("both_planes", True, True), ("edge_alone", True, False))
LEG_NAMES = tuple(name for name, _, _ in LEGS)


class Row:
    """What is expected of one attack. `denied` = {(tenant, direction or "calls", reason): packets}, by
    leg where the legs differ."""

    def __init__(self, number, play, denied, at="c", legs=LEG_NAMES, by="payload", probe=None,
                 held=True):
        self.number, self.play, self.at, self.legs, self.by = number, play, at, legs, by
        self.probe = probe
        self.held = held  # False: docs/security-model.md says that it is not; then it must deliver
        self.denied = {leg: denied[leg] if leg in denied else denied for leg in legs}
        self.control = None  # what went wrong in the positive control; "" = it delivered


class Scene:
    """What an attack sees of the world while it is played."""

    def __init__(self, test, token, inside):
        self.test, self.token, self.inside = test, token, inside
        self.world = test.world
        self.found = None  # a receiver of the attack's own: how much of it arrived
        self.children = []

    def __getattr__(self, name):
        """scene.a: the place of tenant a on its own host, or out of every cgroup."""
        if name not in self.world.hosts:
            raise AttributeError(name)
        return self.world.place(name if self.inside and name not in ("world", "node") else None,
                                name)

    @property
    def outsider(self):
        """A process of no tenant, on another host."""
        return self.world.place(None, "world")

    def of(self, tenant, host):
        """The place of a tenant's workload on another host; or of a process that is nobody's."""
        return self.world.place(tenant if self.inside else None, host)

    def attack(self, function, *args, needs=(), place=None):
        """Runs function(*args) at a, with these capabilities and no others. To be refused, or to get
        no answer, is no error."""
        return self.attack_as_root(privileges.with_only, needs, function, *args, place=place)

    def attack_as_root(self, function, *args, place=None):
        """For what the runtime does to a workload, and functions that give up privileges themselves."""
        try:
            return (place or self.a).run(function, *args)
        except (PermissionError, TimeoutError, BlockingIOError, ConnectionRefusedError):
            return None

    def start(self, place, function, *args):
        """A child that ends with the attack, once it has said its first word."""
        child = place.start(function, *args)
        self.children.append(child)
        child.port = child.hear()
        return child

    def channel(self):
        """A pair of Unix sockets over which a socket can be handed on."""
        ends = socket.socketpair()
        self.children += [Closed(end) for end in ends]
        return ends

    def end(self):
        for child in self.children:
            child.end()


class Closed:
    """Something that is closed at the end of the attack."""

    def __init__(self, what):
        self.end = what.close


def refusals(usage):
    """{(tenant, direction or "calls", reason): count} of all that was refused so far."""
    found = {}
    for name, row in usage.items():
        for direction in ("egress", "ingress"):
            for reason, cell in row[direction]["refused"].items():
                found[name, direction, reason] = cell["packets"]
        for reason, count in row["calls_denied"].items():
            found[name, "calls", reason] = count
    return found


class Rows:
    """One world and one agent per class. The controls are played before the agent is there."""

    world_type = RoutedWorld
    hosts = ("a", "b", "c", "d", "world")
    policy = POLICY
    edge_flags = ("--edge-interfaces", "pw-*", "--edge-mark-mask", MARK_MASK)
    control_timeout = 3

    @classmethod
    def row(cls, number, denied, **expected):
        """Makes a test for each leg of the attack that is decorated."""
        if "rows" not in cls.__dict__:
            cls.rows = []

        def take(play):
            row = Row(number, play, denied, **expected)
            cls.rows.append(row)
            for leg, edge, inside in LEGS:
                # On emulated machines the cgroup plane has isolation_test, and the edge this one.
                if leg in row.legs and (SLOW == 1 or edge or len(row.legs) == 1):
                    def test(self, row=row, leg=leg, edge=edge, inside=inside):
                        self.judge(row, leg, edge, inside)
                    test.__doc__ = play.__doc__
                    setattr(cls, f"test_{LEG_NAMES.index(leg)}_{leg}_{number:02}_{play.__name__}",
                            test)
            return play
        return take

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("these tests make cgroups and namespaces: run as root")
        cls.world = cls.world_type(cls.hosts)
        cls.addClassCleanup(cls.world.close)
        cls.agent = cls.heart = None
        cls.edge = None
        cls.posts = {}
        cls.tokens = 0
        cls.prepare()
        cls.man_posts()
        for row in cls.rows:
            row.control = cls.play_control(row)
        cls.clear()

    @classmethod
    def prepare(cls):
        """Runs when the world is there, before the controls."""

    @classmethod
    def man_posts(cls):
        """A receiver in each namespace: in its tenant's cgroup. And the honest flow."""
        cls.world.end_children()
        for host in cls.hosts:
            place = cls.world.place(host if host != "world" else None, host)
            cls.posts[host] = place.start(post.listen)
        for one in cls.posts.values():
            one.hear()

    @classmethod
    def clear(cls):
        for one in cls.posts.values():
            one.ask("clear")

    @classmethod
    def new_token(cls):
        cls.tokens += 1
        return b"forbidden-%04d-fruit" % cls.tokens

    @classmethod
    def arrived(cls, row, scene):
        """How often the token is at the receiver: on its wire, and in its sockets."""
        where, token = cls.posts[row.at], scene.token
        if scene.found:
            return (scene.found(),) * 2
        if row.probe:
            return row.probe(where, token)
        frames = sum(token in frame for frame in where.ask("frames"))
        if row.by == "frame":
            return frames, frames
        return frames, sum(token in data for data in where.ask("payloads"))

    @classmethod
    def play_control(cls, row):
        """With no agent: "" when the attack delivers, else what went wrong."""
        scene = Scene(cls, cls.new_token(), inside=True)
        cls.clear()
        try:
            row.play(scene)
            wait_until(lambda: all(cls.arrived(row, scene)), cls.control_timeout,
                       "the attack's arrival")
            return ""
        except Exception:
            return traceback.format_exc()
        finally:
            scene.end()

    def test_every_attack_delivers_with_no_agent(self):
        for row in self.rows:
            with self.subTest(row.number, attack=row.play.__name__):
                self.assert_tested(row)

    def assert_tested(self, row):
        if row.control:
            self.fail("nothing is tested: with no agent the attack must deliver:\n" + row.control)

    def agent_of(self, edge):
        """The agent, with the edge plane or without; started again when it has to change."""
        cls = type(self)
        if cls.edge != edge:
            if cls.agent:
                cls.agent.close()
            cls.agent = NodeAgent(cls.world, cls.policy, *(cls.edge_flags if edge else ()))
            cls.agent.start()
            cls.edge = edge
            cls.man_posts()
            cls.heart = cls.world.place("a", "a").start(post.pulse, cls.world.hosts["b"][0])
            cls.heart.hear()
            cls.settle()
        return cls.agent

    @classmethod
    def settle(cls):
        """Every tenant has said something, so that its interface is known to be its. Nobody goes on
        asking for the address of one whom it answered before."""
        for host in (*cls.hosts, cls.world.node):
            cls.world._in(host, "ip", "neigh", "flush", "all")
        for host in cls.hosts:
            if host != "world":
                cls.greet(host)
        cls.heart.ask("beat")

    @classmethod
    def greet(cls, host):
        """To the gateway's discard port."""
        place = cls.world.place(host, host)
        place.run(clients.udp_send, place.v4[:place.v4.rindex(".")] + ".1", 9, b"hello")

    def judge(self, row, leg, edge, inside):
        self.assert_tested(row)
        agent = self.agent_of(edge)
        scene = Scene(self, self.new_token(), inside)
        self.addCleanup(scene.end)
        self.clear()
        answered, lost = self.heart.ask("beat")
        before = refusals(agent.usage())

        def grown():
            now = refusals(agent.usage())
            return {key: now[key] - before.get(key, 0) for key in now
                    if now[key] != before.get(key, 0)}

        row.play(scene)
        expected = row.denied[leg]
        # What is answered now was sent after the attack: by then that has been judged, but for
        # what a kernel thread or a stack of its own does for it.
        after, lost_after = self.heart.ask("beat")
        counted = grown()
        end = time.monotonic() + 5 * SLOW
        while sum(counted.values()) < sum(expected.values()) and time.monotonic() < end:
            time.sleep(0.01)
            counted = grown()
        if row.held:
            on_wire, in_sockets = self.arrived(row, scene)
            self.assertEqual(0, in_sockets, f"in sockets of {row.at}: {leg}")
            # Without the edge, what the receiver's rules refuse is on its wire already.
            if edge or not any(direction == "ingress" for _, direction, _ in expected):
                self.assertEqual(0, on_wire, f"on the wire of {row.at}: {leg}")
        else:
            wait_until(lambda: all(self.arrived(row, scene)), 3, "what is said not to be held")
        self.assertEqual(expected, counted)
        self.assertEqual(lost, lost_after, "the honest flow lost something")
        self.assertGreater(after, answered, "the honest flow went on")

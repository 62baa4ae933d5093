# tests/adversarial/floods_test.py: a neighbour who takes what all share, as far as anything is shared: rows 40
# to 42, 44 and 45 of the catalogue, and what a neighbour's floods change for a victim.
import os
import select
import socket
import statistics
import struct
import time
import unittest

from rows import CLOSED, MARK_MASK, OPEN, POLICY, SLOW
from attackers import clients, floods, frames, privileges, servers
from edge_world import NodeAgent, RoutedWorld
from partywall import refused, wait_until

CEILING = 20_000_000  # bits per second that d may send
CONCURRENT = 256  # connections that c may have; its table has room for twice as many
CHANGE = 0.05  # of a victim's traffic, at the most
ROUNDS, SLOT = 12, 0.25  # seconds


class FloodsTest(unittest.TestCase):
    """a talks with b and the world; c floods."""

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("these tests make cgroups and namespaces: run as root")
        cls.world = RoutedWorld(("a", "b", "c", "d", "world"))
        cls.addClassCleanup(cls.world.close)
        cls.a, cls.b, cls.c = (cls.world.place(name, name) for name in "abc")
        cls.outside = cls.world.place(None, "world")
        limited = POLICY.replace("metadata: {name: d}\nspec:\n", "metadata: {name: d}\nspec:\n"
                                 f"  limits: {{egress: {{ceiling: {CEILING // 1_000_000}Mbit}}}}\n")
        limited = limited.replace("metadata: {name: c}\nspec:\n", "metadata: {name: c}\nspec:\n"
                                  f"  limits: {{connections: {{concurrent: {CONCURRENT}}}}}\n")
        cls.agent = NodeAgent(cls.world, limited, "--edge-interfaces", "pw-*",
                              "--edge-mark-mask", MARK_MASK)
        cls.agent.start()

    def tearDown(self):
        self.world.end_children()

    # --- rows 40 and 41: tables

    def test_40_41_flows_of_a_neighbour(self):
        """c opens flows that are answered until its own table is full. Its older ones, and all of a's,
        go on; what it only asks for without an answer is nothing that anybody has to give way to."""
        late = self.outside.serve(late_echo, self.outside.v4)
        others = [place.start(wait_for_answers, self.outside.v4, late.port, 50)
                  for place in (self.a, self.c)]
        for one in others:
            one.hear()
        before = refused(self.agent.usage("c"), "egress", "flow_table_full")
        self.c.run(ask_from_many_ports, self.outside.v4, CLOSED, 20_000, timeout=60)
        echo = self.outside.serve(servers.udp_echo, self.outside.v4)
        opened = self.c.run(open_flows, self.outside.v4, echo.port, 8 * CONCURRENT, timeout=60)
        self.assertGreater(opened, CONCURRENT, "as many as it may have")
        self.assertGreater(refused(self.agent.usage("c"), "egress", "flow_table_full"), before,
                           "control: c's table is full")
        late.ask("answer")
        for name, one in zip("ac", others):
            self.assertEqual(50, one.hear(30), f"answers to {name}")
        self.assertEqual(0, refused(self.agent.usage("a"), "egress", "flow_table_full"))
        # And a still opens new ones.
        self.assertTrue(self.a.run(clients.udp_ask, self.outside.v4, echo.port))

    # --- row 42: events

    def test_42_flood_of_denials(self):
        gateway = self.world.gateway_mac("c")
        flood = self.c.start(frame_flood, frames.datagram4(self.c.v4, self.b.v4, CLOSED, b"flood"),
                             gateway)
        flood.hear()
        flood.tell("go")
        wait_until(lambda: self.agent.usage("c")["events"]["throttled"] > 1000, 10,
                   "c's flood is over its budget")
        sent = self.a.run(frames.send_frames, [frames.datagram4(
            self.a.v4, self.b.v4, 6000 + number, b"x") for number in range(50)],
            self.world.gateway_mac("a"))
        self.assertEqual(50, sent)
        wanted = set(range(6000, 6050))
        wait_until(lambda: wanted <= {event["peer_port"] for event in self.agent.events()
                                      if event["tenant"] == "a" and event["hook"] == "edge_egress"},
                   10, "50 of 50 of a's events")
        flood.ask("stop")

    # --- row 45

    def test_45_own_priority_and_departure_time(self):
        """d, whose egress has a ceiling, and a, which has none: the control."""
        rates = {}
        for place in (self.a, self.world.place("d", "d")):
            sink = self.outside.serve(servers.udp_counter, self.outside.v4)
            begin = time.monotonic()
            place.run(privileges.with_only, ("net_admin",), floods.steered_flood, self.outside.v4,
                      sink.port, 3)
            count_bytes, count = sink.ask("?")
            rates[place.host] = (count_bytes + 28 * count) * 8 / (time.monotonic() - begin)
            sink.end()
        print(f"  ceiling {CEILING / 1e6:.0f} Mbit/s: d {rates['d'] / 1e6:.2f}, without one: a "
              f"{rates['a'] / 1e6:.0f} Mbit/s", flush=True)
        self.assertGreater(rates["a"], 2 * CEILING)
        self.assertLessEqual(rates["d"], 1.05 * CEILING)

    # --- what a neighbour's flood changes

    def test_neighbours(self):
        """Rates of a's requests to b, by turns without and with each flood of c's."""
        self.b.serve(on_processor, 0, servers.udp_echo, self.b.v4, OPEN)
        victim = self.a.start(on_processor, 0, requests, self.b.v4, OPEN)
        victim.hear()
        denied = frames.datagram4(self.c.v4, self.b.v4, CLOSED, b"flood")
        floods_of_c = {
            "denied packets and their events": (frame_flood, denied, self.world.gateway_mac("c")),
            "new flows": (new_flows, self.outside.v4, CLOSED),
            "new connections": (new_connections, self.outside.v4, CLOSED)}
        wrong = []
        for what, attack in floods_of_c.items():
            flood = self.c.start(on_processor, 1, *attack)
            flood.hear()
            quiet, loud = [], []
            for _ in range(ROUNDS):
                quiet.append(victim.ask(SLOT))
                flood.tell("go")
                loud.append(victim.ask(SLOT))
                count = flood.ask("stop")
            flood.end()
            ratio = statistics.median(loud) / statistics.median(quiet)
            print(f"  {what}: {statistics.median(quiet):.0f} requests/s alone, "
                  f"{statistics.median(loud):.0f} beside it ({ratio:.3f}); c did {count}", flush=True)
            self.assertGreater(count, 0)
            if ratio < 1 - CHANGE:
                wrong.append((what, ratio))
        if SLOW == 1:
            self.assertEqual([], wrong)


def late_echo(pipe, address):
    """Answers a first question at once, all others when it is told to."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 0))
    pipe.send(server.getsockname()[1])
    kept = []
    while True:
        ready, _, _ = select.select([server, pipe], [], [])
        if server in ready:
            data, sender = server.recvfrom(64)
            if data == b"first":
                server.sendto(data, sender)
            else:
                kept.append((data, sender))
        elif pipe in ready:
            pipe.recv()
            for data, sender in kept * 2:  # a queue on the way may be full
                server.sendto(data, sender)
            pipe.send("answered")


def wait_for_answers(pipe, address, port, count):
    """Sends from `count` sockets; the number of those that were answered."""
    clients_ = []
    for _ in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.connect((address, port))
        one.settimeout(5)
        one.send(b"first")
        one.recv(64)
        one.send(b"question")
        clients_.append(one)
    pipe.send("asked")
    answered = 0
    for one in clients_:
        try:
            answered += one.recv(64) == b"question"
        except OSError:
            pass
    return answered


def open_flows(address, port, count):
    """Two questions and answers from each of `count` ports; how many had both."""
    answered = failed = 0
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((address, port))
            client.settimeout(0.1)
            try:
                for _ in range(2):
                    client.send(b"question")
                    client.recv(64)
                answered += 1
            except OSError:
                failed += 1
        if failed > 20:
            break
    return answered


def ask_from_many_ports(address, port, count):
    """One datagram from each of `count` ports, with a raw socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        for number in range(count):
            try:
                raw.sendto(struct.pack("!HHHH", 10_000 + number % 50_000, port, 8, 0), (address, 0))
            except PermissionError:
                pass


def on_processor(pipe, cpu, function, *args):
    """function(pipe, *args) on one processor, where there is more than one."""
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {cpu})
    return function(pipe, *args)


def paced(pipe, step):
    """Does steps from "go" to "stop", again and again; each stop is answered with their number."""
    pipe.send("ready")
    while True:
        pipe.recv()
        count = 0
        while not pipe.poll():
            for _ in range(32):
                step(count)
                count += 1
        pipe.recv()
        pipe.send(count)


def frame_flood(pipe, body, to):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.bind(("eth0", 0))
    frame = to + raw.getsockname()[4] + struct.pack("!H", frames.IP4) + body
    paced(pipe, lambda count: raw.send(frame))


def new_flows(pipe, address, port):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)

    def step(count):
        try:
            raw.sendto(struct.pack("!HHHH", 1024 + count % 60_000, port, 8, 0), (address, 0))
        except OSError:
            pass

    paced(pipe, step)


def new_connections(pipe, address, port):
    def step(count):
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex((address, port))

    paced(pipe, step)


def requests(pipe, address, port):
    """Answers each number of seconds with the requests per second that were answered in it."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((address, port))
    client.settimeout(5)
    pipe.send("ready")
    while True:
        end = time.monotonic() + pipe.recv()
        begin = time.monotonic()
        count = 0
        while time.monotonic() < end:
            client.send(b"r")
            client.recv(64)
            count += 1
        pipe.send(count / (time.monotonic() - begin))


if __name__ == "__main__":
    unittest.main(verbosity=2)

# tests/system/partywall.py: the fixture: network namespaces, cgroups, a partywalld, and children that
# run a Python function inside a (cgroup, namespace). Removes all it made; touches nothing else.
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
import urllib.error
import urllib.request
import warnings
from multiprocessing import Pipe

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from slow import SLOW  # noqa: E402

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def wait_until(condition, timeout=10, what="the condition"):
    """The first true value of condition(). Fails with what was waited for, `timeout` seconds long: on
    a slow machine that many times longer, as everywhere in this file."""
    timeout *= SLOW
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.005)


def program(name):
    """Path of a program of this build (PARTYWALL_BIN), else of the system."""
    built = os.path.join(os.environ.get("PARTYWALL_BIN", ""), name)
    if os.environ.get("PARTYWALL_BIN") and os.path.exists(built):
        return built
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        raise AssertionError(f"{name} is neither in PARTYWALL_BIN nor installed (tools/setup)")
    return path


def run(*command, **keywords):
    """Runs a command to its end; its output. Fails with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW,
                          **keywords)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: "
                             f"{done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def cgroup2_mount():
    """Where the whole cgroup2 tree is mounted: unified or hybrid."""
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, right = line.rstrip("\n").split(" - ")
            fields = left.split()
            if right.split()[0] == "cgroup2" and fields[3] == "/":
                return fields[4]
    raise AssertionError("no cgroup2 file system is mounted")


class ChildFailed(AssertionError):
    """What went wrong inside a child, with its own traceback."""


class Child:
    """A Python function running in a place. Both ends talk over a pipe of Python objects."""

    def __init__(self, place, function, args):
        self.pipe, theirs = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._live(place, theirs, function, args))
        theirs.close()
        self.status = None

    def _live(self, place, pipe, function, args):
        try:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            warnings.simplefilter("ignore", ResourceWarning)  # the process ends right after
            self.pipe.close()
            place.enter()
            pipe.send(("done", function(pipe, *args)))
            return 0
        except OSError as error:
            pipe.send(("oserror", (error.errno, str(error), traceback.format_exc())))
        except BaseException:  # told to the parent, who fails the test with it
            pipe.send(("failed", traceback.format_exc()))
        return 1

    def tell(self, message):
        self.pipe.send(message)

    def hear(self, timeout=15):
        """The next message, or the function's result when it has returned."""
        if not self.pipe.poll(timeout * SLOW):
            raise AssertionError(f"child {self.pid} said nothing for {timeout} s")
        try:
            message = self.pipe.recv()
        except EOFError:
            raise AssertionError(f"child {self.pid} is gone") from None
        if isinstance(message, tuple) and len(message) == 2:
            if message[0] == "oserror":
                raise OSError(message[1][0], message[1][1] + "\n" + message[1][2])
            if message[0] == "failed":
                raise ChildFailed(message[1])
            if message[0] == "done":
                return message[1]
        return message

    def ask(self, message, timeout=15):
        self.tell(message)
        return self.hear(timeout)

    def end(self):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.status = os.waitpid(self.pid, 0)[1]
        self.pipe.close()


class Place:
    """A (cgroup, network namespace) in which things run, and the namespace's addresses."""

    def __init__(self, world, cgroup, host):
        self.world = world
        self.cgroup = cgroup  # path of the folder, or None: stay where the test is
        self.host = host
        self.v4, self.v6 = world.hosts[host]
        self.netns = world.netns_path(host)

    def enter(self):
        if self.cgroup:
            with open(self.cgroup + "/cgroup.procs", "w") as procs:
                procs.write("0")
        handle = os.open(self.netns, os.O_RDONLY)
        if LIBC.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)

    def start(self, function, *args):
        """Starts function(pipe, *args) here; ended with the test."""
        child = Child(self, function, args)
        self.world.children.append(child)
        return child

    def serve(self, function, *args):
        """Starts a server; returns it once it has said what port it listens on (child.port)."""
        child = self.start(function, *args)
        child.port = child.hear()
        return child

    def run(self, function, *args, timeout=30):
        """What function(*args) returns when it runs here. Its OSError is raised here."""
        child = Child(self, lambda pipe, *rest: function(*rest), args)
        try:
            return child.hear(timeout)
        finally:
            child.end()

    def command(self, *command, check=True, timeout=30):
        """Runs a program here. Returns its CompletedProcess."""
        done = subprocess.run(command, preexec_fn=self.enter, capture_output=True, text=True,
                              timeout=timeout * SLOW)
        if check and done.returncode:
            raise AssertionError(f"{command}: exit {done.returncode}: {done.stderr}{done.stdout}")
        return done


def link_counters():
    """Of eth0 in this namespace: what the peer of a veth can count."""
    with open("/proc/self/net/dev") as devices:
        for line in devices:
            name, _, figures = line.partition(":")
            if name.strip() == "eth0":
                values = [int(value) for value in figures.split()]
                return {"rx_bytes": values[0], "rx_packets": values[1], "rx_dropped": values[3],
                        "tx_bytes": values[8], "tx_packets": values[9], "tx_dropped": values[11]}
    raise AssertionError("no eth0 here")


def _received_since(now, before):
    return now if now["rx_packets"] > before["rx_packets"] else None


def _send_hundred_bytes(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"c" * 100, (address, 9))


# host -> (third, fourth part of its address). 10.77.9.0/24 is nobody's: the world.
HOSTS = {"a": (1, 2), "a2": (1, 3), "b": (2, 2), "c": (3, 2), "d": (4, 2), "world": (9, 2)}


class World:
    """Namespaces on one bridge, and cgroups below a managed root of its own."""

    def __init__(self, hosts=HOSTS):
        self.tag = f"pws{os.getpid()}"
        self.root = f"/pw-sys-{os.getpid()}"
        self.mount = cgroup2_mount()
        self.children = []
        self.namespaces = []
        self.hosts = {}
        self.clean_ups = []
        try:
            self._build(hosts)
        except BaseException:
            self.close()
            raise

    def _build(self, hosts):
        self._namespace("bridge", "net.ipv6.conf.all.disable_ipv6=1",
                        "net.ipv6.conf.default.disable_ipv6=1")
        self._ip("bridge", "link add br0 type bridge forward_delay 0 mcast_snooping 0",
                 "link set br0 up")
        for host in hosts:
            self.add_host(host, *HOSTS[host])
        os.mkdir(self.path())

    def add_host(self, host, net, number):
        v4, v6 = f"10.77.{net}.{number}", f"fd77:0:0:{net}::{number}"
        port = self.bridge_port(host)
        self._namespace(host, "net.ipv4.ping_group_range=0 2147483647", "net.ipv4.tcp_fastopen=3",
                        "net.ipv4.tcp_no_metrics_save=1")
        run("ip", "link", "add", port, "netns", f"{self.tag}-bridge", "type", "veth",
            "peer", "name", "eth0", "netns", f"{self.tag}-{host}")
        self._ip("bridge", f"link set {port} master br0 up")
        self._ip(host, "link set lo up", f"addr add {v4}/16 dev eth0",
                 f"addr add {v6}/48 dev eth0 nodad", "link set eth0 up",
                 "route add default via 10.77.9.2", "route add 224.0.0.0/4 dev eth0")
        self.hosts[host] = (v4, v6)

    def _namespace(self, name, *settings):
        run("ip", "netns", "add", f"{self.tag}-{name}")
        self.namespaces.append(f"{self.tag}-{name}")
        self._in(name, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
                 "net.ipv6.conf.default.accept_dad=0",
                 "net.ipv6.conf.default.router_solicitations=0", *settings)

    def _ip(self, name, *commands):
        """Several of ip's commands at once: starting a program is what takes time."""
        self._in(name, "ip", "-batch", "-", input="\n".join(commands) + "\n")

    @staticmethod
    def bridge_port(host):
        """The other end of a host's eth0, in the namespace of the bridge."""
        return f"to-{host}"

    def frame_header_bytes(self, sender, receiver):
        """How much of a frame's link header the receiver's eth0 counts: 14, or 0 where the driver
        hands frames to GRO first. Measured with one datagram of known size."""
        source, target = self.place(None, sender), self.place(None, receiver)
        while True:
            before = target.run(link_counters)
            source.run(_send_hundred_bytes, target.v4)
            after = wait_until(lambda: _received_since(target.run(link_counters), before))
            if after["rx_packets"] == before["rx_packets"] + 1:  # and no ARP in between
                return after["rx_bytes"] - before["rx_bytes"] - 128

    def netns_path(self, name):
        return f"/run/netns/{self.tag}-{name}"

    def _in(self, name, *command, **keywords):
        return run("nsenter", f"--net={self.netns_path(name)}", *command, **keywords)

    def offload(self, host, on):
        """GSO, TSO and GRO of a host's eth0: whether its sockets make super-packets."""
        self._offload(host, "eth0", on)

    def cut_before(self, host):
        """Super-packets towards this host are cut on the bridge: its eth0 receives what a wire
        would carry, and counts it."""
        self._offload("bridge", self.bridge_port(host), False)

    def _offload(self, namespace, device, on):
        state = "on" if on else "off"
        self._in(namespace, program("ethtool"), "-K", device, "gso", state, "tso", state, "gro",
                 state, "tx-udp-segmentation", state)

    def path(self, cgroup=""):
        """Folder of a cgroup below the managed root."""
        return self.mount + self.root + ("/" + cgroup if cgroup else "")

    def make_cgroup(self, cgroup):
        os.makedirs(self.path(cgroup), exist_ok=True)
        return self.path(cgroup)

    def place(self, cgroup, host):
        """cgroup: below the managed root, made when absent; None = the test's own."""
        return Place(self, None if cgroup is None else self.make_cgroup(cgroup), host)

    def end_children(self):
        for child in self.children:
            child.end()
        self.children.clear()

    def close(self):
        """Ends every child, removes cgroups (the deepest first) and namespaces."""
        self.end_children()
        for clean_up in reversed(self.clean_ups):
            clean_up()
        for folder, _, _ in os.walk(self.path(), topdown=False):
            wait_until(lambda: _remove_cgroup(folder), what=f"{folder} is empty")
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def _remove_cgroup(folder):
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


class Agent:
    """A partywalld of this world: its folders, its pins, its output."""

    def __init__(self, world, policy, *flags, bpffs=None):
        self.world = world
        self.folder = tempfile.mkdtemp(prefix="pw-sys-")
        self.policy_dir = self.folder + "/policy"
        self.bpffs = bpffs or f"/sys/fs/bpf/pw-sys-{os.getpid()}"
        self.control = self.folder + "/agent.sock"
        self.log_path = self.folder + "/log"
        self.events_path = self.folder + "/events"
        self.metrics_port = free_port()
        self.flags = flags
        self.prefix = ()   # a command that runs the agent: setpriv, unshare
        self.instead = {}  # flag -> another value than the fixture's own
        self.stdout = None  # None: where its log goes, too
        self.process = None
        self.notify = None
        self._log_start = 0
        os.mkdir(self.policy_dir)
        if policy is not None:
            self.write(policy)
        world.clean_ups.append(self.close)

    def command(self, *more):
        own = {"--policy-dir": self.policy_dir, "--cgroup-root": self.world.root,
               "--bpffs": self.bpffs, "--metrics": f"127.0.0.1:{self.metrics_port}",
               "--control-socket": self.control, "--state-dir": self.folder + "/state",
               "--events": self.events_path, "--node": "testnode", **self.instead}
        return [*self.prefix, program("partywalld"),
                *(word for flag in own.items() for word in flag), *self.flags, *more]

    def spawn(self, *more):
        """Starts the agent and waits for nothing."""
        notify = self.folder + "/notify"
        if os.path.exists(notify):
            os.unlink(notify)
        if self.notify:
            self.notify.close()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(notify)
        self.notify.setblocking(False)
        self.notified = ""
        with open(self.log_path, "a") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(self.command(*more), stdout=self.stdout or log, stderr=log,
                                            stdin=subprocess.DEVNULL,
                                            env={**os.environ, "NOTIFY_SOCKET": notify})
        return self

    def start(self, *more, timeout=20):
        """Starts the agent; returns when it says READY=1, which it says once it enforces."""
        self.spawn(*more)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"partywalld ended with {self.process.returncode}:\n"
                                     f"{self.log()}")
            return "READY=1" in self.notifications()

        try:
            wait_until(ready, timeout, "READY=1")
        except AssertionError as error:
            raise AssertionError(f"{error}; its log:\n{self.log()}") from None
        return self

    def notifications(self):
        """All that the agent has told its service manager."""
        try:
            while True:
                self.notified += self.notify.recv(4096).decode() + "\n"
        except BlockingIOError:
            return self.notified

    def refuses(self, *more, timeout=20):
        """Starts an agent that must not start. Returns (exit code, what it said)."""
        self.spawn(*more)
        try:
            code = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it runs, and should have refused:\n{self.log()}") from None
        return code, self.log()

    def log(self):
        """What the agent that was started last has logged."""
        with open(self.log_path, errors="replace") as log:
            log.seek(self._log_start)
            return log.read()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(10 * SLOW)

    def terminate(self):
        self.signal(signal.SIGTERM)
        return self.process.wait(15 * SLOW)

    # --- policy

    def text(self, policy):
        return policy.replace("$ROOT", self.world.root)

    def write(self, policy, name="policy.yaml"):
        """Puts a policy file in place with one rename, as editors and kubelets do."""
        draft = self.folder + "/draft"
        with open(draft, "w") as file:
            file.write(self.text(policy))
        os.rename(draft, f"{self.policy_dir}/{name}")

    def apply(self, policy, timeout=10):
        """Writes a policy and returns when it is in force, which the agent's log says first."""
        before = self.log().count(" in force: ")
        self.write(policy)
        wait_until(lambda: self.log().count(" in force: ") > before, timeout, "a new generation")

    # --- what it says

    def cli(self, *words, check=True):
        done = subprocess.run([program("partywall"), "--bpffs", self.bpffs, "--control-socket",
                               self.control, "--state-dir", self.folder + "/state", *words],
                              capture_output=True, text=True, timeout=30 * SLOW)
        if check and done.returncode:
            raise AssertionError(f"partywall {' '.join(words)}: exit {done.returncode}: "
                                 f"{done.stderr}{done.stdout}")
        return done

    def ask(self, verb):
        """The agent's own answer, in one line, over the control socket."""
        return ask_control(self.control, verb)

    def status(self):
        return json.loads(self.cli("status", "-o", "json").stdout)

    def generation(self):
        return self.status()["generation"]

    def usage(self, tenant=None):
        """name -> what `partywall usage` says; or that of one tenant."""
        rows = {row["name"]: row for row in json.loads(self.cli("usage", "-o", "json").stdout)}
        return rows[tenant] if tenant else rows

    def scrape(self):
        """The text of /metrics."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10 * SLOW) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """Sum of the series of that name that carry these labels; None when there is none."""
        values = [value for found, value in parse_metrics(self.scrape(), name)
                  if all(found.get(key) == wanted for key, wanted in labels.items())]
        return sum(values) if values else None

    def http(self, path):
        """(status, body) of the agent's own pages."""
        url = f"http://127.0.0.1:{self.metrics_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10 * SLOW) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def events(self):
        """All events that were written so far."""
        if not os.path.exists(self.events_path):
            return []
        with open(self.events_path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def close(self):
        """Ends the agent, takes everything out of the kernel, removes its folder."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.notify:
            self.notify.close()
        if os.path.exists(self.bpffs):
            self.cli("uninstall", "--yes", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def ask_control(path, verb):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(json.dumps({"verb": verb}).encode() + b"\n")
        return json.loads(client.makefile().readline())


def parse_metrics(text, name):
    """(labels, value) of every series of that name in a scraped page."""
    for line in text.splitlines():
        found = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
        if found and found.group(1) == name:
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found.group(2) or ""))
            yield labels, float(found.group(3))


# --- counters as `partywall usage -o json` has them

def passed(usage, direction, field="packets"):
    return sum(cell[field] for cell in usage[direction]["passed"].values())


def refused(usage, direction, reason=None, field="packets"):
    return sum(cell[field] for name, cell in usage[direction]["refused"].items()
               if reason in (None, name))


def would_refuse(usage, direction, reason=None, field="packets"):
    return sum(cell[field] for name, cell in usage[direction]["would_refuse"].items()
               if reason in (None, name))


class WorldTest(unittest.TestCase):
    """One world, one agent per class; children end with each test."""

    hosts = tuple(HOSTS)
    policy = ""
    flags = ()
    start_agent = True

    @classmethod
    def setUpClass(cls):
        if os.geteuid():
            raise AssertionError("system tests make cgroups and namespaces: run as root")
        cls.world = World(cls.hosts)
        cls.addClassCleanup(cls.world.close)
        cls.prepare()
        cls.agent = Agent(cls.world, cls.policy, *cls.flags)
        if cls.start_agent:
            cls.agent.start()

    @classmethod
    def prepare(cls):
        """Runs before the agent starts."""

    def tearDown(self):
        self.world.end_children()

    def assert_errno(self, number, function, *args):
        with self.assertRaises(OSError) as caught:
            function(*args)
        self.assertEqual(number, caught.exception.errno, str(caught.exception))


def tenants(*documents):
    """A policy of these documents, with the one tier that they name."""
    return "---\n".join((TIER,) + documents)


TIER = """apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: plain}
spec: {}
"""


def tenant(name, number, rules="", cgroup=None, mode="enforce", limits="", tier="plain"):
    """A Tenant document: cgroup $ROOT/<name>, addresses 10.77.<number>.0/24 and fd77:0:0:<number>::/64."""
    return f"""apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec:
  tier: {tier}
  mode: {mode}
  members:
    - cgroup: {cgroup or f"$ROOT/{name}"}
      addresses: [10.77.{number}.0/24, "fd77:0:0:{number}::/64"]
{limits}{rules}"""

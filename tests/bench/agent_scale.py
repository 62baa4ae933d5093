# tests/bench/agent_scale.py: partywalld with 10,000 tenants and 100,000 addresses: loading, memory, one
# change, a scrape. Makes pins, cgroups and a policy folder of its own and removes them.
import ctypes
import mmap
import os
import platform
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.request

from figures import Figure, Goal, say

TENANTS_PER_FILE = 100
ADDRESSES_EACH = 10
CGROUPS = 100  # as many as a node has pods
GENERATION_AT = 8  # maps/abi/control.h
WAIT_SECONDS = 120

LOAD = Goal(at_most=5)              # seconds until everything is enforced
RSS_MANY = Goal(at_most=256)        # MB
RSS_FEW = Goal(at_most=30)          # MB, with 100 tenants
CHANGE_P99 = Goal(at_most=50)       # ms from rename until the kernel enforces it
SCRAPE = Goal(at_most=20)           # ms of the agent's CPU time

LIBC = ctypes.CDLL(None, use_errno=True)


class ControlMap:
    """The generation that the kernel enforces, read from the pinned map: no system call."""

    BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    OBJ_GET = 7

    def __init__(self, pins):
        path = ctypes.create_string_buffer(f"{pins}/maps/control".encode())
        attributes = ctypes.create_string_buffer(
            struct.pack("QII", ctypes.addressof(path), 0, 0), 16)
        handle = LIBC.syscall(self.BPF, self.OBJ_GET, attributes, 16)
        if handle < 0:
            raise OSError(ctypes.get_errno(), f"open {path.value.decode()}")
        self.memory = mmap.mmap(handle, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)
        os.close(handle)

    def generation(self):
        return struct.unpack_from("Q", self.memory, GENERATION_AT)[0]


def tenant(number, tenants, ceiling="1Gbit"):
    """One Tenant document. Addresses go round the tenants, as pods land on nodes."""
    own = []
    for turn in range(ADDRESSES_EACH):
        at = number + turn * tenants
        if turn < 8:
            own.append(f"10.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}")
        else:
            own.append(f'"fd00:0:{at >> 16:x}:{at & 0xffff:x}::/64"')
    neighbours = f"t{(number + 1) % tenants}", f"t{(number - 1) % tenants}"
    return f"""---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: t{number}}}
spec:
  tier: bench
  limits:
    egress: {{ceiling: {ceiling}}}
  members:
    - cgroup: $ROOT/t{number}
      addresses: [{", ".join(own)}]
  network:
    egress:
      - to: [{{tenant: {neighbours[0]}}}]
        ports: [{{protocol: TCP, port: 5432}}]
      - to: [{{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    ingress:
      - from: [{{tenant: {neighbours[1]}}}]
        ports: [{{protocol: TCP, port: 5432}}]
"""


TIER = """apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: bench}
spec:
  limits:
    ingress: {ceiling: 1Gbit}
    packetsPerSecond: 200k
"""


class Agent:
    """A partywalld with so many tenants."""

    def __init__(self, name, build, tenants, max_tenants):
        self.build = build
        self.tenants = tenants
        self.max_tenants = max_tenants
        self.root = f"/{name}-agent"
        self.pins = f"/sys/fs/bpf/{name}-agent"
        self.folder = tempfile.mkdtemp(prefix="pw-bench-")
        self.policy = f"{self.folder}/policy"
        self.mount = cgroup2_mount()
        self.cgroups = []
        self.process = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        os.mkdir(self.policy)
        with open(f"{self.policy}/tier.yaml", "w", encoding="utf-8") as file:
            file.write(TIER)
        for number in range(0, self.tenants, TENANTS_PER_FILE):
            self.write(number // TENANTS_PER_FILE)
        for cgroup in ["", *(f"/t{number}" for number in range(min(self.tenants, CGROUPS)))]:
            os.mkdir(self.mount + self.root + cgroup)
            self.cgroups.append(self.mount + self.root + cgroup)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(f"{self.folder}/notify")
        told.settimeout(WAIT_SECONDS)
        start = time.monotonic()
        with open(f"{self.folder}/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [f"{self.build}/bin/partywalld", "--policy-dir", self.policy, "--cgroup-root",
                 self.root, "--bpffs", self.pins, "--metrics", f"127.0.0.1:{self.port}",
                 "--control-socket", f"{self.folder}/agent.sock", "--state-dir",
                 f"{self.folder}/state", "--max-tenants", str(self.max_tenants)],
                stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": f"{self.folder}/notify"})
        while b"READY=1" not in told.recv(4096):
            if self.process.poll() is not None:
                raise RuntimeError(f"partywalld ended: {self.log()}")
        self.load_seconds = time.monotonic() - start
        self.control = ControlMap(self.pins)

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        if os.path.exists(self.pins):
            subprocess.run([f"{self.build}/bin/partywall", "--bpffs", self.pins, "uninstall",
                            "--yes"], stdout=subprocess.DEVNULL, check=False)
        for cgroup in reversed(self.cgroups):
            os.rmdir(cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        with open(f"{self.folder}/log", encoding="utf-8") as log:
            return log.read()[-2000:]

    def write(self, file, changed=None):
        """Puts one file in place by rename; when. `changed`: a tenant's number and its new ceiling."""
        first = file * TENANTS_PER_FILE
        text = "".join(
            tenant(number, self.tenants, changed[1] if changed and changed[0] == number else "1Gbit")
            for number in range(first, first + TENANTS_PER_FILE))
        with open(f"{self.folder}/draft", "w", encoding="utf-8") as draft:
            draft.write(text.replace("$ROOT", self.root))
        renamed = time.monotonic()
        os.rename(f"{self.folder}/draft", f"{self.policy}/tenants-{file}.yaml")
        return renamed

    def change(self, turn):
        """Milliseconds from the rename of a file with one changed tenant until it is in force."""
        number = turn * 37 % self.tenants
        before = self.control.generation()
        renamed = self.write(number // TENANTS_PER_FILE, (number, f"{turn % 7 + 2}Gbit"))
        while self.control.generation() == before:
            if time.monotonic() > renamed + WAIT_SECONDS or self.process.poll() is not None:
                raise RuntimeError(f"change {turn} was never enforced: {self.log()}")
            time.sleep(0.0001)
        return (time.monotonic() - renamed) * 1000

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu_ms(self):
        """CPU time of all threads so far."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="utf-8") as stat:
                total += int(stat.read().split()[0])
        return total / 1e6

    def scrape(self):
        """(CPU milliseconds in the agent, milliseconds on the clock, bytes)."""
        cpu, start = self.cpu_ms(), time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            size = len(answer.read())
        return self.cpu_ms() - cpu, (time.monotonic() - start) * 1000, size


def cgroup2_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            left, right = line.split(" - ")
            if right.split()[0] == "cgroup2" and left.split()[3] == "/":
                return left.split()[4]
    raise RuntimeError("no cgroup2 file system is mounted")


def measure(name, build, quick):
    """The figures of the agent."""
    found = []
    say("  agent: 100 tenants")
    with Agent(name, build, 100, 1024) as agent:
        agent.scrape()
        found.append(Figure("agent.100.rss", agent.rss_mb(), "MB", RSS_FEW))
    say("  agent: 10,000 tenants, 100,000 addresses")
    with Agent(name, build, 10_000, 16384) as agent:
        found.append(Figure("agent.10000.load", agent.load_seconds, "s", LOAD))
        say("  agent: changes")
        changes = sorted(agent.change(turn) for turn in range(40 if quick else 200))
        found.append(Figure("agent.10000.change.median", statistics.median(changes), "ms"))
        found.append(Figure("agent.10000.change.p99", changes[int(len(changes) * 0.99)], "ms",
                            CHANGE_P99))
        say("  agent: scrapes")
        scrapes = [agent.scrape() for _ in range(5 if quick else 15)]
        for at, (what, unit, goal) in enumerate((("cpu", "ms", SCRAPE), ("wall", "ms", None),
                                                 ("size", "bytes", None))):
            found.append(Figure(f"agent.10000.scrape.{what}",
                                statistics.median(scrape[at] for scrape in scrapes), unit, goal))
        found.append(Figure("agent.10000.rss", agent.rss_mb(), "MB", RSS_MANY))
    return found

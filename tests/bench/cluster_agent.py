# tests/bench/cluster_agent.py: processes of `tools/bench kubernetes` and what they use: agents that follow an API server, with
# the chart's configuration and rights, and pods of theirs; who says when addresses come into force. Removes what it made.
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from agent_scale import WAIT_SECONDS, cgroup2_mount
from chart import ACCOUNT, NAMESPACE, render
from cluster_crowd import node_name

CLOCK_TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """A process, measured from outside."""

    def __init__(self, pid, port):
        self.pid = pid
        self.port = port  # of the API server that it talks to

    def rss_mb(self):
        return self._status("VmRSS")

    def anonymous_mb(self):
        """Without the pages of pinned maps and of programs' files, which others share."""
        return self._status("RssAnon")

    def _status(self, field):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024

    def cpu_seconds(self):
        """Of all its threads, also those that have ended."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def bytes_received(self):
        """From the API server, over the connections that are open now: TLS and all."""
        text = subprocess.run(["ss", "-Htinp", f"dport = :{self.port}"], capture_output=True, text=True,
                              check=True).stdout
        # A connection is a line that begins in the first column, and one that does not.
        connections = re.split(r"\n(?=\S)", text)
        return sum(int(re.search(r"bytes_received:(\d+)", one).group(1)) for one in connections
                   if f"pid={self.pid}," in one and "bytes_received" in one)


class NodeAgent(Process):
    """A partywalld for one node of the crowd."""

    def __init__(self, name, build, server, node):
        self.build = build
        self.node = node
        self.root = f"/{name}"
        self.pins = f"/sys/fs/bpf/{name}"
        # In memory, as /run/partywall is.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir="/dev/shm"))
        self.mount = cgroup2_mount()
        self.process = None
        self.pods = {}  # number -> cgroup
        self.lock = threading.Lock()
        os.mkdir(self.mount + self.root)
        token = server.node_token(node_name(node), NAMESPACE, ACCOUNT)
        self.kubeconfig = server.write_kubeconfig(name, token)
        [config] = render('clusterCIDRs=["10.64.0.0/10"]', "https.enabled=false", only="configmap.yaml")
        [text] = config["data"].values()
        (self.folder / "partywalld.yaml").write_text(text)
        super().__init__(None, server.port)

    def start(self):
        """Seconds until it enforces."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.metrics_port = free.getsockname()[1]
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(f"{self.folder}/notify")
        told.settimeout(0.2)
        start = time.monotonic()
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [f"{self.build}/bin/partywalld", "--config", f"{self.folder}/partywalld.yaml", "--kubeconfig",
                 str(self.kubeconfig), "--node", node_name(self.node), "--cgroup-root", self.root, "--bpffs", self.pins,
                 "--metrics", f"127.0.0.1:{self.metrics_port}", "--control-socket", f"{self.folder}/agent.sock",
                 "--state-dir", f"{self.folder}/state", "--events", "none", "--max-tenants", "2048",
                 "--edge-interfaces", "pw-none-*"],
                stdout=log, stderr=log, env={**os.environ, "NOTIFY_SOCKET": f"{self.folder}/notify"})
        self.pid = self.process.pid
        while not self._is_ready(told):
            if self.process.poll() is not None or time.monotonic() - start > WAIT_SECONDS:
                raise RuntimeError(f"partywalld is not ready: {self.log()}")
        return time.monotonic() - start

    @staticmethod
    def _is_ready(told):
        try:
            return b"READY=1" in told.recv(4096)
        except TimeoutError:
            return False

    def log(self):
        return (self.folder / "log").read_text()[-3000:]

    def pod_made(self, number, made):
        """What a kubelet does: its cgroup."""
        cgroup = f"{self.mount}{self.root}/burstable/pod{made['metadata']['uid']}"
        os.makedirs(cgroup, exist_ok=True)
        with self.lock:
            self.pods[number] = cgroup

    def pod_gone(self, number):
        with self.lock:
            cgroup = self.pods.pop(number, None)
        if cgroup:
            os.rmdir(cgroup)

    def metrics(self):
        """name -> the sum of its series, of those that begin with partywall_kubernetes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        found = {}
        for name, value in re.findall(r"^(partywall_kubernetes_\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
            found[name.removeprefix("partywall_kubernetes_")] = found.get(name, 0) + float(value)
        return found

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if os.path.exists(self.pins):
            subprocess.run([f"{self.build}/bin/partywall", "--bpffs", self.pins, "uninstall", "--yes"],
                           stdout=subprocess.DEVNULL, check=False)
        for folder, _, _ in os.walk(self.mount + self.root, topdown=False):
            os.rmdir(folder)
        shutil.rmtree(self.folder, ignore_errors=True)


class Endpoints:
    """When addresses come into force in an agent's maps."""

    def __init__(self, build, pins):
        self.process = subprocess.Popen([f"{build}/bench/bench_endpoints", pins], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.written = {}   # address -> ns
        self.enforced = {}
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            address, at = line.split()
            self.enforced[address] = int(at)

    def will_write(self, address, tenant):
        """To be called right before the request."""
        with self.lock:
            self.process.stdin.write(f"{address} {tenant}\n")
            self.written[address] = time.monotonic_ns()

    def missing(self):
        if self.process.poll() is not None:
            raise RuntimeError("bench_endpoints ended")
        return [address for address in list(self.written) if address not in self.enforced]

    def milliseconds(self):
        """From the request that wrote an address until it was in force, sorted; since the last call."""
        taken = sorted((at - self.written[address]) / 1e6 for address, at in self.enforced.items()
                       if address in self.written)
        self.written, self.enforced = {}, {}
        return taken

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

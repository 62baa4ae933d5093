# tools/lib/demo_stage.py: the demo's stage: cgroups, network namespaces, programs; all taken down again, whatever
# happened. Touches nothing that does not carry its names.
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

ROOT = "/partywall-demo"             # the managed root
OUTSIDE = "/partywall-demo-outside"  # agent, Prometheus, the world: not managed
FOLDER = "/run/partywall-demo"
BPFFS = "/sys/fs/bpf/partywall-demo"
# host -> its address. Tenants and the stray live in the managed root.
HOSTS = {"shop": "10.88.1.2", "data": "10.88.2.2", "batch": "10.88.3.2", "stray": "10.88.4.2",
         "world": "203.0.113.10", "dns": "10.88.53.53"}
MANAGED = ("shop", "data", "batch", "stray")
NODE = "router"  # the namespace that stands for the node: host ends, agent, Prometheus
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class DemoFailed(Exception):
    """Something did not come out as it should."""


def cgroup2_mount():
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, right = line.rstrip("\n").split(" - ")
            if right.split()[0] == "cgroup2" and left.split()[3] == "/":
                return left.split()[4]
    raise DemoFailed("no cgroup2 file system is mounted")


def wait_until(what, condition, seconds=15):
    """The first true value of condition(); says what it waited for when it never comes."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DemoFailed(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise DemoFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def inside(host, *command):
    return run("nsenter", f"--net=/run/netns/pwdemo-{host}", *command)


def enter(host):
    """This process, and whatever it starts, goes to a host's network namespace."""
    handle = os.open(f"/run/netns/pwdemo-{host}", os.O_RDONLY)
    if LIBC.setns(handle, CLONE_NEWNET):
        raise DemoFailed(f"enter {host}: {os.strerror(ctypes.get_errno())}")
    os.close(handle)


def host_end(host):
    """The router's end of a host's veth: pw-* are workloads'."""
    return ("pw-" if host in MANAGED else "up-") + host


def mac(host, device):
    return json.loads(inside(host, "ip", "-j", "link", "show", device))[0]["address"]


class Stage:
    """Three tenants, a cgroup of nobody's, a name server and the rest of the world, behind one router."""

    def __init__(self, programs):
        """programs: folder of partywall and partywalld."""
        self.mount = cgroup2_mount()
        self.programs = programs
        self.shell = f"{FOLDER}/shell"

    def build(self, ports):
        """ports: name -> port on loopback, for the shell's short forms."""
        os.mkdir(FOLDER, 0o700)
        for folder in ("policy", "www"):
            os.mkdir(f"{FOLDER}/{folder}")
        self._make_namespace(NODE)
        enter(NODE)
        inside("router", "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for group in (ROOT, OUTSIDE):
            os.mkdir(self.mount + group)
        for host, address in HOSTS.items():
            self._add_host(host, address, host_end(host))
        self._write_shell(ports)

    def _make_namespace(self, host):
        run("ip", "netns", "add", f"pwdemo-{host}")
        inside(host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
               "net.ipv6.conf.default.disable_ipv6=1")
        inside(host, "ip", "link", "set", "lo", "up")

    def _add_host(self, host, address, port):
        gateway = address.rsplit(".", 1)[0] + ".1"
        self._make_namespace(host)
        run("ip", "link", "add", port, "netns", "pwdemo-router", "type", "veth", "peer", "name",
            "eth0", "netns", f"pwdemo-{host}")
        inside("router", "ip", "addr", "add", f"{gateway}/24", "dev", port)
        inside("router", "ip", "link", "set", port, "up")
        inside(host, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
        inside(host, "ip", "link", "set", "eth0", "up")
        inside(host, "ip", "route", "add", "default", "via", gateway)
        # Neighbours are known, so that nothing but the programs' own packets is on the wire.
        inside(host, "ip", "neigh", "replace", gateway, "lladdr", mac("router", port), "dev",
               "eth0", "nud", "permanent")
        inside("router", "ip", "neigh", "replace", address, "lladdr", mac(host, "eth0"), "dev",
               port, "nud", "permanent")
        os.mkdir(self.cgroup(host))

    def cgroup(self, host):
        return f"{self.mount}{ROOT if host in MANAGED else OUTSIDE}/{host}"

    def _write_shell(self, ports):
        """What the commands in the transcript are short for; other terminals may source it, too."""
        with open(self.shell, "w") as file:
            file.write(f"""# {self.shell}: what the demo's commands are short for. Type along from another terminal:
#   nsenter --net=/run/netns/pwdemo-{NODE} bash --rcfile {self.shell}
as() {{  # as WHO COMMAND...: in WHO's cgroup and network namespace
  local who=$1 cgroup
  shift
  cgroup=$(ls -d {self.mount}{{{ROOT},{OUTSIDE}}}/"$who" 2>/dev/null)
  (echo "$BASHPID" >"$cgroup/cgroup.procs" && exec nsenter --net="/run/netns/pwdemo-$who" "$@")
}}
PATH={self.programs}:$PATH
partywall() {{
  command partywall --bpffs {BPFFS} --control-socket {FOLDER}/agent.sock --state-dir {FOLDER} "$@"
}}
prom() {{  # prom EXPRESSION: asks Prometheus
  curl -s --data-urlencode "query=$1" http://127.0.0.1:{ports["prometheus"]}/api/v1/query
}}
metrics=http://127.0.0.1:{ports["agent"]}
cd {FOLDER}
""")

    def start(self, command, log):
        """Starts a command of the shell in the background, outside of the managed root unless it goes
        there itself. What it says is in the file `log`."""

        def enter():
            with open(self.mount + OUTSIDE + "/cgroup.procs", "w") as procs:
                procs.write("0")

        # A program of its own takes the shell's place, so that a signal reaches it.
        words = command if command.startswith("as ") else "exec " + command
        with open(f"{FOLDER}/{log}", "w") as output:
            return subprocess.Popen(["bash", "-c", f"source {self.shell}; {words}"], stdout=output,
                                    stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                    preexec_fn=enter, start_new_session=True)


def processes_in(cgroup):
    try:
        with open(f"{cgroup}/cgroup.procs") as procs:
            return [int(line) for line in procs]
    except FileNotFoundError:
        return []


def end_processes(group):
    """Ends all that runs in a group's cgroups, which the demo has made and nobody else enters. Whether
    nothing runs there any more."""
    pids = [pid for folder, _, _ in os.walk(group) for pid in processes_in(folder)]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return not pids


def is_removed(folder):
    end_processes(folder)
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def take_down(programs):
    """Removes everything that carries the demo's names: of this run, or of one that was killed."""
    groups = [cgroup2_mount() + group for group in (ROOT, OUTSIDE)]
    for group in groups:
        wait_until(f"{group} is empty", lambda: end_processes(group))
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            wait_until(f"{folder} is empty", lambda: is_removed(folder))
    for host in (NODE, *HOSTS):
        if os.path.exists(f"/run/netns/pwdemo-{host}"):
            subprocess.run(["ip", "netns", "del", f"pwdemo-{host}"], check=False)
    if os.path.exists(BPFFS):
        run(f"{programs}/partywall", "--bpffs", BPFFS, "--control-socket", f"{FOLDER}/agent.sock",
            "--state-dir", FOLDER, "uninstall", "--yes")
    shutil.rmtree(FOLDER, ignore_errors=True)

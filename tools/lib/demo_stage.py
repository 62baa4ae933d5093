# tools/lib/demo_stage.py: the demo's stage: cgroups, network namespaces, programs; all taken down again.
# Touches nothing that it did not make.
import ctypes
import os
import shutil
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000


def cgroup2_mount():
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, right = line.rstrip("\n").split(" - ")
            if right.split()[0] == "cgroup2" and left.split()[3] == "/":
                return left.split()[4]
    raise SystemExit("demo: no cgroup2 file system is mounted")


def wait_until(what, condition, seconds=15):
    """Waits for a condition instead of a while; says what it waited for when it never comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise SystemExit(f"demo: {what} did not happen within {seconds} s")


class Stage:
    """Three tenants and the rest of the world, each a network namespace behind one router."""

    def __init__(self, root="/partywall-demo"):
        self.mount = cgroup2_mount()
        self.root = root
        self.namespaces = []
        self.cgroups = []
        self.processes = []
        self.router = "pwdemo-router"

    def build(self, hosts):
        """hosts: name -> (address, cgroup below the root or None)."""
        self.run("ip", "netns", "add", self.router)
        self.namespaces.append(self.router)
        self.inside(self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.inside(self.router, "ip", "link", "set", "lo", "up")
        self.make_cgroup("")
        for number, (name, (address, cgroup)) in enumerate(hosts.items()):
            namespace = f"pwdemo-{name}"
            gateway = address.rsplit(".", 1)[0] + ".1"
            self.run("ip", "netns", "add", namespace)
            self.namespaces.append(namespace)
            self.run("ip", "link", "add", f"pwd{number}", "netns", self.router, "type", "veth",
                     "peer", "name", "eth0", "netns", namespace)
            self.inside(self.router, "ip", "addr", "add", f"{gateway}/24", "dev", f"pwd{number}")
            self.inside(self.router, "ip", "link", "set", f"pwd{number}", "up")
            for command in (("addr", "add", f"{address}/24", "dev", "eth0"),
                            ("link", "set", "eth0", "up"), ("link", "set", "lo", "up"),
                            ("route", "add", "default", "via", gateway)):
                self.inside(namespace, "ip", *command)
            if cgroup:
                self.make_cgroup(cgroup)

    def make_cgroup(self, name):
        path = self.cgroup(name)
        os.mkdir(path)
        self.cgroups.append(path)

    def cgroup(self, name):
        return self.mount + self.root + ("/" + name if name else "")

    @staticmethod
    def run(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"demo: {' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def inside(self, namespace, *command):
        return self.run("nsenter", f"--net=/run/netns/{namespace}", *command)

    def start(self, host, command, cgroup=None, **keywords):
        """Starts a program in a host's namespace and cgroup; it is stopped at the end."""
        procs = self.cgroup(cgroup) + "/cgroup.procs" if cgroup else None
        namespace = os.open(f"/run/netns/pwdemo-{host}", os.O_RDONLY) if host else None
        libc = ctypes.CDLL(None, use_errno=True)

        def enter():
            if procs:
                with open(procs, "w") as file:
                    file.write(str(os.getpid()))
            if namespace is not None and libc.setns(namespace, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

        process = subprocess.Popen(command, preexec_fn=enter, stdin=subprocess.DEVNULL, **keywords)
        if namespace is not None:
            os.close(namespace)
        self.processes.append(process)
        return process

    def call(self, host, command, cgroup=None, seconds=20):
        """Runs a program to its end. Returns (exit code, output, seconds it took)."""
        before = time.monotonic()
        process = self.start(host, command, cgroup, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        self.processes.remove(process)
        return process.returncode, output, time.monotonic() - before

    def stop(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def tear_down(self):
        for process in reversed(list(self.processes)):
            self.stop(process)
        for path in reversed(self.cgroups):
            if os.path.isdir(path):
                wait_until(f"cgroup {path} empty",
                           lambda: "populated 0" in open(path + "/cgroup.events").read())
                os.rmdir(path)
        for namespace in reversed(self.namespaces):
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def find_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise SystemExit(f"demo: {name} is not installed; tools/setup installs it")
    return path

# tools/lib/demo_run.py: what every step of the demo needs: commands that are shown and run, checks, who reaches whom.
import concurrent.futures
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from demo_stage import HOSTS, DemoFailed, wait_until

# Who runs what; a cell of the matrix asks for it.
SERVICES = {"shop": 80, "data": 6379, "batch": 8080, "world": 80}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Result:
    def __init__(self, code, output, seconds):
        self.code = code
        self.output = output
        self.seconds = seconds


class Demo:
    def __init__(self, stage, show):
        self.stage = stage
        self.show = show
        self.ports = {"agent": free_port(), "prometheus": free_port()}

    # --- commands

    def quietly(self, command, seconds=30):
        """Runs a command of the stage's shell to its end; shows nothing."""
        begin = time.monotonic()
        done = subprocess.run(["bash", "-o", "pipefail", "-c",
                               f"source {self.stage.shell}; {command}"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                              stdin=subprocess.DEVNULL, start_new_session=True)
        return Result(done.returncode, done.stdout, time.monotonic() - begin)

    def run(self, command, code=0, says="", most=40):
        """Shows a command, runs it, shows what it said. It must end with `code` and say `says`."""
        self.show.command(command)
        result = self.quietly(command)
        self.show.output(result.output, most)
        if result.code != code:
            raise DemoFailed(f"it ended with {result.code}, not {code}")
        if not re.search(says, result.output):
            raise DemoFailed(f"it does not say '{says}'")
        return result

    def start(self, command, log):
        self.show.command(command + " &", False)
        return self.stage.start(command, log)

    def check(self, text, right):
        if not right:
            raise DemoFailed(text)
        self.show.good(text)

    # --- who reaches whom

    def reach(self, source, target):
        """'yes', 'EPERM' or 'dropped': what a TCP connection from source to target's service comes to."""
        result = self.quietly(f"as {source} nc -zvw1 {HOSTS[target]} {SERVICES[target]}")
        if result.code == 0:
            return "yes"
        if "Operation not permitted" in result.output:
            return "EPERM"
        if "timed out" in result.output:
            return "dropped"
        return result.output.strip()

    def matrix(self, expected):
        """Shows who reaches whom; expected: source -> cells in the order of SERVICES."""
        self.show.command("as FROM nc -zvw1 ADDRESS PORT   # for each of these")
        pairs = [(source, target) for source in expected for target in SERVICES]
        with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
            cells = dict(zip(pairs, pool.map(lambda pair: self.reach(*pair), pairs)))
        head = [f"{target}:{port}" for target, port in SERVICES.items()]
        self.show.output("from \\ to".ljust(12) + "".join(name.ljust(12) for name in head).rstrip())
        for source in expected:
            row = [cells[source, target] for target in SERVICES]
            self.show.output(source.ljust(12) + "".join(cell.ljust(12) for cell in row).rstrip())
        wrong = [f"{source} to {target}: {cells[source, target]}, not {cell}"
                 for source in expected for target, cell in zip(SERVICES, expected[source])
                 if cells[source, target] != cell]
        if wrong:
            raise DemoFailed("; ".join(wrong))
        self.check(f"all {len(pairs)} as expected", True)

    # --- the agent and Prometheus

    def is_ready(self):
        try:
            url = f"http://127.0.0.1:{self.ports['agent']}/readyz"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def status(self):
        return json.loads(self.quietly("partywall status -o json 2>/dev/null").output)

    def metric(self, name):
        """The value of a series without labels on the agent's own page."""
        url = f"http://127.0.0.1:{self.ports['agent']}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return float(re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE).group(1))

    def ask_prometheus(self, expression):
        """{labels: value} of an instant query; {} while the server does not answer."""
        url = (f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query?" +
               urllib.parse.urlencode({"query": expression}))
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except (urllib.error.HTTPError, OSError):
            return {}
        return {",".join(value for key, value in sorted(one["metric"].items()) if key != "__name__"):
                float(one["value"][1]) for one in found}

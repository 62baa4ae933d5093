# tests/cluster/cluster.py: the test cluster that tools/cluster has booted: kubectl, helm, nodes, and orders to the pods
# that run partywall-probe. Orders go through a folder that the nodes share with this machine, never over a network.
import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = os.environ.get("PARTYWALL_CLUSTER", "pwcluster")
FOLDER = ROOT / "build/cluster" / NAME
TOOL = str(ROOT / "tools/cluster")


class Failed(Exception):
    """A command that had to succeed, with what it said."""


def run(*command, text=None, timeout_s=600):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise Failed(f"{' '.join(command[1:])[:200]}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def kubectl(*arguments, text=None):
    return run(TOOL, "kubectl", *arguments, text=text)


def helm(*arguments):
    return run(TOOL, "run", "helm", *arguments)


def node(number, command):
    return run(TOOL, "node", str(number), command)


def apply(*documents):
    """Server-side, as one list."""
    listing = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    kubectl("apply", "-f", "-", text=json.dumps(listing))


def get(*arguments):
    return json.loads(kubectl("get", *arguments, "-o", "json"))


def wait_until(holds, seconds, what):
    """What `holds` returns once it is true. Fails with Failed after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        if time.monotonic() >= end:
            raise Failed(f"after {seconds} s still not: {what}")
        time.sleep(0.5)


class Prober:
    """A partywall-probe that takes orders out of `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.number = None

    def give(self, orders):
        """Writes orders, a list of strings; read the answers with `answers`."""
        self.number = f"{time.time_ns()}"
        lines = [self.number, *(f"{i} {order}" for i, order in enumerate(orders))]
        new = self.folder / "orders.new"
        new.write_text("\n".join(lines) + "\n")
        new.rename(self.folder / "orders")

    def answers(self, seconds=120):
        """One string for each order. Fails when they do not come in time."""
        def found():
            try:
                lines = (self.folder / "answers").read_text().splitlines()
            except OSError:
                return None
            return lines if lines and lines[0] == self.number else None

        lines = wait_until(found, seconds, f"{self.folder.name} answers")
        return [line.partition(" ")[2] for line in lines[1:]]

    def ask(self, orders, seconds=120):
        self.give(orders)
        return self.answers(seconds)

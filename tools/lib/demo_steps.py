# tools/lib/demo_steps.py: the demo, step by step. Every step shows what it runs and checks what came out of it.
import os
import pathlib
import re
import shutil
import signal
import socket
import sys

import demo_counts
import demo_rates
from demo_run import Demo
from demo_show import Transcript
from demo_stage import FOLDER, HOSTS, ROOT, BPFFS, DemoFailed, Stage, take_down, wait_until

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = SOURCE / "build/release/bin"
# from -> to shop, data, batch, world
OPEN = {source: ("yes",) * 4 for source in ("shop", "data", "batch", "stray", "world")}
APART = {"shop": ("yes", "yes", "EPERM", "EPERM"), "data": ("EPERM", "yes", "EPERM", "EPERM"),
         "batch": ("EPERM", "EPERM", "yes", "yes"), "stray": ("EPERM",) * 4,
         "world": ("yes", "dropped", "dropped", "yes")}


def build_stage(demo):
    demo.show.step("Three tenants, and no wall yet")
    demo.show.say("Each tenant is a cgroup below one managed root, with a network namespace behind a router. A fourth "
                  "cgroup belongs to nobody. `as WHO COMMAND` runs a command in WHO's cgroup and network namespace; "
                  "the file `shell` says how to type along:")
    demo.stage.build(demo.ports)
    for name, size in (("page", 1000), ("big", 4_000_000)):
        with open(f"{FOLDER}/www/{name}", "wb") as file:
            file.write(os.urandom(size))
    for name in ("dns", "frames"):
        shutil.copy(SOURCE / f"tools/lib/demo_{name}.py", f"{FOLDER}/{name}.py")
    demo.show.write()
    demo.show.command(f"cd {FOLDER}; source ./shell", False)
    for command, log in (
            (f"as shop python3 -m http.server -d www -b {HOSTS['shop']} -p HTTP/1.1 80", "shop.log"),
            (f"as data redis-server --bind {HOSTS['data']} --protected-mode no --save ''", "data.log"),
            ("as data python3 frames.py receive 9999 frames.received", "frames.log"),
            (f"as batch python3 -m http.server -d www -b {HOSTS['batch']} 8080", "batch.log"),
            (f"as world python3 -m http.server -d www -b {HOSTS['world']} 80", "world.log"),
            (f"as world iperf3 -s -B {HOSTS['world']} -f k --forceflush", "iperf3.log"),
            (f"as dns python3 dns.py {HOSTS['dns']} {HOSTS['shop']}", "dns.log")):
        demo.start(command, log)
    wait_until("every service", lambda: all(
        demo.reach("world", target) == "yes" for target in ("shop", "data", "batch", "world")))
    wait_until("iperf3", lambda: demo.quietly(f"as world nc -z {HOSTS['world']} 5201").code == 0)


def before(demo):
    demo.show.step("Before: everybody reaches everybody")
    demo.matrix(OPEN)
    demo.check("three frames made by hand arrive, too", frames(demo, True) == 3)


def enforce(demo):
    demo.show.step("A policy, and the agent")
    for file in sorted((SOURCE / "tools/lib/demo_policy").glob("*.yaml")):
        shutil.copy(file, f"{FOLDER}/policy/{file.name}")
    with open(f"{FOLDER}/partywalld.yaml", "w") as file:
        file.write(f"""policyDir: {FOLDER}/policy
cgroupRoot: {ROOT}
bpffs: {BPFFS}
stateDir: {FOLDER}
controlSocket: {FOLDER}/agent.sock
metrics: 127.0.0.1:{demo.ports['agent']}
edgeInterfaces: pw-*
infrastructure: [{{name: dns, cidr: {HOSTS['dns']}/32, ports: [{{protocol: UDP, port: 53}}]}}]
""")
    demo.run("cat policy/shop.yaml policy/batch.yaml")
    demo.run("partywall check policy", says="ok: 3 tenants, 3 tiers")
    start_agent(demo)
    demo.run("partywall status", says="running")


def start_agent(demo):
    demo.agent = demo.start("partywalld --config partywalld.yaml", "partywalld.log")

    def is_ready():
        if demo.agent.poll() is not None:
            with open(f"{FOLDER}/partywalld.log") as log:
                raise DemoFailed(f"partywalld ended with {demo.agent.returncode}: {log.read()}")
        return demo.is_ready()

    wait_until("ready", is_ready)
    demo.run("curl -s $metrics/readyz", says="enforcing")


def after(demo):
    demo.show.step("After: the policy, and nothing else")
    demo.matrix(APART)
    demo.show.say("shop -> data is the one way that both sides' rules open. batch has no rules, so its tier's default lets it "
                  "out into the world. The cgroup of nobody is denied everything. Packets from the world are dropped where "
                  "they arrive. DNS is in the infrastructure lane, which no tenant's rules can close:")
    for tenant in ("data", "batch"):
        demo.run(f"as {tenant} dig +short +tries=1 @{HOSTS['dns']} shop.example", says=HOSTS["shop"])
    demo.check("data, whose egress list is empty, and batch get their answer", True)


def explain(demo):
    demo.show.step("A denied connection fails at once, and can be explained")
    demo.run(f"as batch redis-cli -h {HOSTS['data']} ping", code=1, says="Operation not permitted")
    result = demo.run(f"as batch curl -s -o /dev/null -w '%{{time_total}} s\\n' http://{HOSTS['data']}:6379",
                      code=7)
    milliseconds = float(result.output.split()[0]) * 1000
    demo.check(f"refused after {milliseconds:.1f} ms, not after a timeout", milliseconds < 100)
    demo.run("partywall events --tenant batch | tail -1", says=r"deny connect.*\(data\).*tenant_floor.*by curl")
    demo.run("partywall explain --from batch --to data --port 6379", code=1, says=r"batch\.yaml:\d+:\d+")
    demo.run("partywall explain --from shop --to data --port 6379", says=r"shop\.yaml:\d+:\d+")
    demo.check("both name the rules, or where they are missing, as file:line:column", True)


def frames(demo, arrive):
    """batch sends data three frames by hand."""
    before = received(demo)
    demo.run(f"as batch python3 frames.py send {HOSTS['data']} 9999 3", says="3 frames")
    if arrive:
        wait_until("the frames", lambda: received(demo) == before + 3)
    demo.run("cat frames.received")
    return received(demo) - before


def received(demo):
    return int(demo.quietly("cat frames.received").output.split()[0])


def by_hand(demo):
    demo.show.step("Frames made by hand pass every socket hook, and stop at the edge")
    demo.show.say("With CAP_NET_RAW, batch writes frames straight onto its interface; they were counted in data when there was no "
                  "wall yet. The agent watches the other end of that interface, on the node:")
    demo.check("none of three frames arrives", frames(demo, False) == 0)
    demo.run("partywall events --tenant batch | tail -1", says=r"deny edge_egress.*\(data\).*tenant_floor")


def kill(demo):
    demo_counts.kill(demo, APART, start_agent)


def finish(demo):
    demo.show.step("All attached, all ours; and out again")
    demo.run("partywall doctor | grep -E 'program|checks'", says=" 0 warn, 0 FAIL")
    demo.show.command(f"kill {demo.agent.pid}  # partywalld; stopping it does not end enforcement")
    demo.agent.terminate()
    demo.agent.wait(10)
    demo.run("partywall uninstall --yes", most=5)
    demo.check("nothing of it is left in the kernel", not os.path.exists(BPFFS))
    demo.matrix(OPEN)


STEPS = (build_stage, before, enforce, after, explain, by_hand, demo_rates.hold, demo_rates.change_tier,
         demo_counts.compare, kill, finish)


def one_at_a_time():
    """The names are the demo's own, so there can be one of it. The lock goes with this process."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind("\0partywall-demo")
    except OSError:
        sys.exit("demo: another tools/demo is running")
    return lock


def clean_up():
    try:
        take_down(PROGRAMS)
        return 0
    except DemoFailed as failure:
        print(f"demo: clean-up: {failure}", file=sys.stderr)
        return 1


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    lock = one_at_a_time()
    if "--clean-up" in sys.argv:  # after a demo that was killed
        return clean_up()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    show = Transcript(len(STEPS), "--pause" in sys.argv)
    code = 1
    try:
        code = show.perform(STEPS, Demo(Stage(PROGRAMS), show), DemoFailed)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        code = clean_up() or code
        lock.close()
    return code


if __name__ == "__main__":
    sys.exit(main())

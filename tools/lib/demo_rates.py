# tools/lib/demo_rates.py: the demo's rates: a limit that holds, and a change of tier while a connection runs.
import re
import time

from demo_stage import FOLDER, HOSTS, DemoFailed, wait_until

CEILING = {"free": 20.0, "standard": 80.0}  # Mbit/s, as in demo_policy/tiers.yaml
BAR_MBIT = 2.0                              # one character of a bar
SERVER_LOG = f"{FOLDER}/iperf3.log"


def hold(demo):
    demo.show.step("A rate limit holds")
    demo.show.say("batch is on the tier free: 20 Mbit/s out, in wire bytes, for the tenant as a whole. It sends UDP at five "
                  "times the rate, and then as much as four TCP connections can (cubic, Debian's default). What counts is "
                  "what arrives.")
    for flags, pick, what in (("-u -b 100M -t 3", "receiver", "UDP"),
                              ("-P 4 -t 5 -C cubic", "SUM.*receiver", "4 TCP connections")):
        result = demo.run(f"as batch iperf3 -c {HOSTS['world']} {flags} -f k | grep '{pick}'")
        rate = float(re.search(r"([\d.]+) Kbits/sec", result.output).group(1)) / 1000
        ratio = rate / CEILING["free"]
        demo.check(f"{what}: configured 20 Mbit/s, measured {rate:.2f} Mbit/s of payload: {ratio:.2f} of it "
                   "(0.80 to 1.02 is right)", 0.80 <= ratio <= 1.02)
    demo.run("partywall show tenant batch | grep -A 2 -E '^(LIMITS|REFUSED)'", says="limit_bytes")


class Stream:
    """An iperf3 of batch's that runs for some seconds, as the receiving end sees it."""

    def __init__(self, demo, seconds):
        self.demo = demo
        self.shown = 0
        with open(SERVER_LOG) as log:
            self.log_start = len(log.read())
        self.process = demo.start(f"as batch iperf3 -c {HOSTS['world']} -t {seconds} -C cubic", "stream.log")
        demo.show.command("tail -f iperf3.log  # its server, second by second", False)

    def rates(self):
        """Mbit/s that arrived in each second that is over."""
        with open(SERVER_LOG) as log:
            text = log.read()[self.log_start:]
        return [float(rate) / 1000 for rate in
                re.findall(r"\] +\d+\.\d+-\d+\.\d+ +sec +[\d.]+ \wBytes +([\d.]+) Kbits/sec *$", text, re.MULTILINE)]

    def show_until(self, count):
        """Shows each second as it comes; returns the rates shown now."""
        begin = self.shown
        while self.shown < count:
            wait_until(f"second {self.shown + 1} of the stream", lambda: len(self.rates()) > self.shown, 10)
            rate = self.rates()[self.shown]
            self.shown += 1
            self.demo.show.output(f"second {self.shown:2} {rate:6.1f} Mbit/s  {'#' * round(rate / BAR_MBIT)}")
        return self.rates()[begin:count]

    def connections(self):
        """Local ports of the connections that carry data."""
        with open(f"{FOLDER}/stream.log") as log:
            return re.findall(r"local \S+ port (\d+) connected", log.read())

    def finish(self):
        wait_until("the end of the stream", lambda: self.process.poll() is not None, 20)
        if self.process.returncode:
            raise DemoFailed(f"iperf3 ended with {self.process.returncode}")


def set_tier(demo, old, new):
    """Edits batch's file; returns milliseconds from the edit until the kernel enforces it."""
    generation = demo.status()["generation"]
    begin = time.time()
    demo.run(f"sed -i 's/tier: {old}/tier: {new}/' policy/batch.yaml")
    wait_until("a new generation", lambda: demo.status()["generation"] > generation, 5)
    return (demo.metric("partywall_policy_applied_timestamp_seconds") - begin) * 1000


def is_at(rates, ceiling):
    return 0.80 * ceiling <= sum(rates) / len(rates) <= 1.05 * ceiling


def change_tier(demo):
    demo.show.step("A change of tier takes effect under a running connection")
    demo.show.write()
    stream = Stream(demo, 12)
    stream.show_until(1)  # its start may use the burst
    slow = stream.show_until(4)
    milliseconds = set_tier(demo, "free", "standard")
    demo.check(f"in force {milliseconds:.0f} ms later, the start of sed included", milliseconds < 1000)
    demo.show.write()
    stream.show_until(5)  # the second in which it changed
    fast = stream.show_until(8)
    demo.run("partywall top -n 2 -d 1 | tail -n 5", says=r"batch +\d\d\.\dM")
    demo.show.write()
    fast += stream.show_until(10)
    stream.finish()
    ports = stream.connections()
    demo.check(f"{sum(slow) / len(slow):.1f} Mbit/s before (tier free: 20), {sum(fast) / len(fast):.1f} after (tier standard: 80)",
               is_at(slow, CEILING["free"]) and is_at(fast, CEILING["standard"]))
    demo.check(f"one connection all the time, from port {ports[0]}", len(ports) == 1)
    set_tier(demo, "standard", "free")

# tools/lib/demo_counts.py: the demo's counters: Prometheus against the interfaces, with the agent alive, dead and back.
import json
import signal
import time

from demo_stage import BPFFS, FOLDER, HOSTS, NODE, host_end, inside, run, wait_until

LINK_HEADER_BYTES = 14
SEGMENT_HEADER_BYTES = 52  # IPv4 20, TCP 20, its timestamps 12
SYN_OPTION_BYTES = 8       # more than those, in the first segment only
PROMETHEUS = """global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - {{job_name: partywall, static_configs: [{{targets: ["127.0.0.1:{agent}"]}}]}}
"""


class Counters:
    """Bytes and packets of a tenant by direction."""

    def __init__(self, values):
        self.values = values

    def __sub__(self, other):
        return Counters({key: value - other.values[key] for key, value in self.values.items()})

    def __eq__(self, other):
        return self.values == other.values

    def row(self, direction):
        return f"{self.values[direction, 'bytes']:14,d}{self.values[direction, 'packets']:10,d}"


def sent_on(host, device):
    """(bytes, packets) that a device has sent, from the network header up."""
    for line in inside(host, "cat", "/proc/net/dev").splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == device:
            count, packets = (int(figures.split()[column]) for column in (8, 9))
            return count - LINK_HEADER_BYTES * packets, packets


def interface(tenant):
    """What the tenant's own interface has sent, and the router's to it."""
    out, into = sent_on(tenant, "eth0"), sent_on(NODE, host_end(tenant))
    return Counters({("egress", "bytes"): out[0], ("egress", "packets"): out[1],
                     ("ingress", "bytes"): into[0], ("ingress", "packets"): into[1]})


def expression(tenant, unit):
    return f'sum by (direction) (partywall_traffic_{unit}_total{{tenant="{tenant}",verdict="allow"}})'


def in_prometheus(demo, tenant):
    """What Prometheus has, scraped after this call."""
    now = time.time()
    wait_until("a scrape", lambda: min(demo.ask_prometheus(
        f'timestamp(partywall_traffic_bytes_total{{tenant="{tenant}"}})').values(), default=0) > now)
    found = {unit: demo.ask_prometheus(expression(tenant, unit)) for unit in ("bytes", "packets")}
    return Counters({(direction, unit): int(found[unit].get(direction, 0))
                     for direction in ("egress", "ingress") for unit in ("bytes", "packets")})


def start_prometheus(demo):
    with open(f"{FOLDER}/prometheus.yml", "w") as file:
        file.write(PROMETHEUS.format(**demo.ports))
    demo.start("prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb "
               f"--web.listen-address=127.0.0.1:{demo.ports['prometheus']}", "prometheus.log")
    wait_until("Prometheus", lambda: demo.ask_prometheus("up") and
               set(demo.ask_prometheus("up").values()) == {1.0}, 30)


def show_equal(demo, tenant, wire, counted, payload, what):
    """A table of how it adds up; both must be equal to the byte."""
    show = demo.show
    sent = wire.values["egress", "bytes"]
    packets = wire.values["egress", "packets"]
    headers = SEGMENT_HEADER_BYTES * packets + SYN_OPTION_BYTES
    rest = sent - payload - headers
    show.output(f"{'':48}{'bytes':>14}{'packets':>10}")
    show.output(f"{what:48}{payload:14,d}")
    show.output(f"{'+ TCP and IP headers: 52 a packet, and 8':48}{headers:14,d}{packets:10,d}")
    if rest:
        show.output(f"{'+ segments that TCP sent twice, longer headers':48}{rest:14,d}")
    show.output(f"{'= frames on the interface, less 14 each: out':48}{wire.row('egress')}")
    show.output(f"{'  Prometheus: egress':48}{counted.row('egress')}")
    show.output(f"{'  frames on the interface, less 14 each: in':48}{wire.row('ingress')}")
    show.output(f"{'  Prometheus: ingress':48}{counted.row('ingress')}")
    demo.check(f"{tenant}: Prometheus and the interface agree to the byte and the packet, both ways", wire == counted)


def compare(demo):
    show = demo.show
    show.step("Prometheus says what the programs really sent")
    show.say("Interfaces are told not to join segments, so that they count what a wire would carry. They know nothing of "
             "Partywall, and their counters start elsewhere, so both are read before and after.")
    demo.run("for who in shop data world; do as $who ethtool -K eth0 gso off tso off gro off; done")
    start_prometheus(demo)
    for tenant, command, what in (
            ("shop", f"as world curl -s -o /dev/null -w '%{{size_header}} + %{{size_download}}' http://{HOSTS['shop']}/big",
             "curl: header and body it received"),
            ("data", f"as shop redis-cli -h {HOSTS['data']} SET page \"$(head -c 99999 /dev/zero | tr '\\0' x)\"", ""),
            ("data", f"as shop redis-cli -h {HOSTS['data']} GET page | wc -c", "redis-cli: the value, $99999 and line ends")):
        wire, counted = interface(tenant), in_prometheus(demo, tenant)
        result = demo.run(command)
        if not what:
            continue
        show.command(f"prom '{expression(tenant, 'bytes')}'", False)
        payload = sum(int(number) for number in result.output.split("+"))
        if tenant == "data":
            payload += len("$99999\r\n") + len("\r\n") - 1
        wait_until(f"equality for {tenant}", lambda: interface(tenant) - wire ==
                   in_prometheus(demo, tenant) - counted, 10)
        show_equal(demo, tenant, interface(tenant) - wire, in_prometheus(demo, tenant) - counted, payload, what)


def link_id():
    shown = json.loads(run("bpftool", "-j", "link", "show", "pinned", f"{BPFFS}/links/packet_egress"))
    return (shown[0] if isinstance(shown, list) else shown)["id"]


def usage(demo, tenant):
    """What the pinned maps say, which takes no agent."""
    rows = json.loads(demo.quietly("partywall usage -o json 2>/dev/null").output)
    passed = next(row for row in rows if row["name"] == tenant)
    return Counters({(direction, unit): sum(cell[unit] for cell in passed[direction]["passed"].values())
                     for direction in ("egress", "ingress") for unit in ("bytes", "packets")})


def kill(demo, matrix, restart):
    show = demo.show
    big = f"http://{HOSTS['shop']}/big"
    show.step("The agent is killed, and the wall stands")
    show.write()
    link = link_id()
    download = demo.start(f"as world curl -s -S --limit-rate 1M -o copy {big}", "copy.log")
    show.command(f"kill -9 {demo.agent.pid}  # partywalld", False)
    demo.agent.send_signal(signal.SIGKILL)
    demo.agent.wait(10)
    demo.run("partywall status | head -3", says="not running")
    demo.matrix(matrix)
    wait_until("the end of the download", lambda: download.poll() is not None, 20)
    demo.check("a download that began before the kill has arrived whole", download.returncode == 0 and demo.quietly(
        "cmp copy www/big").code == 0)

    show.say("Counters go on, too. One download while no agent runs, one after it is back:")
    wire, counted = interface("shop"), usage(demo, "shop")
    demo.run(f"as world curl -s {big} | wc -c", says="4000000")
    demo.run("partywall usage --tenant shop 2>/dev/null", says="shop")
    wait_until("Prometheus notices", lambda: set(demo.ask_prometheus("up").values()) == {0.0})
    demo.check("Prometheus sees that nobody answers (up is 0)", True)
    show.write()
    restart(demo)
    demo.check(f"it has adopted what was there: packet_egress is still link {link}", link_id() == link)
    demo.run(f"as world curl -s {big} | wc -c", says="4000000")
    wait_until("equality", lambda: interface("shop") - wire == usage(demo, "shop") - counted)
    both = (interface("shop") - wire).values["egress", "bytes"]
    demo.check(f"shop sent {both:,d} bytes for both, by its interface and by its counters", both > 8_000_000)
    demo.check("Prometheus has all of them: its total is the kernel's", in_prometheus(demo, "shop") == usage(
        demo, "shop"))
    resets = demo.ask_prometheus("sum(resets(partywall_traffic_bytes_total[5m]))")
    demo.check("and none of its counters ever went back", list(resets.values()) == [0.0])

# tools/lib/dashboards.py: writes the chart's Grafana dashboards: fleet, tenant, node. Usage: dashboards.py FOLDER. A test holds
# helm/partywall/files/dashboards against what this writes, and asks a real Prometheus every query.
import json
import pathlib
import sys

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PASSED = 'verdict!="deny"'
RATE = "[$__rate_interval]"


class Page:
    """Panels in rows of 24 columns, in the order in which they are added."""

    def __init__(self, name, title, about, variables):
        self.name, self.panels, self.x, self.y, self.line = name, [], 0, 0, 0
        self.head = {"uid": f"partywall-{name}", "title": title, "description": about, "tags": ["partywall"],
                     "timezone": "browser", "schemaVersion": 39, "version": 1, "editable": True, "refresh": "30s",
                     "time": {"from": "now-1h", "to": "now"},
                     "links": [{"type": "dashboards", "tags": ["partywall"], "asDropdown": True, "title": "Partywall",
                                "includeVars": True, "keepTime": True}],
                     "templating": {"list": [{"name": "datasource", "label": "Data source", "type": "datasource",
                                              "query": "prometheus"}, *variables]}}

    def place(self, width, height):
        if self.x + width > 24:
            self.x, self.y, self.line = 0, self.y + self.line, 0
        found = {"x": self.x, "y": self.y, "w": width, "h": height}
        self.x, self.line = self.x + width, max(self.line, height)
        return found

    def row(self, title):
        self.x, self.y, self.line = 0, self.y + self.line, 0
        self.panels.append({"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                            "gridPos": self.place(24, 1)})
        self.x, self.y, self.line = 0, self.y + 1, 0

    def add(self, kind, title, about, unit, queries, width, height, defaults=None, options=None, instant=False):
        targets = [{"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend,
                    "instant": instant, "range": not instant} for number, (query, legend) in enumerate(queries)]
        self.panels.append({"id": len(self.panels) + 1, "type": kind, "title": title, "description": about,
                            "datasource": SOURCE, "gridPos": self.place(width, height), "targets": targets,
                            "fieldConfig": {"defaults": {"unit": unit, **(defaults or {})}, "overrides": []},
                            "options": options or {}})

    def graph(self, title, about, unit, *queries, width=12, stack=False, most=None):
        custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 20 if stack else 5, "showPoints": "never",
                  "stacking": {"mode": "normal" if stack else "none"}}
        defaults = {"custom": custom, "min": 0}
        if most is not None:
            defaults["max"] = most
        self.add("timeseries", title, about, unit, queries, width, 8, defaults,
                 {"legend": {"displayMode": "list", "placement": "bottom"},
                  "tooltip": {"mode": "multi", "sort": "desc"}})

    def number(self, title, about, unit, query, bad_from=None, bad_below=None, width=4):
        steps = [{"color": "green", "value": None}]
        if bad_from is not None:
            steps.append({"color": "red", "value": bad_from})
        if bad_below is not None:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": bad_below}]
        self.add("stat", title, about, unit, [(query, "")], width, 4,
                 {"thresholds": {"mode": "absolute", "steps": steps}},
                 {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}, instant=True)

    def text(self):
        return json.dumps({**self.head, "panels": self.panels}, indent=1, ensure_ascii=False) + "\n"


def choice(name, label, query, many=False):
    found = {"name": name, "label": label, "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1,
             "query": {"query": query, "refId": name}, "definition": query, "multi": many, "includeAll": many}
    if many:
        found.update(allValue=".*", current={"text": "All", "value": "$__all"})
    return found


def fleet():
    page = Page("fleet", "Partywall: fleet", "Whether every node enforces, who uses what, and who is refused what.",
                [choice("node", "Node", "label_values(partywall_build_info, instance)", many=True)])
    at = 'instance=~"$node"'
    page.number("Nodes that enforce", "Every program is attached.", "none",
                f"sum(min by (instance) (partywall_program_attached{{{at}}}))", bad_below=1)
    page.number("Nodes that do not", "A program is detached; enforcement is in doubt.", "none",
                f"sum(1 - min by (instance) (partywall_program_attached{{{at}}}))", bad_from=1)
    page.number("Policy refused", "Nodes on which the last good policy stays in force.", "none",
                f"sum(1 - partywall_policy_valid{{{at}}})", bad_from=1)
    page.number("Tenants", "Of the policy in force, where most are known.", "none",
                f"max(sum by (instance) (partywall_tenants{{{at}}}))")
    page.number("Repairs, 24 h", "Programs or pins that the agents had to put back.", "none",
                f"sum(increase(partywall_repairs_total{{{at}}}[24h])) or vector(0)", bad_from=1)
    page.number("Unclassified cgroups", "They belong to no tenant: all their traffic is denied.", "none",
                f'sum(partywall_cgroups{{{at}, state="unclassified"}})', bad_from=1)
    page.row("Use")
    page.graph("Traffic of the ten busiest tenants", "Wire bytes, both directions.", "Bps",
               (f"topk(10, sum by (tenant) (rate(partywall_traffic_bytes_total{{{at}, {PASSED}}}{RATE})))", "{{tenant}}"))
    page.graph("Traffic by what the peer is", "Same tenant, other tenant, world, infrastructure, loopback.", "Bps",
               (f"sum by (class) (rate(partywall_traffic_bytes_total{{{at}, {PASSED}}}{RATE}))", "{{class}}"), stack=True)
    page.graph("Share of the byte rate in use, the ten highest", "1 = all of it, on some node.", "percentunit",
               ("topk(10, max by (tenant, direction) (sum by (instance, tenant, direction) "
                f'(rate(partywall_traffic_bytes_total{{{at}, verdict="allow"}}{RATE})) / on (instance, tenant, direction) '
                f"partywall_limit_bytes_per_second{{{at}}}))", "{{tenant}} {{direction}}"))
    page.graph("Connections", "Opened and accepted per second.", "cps",
               (f"sum by (direction) (rate(partywall_connections_total{{{at}}}{RATE}))", "{{direction}}"))
    page.row("Refusals")
    page.graph("Packets denied, the ten most denied tenants", "Rules and limits.", "pps",
               (f'topk(10, sum by (tenant) (rate(partywall_traffic_packets_total{{{at}, verdict="deny"}}{RATE})))',
                "{{tenant}}"))
    page.graph("Packets denied, by reason", "partywall explain tells what a reason means.", "pps",
               (f'sum by (reason) (rate(partywall_traffic_packets_total{{{at}, verdict="deny"}}{RATE}))', "{{reason}}"),
               stack=True)
    page.graph("Calls denied", "connect, sendmsg and bind that were answered with EPERM.", "ops",
               (f"sum by (tenant) (rate(partywall_calls_denied_total{{{at}}}{RATE}))", "{{tenant}}"))
    page.graph("Would be denied", "What tenants in audit mode were let do.", "pps",
               (f'sum by (tenant, reason) (rate(partywall_traffic_packets_total{{{at}, verdict="would_deny"}}{RATE}))',
                "{{tenant}} {{reason}}"))
    page.row("Agents")
    page.graph("From a change of policy to enforcement", "99th percentile, over all nodes.", "s",
               (f"histogram_quantile(0.99, sum by (le) (rate(partywall_policy_apply_seconds_bucket{{{at}}}[1h])))", "p99"))
    page.graph("From a new workload to its tenant", "Until then its traffic is denied. Over all nodes.", "s",
               (f"histogram_quantile(0.99, sum by (le) (rate(partywall_cgroup_classified_seconds_bucket{{{at}}}[1h])))", "p99"),
               (f"histogram_quantile(0.5, sum by (le) (rate(partywall_cgroup_classified_seconds_bucket{{{at}}}[1h])))", "p50"))
    page.graph("Fullest maps", "What does not fit is denied.", "percentunit",
               (f"topk(5, max by (map) (partywall_map_entries{{{at}}} / on (instance, map) partywall_map_capacity{{{at}}}))",
                "{{map}}"), most=1)
    page.graph("Memory", "The agents and their maps, the node with the most.", "bytes",
               (f"max(process_resident_memory_bytes{{{at}}} * on (instance) partywall_build_info)", "agent"),
               (f"max(partywall_map_memory_bytes{{{at}}})", "maps"))
    page.graph("Versions", "Nodes per version of the agent.", "none",
               (f"count by (version) (partywall_build_info{{{at}}})", "{{version}}"), stack=True)
    page.graph("API server: silence, the ten longest", "The last state stays in force.", "s",
               (f"topk(10, partywall_kubernetes_last_contact_seconds{{{at}}})", "{{instance}}"))
    page.graph("API server: requests and bytes, all agents", "Lists and watches.", "none",
               (f"sum(rate(partywall_kubernetes_requests_total{{{at}}}{RATE}))", "requests per second"),
               (f"sum(rate(partywall_kubernetes_received_bytes_total{{{at}}}{RATE}))", "bytes per second"))
    page.graph("Events lost", "Denials are counted all the same.", "ops",
               (f'sum by (outcome) (rate(partywall_events_total{{{at}, outcome!="sent"}}{RATE}))', "{{outcome}}"),
               (f"sum(rate(partywall_event_lines_lost_total{{{at}}}{RATE})) or vector(0)", "not handed on"))
    return page


def tenant():
    page = Page("tenant", "Partywall: tenant", "What one tenant uses, is held to, and is refused.",
                [choice("tenant", "Tenant", "label_values(partywall_tenant_info, tenant)"),
                 choice("node", "Node", "label_values(partywall_tenant_info, instance)", many=True)])
    at = 'tenant="$tenant", instance=~"$node"'
    page.number("Nodes", "That have it in their policy.", "none", f"count(partywall_tenant_info{{{at}}})")
    page.number("In audit mode", "Nodes on which it is only watched.", "none",
                f'count(partywall_tenant_info{{{at}, mode="audit"}}) or vector(0)')
    page.number("Sends", "Wire bytes.", "Bps",
                f'sum(rate(partywall_traffic_bytes_total{{{at}, direction="egress", {PASSED}}}{RATE}))')
    page.number("Receives", "Wire bytes.", "Bps",
                f'sum(rate(partywall_traffic_bytes_total{{{at}, direction="ingress", {PASSED}}}{RATE}))')
    page.number("Denied", "Packets that rules refuse.", "pps",
                f'sum(rate(partywall_traffic_packets_total{{{at}, verdict="deny", reason!~"limit_.*"}}{RATE}))', bad_from=1)
    page.number("Held back", "Packets over its limits.", "pps",
                f'sum(rate(partywall_traffic_packets_total{{{at}, verdict="deny", reason=~"limit_.*"}}{RATE})) or vector(0)',
                bad_from=1)
    page.row("Use")
    for direction, word in (("egress", "Sent"), ("ingress", "Received")):
        page.graph(f"{word}, and the ceiling", "Wire bytes per node.", "Bps",
                   (f'sum by (instance) (rate(partywall_traffic_bytes_total{{{at}, direction="{direction}", '
                    f"{PASSED}}}{RATE}))", "{{instance}}"),
                   (f'max(partywall_limit_bytes_per_second{{{at}, direction="{direction}"}})', "ceiling of a node"))
        page.graph(f"{word}, by what the peer is", "Same tenant, other tenant, world, infrastructure, loopback.", "Bps",
                   (f'sum by (class) (rate(partywall_traffic_bytes_total{{{at}, direction="{direction}", '
                    f"{PASSED}}}{RATE}))", "{{class}}"), stack=True)
    page.graph("Packets", "Segments, counted one by one; and the ceiling of a node.", "pps",
               (f"sum by (direction) (rate(partywall_traffic_packets_total{{{at}, {PASSED}}}{RATE}))", "{{direction}}"),
               (f"max(partywall_limit_packets_per_second{{{at}}})", "ceiling of a node"))
    page.graph("Burst in use", "1 = the next packet waits its turn.", "percentunit",
               (f"max by (direction, unit) (partywall_limit_burst_used_ratio{{{at}}})", "{{direction}} {{unit}}"), most=1)
    page.graph("Connections", "Opened and accepted per second.", "cps",
               (f"sum by (direction) (rate(partywall_connections_total{{{at}}}{RATE}))", "{{direction}}"))
    page.graph("System calls, the ten made most", "By name.", "ops",
               (f"topk(10, sum by (syscall) (rate(partywall_syscalls_total{{{at}}}{RATE})))", "{{syscall}}"))
    page.row("Refusals")
    page.graph("Packets denied, by reason", "partywall explain tells what a reason means.", "pps",
               (f'sum by (direction, reason) (rate(partywall_traffic_packets_total{{{at}, verdict="deny"}}{RATE}))',
                "{{direction}} {{reason}}"), stack=True)
    page.graph("Calls denied", "connect, sendmsg and bind that were answered with EPERM.", "ops",
               (f"sum by (reason) (rate(partywall_calls_denied_total{{{at}}}{RATE}))", "{{reason}}"), stack=True)
    page.graph("Events", "Denials as events: sent, over the tenant's own budget, or lost.", "ops",
               (f"sum by (outcome) (rate(partywall_events_total{{{at}}}{RATE}))", "{{outcome}}"), stack=True)
    page.graph("Would be denied", "Nothing but in audit mode.", "pps",
               (f'sum by (reason) (rate(partywall_traffic_packets_total{{{at}, verdict="would_deny"}}{RATE})) or vector(0)',
                "{{reason}}"), stack=True)
    return page


def node():
    page = Page("node", "Partywall: node", "One node's agent, programs and maps, and who uses the node.",
                [choice("node", "Node", "label_values(partywall_build_info, instance)")])
    at = 'instance="$node"'
    page.number("Programs attached", "Of those that belong there.", "percentunit",
                f"avg(partywall_program_attached{{{at}}})", bad_below=1)
    page.number("Policy", "1: what is asked for is in force. 0: the last good one is.", "none",
                f"partywall_policy_valid{{{at}}}", bad_below=1)
    page.number("Generation", "Counts up with every policy that takes effect.", "none",
                f"partywall_policy_generation{{{at}}}")
    page.number("In force for", "Since this generation took effect.", "s",
                f"time() - partywall_policy_applied_timestamp_seconds{{{at}}}")
    page.number("Tenants", "Of the policy in force.", "none", f"sum(partywall_tenants{{{at}}})")
    page.number("Agent runs for", "Enforcement does not depend on it.", "s",
                f"time() - process_start_time_seconds{{{at}}}")
    page.row("Use")
    page.graph("Sent, the ten busiest tenants", "Wire bytes.", "Bps",
               (f'topk(10, sum by (tenant) (rate(partywall_traffic_bytes_total{{{at}, direction="egress", '
                f"{PASSED}}}{RATE})))", "{{tenant}}"))
    page.graph("Received, the ten busiest tenants", "Wire bytes.", "Bps",
               (f'topk(10, sum by (tenant) (rate(partywall_traffic_bytes_total{{{at}, direction="ingress", '
                f"{PASSED}}}{RATE})))", "{{tenant}}"))
    page.graph("Denied, by tenant and reason", "The ten most, packets.", "pps",
               (f'topk(10, sum by (tenant, reason) (rate(partywall_traffic_packets_total{{{at}, verdict="deny"}}{RATE})))',
                "{{tenant}} {{reason}}"))
    page.graph("Denied to cgroups that no tenant claims", "Packets, and frames of interfaces that nobody is bound to.", "pps",
               (f'sum by (reason) (rate(partywall_traffic_packets_total{{{at}, tenant="(unattributed)", verdict="deny"}}{RATE})) '
                "or vector(0)", "{{reason}}"))
    page.row("Workloads")
    page.graph("Cgroups", "Below the managed root.", "none", (f"partywall_cgroups{{{at}}}", "{{state}}"))
    page.graph("Interfaces at the edge", "Bound to a tenant, or unbound, which pass nothing.", "none",
               (f"partywall_edge_interfaces{{{at}}}", "{{state}}"))
    page.graph("From a new workload to its tenant", "Until then its traffic is denied.", "s",
               (f"histogram_quantile(0.99, rate(partywall_cgroup_classified_seconds_bucket{{{at}}}[1h]))", "cgroup, p99"),
               (f"histogram_quantile(0.99, rate(partywall_edge_attach_seconds_bucket{{{at}}}[1h]))", "interface, p99"))
    page.graph("At the edge", "Passed before the programs were attached; refused because nobody is bound.", "pps",
               (f"rate(partywall_edge_unjudged_packets_total{{{at}}}{RATE})", "unjudged"),
               (f"rate(partywall_edge_unbound_packets_total{{{at}}}{RATE})", "unbound"))
    page.row("Agent")
    page.graph("Fill of the maps", "What does not fit is denied.", "percentunit",
               (f"partywall_map_entries{{{at}}} / on (map) partywall_map_capacity{{{at}}}", "{{map}}"), most=1)
    page.graph("Processor", "Cores of the agent; the programs run in the tenants' own time.", "none",
               (f"rate(process_cpu_seconds_total{{{at}}}{RATE})", "agent"))
    page.graph("Memory", "The agent, and the maps in the kernel.", "bytes",
               (f"process_resident_memory_bytes{{{at}}}", "agent"), (f"partywall_map_memory_bytes{{{at}}}", "maps"))
    page.graph("Losses and repairs", "What the programs had no room for, and what the agent put back.", "ops",
               (f"rate(partywall_losses_total{{{at}}}{RATE})", "{{kind}}"),
               (f"sum(rate(partywall_repairs_total{{{at}}}{RATE})) or vector(0)", "repairs"))
    page.graph("Readings of the policy", "By what came of them.", "ops",
               (f"rate(partywall_policy_reads_total{{{at}}}{RATE})", "{{result}}"))
    page.row("API server")
    page.graph("Last heard of", "Of the kind of objects that is silent longest. The last state stays in force.", "s",
               (f"partywall_kubernetes_last_contact_seconds{{{at}}}", "silence"), width=8)
    page.graph("Requests and failures", "Lists and watches; those that failed or were cut.", "ops",
               (f"rate(partywall_kubernetes_requests_total{{{at}}}{RATE})", "requests"),
               (f"rate(partywall_kubernetes_errors_total{{{at}}}{RATE})", "failures"), width=8)
    page.graph("Received", "Bytes of lists and watches.", "Bps",
               (f"rate(partywall_kubernetes_received_bytes_total{{{at}}}{RATE})", "bytes"), width=8)
    page.row("Programs")
    page.graph("Programs", "1 = attached, asked of the kernel.", "none",
               (f"partywall_program_attached{{{at}}}", "{{program}}"), most=1)
    return page


def files():
    """{file name: text}"""
    return {f"{page.name}.json": page.text() for page in (fleet(), tenant(), node())}


if __name__ == "__main__":
    for file_name, content in files().items():
        pathlib.Path(sys.argv[1], file_name).write_text(content)

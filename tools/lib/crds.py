# tools/lib/crds.py: writes the chart's custom resource definitions: what agent/policy's parser accepts, as schema and CEL, in
# the parser's words. Usage: crds.py FOLDER. A test holds helm/partywall/files/crds against what this writes.
#
# Every list and text has a bound: the API server refuses rules whose estimated cost has none. It takes values that may be a
# number or a text for 3 MB long, whatever their maxLength; so in lists those are held to a pattern, which costs nothing.
import json
import pathlib
import sys

GROUP = "partywall.dev"
NAME = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
RULES, PEERS, EXCEPTS, PORTS, MEMBERS, ADDRESSES = 64, 64, 16, 64, 32, 64


def check(rule, message, field=None, computed=False):
    """A CEL rule; `message` is an expression that makes the text when it is `computed`."""
    found = {"rule": rule, "messageExpression" if computed else "message": message}
    if field:
        found["fieldPath"] = field
    return found


def a_map(description, properties, required=(), checks=(), **more):
    schema = {"type": "object", "description": description, "properties": properties, **more}
    if required:
        schema["required"] = list(required)
    if checks:
        schema["x-kubernetes-validations"] = list(checks)
    return schema


def a_list(description, items, most, **more):
    return {"type": "array", "description": description, "maxItems": most, "items": items,
            "x-kubernetes-list-type": "atomic", **more}


def text(description, most, **more):
    return {"type": "string", "description": description, "maxLength": most, **more}


def name(description):
    return text(description, 63, pattern=NAME)


def number_or_text(description, checks=(), **more):
    schema = {"description": description, "x-kubernetes-int-or-string": True,
              "anyOf": [{"type": "integer"}, {"type": "string"}], **more}
    if checks:
        schema["x-kubernetes-validations"] = list(checks)
    return schema


# --- numbers with units, as agent/policy/quantity.cc reads them

DIGITS = "([0-9]{1,15}|" + "|".join(f"[0-9]{{{n}}}[.][0-9]{{1,{15 - n}}}" for n in range(1, 15)) + ")"
UNITS = {"bit": 0.125, "kbit": 125.0, "Kbit": 125.0, "Mbit": 125e3, "Gbit": 125e6}
DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
RATE = {**UNITS, **DECIMAL, **BINARY}
SIZE = {**DECIMAL, **BINARY}


def amount(units, of="self"):
    """The number that a value stands for."""
    table = ", ".join(f"'{unit}': {factor!r}" for unit, factor in units.items())
    value = f"double({of}.find('^[0-9.]+'))"
    return (f"(type({of}) == int ? double({of}) : {value} * "
            f"{{{table}}}[{of}.replace('/s', '').find('[a-zA-Z]+$')])")


def pattern_of(units, per_second):
    names = "|".join(unit for unit in units if unit)
    return f"^{DIGITS}({names})?" + ("(/s)?$" if per_second else "$")


def is_amount(units, per_second, of="self"):
    return f"(type({of}) == int ? {of} >= 0 : {of}.matches('{pattern_of(units, per_second)}'))"


def quantity(description, units, least, most, syntax, span, per_second=True):
    """A number within a range. Both refusals are said as the parser does."""
    reads = is_amount(units, per_second)
    return number_or_text(description, [
        check(reads, f"'\"' + string(self) + '\" {syntax}'", computed=True),
        check(f"!{reads} || ({amount(units)} >= {float(least)!r} && {amount(units)} < {float(most + 1)!r})",
              f"string(self) + ' is out of range: write {span}'", computed=True)], maxLength=22)


def byte_rate(description):
    return quantity(description, RATE, 1000, 50_000_000_000,
                    "is no rate: write 10Mbit, 1.5Gbit or 200k (bytes a second)",
                    "a rate from 8Kbit to 400Gbit")


def burst():
    reads = is_amount(SIZE, per_second=False)
    return number_or_text(
        "Bytes that may run ahead of the ceiling: 1514 to what it earns in 60 s, like 64000 or 256Ki. By default 20 ms of "
        "the ceiling, and at least 16 KiB.",
        [check(reads, "'\"' + string(self) + '\" is no size: write 64000, 200M or 256Ki (bytes)'", computed=True),
         check(f"!{reads} || {amount(SIZE)} >= 1514.0",
               "string(self) + ' is less than one packet: the least is 1514 bytes'", computed=True)],
        maxLength=22)


def direction(what):
    return a_map(
        f"What the tenant {what}, in wire bytes from the network header up. A tenant's own replaces its tier's as a whole.",
        {"ceiling": byte_rate("Bytes per second, never exceeded: bits like 10Mbit or 1.5Gbit, or bytes like 200k, 25M or "
                              "16Mi; from 8Kbit to 400Gbit."),
         "burst": burst()},
        ["ceiling"],
        [check(f"!has(self.burst) || !{is_amount(SIZE, False, 'self.burst')} || !{is_amount(RATE, True, 'self.ceiling')} || "
               f"{amount(SIZE, 'self.burst')} < {amount(RATE, 'self.ceiling')} * 60.0 + 1.0",
               "takes longer than 60s to earn back: write less, or a higher ceiling", ".burst")])


def limits():
    return a_map(
        "What the tenant as a whole is held to on each node. Absent: no limit, or the tier's.",
        {"egress": direction("sends"), "ingress": direction("receives"),
         "packetsPerSecond": quantity(
             "Packets per second, in each direction by itself: 50000, 200k or 1.5M; from 1 to 1G.", DECIMAL, 1, 10**9,
             "is no packet rate: write 50000, 200k or 1.5M", "1 to 1G packets a second"),
         "connections": a_map(
             "Limits on flows.",
             {"concurrent": quantity(
                 "Flows of its workloads that the edge of a node remembers at the same time, 16 to 1048576; 4096 when nothing "
                 "is written. A new one beyond them is denied.", DECIMAL, 16, 1_048_576,
                 "is no number of flows: write 4096 or 50k", "16 to 1048576 flows", per_second=False)},
             ["concurrent"])})


# --- addresses, as agent/policy/prefix.cc reads them

def is_range(of):
    """An address or a range with no bit set beyond its length. IPv4 in IPv6 is none of both for the API server."""
    return f"isCIDR({of}) ? cidr({of}).masked() == cidr({of}) : isIP({of})"


def is_inside(inner, outer):
    """Whether a range or address lies inside of another; true for what is no range, which another rule tells."""
    return (f"(isCIDR({outer}) ? (isCIDR({inner}) ? cidr({outer}).containsCIDR({inner}) : "
            f"!isIP({inner}) || cidr({outer}).containsIP({inner})) : "
            f"{inner} == {outer} || {inner} in [{outer} + '/32', {outer} + '/128'])")


RANGE_WORDS = ("is no address range, or has bits set beyond its length: write 10.1.0.0/24 or fd00:1::/64, and IPv4 "
               "addresses as such")


def cidr_range(description, checks=()):
    return text(description, 43, **{"x-kubernetes-validations": [check(is_range("self"), RANGE_WORDS), *checks]})


NOBODYS = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "fe80::/10", "ff00::/8"]


def not_nobodys():
    apart = [f"!cidr('{one}').containsCIDR(self)" for one in NOBODYS]
    apart += [f"!cidr(self).containsCIDR('{one}')" for one in NOBODYS]
    alone = [f"!cidr('{one}').containsIP(self)" for one in NOBODYS]
    return check(f"isCIDR(self) ? {' && '.join(apart)} : !isIP(self) || ({' && '.join(alone)})",
                 f"overlaps {', '.join(NOBODYS)}, which no tenant can own: write ranges outside of them")


# --- rules, as agent/policy/rules_schema.cc reads them

PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"


def port(description, span):
    pattern = f"^{PORT}(-{PORT})?$" if span else f"^{PORT}$"
    return number_or_text(description, minimum=1, maximum=65535, pattern=pattern, maxLength=11)


def ports():
    item = a_map(
        "A protocol and its ports.",
        {"protocol": text("TCP, UDP, ICMP (both families) or TUNNEL (IP in IP, GRE, ESP, VXLAN, Geneve).", 6,
                          enum=["TCP", "UDP", "ICMP", "TUNNEL"], default="TCP"),
         "port": port("A port, or a range like 1000-2000. Absent: every port. Not with ICMP or TUNNEL.", span=True),
         "endPort": port("The last port of the range that port begins.", span=False)},
        checks=[
            check("!has(self.port) || !has(self.protocol) || self.protocol in ['TCP', 'UDP']",
                  "ICMP and TUNNEL have no ports: remove it", ".port"),
            check("!has(self.endPort) || has(self.port)", "needs port, the first of the range", ".endPort"),
            check("!has(self.endPort) || !has(self.port) || int(self.port) <= int(self.endPort)",
                  "is no range: write the lower port first, and one of endPort and a range as port", ".port"),
            check("!has(self.port) || self.protocol != 'UDP' || (has(self.endPort) && "
                  "string(self.endPort) != string(self.port)) || !(string(self.port) in ['4789', '6081', '8472'])",
                  "tunnels end at this UDP port, which only {protocol: TUNNEL} allows: write that", ".port")])
    return a_list("Protocols and ports. Absent: TCP, UDP and ICMP on every port, but no tunnels. An empty list is none.",
                  item, PORTS)


def peers(description):
    item = a_map(
        "A tenant by name, or a range of addresses of the world.",
        {"tenant": name("Another tenant, or one of the built-in ones: unassigned, infrastructure."),
         "cidr": cidr_range("Addresses of the world, like 10.1.0.0/24 or fd00:1::/64; never another tenant's."),
         "except": a_list("Parts of cidr that are left out.", cidr_range("A range inside of cidr."), EXCEPTS)},
        checks=[
            check("has(self.tenant) != has(self.cidr)",
                  "names no peer: write either {tenant: NAME} or {cidr: RANGE, except: [RANGE]}"),
            check("!has(self.except) || !has(self.tenant)", "belongs to a cidr: a tenant has no exceptions", ".except"),
            check(f"!has(self.except) || !has(self.cidr) || self.except.all(e, {is_inside('e', 'self.cidr')})",
                  "is not inside the cidr: write a part of it", ".except")])
    return a_list(description, item, PEERS)


def rules(peer, description):
    what = "To whom. An empty list is nobody." if peer == "to" else "From whom. An empty list is nobody."
    item = a_map("Allows each of the peers each of the ports.", {peer: peers(what), "ports": ports()}, [peer])
    return a_list(description, item, RULES)


def not_itself(way, peer):
    return check(f"!has(self.spec.network) || !has(self.spec.network.{way}) || self.spec.network.{way}.all(r, "
                 f"r.{peer}.all(p, !has(p.tenant) || p.tenant != self.metadata.name))",
                 "names its own tenant, inside which everything is allowed: remove it", f".spec.network.{way}")


# --- members, as agent/policy/parse.cc and cgroup_pattern.cc read them

def cgroup():
    return text(
        "A cgroup from the cgroup2 root, like /tenants.slice/acme.slice, with its whole subtree. * stands for any characters "
        "of one segment, ** for any number of segments.", 511, **{"x-kubernetes-validations": [
            check("self.startsWith('/')", "is no cgroup path: write it from the cgroup2 root, like /tenants.slice/acme.slice"),
            check("!self.startsWith('/') || !self.substring(1).split('/').exists(s, s == '')",
                  "has an empty segment: write one / between names, none at the end"),
            check("!self.split('/').exists(s, s == '.' || s == '..')",
                  "has the segment . or ..: write the path without it"),
            check("!self.matches('[^/][*][*]|[*][*][^/]')",
                  "has ** inside of a segment: write ** as a segment of its own, or *"),
            check("bytes(self).size() <= 511 && !self.matches('[^/]{256}')",
                  "is too long: the most is 511 bytes, and 255 in a segment"),
            check("self.split('/').size() <= 33", "has more than 32 segments"),
            check(r"!self.matches('[\\x00-\\x1f\\x7f]')", "holds a control character: write it without")]})


def interface():
    return text("Host ends of its workloads' interfaces, like veth-acme or pw-acme-*.", 15, **{"x-kubernetes-validations": [
        check("self.matches('^[!-.0-9;-~]+$')",
              "'\"' + self + '\" is no interface: write the name of a host interface like veth-acme or pw-acme-*'",
              computed=True),
        check("!self.matches('^[*]+$')", "would be every interface of the host: write how its name begins")]})


def match_labels(description):
    return {"type": "object", "description": description, "minProperties": 1, "maxProperties": 64,
            "additionalProperties": {"type": "string", "maxLength": 63,
                                     "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"},
            "x-kubernetes-validations": [check(
                "self.all(k, k.size() <= 317 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
                "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
                "holds a key that is no label: write one like tenant or example.com/tenant")]}


def members():
    item = a_map(
        "Pods by namespace, or any cgroup or interface of a node.",
        {"namespaces": a_map(
            "Namespaces by name, by labels, or by both, which must both hold then.",
            {"names": a_list("Names of namespaces.", name("The name of a namespace."), 64, minItems=1),
             "matchLabels": match_labels("Labels that a namespace must have, all of them.")},
            checks=[check("has(self.names) || has(self.matchLabels)",
                          "names no namespace: write names, matchLabels, or both")]),
         "pods": a_map("Which pods of these namespaces. Absent: all of them.",
                       {"matchLabels": match_labels("Labels that a pod must have, all of them.")}, ["matchLabels"]),
         "cgroup": cgroup(), "interface": interface(),
         "addresses": a_list(
             "What a cgroup or an interface may use as source, and how others know it. Absent: any that no tenant owns. "
             "Alone: of workloads on other machines. Pods have their own.",
             cidr_range("An address or a range, like 10.1.0.0/24.", [not_nobodys()]), ADDRESSES, minItems=1)},
        checks=[
            check("has(self.cgroup) || has(self.interface) || has(self.addresses) || has(self.namespaces) || has(self.pods)",
                  "is missing: write a cgroup like /tenants.slice/acme.slice, an interface or namespaces", ".cgroup"),
            check("!has(self.pods) || has(self.namespaces)",
                  "is missing: write namespaces like {matchLabels: {tenant: acme}}", ".namespaces"),
            *[check(f"!has(self.{other}) || !(has(self.namespaces) || has(self.pods))",
                    "does not go with namespaces, whose pods have their own: make it another member", f".{other}")
              for other in ("cgroup", "interface", "addresses")]])
    return a_list("Who belongs to the tenant. No two members may claim the same pod, cgroup or interface.", item, MEMBERS)


# --- status

def conditions(types, description):
    item = a_map("One aspect of the object's state.", {
        "type": text(f"One of {', '.join(types)}.", 32, enum=types),
        "status": text("True, False or Unknown.", 7, enum=["True", "False", "Unknown"]),
        "reason": text("Why, as one word.", 128, pattern="^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$"),
        "message": text("Why, as a sentence.", 4096),
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0,
                               "description": "The metadata.generation that this is about."},
        "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status last changed."},
    }, ["type", "status", "reason", "lastTransitionTime"])
    return {"type": "array", "description": description, "maxItems": 8, "items": item,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}


def count(description, most=2**31 - 1):
    return {"type": "integer", "format": "int64", "minimum": 0, "maximum": most, "description": description}


def generation(description):
    return {"type": "integer", "format": "int64", "minimum": 0, "description": description}


TENANT_STATUS = a_map("What the agents made of it; written by them only.", {
    "observedGeneration": generation("The metadata.generation that the status is about."),
    "summary": text("Nodes that realise it, of all that hold some of it: 2/3.", 32),
    "nodesTotal": count("Nodes that hold some of the tenant."),
    "nodesRealised": count("Those of them that enforce this generation."),
    "pods": count("Pods of the tenant on all nodes."),
    "lagging": a_list("Nodes that do not enforce this generation; at most 20 of them.", a_map("A node.", {
        "node": text("Its name.", 253), "reason": text("Why, as one word.", 128),
        "message": text("Why, as a sentence.", 1024)}, ["node"]), 20),
    "conditions": conditions(["Accepted", "Realised", "Degraded", "Conflict"],
                             "Accepted: the agents understand it. Realised: every node enforces it. Degraded: some node cannot "
                             "do all of it. Conflict: another tenant claims some of its namespaces.")})
TIER_STATUS = a_map("What the agents made of it; written by them only.", {
    "observedGeneration": generation("The metadata.generation that the status is about."),
    "tenants": count("Tenants that name it."),
    "conditions": conditions(["Accepted"], "Accepted: the agents understand it.")})


# --- the three kinds

def column(title, path, description, kind="string", priority=0):
    found = {"name": title, "type": kind, "jsonPath": path, "description": description}
    if priority:
        found["priority"] = priority
    return found


AGE = column("Age", ".metadata.creationTimestamp", "Since when there is one.", "date")


def root(kind, description, properties, required=(), checks=(), longest=63):
    metadata = {"type": "object", "properties": {"name": {"type": "string", "maxLength": longest, **(
        {"pattern": NAME} if longest == 63 else {})}}}
    return a_map(description, {
        "apiVersion": {"type": "string", "description": f"{GROUP}/v1alpha1"},
        "kind": {"type": "string", "description": kind}, "metadata": metadata, **properties}, required, checks)


def definition(kind, plural, short, schema, columns, status):
    version = {"name": "v1alpha1", "served": True, "storage": True, "additionalPrinterColumns": columns,
               "schema": {"openAPIV3Schema": schema}}
    if status:
        version["subresources"] = {"status": {}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            # Deleting a definition would delete every object of its kind.
            "metadata": {"name": f"{plural}.{GROUP}", "labels": {"app.kubernetes.io/name": "partywall"},
                         "annotations": {"helm.sh/resource-policy": "keep"}},
            "spec": {"group": GROUP, "scope": "Cluster",
                     "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower(),
                               "shortNames": [short], "categories": ["partywall"]},
                     "versions": [version]}}


def default_for_world(description, default):
    return text(description, 5, enum=["allow", "deny"], default=default)


def tier():
    spec = a_map("Limits, and what holds for the world where a tenant has no rules of its own.", {
        "limits": limits(),
        "network": a_map("Defaults of the network.", {"world": a_map(
            "For tenants of this tier that have no list of rules of their own in that direction.", {
                "egress": default_for_world("May they open flows to the world.", "allow"),
                "ingress": default_for_world("May the world open flows to them.", "deny")})})})
    return definition("Tier", "tiers", "ptier", root(
        "Tier", "A plan that tenants name.", {"spec": spec, "status": TIER_STATUS}), [
            column("Egress", ".spec.limits.egress.ceiling", "What a tenant may send."),
            column("Ingress", ".spec.limits.ingress.ceiling", "What a tenant may receive."),
            column("Tenants", ".status.tenants", "Tenants that name it.", "integer"), AGE], True)


def tenant():
    spec = a_map("Who it is, what it is held to, and with whom it talks.", {
        "tier": name("The Tier whose limits and defaults hold."),
        "mode": text("enforce; or audit: decide, count and report, but let pass. Rules and limits alike.", 7,
                     enum=["enforce", "audit"], default="enforce"),
        "members": members(), "limits": limits(),
        "network": a_map("With whom it talks. Absent: no other tenant, and the world as the tier says.", {
            "egress": rules("to", "To whom it may open flows. A list replaces the tier's default for the world; an empty one "
                                  "is nobody."),
            "ingress": rules("from", "Who may open flows to it. A list replaces the tier's default for the world; an empty "
                                     "one is nobody.")})}, ["tier"])
    return definition("Tenant", "tenants", "pten", root(
        "Tenant", "The unit of isolation, limits and accounting.", {"spec": spec, "status": TENANT_STATUS}, ["spec"],
        [check("!(self.metadata.name in ['unassigned', 'infrastructure'])",
               "is the name of a built-in tenant: write another one", ".metadata.name"),
         not_itself("egress", "to"), not_itself("ingress", "from")]), [
            column("Tier", ".spec.tier", "Its plan."),
            column("Mode", ".spec.mode", "enforce or audit."),
            column("Nodes", ".status.summary", "Nodes that enforce it, of those that hold some of it."),
            column("Pods", ".status.pods", "Its pods on all nodes.", "integer"),
            column("Ready", ".status.conditions[?(@.type=='Realised')].status", "Every node enforces it."),
            column("Why", ".status.conditions[?(@.type=='Realised')].reason", "Why, as one word.", priority=1), AGE], True)


def tenant_node():
    address = text("An address as the kernel writes it.", 45, **{"x-kubernetes-validations": [
        check("isIP(self) && ip.isCanonical(self)", "is no address in its usual form")]})
    host_port = a_map("A port of the node that leads to a pod.", {
        "protocol": text("TCP, UDP or SCTP.", 4, enum=["TCP", "UDP", "SCTP"]),
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "Its number."}}, ["protocol", "port"])
    return definition("TenantNode", "tenantnodes", "ptn", root(
        "TenantNode", "What one node holds of one tenant; written by that node's agent only. Named TENANT.NODE.", {
            "tenant": name("The tenant."),
            "node": text("The node.", 253),
            "addresses": a_list("Addresses of its pods there, sorted.", address, 1024),
            "hostPorts": a_list("Ports of the node that lead to its pods.", host_port, 1024),
            "pods": count("Its pods there.", 100_000),
            "observedGeneration": generation("The Tenant's metadata.generation in force there."),
            "nodeAddresses": a_list("infrastructure only: the node's own addresses.", address, 64),
            "podCIDRs": a_list("infrastructure only: the node's pod ranges.", cidr_range("A range."), 16),
            "conditions": conditions(["Realised", "Degraded"],
                                     "Realised: this generation is enforced there. Degraded: not all of it can be.")},
        ["tenant", "node"],
        [check("self.metadata.name == self.tenant + '.' + self.node", "is not TENANT.NODE", ".metadata.name"),
         check("self.tenant == oldSelf.tenant && self.node == oldSelf.node", "tenant and node never change"),
         check("self.tenant == 'infrastructure' || (!has(self.nodeAddresses) && !has(self.podCIDRs))",
               "nodeAddresses and podCIDRs belong to the tenant infrastructure")], 253), [
            column("Tenant", ".tenant", "The tenant."), column("Node", ".node", "The node."),
            column("Pods", ".pods", "Its pods there.", "integer"),
            column("Observed", ".observedGeneration", "The generation in force there.", "integer"),
            column("Ready", ".conditions[?(@.type=='Realised')].status", "That generation is enforced."), AGE], False)


# --- YAML: of maps, lists and texts, with texts as JSON writes them

def write(value, indent=0):
    pad = "  " * indent
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{pad}{key}:", *write(item, indent + 1)]
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            lines.append(f"{pad}{key}:")
            for one in item:
                first, *rest = write(one, indent + 2)
                lines += [f"{pad}  - {first.strip()}", *rest]
        else:
            lines.append(f"{pad}{key}: {json.dumps(item, ensure_ascii=False)}")
    return lines


def files():
    """{file name: text}"""
    return {f"{one['spec']['names']['plural']}.yaml":
            f"# helm/partywall/files/crds/{one['spec']['names']['plural']}.yaml: the kind {one['spec']['names']['kind']}. "
            "Written by tools/lib/crds.py.\n" + "\n".join(write(one)) + "\n"
            for one in (tier(), tenant(), tenant_node())}


if __name__ == "__main__":
    for file_name, content in files().items():
        pathlib.Path(sys.argv[1], file_name).write_text(content)

# tests/cluster/cells.py: the matrix as data: who tries to reach whom on which way, and what must come out of it once
# Partywall is in force. Before and after, all of it is open: that is the control.
import dataclasses

import world

OPEN, CLOSED = "open", "closed"
# Whom acme means by each of them, and whether it may: by its namespace, and the port that is tried.
RELATIONS = {
    "same tenant": ("acme", world.PORT, OPEN),
    "other tenant": ("umbrella", world.PORT, CLOSED),
    "allowed by rule": ("partner", world.PORT, OPEN),
    "unassigned": ("loose", world.PORT, CLOSED),
    "infrastructure, offered": ("kube-system", world.DNS, OPEN),
    "infrastructure, other port": ("kube-system", world.PORT, CLOSED),
}
# Others that try acme, and among themselves.
OTHERS = [
    ("umbrella-1", "acme", CLOSED), ("partner-1", "acme", CLOSED), ("loose-1", "acme", CLOSED),
    ("kube-system-1", "acme", CLOSED), ("loose-1", "loose", OPEN), ("kube-system-1", "loose", OPEN),
    ("loose-1", "kube-system", OPEN), ("umbrella-1", "umbrella", OPEN), ("umbrella-1", "partner", CLOSED),
]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One attempt of `source` (a prober's name) on `way`. `orders` are for the source; where they send only, `seen` is
    the prober that must (not) have got the text."""
    relation: str
    way: str
    family: int
    source: str
    order: str
    expected: str
    seen: str = ""


# Tenants that do not let the world in.
GUARDED = ("acme", "umbrella", "partner")


@dataclasses.dataclass(frozen=True)
class Way:
    """How a namespace's servers are reached from node 1. `anonymous`: another node's Service rules have put that node's
    own address in the place of the sender's, so that the receiver sees the world, whoever it was."""
    name: str
    address: str
    port: int
    anonymous: bool = False

    def outcome(self, namespace, expected):
        return CLOSED if self.anonymous and namespace in GUARDED else expected


def ways(addresses, namespace, port, family):
    """From node 1, but from a pod's own address."""
    pod = {number: addresses.pods[f"{namespace}-{number}"][family] for number in world.PLACES}
    near, far = (addresses.services[f"{namespace}/{name}"][family] for name in ("near", "far"))
    service_port = 80 if port == world.PORT else port
    yield Way("pod, same node", pod[3], port)
    yield Way("pod, other node", pod[2], port)
    yield Way("ClusterIP", near, service_port)
    yield Way("ClusterIP, pod on other node", far, service_port)
    if port != world.PORT:
        return
    here, there = world.NODES[1][family], world.NODES[2][family]
    near, far = (world.NODE_PORTS[f"{namespace}/{name}"] for name in ("near", "far"))
    # Node 1 rewrites the sender's address here as well, but what it marked at the sender's interface stays.
    yield Way("NodePort here", here, near)
    yield Way("NodePort here, pod on other node", here, far, anonymous=True)
    yield Way("NodePort there", there, far, anonymous=True)


def connections(addresses, family):
    for relation, (namespace, port, expected) in RELATIONS.items():
        for way in ways(addresses, namespace, port, family):
            outcome = way.outcome(namespace, expected)
            yield Cell(relation, way.name, family, "acme-1", f"tcp {way.address} {way.port}", outcome)
            if way.name.startswith("pod"):
                yield Cell(relation, way.name + ", UDP", family, "acme-1", f"udp {way.address} {way.port}", outcome)
            if not way.name.startswith("NodePort"):
                # Its address is the node's: on another node it is anybody.
                host = dataclasses.replace(way, anonymous="other node" in way.name)
                yield Cell(relation, way.name + ", from a host-network pod", family, "acme-host",
                           f"tcp {way.address} {way.port}", host.outcome(namespace, expected))
    address = world.WORLD[family]
    for source in ("acme-1", "acme-host"):
        yield Cell("world", "direct, from " + source, family, source, f"tcp {address} {world.PORT}", OPEN)
    mirror = addresses.services["acme/mirror"][family]
    yield Cell("itself", "ClusterIP (hairpin)", family, "acme-1", f"tcp {mirror} 80", OPEN)
    yield Cell("itself", "NodePort (hairpin)", family, "acme-1",
               f"tcp {world.NODES[1][family]} {world.MIRROR_PORT}", OPEN)


def services(addresses, family):
    """Services that are not what they seem, or that are reached by other addresses."""
    def cell(relation, way, address, port, expected):
        return Cell(relation, way, family, "acme-1", f"tcp {address} {port}", expected)

    for relation, name, expected in (("same tenant", "acme", OPEN), ("other tenant", "umbrella", CLOSED)):
        yield cell(relation, "Service's external address", world.EXTERNAL[name][family], 80, expected)
        # With this policy, nobody rewrites the sender's address.
        for node, where in ((1, "here"), (2, "there")):
            yield cell(relation, f"NodePort {where}, externalTrafficPolicy Local", world.NODES[node][family],
                       world.LOCAL_PORTS[name], expected)
    # Its own Service leads to the other tenant's pods; and the other's leads to its own, past the other's tenancy.
    for relation, name in (("other tenant", "acme"), ("same tenant", "umbrella")):
        whose = "own" if name == "acme" else "other tenant's"
        address = addresses.services[f"{name}/borrowed"][family]
        yield cell(relation, f"ClusterIP, {whose} Service, EndpointSlice by hand", address, 80, CLOSED)
        for node, where in ((1, "here"), (2, "there")):
            yield cell(relation, f"NodePort {where}, {whose} Service, EndpointSlice by hand",
                       world.NODES[node][family], world.BORROWED_PORTS[name], CLOSED)


def others(addresses, family):
    for source, namespace, expected in OTHERS:
        for way in ways(addresses, namespace, world.PORT, family):
            yield Cell(f"{source[:-2]} to {namespace}", way.name, family, source, f"tcp {way.address} {way.port}",
                       way.outcome(namespace, expected))
    for namespace, expected in (("acme", CLOSED), ("loose", OPEN)):
        for way in ways(addresses, namespace, world.PORT, family):
            yield Cell(f"world to {namespace}", way.name, family, "world", f"tcp {way.address} {way.port}", expected)


def crafted(addresses, family):
    """Datagrams past the sockets: as what the pod is, and as what it is not."""
    own = addresses.pods["acme-1"][family]
    for relation, (namespace, _, expected) in RELATIONS.items():
        if relation == "infrastructure, offered":
            continue
        for number, other in ((3, 2), (2, 3)):
            target, where = f"{namespace}-{number}", "same" if number == 3 else "other"
            # Another pod of the receiver's own tenant, which it would believe.
            lie = addresses.pods[f"{namespace}-{other}"][family]
            for kind in ("raw", "frame"):
                # Within a tenant, who is who is no question of this wall.
                spoofed = OPEN if namespace == "acme" else CLOSED
                for source, told, outcome in ((own, "own address", expected), (lie, "spoofed", spoofed)):
                    text = f"{kind}.{family}.{target}.{told.split()[0]}"
                    yield Cell(relation, f"{kind} packet, {told}, {where} node", family,
                               "acme-1", f"{kind} {source} {addresses.pods[target][family]} {world.PORT} {text}",
                               outcome, target)


def all_cells(addresses):
    return [cell for family in (4, 6) for part in (connections, services, others, crafted)
            for cell in part(addresses, family)]

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


def ways(addresses, namespace, port, family):
    """Way -> (address, port) to a namespace's servers, as a pod on node 1 sees it."""
    service_port = 80 if port == world.PORT else port
    found = {
        "pod, same node": (addresses.pods[f"{namespace}-1"][family], port),
        "pod, other node": (addresses.pods[f"{namespace}-2"][family], port),
        "ClusterIP": (addresses.services[f"{namespace}/probe"][family], service_port)}
    if port == world.PORT:
        found["NodePort here"] = (world.NODES[1][family], world.NODE_PORTS[namespace])
        found["NodePort there"] = (world.NODES[2][family], world.NODE_PORTS[namespace])
    return found


def connections(addresses, family):
    for relation, (namespace, port, expected) in RELATIONS.items():
        for way, (address, number) in ways(addresses, namespace, port, family).items():
            # To oneself is no other pod: the second one of the same tenant on this node is the host's.
            if namespace == "acme" and way == "pod, same node":
                continue
            yield Cell(relation, way, family, "acme-1", f"tcp {address} {number}", expected)
            if way.startswith("pod"):
                yield Cell(relation, way + ", UDP", family, "acme-1", f"udp {address} {number}", expected)
            if not way.startswith("NodePort"):
                yield Cell(relation, way + ", from a host-network pod", family, "acme-host",
                           f"tcp {address} {number}", expected)
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
        for way, (address, number) in ways(addresses, namespace, world.PORT, family).items():
            if source == f"{namespace}-1" and way == "pod, same node":
                continue
            yield Cell(f"{source[:-2]} to {namespace}", way, family, source, f"tcp {address} {number}", expected)
    for namespace, expected in (("acme", CLOSED), ("loose", OPEN)):
        for way, (address, number) in ways(addresses, namespace, world.PORT, family).items():
            yield Cell(f"world to {namespace}", way, family, "world", f"tcp {address} {number}", expected)


def crafted(addresses, family):
    """Datagrams past the sockets: as what the pod is, and as what it is not."""
    own = addresses.pods["acme-1"][family]
    for relation, (namespace, _, expected) in RELATIONS.items():
        for node in world.NODES:
            target = f"{namespace}-{node}"
            # Another pod of the receiver's own tenant, which it would believe.
            lie = addresses.pods[f"{namespace}-{3 - node}"][family]
            if target == "acme-1" or relation == "infrastructure, offered":
                continue
            for kind in ("raw", "frame"):
                for source, told, outcome in ((own, "own address", expected), (lie, "spoofed", CLOSED)):
                    if source == own and told == "spoofed":
                        continue
                    text = f"{kind}.{family}.{target}.{told.split()[0]}"
                    yield Cell(relation, f"{kind} packet, {told}, {'same' if node == 1 else 'other'} node", family,
                               "acme-1", f"{kind} {source} {addresses.pods[target][family]} {world.PORT} {text}",
                               outcome, target)


def all_cells(addresses):
    return [cell for family in (4, 6) for part in (connections, services, others, crafted)
            for cell in part(addresses, family)]

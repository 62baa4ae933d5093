# tests/cluster/world.py: who lives in the cluster: tenants, those whom no tenant claims, infrastructure, the world
# outside; pods of each on both nodes, and their Services.
import re
import subprocess

import cluster

# Of NodePorts the lowest 86 are those that the API server does not give away by itself.
PORT, DNS, NODE_PORT = 8080, 53, 30000
IMAGE = "localhost/partywall:" + next(
    line.split()[2] for line in (cluster.ROOT / "CMakeLists.txt").read_text().splitlines()
    if line.startswith("project(partywall VERSION"))
# Outside of the cluster; tools/lib/cluster_control.sh gives them to the machine that the nodes' way out leads to.
WORLD = {4: "203.0.113.1", 6: "2001:db8:113::1"}
NODES = {1: {4: "10.77.0.2", 6: "fd77::2"}, 2: {4: "10.77.0.3", 6: "fd77::3"}}

# The tenants of all this; umbrella's tier has this rate in each direction, which an emulated node reaches whatever else
# it does.
POLICY = cluster.ROOT / "tests/cluster/policy.yaml"
RATE_BITS = 2_000_000
# Namespace -> its tenant; None = nobody claims it.
NAMESPACES = {"acme": "acme", "umbrella": "umbrella", "partner": "partner", "loose": None, "kube-system": None}
# Every namespace has three probers, NAMESPACE-1 to -3, on these nodes.
PLACES = {1: 1, 2: 2, 3: 1}
# Its Services: `probe` has all of them, `near` the third, `far` the second. Each of the last two has a NodePort.
NODE_PORTS = {f"{name}/{service}": NODE_PORT + i + shift
              for service, shift in (("near", 0), ("far", 10)) for i, name in enumerate(NAMESPACES)}
MIRROR_PORT = NODE_PORT + 20
LOCAL_PORTS = {"acme": NODE_PORT + 21, "umbrella": NODE_PORT + 22}
BORROWED_PORTS = {"acme": NODE_PORT + 23, "umbrella": NODE_PORT + 24}
EXTERNAL = {"acme": {4: "198.51.100.7", 6: "2001:db8:51::7"}, "umbrella": {4: "198.51.100.8", 6: "2001:db8:51::8"}}


def pod(namespace, name, node, *, host_network=False, ports=(PORT, DNS), labels=None):
    """A prober, whose orders come from the node's folder pods/NAME."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "probe", "pod": name, **(labels or {})}},
        "spec": {
            "nodeName": f"node{node}", "hostNetwork": host_network, "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False, "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "probe", "image": IMAGE, "imagePullPolicy": "Never",
                "command": ["/usr/bin/partywall-probe", "orders", "/control", name, *map(str, ports)],
                # What containers usually have; NET_RAW is among it.
                "volumeMounts": [{"name": "control", "mountPath": "/control"}]}],
            "volumes": [{"name": "control",
                         "hostPath": {"path": f"/run/state/pods/{name}", "type": "DirectoryOrCreate"}}]}}


def service(namespace, name, selector, node_port=None, **more):
    """Without a selector (None), its EndpointSlices are made by hand: see slices()."""
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "NodePort" if node_port else "ClusterIP", "ipFamilyPolicy": "RequireDualStack",
                 **({"selector": selector} if selector else {}), **more, "ports": [
                     {"name": "web", "port": 80, "targetPort": PORT,
                      **({"nodePort": node_port} if node_port else {})},
                     {"name": "dns", "port": DNS, "targetPort": DNS, "protocol": "TCP"}]}}


def namespace_object(name, tenant):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"tenant": tenant} if tenant else {}}}


def residents():
    """Namespaces, pods and Services, to be there before Partywall is."""
    objects = [namespace_object(name, tenant) for name, tenant in NAMESPACES.items() if name != "kube-system"]
    for name in NAMESPACES:
        objects += [pod(name, f"{name}-{number}", node) for number, node in PLACES.items()]
        objects.append(service(name, "probe", {"app": "probe"}))
        objects += [service(name, which, {"pod": f"{name}-{number}"}, NODE_PORTS[f"{name}/{which}"])
                    for which, number in (("near", 3), ("far", 2))]
    objects.append(pod("acme", "acme-host", 1, host_network=True, ports=(18080,), labels={"app": "host"}))
    objects.append(service("acme", "mirror", {"pod": "acme-1"}, MIRROR_PORT))
    for name in ("acme", "umbrella"):
        objects.append(service(name, "external", {"pod": f"{name}-3"}, externalIPs=list(EXTERNAL[name].values())))
        # On node 2 alone: were some on node 1, node 2 would send a pod of node 1 to them, and nobody's answer would come
        # from the address that was asked.
        objects.append(service(name, "local", {"pod": f"{name}-2"}, LOCAL_PORTS[name], externalTrafficPolicy="Local"))
        objects.append(service(name, "borrowed", None, BORROWED_PORTS[name]))
    return objects


def slices(addresses):
    """Each tenant's Service `borrowed` leads to the other tenant's pods: whoever may write EndpointSlices in a namespace
    of his own can do that."""
    return [{
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": f"IPv{family}",
        "metadata": {"name": f"borrowed-{family}", "namespace": name,
                     "labels": {"kubernetes.io/service-name": "borrowed"}},
        "ports": [{"name": "web", "port": PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [addresses.pods[f"{other}-{number}"][family]], "conditions": {"ready": True}}
                      for number in PLACES]}
        for name, other in (("acme", "umbrella"), ("umbrella", "acme")) for family in (4, 6)]


class Addresses:
    """Where everything is, by family 4 or 6."""

    def __init__(self):
        self.pods, self.services = {}, {}
        for item in cluster.get("pods", "-A", "-l", "pod")["items"]:
            self.pods[item["metadata"]["name"]] = by_family(x["ip"] for x in item["status"]["podIPs"])
        for item in cluster.get("services", "-A")["items"]:
            place = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
            self.services[place] = by_family(item["spec"]["clusterIPs"])


def by_family(addresses):
    return {6 if ":" in address else 4: address for address in addresses}


def prober(name, node):
    return cluster.Prober(cluster.FOLDER / f"node{node}" / "pods" / name)


# With endpoints by hand, by one pod, and on another port.
LAST_SERVICES = ("umbrella/borrowed/tcp/web", "acme/mirror/tcp/web", "kube-system/far/tcp/dns")


def settle():
    """Makes the residents, and waits until all of them are ready and reachable. Returns their Addresses."""
    cluster.apply(*residents())
    for namespace in NAMESPACES:
        cluster.kubectl("wait", "pods", "-n", namespace, "-l", "pod", "--for=condition=Ready", "--timeout=240s")
    addresses = Addresses()
    cluster.apply(*slices(addresses))
    for node in NODES:
        cluster.wait_until(lambda node=node: knows_services(node), 180,
                           f"kube-proxy on node {node} has the rules for every Service")
    return addresses


def knows_services(node):
    """Whether kube-proxy there has rules with endpoints for those Services that are made last."""
    for table in ("ip", "ip6"):
        rules = cluster.node(node, f"nft list table {table} kube-proxy || true")
        if not all(re.search(rf"chain service-\w+-{name} {{", rules) for name in LAST_SERVICES):
            return False
    return True


def outside():
    """Starts a prober on this machine, in the cluster's network namespace, which is no node. Returns its process."""
    folder = cluster.FOLDER / "world"
    folder.mkdir(exist_ok=True)
    program = cluster.ROOT / "build/release/bin/partywall-probe"
    return subprocess.Popen([cluster.TOOL, "run", str(program), "orders", str(folder), "world", str(PORT)])

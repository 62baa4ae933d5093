# tests/bench/cluster_crowd.py: the cluster of `tools/bench kubernetes`: tenants, nodes and pods, who is where, and the objects
# that say so. Always the same for the same numbers. Talks to nobody.
import random
import uuid
from typing import NamedTuple

import yaml

PODS_PER_NODE = 30
BIG_SHARE = 5          # one pod in five ...
BIG_TENANTS = 100      # ... is of one tenant in a hundred
TIER = "standard"
SINCE = "2026-01-01T00:00:00Z"
VERSION = "partywall.dev/v1alpha1"


class Pod(NamedTuple):
    tenant: int
    node: int
    address: str
    number: int  # never given twice


def tenant_name(number):
    return f"tenant-{number:04}"


def node_name(number):
    return f"node-{number:04}"


def uid(kind, number):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


class Crowd:
    """So many nodes with 30 pods each, and as many tenants as nodes. A tenant has 30 pods on average: one in a hundred has 20
    times as many, and they stand on nodes at random, as a scheduler spreads them. A tenant may open connections to the next
    one, and to the world."""

    def __init__(self, nodes, seed=1):
        self.nodes = self.tenants = nodes
        self.random = random.Random(seed)
        self.numbers = 0
        self.next_address = [0] * nodes
        self.pods = {}     # number -> Pod
        self.held = {}     # (tenant, node) -> {number: address}
        self.tenants_here = [set() for _ in range(nodes)]
        big = max(1, self.tenants // BIG_TENANTS)
        count = nodes * PODS_PER_NODE
        owners = [at % big if at % BIG_SHARE == 0 else big + at % (self.tenants - big) for at in range(count)]
        self.random.shuffle(owners)
        for at, tenant in enumerate(owners):
            self.add(tenant, at // PODS_PER_NODE)

    def add(self, tenant, node):
        """A new pod there, with an address that no other had lately."""
        host = self.next_address[node] % 250 + 2
        self.next_address[node] += 1
        pod = Pod(tenant, node, f"10.{64 + (node >> 8)}.{node & 255}.{host}", self.numbers)
        self.numbers += 1
        self.pods[pod.number] = pod
        self.held.setdefault((tenant, node), {})[pod.number] = pod.address
        self.tenants_here[node].add(tenant)
        return pod

    def remove(self, number):
        pod = self.pods.pop(number)
        here = self.held[pod.tenant, pod.node]
        del here[number]
        if not here:
            del self.held[pod.tenant, pod.node]
            self.tenants_here[pod.node].remove(pod.tenant)
        return pod

    # --- objects

    def node(self, number):
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name(number), "labels": {
            "kubernetes.io/hostname": node_name(number), "kubernetes.io/arch": "amd64"}},
            "spec": {"podCIDR": self.range_of(number), "podCIDRs": [self.range_of(number)]}}

    @staticmethod
    def range_of(node):
        return f"10.{64 + (node >> 8)}.{node & 255}.0/24"

    def namespace(self, tenant):
        return {"metadata": {"name": tenant_name(tenant), "labels": {"team": tenant_name(tenant)}}}

    def service(self, tenant):
        return {"metadata": {"name": "front", "namespace": tenant_name(tenant)}, "spec": {
            "selector": {"app": "front"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}

    def tier(self):
        return {"apiVersion": VERSION, "kind": "Tier", "metadata": {"name": TIER}, "spec": {
            "limits": {"egress": {"ceiling": "1Gbit"}, "ingress": {"ceiling": "1Gbit"}}}}

    def tenant(self, number, more=()):
        """`more`: names of further tenants that it may open connections to."""
        following = tenant_name((number + 1) % self.tenants)
        before = tenant_name((number - 1) % self.tenants)
        names = [following, *(name for name in more if name not in (following, tenant_name(number)))]
        # The definition allows 64 peers in a rule.
        rules = [{"to": [{"tenant": name} for name in names[at:at + 64]], "ports": [{"port": 8080}]}
                 for at in range(0, len(names), 64)]
        return {"apiVersion": VERSION, "kind": "Tenant", "metadata": {"name": tenant_name(number)}, "spec": {
            "tier": TIER, "members": [{"namespaces": {"matchLabels": {"team": tenant_name(number)}}}],
            "network": {
                "egress": [*rules, {"to": [{"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}]}],
                "ingress": [{"from": [{"tenant": before}], "ports": [{"port": 8080}]}]}}}

    def tenant_node(self, tenant, node):
        """As the agent of that node writes it."""
        here = self.held.get((tenant, node), {})
        return self._tenant_node(tenant_name(tenant), node, addresses=sorted(here.values()), pods=len(here))

    def infrastructure_node(self, node):
        return self._tenant_node("infrastructure", node, addresses=[], pods=2, podCIDRs=[self.range_of(node)],
                                 nodeAddresses=[f"172.16.{node >> 8}.{node & 255}"])

    @staticmethod
    def _tenant_node(tenant, node, **fields):
        return {"apiVersion": VERSION, "kind": "TenantNode", "metadata": {
            "name": f"{tenant}.{node_name(node)}",
            "labels": {"partywall.dev/tenant": tenant, "partywall.dev/node": node_name(node)},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node_name(node), "uid": uid("node", node)}]},
            "tenant": tenant, "node": node_name(node), "observedGeneration": 1, "hostPorts": [], **fields,
            "conditions": [{"type": "Realised", "status": "True", "reason": "Enforced", "message": "in force on this node",
                            "lastTransitionTime": SINCE}]}

    def pod(self, pod):
        """What a Deployment makes, more or less, once it is scheduled."""
        text = POD.format(name=f"front-{pod.number}", node=node_name(pod.node), owner=uid("set", pod.tenant))
        return {**yaml.load(text, YAML), "apiVersion": "v1", "kind": "Pod"}

    def pod_status(self, pod):
        """What the kubelet says once it runs."""
        text = STATUS.format(address=pod.address, host=f"172.16.{pod.node >> 8}.{pod.node & 255}", since=SINCE,
                             container=uid("container", pod.number).replace("-", "") * 2)
        return {"status": yaml.load(text, YAML)}


YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

POD = """
metadata:
  name: {name}
  labels: {{app: front, pod-template-hash: 6d4cf56db6, app.kubernetes.io/name: front, app.kubernetes.io/part-of: shop}}
  annotations: {{prometheus.io/scrape: "true", prometheus.io/port: "9090"}}
  ownerReferences:
    - {{apiVersion: apps/v1, kind: ReplicaSet, name: front-6d4cf56db6, uid: {owner}, controller: true}}
spec:
  nodeName: {node}
  automountServiceAccountToken: false
  containers:
    - name: front
      image: localhost/shop/front:1.2.3
      ports: [{{name: http, containerPort: 8080}}, {{name: metrics, containerPort: 9090}}]
      env:
        - {{name: PORT, value: "8080"}}
        - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
      resources: {{requests: {{cpu: 100m, memory: 128Mi}}, limits: {{memory: 256Mi}}}}
      readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 10}}
      livenessProbe: {{httpGet: {{path: /alive, port: http}}, periodSeconds: 10}}
      volumeMounts: [{{name: settings, mountPath: /etc/front}}]
  volumes: [{{name: settings, configMap: {{name: front}}}}]
"""

STATUS = """
phase: Running
hostIP: {host}
podIP: {address}
podIPs: [{{ip: {address}}}]
qosClass: Burstable
startTime: "{since}"
conditions:
  - {{type: PodReadyToStartContainers, status: "True", lastTransitionTime: "{since}"}}
  - {{type: Initialized, status: "True", lastTransitionTime: "{since}"}}
  - {{type: Ready, status: "True", lastTransitionTime: "{since}"}}
  - {{type: ContainersReady, status: "True", lastTransitionTime: "{since}"}}
  - {{type: PodScheduled, status: "True", lastTransitionTime: "{since}"}}
containerStatuses:
  - name: front
    image: localhost/shop/front:1.2.3
    imageID: localhost/shop/front@sha256:{container}
    containerID: containerd://{container}
    ready: true
    started: true
    restartCount: 0
    state: {{running: {{startedAt: "{since}"}}}}
"""

// agent/source/kubernetes/objects.cc: fields out of the API's objects. Pure.
#include "agent/source/kubernetes/objects.h"

#include <algorithm>

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

const Json& field(const Json& object, const char* name) {
  static const Json kNothing;
  auto found = object.is_object() ? object.find(name) : object.end();

  return object.is_object() && found != object.end() ? *found : kNothing;
}

std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

bool is_true(const Json& value) { return value.is_boolean() && value.get<bool>(); }

uint16_t port_of(const Json& value) {
  if (!value.is_number_integer()) return 0;

  auto number = value.get<int64_t>();

  return number > 0 && number < 65536 ? static_cast<uint16_t>(number) : uint16_t{0};
}

policy::Labels labels_of(const Json& map) {
  policy::Labels labels;

  for (const auto& [key, value] : map.items()) labels.emplace_back(key, text(value));
  std::ranges::sort(labels);
  return labels;
}

void add_text(std::vector<std::string>& list, std::string added) {
  if (!added.empty() && std::ranges::find(list, added) == list.end())
    list.push_back(std::move(added));
}

// What others write need not be an address, or one that a tenant can have: such a one would be
// refused with all of the policy. It is left out, as if nobody had said it.
void add_owned(std::vector<std::string>& list, const Json& value) {
  auto address = policy::parse_address(text(value));

  if (!address) return;

  bool is_ipv4 = address->family == policy::Family::kIpv4;

  if (!policy::nobodys_range({*address, static_cast<uint8_t>(is_ipv4 ? 32 : 128)}))
    add_text(list, to_string(*address));
}

void add_address(std::vector<std::string>& list, const Json& value) {
  if (auto address = policy::parse_address(text(value))) add_text(list, to_string(*address));
}

void add_range(std::vector<std::string>& list, const Json& value) {
  if (auto range = policy::parse_prefix(text(value))) add_text(list, to_string(*range));
}

// Each once, as the API has them; what cannot be read as an address is left out.
std::vector<policy::Prefix> addresses_of(const std::vector<std::string>& texts) {
  std::vector<policy::Prefix> found;

  for (const std::string& one : texts)
    if (auto address = policy::parse_prefix(one)) found.push_back(*address);
  std::ranges::sort(found);
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

void read_ports(const Json& containers, bool host_network, std::vector<HostPort>& ports) {
  if (!containers.is_array()) return;
  for (const Json& container : containers)
    for (const Json& port : field(container, "ports")) {
      uint16_t number = port_of(field(port, host_network ? "containerPort" : "hostPort"));
      std::string protocol = text(field(port, "protocol"));

      if (number) ports.push_back({protocol.empty() ? "TCP" : protocol, number});
    }
}

}  // namespace

bool ServiceFacts::operator==(const ServiceFacts& other) const {
  auto same = [](const policy::ServicePort& a, const policy::ServicePort& b) {
    return a.protocol == b.protocol && a.port == b.port && a.target == b.target &&
           a.node == b.node;
  };

  return space == other.space && selector == other.selector &&
         service.name == other.service.name && service.addresses == other.service.addresses &&
         std::ranges::equal(service.ports, other.service.ports, same);
}

Namespace read_namespace(const Json& object) {
  const Json& metadata = field(object, "metadata");

  return {text(field(metadata, "name")), labels_of(field(metadata, "labels"))};
}

Pod read_pod(const Json& object) {
  const Json& metadata = field(object, "metadata");
  const Json& spec = field(object, "spec");
  const Json& status = field(object, "status");
  const Json& annotations = field(metadata, "annotations");
  std::string phase = text(field(status, "phase"));
  Pod pod;

  pod.space = text(field(metadata, "namespace"));
  pod.name = text(field(metadata, "name"));
  pod.created = text(field(metadata, "creationTimestamp"));
  pod.labels = labels_of(field(metadata, "labels"));
  pod.leaving = !field(metadata, "deletionTimestamp").is_null();
  pod.over = phase == "Succeeded" || phase == "Failed";
  pod.qos = text(field(status, "qosClass"));
  pod.host_network = is_true(field(spec, "hostNetwork"));
  // What the API shows of a static pod is a mirror; the kubelet knows the pod by its hash.
  pod.cgroup_uid = field(annotations, "kubernetes.io/config.mirror").is_null()
                       ? text(field(metadata, "uid"))
                       : text(field(annotations, "kubernetes.io/config.hash"));
  if (!pod.host_network) {
    add_owned(pod.addresses, field(status, "podIP"));
    for (const Json& one : field(status, "podIPs")) add_owned(pod.addresses, field(one, "ip"));
  }
  for (const char* list : {"containers", "initContainers"})
    read_ports(field(spec, list), pod.host_network, pod.host_ports);
  std::ranges::sort(pod.host_ports);
  return pod;
}

Node read_node(const Json& object) {
  const Json& metadata = field(object, "metadata");
  Node node{text(field(metadata, "name")), text(field(metadata, "uid")), {}, {}};

  for (const Json& address : field(field(object, "status"), "addresses"))
    if (std::string type = text(field(address, "type"));
        type == "InternalIP" || type == "ExternalIP")
      add_address(node.addresses, field(address, "address"));
  add_range(node.pod_ranges, field(field(object, "spec"), "podCIDR"));
  for (const Json& range : field(field(object, "spec"), "podCIDRs"))
    add_range(node.pod_ranges, range);
  return node;
}

TenantNode read_tenant_node(const Json& object) {
  TenantNode found{text(field(object, "tenant")), text(field(object, "node")), {}, {}, {}};

  for (const Json& one : field(object, "addresses")) add_owned(found.addresses, one);
  for (const Json& one : field(object, "nodeAddresses")) add_address(found.node_addresses, one);
  for (const Json& one : field(object, "podCIDRs")) add_range(found.pod_ranges, one);
  return found;
}

ServiceFacts read_service(const Json& object) {
  const Json& metadata = field(object, "metadata");
  const Json& spec = field(object, "spec");
  ServiceFacts facts;
  std::vector<std::string> addresses;

  facts.space = text(field(metadata, "namespace"));
  facts.selector = labels_of(field(spec, "selector"));
  facts.service.name = facts.space + "/" + text(field(metadata, "name"));
  add_text(addresses, text(field(spec, "clusterIP")));
  for (const char* list : {"clusterIPs", "externalIPs"})
    for (const Json& one : field(spec, list)) add_text(addresses, text(one));
  for (const Json& one : field(field(field(object, "status"), "loadBalancer"), "ingress"))
    add_text(addresses, text(field(one, "ip")));
  facts.service.addresses = addresses_of(addresses);  // "None" is no address
  for (const Json& one : field(spec, "ports")) {
    std::string protocol = text(field(one, "protocol"));
    policy::ServicePort port;

    if (protocol == "SCTP") continue;  // which is not allowed between tenants at all
    if (protocol == "UDP") port.protocol = policy::Protocol::kUdp;
    port.port = port_of(field(one, "port"));
    port.target = port_of(field(one, "targetPort"));
    port.node = port_of(field(one, "nodePort"));
    if (!port.target) port.target = port.port;  // absent, or a name
    if (port.port) facts.service.ports.push_back(port);
  }
  return facts;
}

bool has_labels(const policy::Labels& labels, const policy::Labels& wanted) {
  return std::ranges::includes(labels, wanted);
}

std::string cgroup_of(const Pod& pod, const std::string& root) {
  std::string qos = pod.qos == "Burstable"    ? "burstable"
                    : pod.qos == "BestEffort" ? "besteffort"
                                              : "";

  if (!root.ends_with(".slice"))
    return root + (qos.empty() ? "" : "/" + qos) + "/pod" + pod.cgroup_uid;

  std::string uid = pod.cgroup_uid;
  std::string base = root.substr(root.rfind('/') + 1);
  std::string folder = root;

  std::ranges::replace(uid, '-', '_');
  base.resize(base.size() - std::string_view(".slice").size());
  if (!qos.empty()) {
    base += "-" + qos;
    folder += "/" + base + ".slice";
  }
  return folder + "/" + base + "-pod" + uid + ".slice";
}

}  // namespace partywall::kubernetes

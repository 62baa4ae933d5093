// agent/policy/cluster_schema.cc: selectors of pods and the cluster's network, from fields to
// data. Pure.
#include "agent/policy/cluster_schema.h"

#include <algorithm>
#include <charconv>

#include "agent/policy/rules_schema.h"

namespace partywall::policy {
namespace {

constexpr size_t kMaxLabelPart = 63;
constexpr size_t kMaxLabelPrefix = 253;
constexpr size_t kMaxSelected = 64;  // names, or labels, of one selector

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What Kubernetes takes as the name of a label, or as its value.
bool is_label_part(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelPart && is_alphanumeric(text.front()) &&
         is_alphanumeric(text.back()) && std::ranges::all_of(text, [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

// Labels of DNS: lower case, with dots between them where `dots`.
bool is_dns_name(std::string_view text, size_t most, bool dots) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };

  if (text.empty() || text.size() > most) return false;
  for (size_t i = 0; i < text.size(); i++) {
    bool edge = i == 0 || i + 1 == text.size() || text[i - 1] == '.' || text[i + 1] == '.';

    if (letter(text[i]) || (text[i] == '-' && !edge)) continue;
    if (text[i] == '.' && dots && !edge) continue;
    return false;
  }
  return true;
}

bool is_label_key(std::string_view text) {
  size_t slash = text.find('/');

  if (slash == std::string_view::npos) return is_label_part(text);
  return is_dns_name(text.substr(0, slash), kMaxLabelPrefix, true) &&
         is_label_part(text.substr(slash + 1));
}

// A map of labels that must all hold; noted when it is none, or empty.
Labels read_labels(Notes& notes, const YamlNode& node, const std::string& path) {
  Labels labels;

  if (node.kind != YamlNode::Kind::kMap) {
    notes.add(node, path, "is no map: write labels like {tenant: acme}");
    return labels;
  }
  if (node.items.empty()) {
    notes.add(node, path,
              "is empty, which would be everything: write labels like {tenant: acme}");
    return labels;
  }
  if (node.items.size() / 2 > kMaxSelected) {
    notes.add(node, path, fmt::format("has more than {} labels: write fewer", kMaxSelected));
    return labels;
  }
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const YamlNode& key = node.items[i];
    std::string at = fmt::format("{}.{}", path, key.text);
    auto value = read_text(notes, node.items[i + 1], at, "the value of a label");

    if (!value) continue;
    if (!is_label_key(key.text))
      notes.add(key, at,
                fmt::format("\"{}\" is no name of a label: write one like tenant or "
                            "example.com/tenant",
                            key.text));
    else if (!value->empty() && !is_label_part(*value))
      notes.add(node.items[i + 1], at,
                fmt::format("\"{}\" is no value of a label: write at most {} letters, digits, "
                            "-, _ and .",
                            *value, kMaxLabelPart));
    else
      labels.emplace_back(key.text, *value);
  }
  std::ranges::sort(labels);
  return labels;
}

std::vector<std::string> read_names(Notes& notes, const YamlNode& node,
                                    const std::string& path) {
  std::vector<std::string> names;
  size_t index = 0;
  auto items = read_list(notes, node, path, "names of namespaces like [shop, shop-jobs]");

  if (node.kind == YamlNode::Kind::kList && items.empty())
    notes.add(node, path, "is empty: write names of namespaces");
  if (items.size() > kMaxSelected) {
    notes.add(node, path, fmt::format("has more than {} names: use matchLabels", kMaxSelected));
    return names;
  }
  for (const YamlNode& item : items) {
    std::string at = fmt::format("{}[{}]", path, index++);
    auto name = read_text(notes, item, at, "the name of a namespace");

    if (!name) continue;
    if (is_dns_name(*name, kMaxLabelPart, false))
      names.emplace_back(*name);
    else
      notes.add(item, at, fmt::format("\"{}\" is no name of a namespace", *name));
  }
  return names;
}

std::optional<uint16_t> read_number(Notes& notes, const YamlNode& node,
                                    const std::string& path) {
  auto text = read_text(notes, node, path, "a port from 1 to 65535");
  uint16_t port = 0;

  if (!text) return std::nullopt;

  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), port);

  if (error == std::errc{} && end == text->data() + text->size() && port > 0) return port;
  notes.add(node, path, fmt::format("\"{}\" is no port: write one from 1 to 65535", *text));
  return std::nullopt;
}

std::vector<Prefix> read_ranges(Notes& notes, const Fields& fields, std::string_view name,
                                bool single) {
  std::vector<Prefix> ranges;
  const YamlNode* field = fields.find(name);
  size_t index = 0;

  if (!field) return ranges;
  for (const YamlNode& item :
       read_list(notes, *field, fields.path(name), single ? "addresses" : "ranges")) {
    std::string at = fmt::format("{}[{}]", fields.path(name), index++);
    auto range = read_prefix(notes, item, at);

    if (!range) continue;
    if (single && range->bits != (range->address.family == Family::kIpv4 ? 32 : 128))
      notes.add(item, at, "is a range: write one address");
    else
      ranges.push_back(*range);
  }
  std::ranges::sort(ranges);
  ranges.erase(std::unique(ranges.begin(), ranges.end()), ranges.end());
  return ranges;
}

std::string read_name(Notes& notes, const Fields& fields, std::string_view name) {
  const YamlNode* field = fields.find(name);
  auto text = field ? read_text(notes, *field, fields.path(name), "a name") : std::nullopt;

  return std::string(text.value_or(""));
}

std::optional<ServicePort> read_service_port(Notes& notes, const YamlNode& node,
                                             const std::string& path) {
  static const FieldNames kNames{{"protocol", "port", "target", "node"}, {}, {}};
  Fields fields(notes, node, path, kNames);
  ServicePort port;
  std::string protocol = read_name(notes, fields, "protocol");
  const YamlNode* number = fields.require("port", "a port");

  if (protocol != "TCP" && protocol != "UDP")
    notes.add(node, fields.path("protocol"), "is no protocol of a service: write TCP or UDP");
  if (protocol == "UDP") port.protocol = Protocol::kUdp;

  auto asked = number ? read_number(notes, *number, fields.path("port")) : std::nullopt;

  if (!asked) return std::nullopt;
  port.port = port.target = *asked;
  for (auto [name, target] : {std::pair{"target", &port.target}, {"node", &port.node}})
    if (const YamlNode* field = fields.find(name))
      *target = read_number(notes, *field, fields.path(name)).value_or(0);
  return port;
}

std::optional<Service> read_service(Notes& notes, const YamlNode& node,
                                    const std::string& path) {
  static const FieldNames kNames{{"name", "tenant", "addresses", "ports", "lane"}, {}, {}};
  Fields fields(notes, node, path, kNames);
  Service service{.at = notes.position(node)};
  size_t index = 0;

  if (node.kind != YamlNode::Kind::kMap) return std::nullopt;
  service.name = read_name(notes, fields, "name");
  service.tenant = read_name(notes, fields, "tenant");
  service.lane = read_name(notes, fields, "lane");
  service.addresses = read_ranges(notes, fields, "addresses", true);
  if (const YamlNode* ports = fields.find("ports"))
    for (const YamlNode& item : read_list(notes, *ports, fields.path("ports"), "ports"))
      if (auto port = read_service_port(notes, item,
                                        fmt::format("{}[{}]", fields.path("ports"), index++)))
        service.ports.push_back(*port);
  return service;
}

}  // namespace

std::optional<PodSelector> read_pod_selector(Notes& notes, const Fields& member) {
  static const FieldNames kNamespaces{{"names", "matchLabels"}, {}, {}};
  static const FieldNames kPods{{"matchLabels"}, {}, {}};
  constexpr std::string_view kWhat = "namespaces like {matchLabels: {tenant: acme}}";
  PodSelector selector;

  for (const char* other : {"cgroup", "interface", "addresses"})
    if (const YamlNode* field = member.find(other))
      notes.add(
          *field, member.path(other),
          "does not go with namespaces, whose pods have their own: make it another member");

  const YamlNode* names = nullptr;
  const YamlNode* labels = nullptr;
  const YamlNode* match = nullptr;

  if (const YamlNode* namespaces = member.require("namespaces", kWhat)) {
    Fields fields(notes, *namespaces, member.path("namespaces"), kNamespaces);

    names = fields.find("names");
    labels = fields.find("matchLabels");
    if (namespaces->kind == YamlNode::Kind::kMap && !names && !labels)
      notes.add(*namespaces, member.path("namespaces"),
                fmt::format("names no namespace: write {}", kWhat));
    if (names) selector.namespaces = read_names(notes, *names, fields.path("names"));
    if (labels)
      selector.namespace_labels = read_labels(notes, *labels, fields.path("matchLabels"));
  }

  const YamlNode* pods = member.find("pods");

  if (pods) {
    Fields fields(notes, *pods, member.path("pods"), kPods);

    match = fields.require("matchLabels", "labels like {app: web}");
    if (match) selector.pod_labels = read_labels(notes, *match, fields.path("matchLabels"));
  }
  // One of both that could not be read must not make the other mean more.
  if ((names && selector.namespaces.empty()) || (labels && selector.namespace_labels.empty()) ||
      (!names && !labels) || (pods && selector.pod_labels.empty()))
    return std::nullopt;
  return selector;
}

std::shared_ptr<const ClusterNetwork> read_cluster_network(Notes& notes, const YamlNode& node,
                                                           const std::string& path) {
  static const FieldNames kNames{{"podTenant", "podRanges", "localRanges", "serviceRanges",
                                  "nodes", "infrastructure", "services"},
                                 {},
                                 {}};
  static const FieldNames kLane{{"tenant", "offers", "reaches"}, {}, {}};
  Fields fields(notes, node, path, kNames);
  auto network = std::make_shared<ClusterNetwork>();
  size_t index = 0;

  network->at = notes.position(node);
  if (node.kind != YamlNode::Kind::kMap) return network;
  network->pod_tenant = read_name(notes, fields, "podTenant");
  network->pod_ranges = read_ranges(notes, fields, "podRanges", false);
  network->local_ranges = read_ranges(notes, fields, "localRanges", false);
  network->service_ranges = read_ranges(notes, fields, "serviceRanges", false);
  network->nodes = read_ranges(notes, fields, "nodes", true);
  if (const YamlNode* field = fields.find("infrastructure")) {
    Fields lane(notes, *field, fields.path("infrastructure"), kLane);

    network->infrastructure_tenant = read_name(notes, lane, "tenant");
    for (auto [name, ports] :
         {std::pair{"offers", &network->offers}, {"reaches", &network->reaches}})
      if (const YamlNode* list = lane.find(name))
        *ports = read_ports(notes, *list, lane.path(name));
  }
  if (const YamlNode* services = fields.find("services"))
    for (const YamlNode& item :
         read_list(notes, *services, fields.path("services"), "services"))
      if (auto service = read_service(notes, item,
                                      fmt::format("{}[{}]", fields.path("services"), index++)))
        network->services.push_back(std::move(*service));
  return network;
}

}  // namespace partywall::policy

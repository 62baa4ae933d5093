// agent/policy/rules_schema.cc: rules from fields to data. Pure.
#include "agent/policy/rules_schema.h"

#include <charconv>

#include "maps/abi/pairs.h"

namespace partywall::policy {
namespace {

constexpr std::string_view kPorts = "a port from 1 to 65535, or a range like 1000-2000";

const FieldNames& port_fields() {
  static const FieldNames names{{"protocol", "port", "endPort"}, {}, {}};

  return names;
}

const FieldNames& peer_fields() {
  static const FieldNames names{{"tenant", "cidr", "except"}, {}, {}};

  return names;
}

std::optional<uint16_t> port_number(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);

  if (error != std::errc{} || end != text.data() + text.size() || port == 0)
    return std::nullopt;
  return port;
}

// `port` and `endPort` into first and last; false when they are no ports.
std::optional<std::pair<uint16_t, uint16_t>> read_port_range(Notes& notes, const Fields& fields,
                                                             const YamlNode& port) {
  auto text = read_text(notes, port, fields.path("port"), kPorts);

  if (!text) return std::nullopt;

  size_t dash = text->find('-');
  auto first = port_number(text->substr(0, dash));
  auto last = dash == std::string_view::npos ? first : port_number(text->substr(dash + 1));

  if (!first || !last) {
    notes.add(port, fields.path("port"),
              fmt::format("\"{}\" is no port: write {}", *text, kPorts));
    return std::nullopt;
  }
  if (const YamlNode* end = fields.find("endPort")) {
    auto end_text = read_text(notes, *end, fields.path("endPort"), "a port");

    if (!end_text) return std::nullopt;
    last = port_number(*end_text);
    if (!last || dash != std::string_view::npos) {
      notes.add(
          *end, fields.path("endPort"),
          last ? fmt::format("port is already the range {}: write one of both", *text)
               : fmt::format("\"{}\" is no port: write a port from 1 to 65535", *end_text));
      return std::nullopt;
    }
  }
  if (*last < *first) {
    notes.add(port, fields.path("port"),
              fmt::format("{} to {} is no range: write the lower port first", *first, *last));
    return std::nullopt;
  }
  return std::pair{*first, *last};
}

std::optional<Protocol> read_protocol(Notes& notes, const Fields& fields) {
  const YamlNode* field = fields.find("protocol");

  if (!field) return Protocol::kTcp;

  auto text = read_text(notes, *field, fields.path("protocol"), "TCP, UDP, ICMP or TUNNEL");

  if (!text) return std::nullopt;
  if (*text == "TCP") return Protocol::kTcp;
  if (*text == "UDP") return Protocol::kUdp;
  if (*text == "ICMP") return Protocol::kIcmp;
  if (*text == "TUNNEL") return Protocol::kTunnel;
  notes.add(*field, fields.path("protocol"),
            fmt::format("\"{}\" is no protocol: write TCP, UDP, ICMP or TUNNEL", *text));
  return std::nullopt;
}

std::optional<PortRange> read_port(Notes& notes, const YamlNode& node,
                                   const std::string& path) {
  Fields fields(notes, node, path, port_fields());

  if (node.kind != YamlNode::Kind::kMap) return std::nullopt;

  auto protocol = read_protocol(notes, fields);
  const YamlNode* port = fields.find("port");
  const YamlNode* end = fields.find("endPort");

  if (!protocol) return std::nullopt;
  if ((*protocol == Protocol::kIcmp || *protocol == Protocol::kTunnel) && (port || end)) {
    notes.add(port ? *port : *end, fields.path(port ? "port" : "endPort"),
              fmt::format("{} has no ports: remove it",
                          *protocol == Protocol::kIcmp ? "ICMP" : "TUNNEL"));
    return std::nullopt;
  }
  if (end && !port) {
    notes.add(*end, fields.path("endPort"), "needs port, the first of the range");
    return std::nullopt;
  }
  if (!port) return PortRange{*protocol};

  auto range = read_port_range(notes, fields, *port);

  if (!range) return std::nullopt;
  if (*protocol == Protocol::kUdp && range->first == range->second &&
      abi::is_tunnel_port(range->first)) {
    notes.add(*port, fields.path("port"),
              fmt::format("UDP port {} is where tunnels end, which only {{protocol: TUNNEL}} "
                          "allows: write that",
                          range->first));
    return std::nullopt;
  }
  return PortRange{*protocol, range->first, range->second};
}

void read_except(Notes& notes, const Fields& fields, PeerSelector& peer) {
  const YamlNode* field = fields.find("except");

  if (!field) return;

  std::string path = fields.path("except");
  size_t index = 0;

  if (!peer.tenant.empty()) {
    notes.add(*field, path, "belongs to a cidr: a tenant has no exceptions");
    return;
  }
  for (const YamlNode& item : read_list(notes, *field, path, "ranges like [10.1.2.0/24]")) {
    std::string item_path = fmt::format("{}[{}]", path, index++);
    auto range = read_prefix(notes, item, item_path);

    if (!range || !peer.cidr) continue;
    if (peer.cidr->contains(*range))
      peer.except.push_back(*range);
    else
      notes.add(item, item_path,
                fmt::format("{} is not inside {}: write a part of it", to_string(*range),
                            to_string(*peer.cidr)));
  }
}

std::optional<PeerSelector> read_peer(Notes& notes, const YamlNode& node,
                                      const std::string& path, std::string_view own) {
  Fields fields(notes, node, path, peer_fields());

  if (node.kind != YamlNode::Kind::kMap) return std::nullopt;

  PeerSelector peer{.at = notes.position(node)};
  const YamlNode* tenant = fields.find("tenant");
  const YamlNode* cidr = fields.find("cidr");

  if (!tenant == !cidr) {
    if (tenant || node.items.empty() || fields.find("except"))
      notes.add(node, path,
                "names no peer: write either {tenant: NAME} or {cidr: RANGE, except: [RANGE]}");
    return std::nullopt;
  }
  if (tenant) {
    auto name = read_text(notes, *tenant, fields.path("tenant"), "the name of a tenant");

    if (!name) return std::nullopt;
    if (!own.empty() && *name == own) {
      notes.add(*tenant, fields.path("tenant"),
                "names its own tenant, inside which everything is allowed: remove it");
      return std::nullopt;
    }
    peer.tenant = *name;
    peer.at = notes.position(*tenant);
    if (peer.tenant.empty()) {
      notes.add(*tenant, fields.path("tenant"), "is empty: write the name of a tenant");
      return std::nullopt;
    }
  } else {
    peer.cidr = read_prefix(notes, *cidr, fields.path("cidr"));
    peer.at = notes.position(*cidr);
  }
  read_except(notes, fields, peer);
  if (peer.tenant.empty() && !peer.cidr) return std::nullopt;
  return peer;
}

}  // namespace

std::optional<Prefix> read_prefix(Notes& notes, const YamlNode& node, const std::string& path) {
  auto text = read_text(notes, node, path, "a range like 10.1.0.0/24 or \"fd00:1::/64\"");

  if (!text) return std::nullopt;

  auto prefix = parse_prefix(*text);

  if (prefix) return *prefix;
  notes.add(node, path, prefix.error().message());
  return std::nullopt;
}

std::vector<PortRange> read_ports(Notes& notes, const YamlNode& node, const std::string& path) {
  std::vector<PortRange> ports;
  size_t index = 0;

  for (const YamlNode& item :
       read_list(notes, node, path, "ports like [{protocol: TCP, port: 443}]"))
    if (auto port = read_port(notes, item, fmt::format("{}[{}]", path, index++)))
      ports.push_back(*port);
  return ports;
}

std::vector<Rule> read_rules(Notes& notes, const YamlNode& node, const std::string& path,
                             std::string_view peers, std::string_view tenant) {
  FieldNames names{{peers, "ports"}, {}, {}};
  std::vector<Rule> rules;
  size_t index = 0;

  for (const YamlNode& item : read_list(
           notes, node, path, fmt::format("rules like [{{{}: [{{tenant: db}}]}}]", peers))) {
    Fields fields(notes, item, fmt::format("{}[{}]", path, index++), names);
    Rule rule{.at = notes.position(item)};

    if (const YamlNode* field = fields.require(
            peers, "a list of peers like [{tenant: db}] or [{cidr: 0.0.0.0/0}]")) {
      size_t peer_index = 0;

      for (const YamlNode& peer_item :
           read_list(notes, *field, fields.path(peers), "peers like [{tenant: db}]")) {
        // One that is wrong keeps its place, so that the others keep their numbers.
        std::string peer_path = fmt::format("{}[{}]", fields.path(peers), peer_index++);

        rule.peers.push_back(
            read_peer(notes, peer_item, peer_path, tenant).value_or(PeerSelector{}));
      }
    }
    if (const YamlNode* field = fields.find("ports"))
      rule.ports = read_ports(notes, *field, fields.path("ports"));
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace partywall::policy

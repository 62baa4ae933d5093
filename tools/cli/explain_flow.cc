// tools/cli/explain_flow.cc: finds who stands at each end and asks judge() for every side.
// Pure.
#include "tools/cli/explain_flow.h"

#include <netinet/in.h>

#include <algorithm>
#include <set>
#include <span>

namespace partywall::cli {
namespace {

using policy::Address;
using policy::Family;
using policy::Policy;
using policy::Protocol;

constexpr uint16_t kClientPort = 40000;  // stands for any ephemeral port

uint8_t number_of(Protocol protocol, Family family) {
  switch (protocol) {
    case Protocol::kTcp:
      return IPPROTO_TCP;
    case Protocol::kUdp:
      return IPPROTO_UDP;
    case Protocol::kTunnel:
      return IPPROTO_GRE;
    case Protocol::kIcmp:
      break;
  }
  return family == Family::kIpv4 ? uint8_t{IPPROTO_ICMP} : uint8_t{IPPROTO_ICMPV6};
}

std::string owner_of(const Policy& policy, const Address& address) {
  for (const auto& [name, tenant] : policy.tenants)
    for (const policy::Prefix& prefix : tenant.addresses)
      if (prefix.contains(address)) return name;
  return "";
}

bool is_infrastructure(const Policy& policy, const Address& address) {
  return std::ranges::any_of(policy.infrastructure,
                             [&](const auto& entry) { return entry.cidr.contains(address); });
}

Address literal(const char* text) { return *policy::parse_address(text); }

// An address that stands for the world: nobody's.
std::optional<Address> world_address(const Policy& policy, Family family) {
  static const char* const kFour[] = {"192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8"};
  static const char* const kSix[] = {"2001:db8::1", "2001:4860:4860::8888", "2606:4700::1"};

  for (const char* text : family == Family::kIpv4 ? std::span<const char* const>(kFour)
                                                  : std::span<const char* const>(kSix)) {
    Address address = literal(text);

    if (owner_of(policy, address).empty() && !is_infrastructure(policy, address))
      return address;
  }
  return std::nullopt;
}

// One address of the tenant; the second of a range, as hosts are numbered.
std::optional<Address> address_of(const policy::Tenant& tenant, Family family) {
  for (const policy::Prefix& prefix : tenant.addresses) {
    if (prefix.address.family != family) continue;

    Address address = prefix.address;
    int bits = family == Family::kIpv4 ? 32 : 128;

    if (prefix.bits < bits - 1) address.bytes[static_cast<size_t>(bits / 8 - 1)] |= 1;
    return address;
  }
  return std::nullopt;
}

Result<End> resolve(const Policy& policy, const std::string& text, const char* flag) {
  if (text == "world") return End{.name = "world"};
  if (text == "host") return End{.name = "host", .host = true};
  if (policy.tenants.contains(text)) return End{.name = text, .tenant = text};
  if (auto address = policy::parse_address(text)) {
    std::string tenant = owner_of(policy, *address);
    std::string name = tenant.empty() ? text : fmt::format("{} ({})", tenant, text);

    return End{.name = name, .tenant = tenant, .address = *address};
  }
  return fail(
      "read {}: {}: no tenant of this policy and no address; write a tenant's name, an address "
      "like 10.1.0.9 or fd00::9, world, or host",
      flag, text);
}

// Gives both ends addresses of one family, as far as they have any.
Result<void> give_addresses(const Policy& policy, Explanation& flow) {
  End* ends[] = {&flow.from, &flow.to};
  bool given[] = {flow.from.address.has_value(), flow.to.address.has_value()};

  if (given[0] && given[1]) {
    if (flow.from.address->family != flow.to.address->family)
      return fail("explain {} to {}: one is IPv4, the other IPv6; ask about two of one family",
                  flow.question.from, flow.question.to);
    return {};
  }
  auto try_family = [&](Family family) {
    for (int i = 0; i < 2; i++) {
      if (given[i] || ends[i]->host) continue;
      ends[i]->address = ends[i]->tenant.empty()
                             ? world_address(policy, family)
                             : address_of(policy.tenants.at(ends[i]->tenant), family);
    }
    return (flow.from.address || flow.from.host) && (flow.to.address || flow.to.host);
  };

  if (given[0] || given[1]) {
    try_family(ends[given[0] ? 0 : 1]->address->family);
    return {};
  }
  if (!try_family(Family::kIpv4) && !try_family(Family::kIpv6)) try_family(Family::kIpv4);
  return {};
}

// Two ends on one machine can only be told apart by cgroup when one of them has no address.
void choose_path(Explanation& flow) {
  bool tenants = !flow.from.tenant.empty() && !flow.to.tenant.empty();
  bool unaddressed =
      tenants && flow.from.tenant != flow.to.tenant && (!flow.from.address || !flow.to.address);

  flow.loopback = flow.from.host || flow.to.host || unaddressed;
  if (unaddressed) {
    const End& bare = flow.to.address ? flow.from : flow.to;

    flow.notes.push_back(fmt::format(
        "{} declares no addresses (spec.members[].addresses), so this is what holds "
        "over loopback, where cgroups are known; from another network namespace it "
        "would be judged as the world",
        bare.tenant));
  }
  for (const End* end : {&flow.from, &flow.to})
    if (end->tenant.empty() && end->name == "world" && end->address)
      flow.notes.push_back(
          fmt::format("the world is asked for as {}; give an address to ask "
                      "about it",
                      policy::to_string(*end->address)));
}

policy::Flow packet(const Explanation& flow, uint16_t port, abi::direction direction,
                    bool reply) {
  bool at_sender =
      (direction == abi::DIRECTION_EGRESS) != reply;  // the side that opened the flow
  const End& local = at_sender ? flow.from : flow.to;
  const End& peer = at_sender ? flow.to : flow.from;
  policy::Flow asked;
  Address here = literal("127.0.0.1");

  asked.tenant = local.tenant;
  asked.direction = direction;
  asked.loopback = flow.loopback && direction == abi::DIRECTION_INGRESS;
  if (asked.loopback) asked.loopback_tenant = peer.tenant;
  asked.peer = flow.loopback ? here : peer.address.value_or(here);
  if (direction == abi::DIRECTION_EGRESS && !flow.loopback) asked.local = local.address;
  asked.protocol = number_of(flow.question.protocol, asked.peer.family);
  asked.local_port = at_sender ? kClientPort : port;
  asked.peer_port = at_sender ? port : kClientPort;
  asked.opens = !reply;
  return asked;
}

std::vector<Side> judge_all(const Policy& policy, const Explanation& flow, uint16_t port) {
  std::vector<Side> sides;

  for (bool reply : {false, true})
    for (abi::direction direction : {abi::DIRECTION_EGRESS, abi::DIRECTION_INGRESS}) {
      policy::Flow asked = packet(flow, port, direction, reply);

      if (asked.tenant.empty()) continue;  // the world and the host judge nothing
      sides.push_back({.tenant = asked.tenant,
                       .direction = direction,
                       .reply = reply,
                       .verdict = policy::judge(policy, asked)});
    }
  return sides;
}

bool all_pass(const std::vector<Side>& sides) {
  return std::ranges::all_of(sides, [](const Side& side) { return side.passes(); });
}

void add_ports(const std::optional<std::vector<policy::PortRange>>& ports,
               std::set<uint32_t>& edges) {
  if (!ports) return;
  for (const policy::PortRange& range : *ports) {
    edges.insert(range.first);
    edges.insert(uint32_t{range.last} + 1);
  }
}

// Where the answer may change from one port to the next: only where some rule's range begins or
// has ended.
std::set<uint32_t> port_edges(const Policy& policy, const Explanation& flow) {
  std::set<uint32_t> edges = {1, 65536};

  for (const End* end : {&flow.from, &flow.to}) {
    auto found = policy.tenants.find(end->tenant);

    if (found == policy.tenants.end()) continue;
    for (const auto* rules : {&found->second.ingress, &found->second.egress})
      if (*rules)
        for (const policy::Rule& rule : **rules) add_ports(rule.ports, edges);
  }
  for (const policy::Infrastructure& entry : policy.infrastructure)
    add_ports(entry.ports, edges);
  // Tunnels have rules of their own.
  for (uint16_t port : {4789, 6081, 8472})
    if (flow.question.protocol == Protocol::kUdp) edges.insert({port, port + 1u});
  edges.erase(0);
  return edges;
}

void find_open_ports(const Policy& policy, Explanation& flow) {
  std::set<uint32_t> edges = port_edges(policy, flow);

  for (auto edge = edges.begin(); std::next(edge) != edges.end(); ++edge) {
    auto first = static_cast<uint16_t>(*edge);
    auto last = static_cast<uint16_t>(*std::next(edge) - 1);

    if (!all_pass(judge_all(policy, flow, first))) continue;
    if (!flow.open_ports.empty() && flow.open_ports.back().second + 1 == first)
      flow.open_ports.back().second = last;
    else
      flow.open_ports.emplace_back(first, last);
  }
}

}  // namespace

bool Explanation::passes() const { return all_pass(sides); }

bool Explanation::audited() const {
  return passes() &&
         std::ranges::any_of(sides, [](const Side& side) { return !side.verdict.allow; });
}

Result<Explanation> explain_flow(const Policy& policy, const Question& question) {
  Explanation flow{.question = question};
  auto from = resolve(policy, question.from, "--from");
  auto to = resolve(policy, question.to, "--to");

  if (!from) return std::move(from.error());
  if (!to) return std::move(to.error());
  flow.from = std::move(*from);
  flow.to = std::move(*to);
  if (auto given = give_addresses(policy, flow); !given) return std::move(given.error());
  choose_path(flow);
  if (question.port)
    flow.port = *question.port;
  else if (question.protocol != Protocol::kIcmp && question.protocol != Protocol::kTunnel) {
    find_open_ports(policy, flow);
    flow.port = flow.open_ports.empty() ? 1 : flow.open_ports.front().first;
  }
  flow.sides = judge_all(policy, flow, flow.port);
  return flow;
}

}  // namespace partywall::cli

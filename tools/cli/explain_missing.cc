// tools/cli/explain_missing.cc: what to write, and where, so that a denied flow passes. Pure.
#include "tools/cli/explain_text.h"

#include <algorithm>

#include "maps/abi/pairs.h"

namespace partywall::cli {
namespace {

using policy::Policy;
using policy::Protocol;
using policy::Rule;

const char* name_of(Protocol protocol) {
  return protocol == Protocol::kTcp ? "TCP" : protocol == Protocol::kUdp ? "UDP" : "ICMP";
}

bool names(const Rule& rule, const End& peer) {
  return std::ranges::any_of(rule.peers, [&](const policy::PeerSelector& selector) {
    if (!selector.tenant.empty()) return selector.tenant == peer.tenant;
    if (!selector.cidr || !peer.tenant.empty() || !peer.address) return false;
    return selector.cidr->contains(*peer.address) &&
           std::ranges::none_of(selector.except, [&](const policy::Prefix& hole) {
             return hole.contains(*peer.address);
           });
  });
}

bool is_tunnel(const Explanation& flow) {
  return flow.question.protocol == Protocol::kTunnel ||
         (flow.question.protocol == Protocol::kUdp && abi::is_tunnel_port(flow.port));
}

bool names_tunnels(const Rule& rule) {
  return rule.ports && std::ranges::any_of(*rule.ports, [](const policy::PortRange& range) {
           return range.protocol == Protocol::kTunnel;
         });
}

bool covers(const Rule& rule, const Explanation& flow) {
  if (is_tunnel(flow)) return names_tunnels(rule);
  if (!rule.ports) return true;
  return std::ranges::any_of(*rule.ports, [&](const policy::PortRange& range) {
    return range.protocol == flow.question.protocol &&
           (range.protocol == Protocol::kIcmp ||
            (range.first <= flow.port && flow.port <= range.last));
  });
}

std::string port_item(const Explanation& flow) {
  if (flow.question.protocol == Protocol::kIcmp) return "{protocol: ICMP}";
  if (is_tunnel(flow)) return "{protocol: TUNNEL}";
  return fmt::format("{{protocol: {}, port: {}}}", name_of(flow.question.protocol),
                     flow.question.port ? std::to_string(flow.port) : "<port>");
}

std::string peer_item(const End& peer) {
  if (!peer.tenant.empty()) return fmt::format("{{tenant: {}}}", peer.tenant);
  if (!peer.address) return "{cidr: <range>}";

  if (peer.name == "world")
    return peer.address->family == policy::Family::kIpv6 ? "{cidr: \"::/0\"}"
                                                         : "{cidr: 0.0.0.0/0}";

  const char* quote = peer.address->family == policy::Family::kIpv6 ? "\"" : "";

  return fmt::format("{{cidr: {}{}/{}{}}}", quote, policy::to_string(*peer.address),
                     *quote ? 128 : 32, quote);
}

// What one tenant's list lacks; nothing when some rule of it covers the flow.
void add_lacking(const Policy& policy, const Explanation& flow, abi::direction direction,
                 std::vector<Missing>& missing) {
  bool egress = direction == abi::DIRECTION_EGRESS;
  const End& self = egress ? flow.from : flow.to;
  const End& peer = egress ? flow.to : flow.from;
  auto found = policy.tenants.find(self.tenant);

  if (found == policy.tenants.end()) return;

  const policy::Tenant& tenant = found->second;
  const auto& rules = egress ? tenant.egress : tenant.ingress;
  std::string list = egress ? "egress" : "ingress";
  const Rule* near = nullptr;

  if (rules)
    for (const Rule& rule : *rules) {
      if (!names(rule, peer)) continue;
      if (covers(rule, flow)) return;
      near = &rule;
    }
  Missing lack;

  if (near)
    lack = {near->at, fmt::format("tenant {}, ports of this {} rule", tenant.name, list),
            "- " + port_item(flow)};
  else
    lack = {tenant.at, fmt::format("tenant {}, spec.network.{}", tenant.name, list),
            fmt::format("- {{{}: [{}], ports: [{}]}}", egress ? "to" : "from", peer_item(peer),
                        port_item(flow))};
  if (std::ranges::find(missing, lack) == missing.end()) missing.push_back(std::move(lack));
}

}  // namespace

std::vector<Missing> missing_for(const Policy& policy, const Explanation& flow) {
  std::vector<Missing> missing;

  for (const Side& side : flow.sides) {
    if (side.verdict.allow || side.reply) continue;
    switch (side.verdict.reason) {
      case abi::REASON_DENY_TENANT:
      case abi::REASON_DENY_TENANT_PORT:  // both sides have to agree, so either may be lacking
        add_lacking(policy, flow, abi::DIRECTION_EGRESS, missing);
        add_lacking(policy, flow, abi::DIRECTION_INGRESS, missing);
        break;
      case abi::REASON_DENY_WORLD:
      case abi::REASON_DENY_WORLD_PORT:
      case abi::REASON_DENY_MULTICAST:
        add_lacking(policy, flow, side.direction, missing);
        break;
      default:
        break;  // nothing that a rule could allow
    }
  }
  return missing;
}

}  // namespace partywall::cli

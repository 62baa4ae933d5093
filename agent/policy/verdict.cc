// agent/policy/verdict.cc: walks the rules as they were written. Pure; shares nothing with
// compile.
#include "agent/policy/verdict.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "agent/policy/cluster_network.h"
#include "agent/policy/zones.h"
#include "maps/abi/pairs.h"

namespace partywall::policy {
namespace {

constexpr int kIcmp4 = IPPROTO_ICMP;
constexpr int kIcmp6 = IPPROTO_ICMPV6;

using Rules = std::optional<std::vector<Rule>>;

abi::peer_class class_of(abi::reason reason) {
  switch (reason) {
#define X(name, label, peer_class, sentence) \
  case abi::REASON_##name:                   \
    return abi::CLASS_##peer_class;
    PARTYWALL_REASONS(X)
#undef X
    default:
      return abi::CLASS_UNKNOWN;
  }
}

bool is_loopback(const Address& address) {
  if (address.family == Family::kIpv4) return address.bytes[0] == 127;

  Address one{Family::kIpv6, {}};

  one.bytes[15] = 1;
  return address == one;
}

std::optional<Protocol> protocol_of(uint8_t number, Family family) {
  if (number == IPPROTO_TCP) return Protocol::kTcp;
  if (number == IPPROTO_UDP) return Protocol::kUdp;
  if (number == (family == Family::kIpv4 ? kIcmp4 : kIcmp6)) return Protocol::kIcmp;
  if (number == IPPROTO_IPIP || number == IPPROTO_IPV6 || number == IPPROTO_GRE ||
      number == IPPROTO_ESP)
    return Protocol::kTunnel;
  return std::nullopt;
}

bool has_ports(Protocol protocol) {
  return protocol == Protocol::kTcp || protocol == Protocol::kUdp;
}

bool is_tunnel(Protocol protocol, uint16_t port) {
  return protocol == Protocol::kTunnel ||
         (protocol == Protocol::kUdp && abi::is_tunnel_port(port));
}

// Whether `ports` holds this protocol and port. Tunnels are held by name only.
bool holds(const std::optional<std::vector<PortRange>>& ports, Protocol protocol,
           uint16_t port) {
  if (is_tunnel(protocol, port)) protocol = Protocol::kTunnel;
  if (!ports) return protocol != Protocol::kTunnel;
  return std::ranges::any_of(*ports, [&](const PortRange& range) {
    return range.protocol == protocol &&
           (!has_ports(protocol) || (range.first <= port && port <= range.last));
  });
}

// The part of two lists of ports that both hold is not empty.
bool meet(const std::optional<std::vector<PortRange>>& a,
          const std::optional<std::vector<PortRange>>& b) {
  auto any = [](const PortRange& range) { return range.protocol != Protocol::kTunnel; };

  if (!a) return !b || std::ranges::any_of(*b, any);
  if (!b) return std::ranges::any_of(*a, any);
  for (const PortRange& one : *a)
    for (const PortRange& other : *b)
      if (one.protocol == other.protocol &&
          (!has_ports(one.protocol) || (one.first <= other.last && other.first <= one.last)))
        return true;
  return false;
}

bool names(const Rule& rule, const std::string& tenant) {
  return std::ranges::any_of(rule.peers,
                             [&](const PeerSelector& peer) { return peer.tenant == tenant; });
}

bool names(const Rule& rule, const Address& address) {
  return std::ranges::any_of(rule.peers, [&](const PeerSelector& peer) {
    if (!peer.cidr || !peer.cidr->contains(address)) return false;
    if (is_multicast(address) && !is_multicast(*peer.cidr)) return false;
    return std::ranges::none_of(peer.except,
                                [&](const Prefix& hole) { return hole.contains(address); });
  });
}

// The first rule of a list that names the peer and holds the port.
template <typename Peer>
const Rule* find_rule(const Rules& rules, const Peer& peer, Protocol protocol, uint16_t port) {
  if (!rules) return nullptr;
  for (const Rule& rule : *rules)
    if (names(rule, peer) && holds(rule.ports, protocol, port)) return &rule;
  return nullptr;
}

bool is_in(const Address& address, const std::vector<Prefix>& ranges) {
  return std::ranges::any_of(ranges,
                             [&](const Prefix& range) { return range.contains(address); });
}

// In the largest range of its family.
bool is_home(const Address& address, const std::vector<Prefix>& ranges) {
  const Prefix* largest = nullptr;

  for (const Prefix& range : ranges)
    if (range.address.family == address.family && (!largest || range.bits < largest->bits))
      largest = &range;
  return largest && largest->contains(address);
}

// What one question to the rules came to.
struct Answer {
  bool allow = false;
  bool any_rule = false;  // something is allowed between the two, on whatever port
  const Rule* egress_rule = nullptr;
  const Rule* ingress_rule = nullptr;
};

class Judge {
 public:
  Judge(const Policy& policy, const Flow& flow) : policy_(policy), flow_(flow) {}

  Verdict run();

 private:
  Verdict say(abi::reason reason);
  Verdict say(abi::reason reason, const Answer& answer);
  Verdict refuse(Protocol protocol, const Answer& answer, abi::reason port, abi::reason none);
  std::string owner_of(const Address& address) const;
  bool owns_source() const;
  bool egress() const { return flow_.direction == abi::DIRECTION_EGRESS; }

  Verdict judge_peer();
  Verdict judge_tenant(Protocol protocol);
  const Infrastructure* find_lane(Protocol protocol) const;
  Verdict judge_world(Protocol protocol);
  bool has_services() const;
  bool is_node() const;
  Verdict judge_services(Protocol protocol);
  Verdict judge_node(Protocol protocol);
  Answer ask_services(Protocol protocol, uint16_t port, bool node) const;
  bool is_built_in(const std::string& tenant) const;
  Answer agreed(const Tenant& sender, const Tenant& receiver, Protocol protocol,
                uint16_t port) const;
  Answer between(const Tenant& sender, const Tenant& receiver, Protocol protocol,
                 uint16_t port) const;
  Answer ask_world(abi::direction opened, Protocol protocol, uint16_t port) const;

  const Policy& policy_;
  const Flow& flow_;
  const Tenant* own_ = nullptr;
  std::string peer_tenant_;
};

Verdict Judge::say(abi::reason reason) {
  Verdict verdict;

  verdict.allow = reason < abi::REASON_FIRST_DENY;
  verdict.audit = own_ && own_->mode == Mode::kAudit;
  verdict.reason = reason;
  verdict.peer_class = class_of(reason);
  verdict.peer_tenant = peer_tenant_;
  return verdict;
}

Verdict Judge::say(abi::reason reason, const Answer& answer) {
  Verdict verdict = say(reason);

  verdict.egress_rule = answer.egress_rule;
  verdict.ingress_rule = answer.ingress_rule;
  return verdict;
}

// Nothing lets the flow pass: `port` when something else would, `none` when nothing does.
Verdict Judge::refuse(Protocol protocol, const Answer& answer, abi::reason port,
                      abi::reason none) {
  if (!answer.any_rule) return say(none, answer);

  bool tunnel = is_tunnel(protocol, egress() ? flow_.peer_port : flow_.local_port);

  return say(tunnel ? abi::REASON_DENY_TUNNEL : port, answer);
}

std::string Judge::owner_of(const Address& address) const {
  for (const auto& [name, tenant] : policy_.tenants)
    if (is_in(address, tenant.addresses)) return name;
  if (policy_.network && !is_in(address, policy_.network->nodes) &&
      is_in(address, policy_.network->pod_ranges) &&
      policy_.tenants.contains(policy_.network->pod_tenant))
    return policy_.network->pod_tenant;
  return "";
}

bool Judge::owns_source() const {
  std::string owner = owner_of(*flow_.local);

  if (owner == own_->name) return true;
  if (!policy_.network) return owner.empty() && own_->addresses.empty();
  // One of this node's pods that nobody has told of, or a socket of the node itself.
  return (owner == policy_.network->pod_tenant &&
          is_home(*flow_.local, policy_.network->local_ranges)) ||
         (owner.empty() && is_in(*flow_.local, policy_.network->nodes));
}

Verdict Judge::run() {
  auto own = policy_.tenants.find(flow_.tenant);

  if (own == policy_.tenants.end()) return say(abi::REASON_DENY_UNKNOWN_CGROUP);
  own_ = &own->second;
  if (egress()) {
    if (flow_.loopback || is_loopback(flow_.peer)) return say(abi::REASON_ALLOW_LOOPBACK);
    if (flow_.local && !owns_source()) return say(abi::REASON_DENY_SOURCE);
  } else if (flow_.loopback && flow_.loopback_tenant.empty()) {
    return say(abi::REASON_ALLOW_HOST_PROCESS);
  }
  peer_tenant_ = flow_.loopback ? flow_.loopback_tenant : owner_of(flow_.peer);
  return judge_peer();
}

Verdict Judge::judge_peer() {
  if (peer_tenant_ == own_->name) return say(abi::REASON_ALLOW_SAME_TENANT);

  auto protocol = protocol_of(flow_.protocol, flow_.peer.family);

  if (!protocol) return say(abi::REASON_DENY_PROTOCOL);
  if (!peer_tenant_.empty()) return judge_tenant(*protocol);
  if (const Infrastructure* entry = find_lane(*protocol)) {
    Verdict verdict = say(abi::REASON_ALLOW_INFRASTRUCTURE);

    verdict.infrastructure = entry;
    return verdict;
  }
  if (policy_.network && is_node()) return judge_node(*protocol);
  if (policy_.network && has_services()) return judge_services(*protocol);
  return judge_world(*protocol);
}

bool Judge::is_built_in(const std::string& tenant) const {
  return policy_.network && (tenant == policy_.network->pod_tenant ||
                             tenant == policy_.network->infrastructure_tenant);
}

bool Judge::is_node() const {
  return std::ranges::any_of(policy_.network->nodes,
                             [&](const Prefix& node) { return node.contains(flow_.peer); });
}

// Whether the peer is an address of a service, or one that only services may have.
bool Judge::has_services() const {
  const ClusterNetwork& network = *policy_.network;

  return is_in(flow_.peer, network.service_ranges) ||
         std::ranges::any_of(network.services, [&](const Service& service) {
           return is_in(flow_.peer, service.addresses);
         });
}

// Whether the tenant may ask for a port at the peer, which is an address of services, or of a
// node.
Answer Judge::ask_services(Protocol protocol, uint16_t port, bool node) const {
  Answer answer;

  for (const Service& service : policy_.network->services) {
    auto owner = policy_.tenants.find(service.tenant);

    if (owner == policy_.tenants.end()) continue;
    for (const ServicePort& one : service.ports) {
      bool here = is_in(flow_.peer, service.addresses);

      for (uint16_t number : {here ? one.port : uint16_t{0}, node ? one.node : uint16_t{0}}) {
        if (number == 0) continue;

        Answer reached;

        if (service.tenant == own_->name)
          reached.allow = true;
        else
          reached = between(*own_, owner->second, one.protocol, one.target);
        if (!reached.allow) continue;
        answer.any_rule = true;
        if (number != port || one.protocol != protocol || is_tunnel(protocol, port)) continue;
        answer.allow = true;
        answer.egress_rule = reached.egress_rule;
        answer.ingress_rule = reached.ingress_rule;
      }
    }
  }
  return answer;
}

Verdict Judge::judge_services(Protocol protocol) {
  bool alone = true;
  const Service* here = nullptr;

  for (const Service& service : policy_.network->services) {
    if (!is_in(flow_.peer, service.addresses)) continue;
    alone = alone && (!here || here->tenant == service.tenant);
    here = &service;
  }
  if (here) peer_tenant_ = alone ? here->tenant : "";
  if (alone && here && here->tenant == own_->name) {
    Verdict verdict = say(abi::REASON_ALLOW_SAME_TENANT);

    verdict.service = here->name;
    return verdict;
  }
  uint16_t port = egress() ? flow_.peer_port : flow_.local_port;
  Answer asked = ask_services(protocol, flow_.peer_port, false);
  Verdict verdict;

  if (egress() && asked.allow)
    verdict = say(abi::REASON_ALLOW_TENANT_RULE, asked);
  else if (!egress() && !flow_.opens && asked.allow)
    verdict = say(abi::REASON_ALLOW_TENANT_REPLY, asked);
  else if (egress() && asked.any_rule)
    verdict =
        say(is_tunnel(protocol, port) ? abi::REASON_DENY_TUNNEL : abi::REASON_DENY_TENANT_PORT);
  else
    verdict = say(abi::REASON_DENY_TENANT);
  if (here) verdict.service = here->name;
  return verdict;
}

// Behind a node's address stand its services, and on the way in the world.
Verdict Judge::judge_node(Protocol protocol) {
  Verdict verdict;
  uint16_t own_port = flow_.local_port;
  uint16_t port = flow_.peer_port;
  bool built_in = is_built_in(own_->name);
  Answer out = ask_services(protocol, port, true);
  Answer in = ask_world(abi::DIRECTION_INGRESS, protocol, own_port);

  if (built_in) out.allow = in.allow = out.any_rule = in.any_rule = true;

  const Answer& forward = egress() ? out : in;
  const Answer& backward = egress() ? in : out;

  if (forward.allow)
    verdict = say(abi::REASON_ALLOW_WORLD, forward);
  else if (!flow_.opens && (backward.allow || egress()))
    // Whoever was let in from there: the edge knows the flow.
    verdict = say(abi::REASON_ALLOW_WORLD_REPLY, backward);
  else
    verdict = refuse(protocol, {.any_rule = forward.any_rule}, abi::REASON_DENY_WORLD_PORT,
                     abi::REASON_DENY_WORLD);
  verdict.service = "nodes";
  return verdict;
}

// What a cluster's built-in tenants agree to, and what every tenant is offered by one of them.
Answer Judge::agreed(const Tenant& sender, const Tenant& receiver, Protocol protocol,
                     uint16_t port) const {
  Answer answer;

  if (!policy_.network) return answer;

  const ClusterNetwork& network = *policy_.network;
  bool from_built_in = is_built_in(sender.name);
  bool to_built_in = is_built_in(receiver.name);
  auto ask = [&](const Rules& rules, const std::string& peer, const Rule*& found) {
    found = find_rule(rules, peer, protocol, port);
    answer.allow = answer.allow || found;
    answer.any_rule =
        answer.any_rule || (rules && std::ranges::any_of(*rules, [&](const Rule& rule) {
                              return names(rule, peer) && (!rule.ports || !rule.ports->empty());
                            }));
  };
  auto lane = [&](const std::vector<PortRange>& ports) {
    answer.allow = answer.allow || holds(ports, protocol, port);
    answer.any_rule = answer.any_rule || !ports.empty();
  };

  if (from_built_in && to_built_in) {
    answer.allow = answer.any_rule = true;
    return answer;
  }
  if (to_built_in) ask(sender.egress, receiver.name, answer.egress_rule);
  if (from_built_in) ask(receiver.ingress, sender.name, answer.ingress_rule);
  if (receiver.name == network.infrastructure_tenant) lane(network.offers);
  if (sender.name == network.infrastructure_tenant) lane(network.reaches);
  return answer;
}

// A flow between two tenants needs a rule on both sides, for the same port.
Answer Judge::between(const Tenant& sender, const Tenant& receiver, Protocol protocol,
                      uint16_t port) const {
  if (is_built_in(sender.name) || is_built_in(receiver.name))
    return agreed(sender, receiver, protocol, port);

  Answer answer;

  answer.egress_rule = find_rule(sender.egress, receiver.name, protocol, port);
  answer.ingress_rule = find_rule(receiver.ingress, sender.name, protocol, port);
  answer.allow = answer.egress_rule && answer.ingress_rule;
  if (!sender.egress || !receiver.ingress) return answer;
  for (const Rule& out : *sender.egress)
    for (const Rule& in : *receiver.ingress)
      if (names(out, receiver.name) && names(in, sender.name) && meet(out.ports, in.ports))
        answer.any_rule = true;
  return answer;
}

Verdict Judge::judge_tenant(Protocol protocol) {
  auto peer = policy_.tenants.find(peer_tenant_);

  if (peer == policy_.tenants.end()) return say(abi::REASON_DENY_TENANT);

  const Tenant& other = peer->second;
  const Tenant& sender = egress() ? *own_ : other;
  const Tenant& receiver = egress() ? other : *own_;
  uint16_t port = egress() ? flow_.peer_port : flow_.local_port;
  Answer forward = between(sender, receiver, protocol, port);

  if (forward.allow) return say(abi::REASON_ALLOW_TENANT_RULE, forward);
  if (!flow_.opens) {
    uint16_t reply_port = egress() ? flow_.local_port : flow_.peer_port;
    Answer backward = between(receiver, sender, protocol, reply_port);

    if (backward.allow) return say(abi::REASON_ALLOW_TENANT_REPLY, backward);
  }
  return refuse(protocol, forward, abi::REASON_DENY_TENANT_PORT, abi::REASON_DENY_TENANT);
}

// The entry of the lane that lets the flow pass, as itself or as a reply.
const Infrastructure* Judge::find_lane(Protocol protocol) const {
  auto find = [&](abi::direction opened, uint16_t port) -> const Infrastructure* {
    for (const Infrastructure& entry : policy_.infrastructure)
      if (entry.direction == opened && entry.cidr.contains(flow_.peer) &&
          (!is_multicast(flow_.peer) || is_multicast(entry.cidr)) &&
          holds(entry.ports, protocol, port))
        return &entry;
    return nullptr;
  };
  auto against = egress() ? abi::DIRECTION_INGRESS : abi::DIRECTION_EGRESS;

  if (const auto* entry = find(flow_.direction, egress() ? flow_.peer_port : flow_.local_port))
    return entry;
  return flow_.opens ? nullptr : find(against, egress() ? flow_.local_port : flow_.peer_port);
}

// Whether the tenant may open a flow to the peer (egress), or the peer to the tenant (ingress).
Answer Judge::ask_world(abi::direction opened, Protocol protocol, uint16_t port) const {
  bool out = opened == abi::DIRECTION_EGRESS;
  const Rules& rules = out ? own_->egress : own_->ingress;
  Answer answer;

  if (!rules) {
    auto tier = policy_.tiers.find(own_->tier);
    const Tier plan = tier == policy_.tiers.end() ? Tier{} : tier->second;

    answer.any_rule = !is_multicast(flow_.peer) &&
                      (out ? plan.world_egress : plan.world_ingress) == WorldDefault::kAllow;
    answer.allow = answer.any_rule && !is_tunnel(protocol, port);
    return answer;
  }
  const Rule* rule = find_rule(rules, flow_.peer, protocol, port);

  (out ? answer.egress_rule : answer.ingress_rule) = rule;
  answer.allow = rule;
  answer.any_rule = std::ranges::any_of(*rules, [&](const Rule& other) {
    return names(other, flow_.peer) && (!other.ports || !other.ports->empty());
  });
  return answer;
}

Verdict Judge::judge_world(Protocol protocol) {
  Answer forward =
      ask_world(flow_.direction, protocol, egress() ? flow_.peer_port : flow_.local_port);

  if (forward.allow) return say(abi::REASON_ALLOW_WORLD, forward);
  if (!flow_.opens) {
    auto against = egress() ? abi::DIRECTION_INGRESS : abi::DIRECTION_EGRESS;
    Answer backward =
        ask_world(against, protocol, egress() ? flow_.local_port : flow_.peer_port);

    if (backward.allow) return say(abi::REASON_ALLOW_WORLD_REPLY, backward);
  }
  if (is_multicast(flow_.peer)) return say(abi::REASON_DENY_MULTICAST);
  return refuse(protocol, {.any_rule = forward.any_rule}, abi::REASON_DENY_WORLD_PORT,
                abi::REASON_DENY_WORLD);
}

}  // namespace

Verdict judge(const Policy& policy, const Flow& flow) { return Judge(policy, flow).run(); }

}  // namespace partywall::policy

// tests/bpf/edge_model.cc: the rules of the edge in the order of docs and SECURITY.md. No I/O.
#include "tests/bpf/edge_model.h"

#include <algorithm>

#include "agent/policy/zones.h"

namespace partywall::test {
namespace {

policy::Prefix prefix(const char* text) { return policy::parse_prefix(text).value(); }

bool is_link_local(const policy::Address& address) {
  static const policy::Prefix kRange = prefix("fe80::/10");

  return kRange.contains(address);
}

bool is_nothing(const policy::Address& address) {
  return address.half(0) == 0 && address.half(8) == 0;
}

// Addresses that no router forwards to.
bool is_of_link(const policy::Address& address) {
  static const policy::Prefix kGroups = prefix("ff02::/16");

  return is_link_local(address) || kGroups.contains(address);
}

bool is_allowed(abi::reason reason) { return reason < abi::REASON_FIRST_DENY; }

// Whether two lists of ports hold something in common; tunnels only by name.
bool share(const std::optional<std::vector<policy::PortRange>>& one,
           const std::optional<std::vector<policy::PortRange>>& other) {
  static const std::vector<policy::PortRange> kUsual = {{policy::Protocol::kTcp, 0, 65535},
                                                        {policy::Protocol::kUdp, 0, 65535},
                                                        {policy::Protocol::kIcmp, 0, 65535}};

  for (const policy::PortRange& a : one ? *one : kUsual)
    for (const policy::PortRange& b : other ? *other : kUsual)
      if (a.protocol == b.protocol && a.first <= b.last && b.first <= a.last) return true;
  return false;
}

bool lets(const policy::Tenant& from, const policy::Tenant& to) {
  auto names = [](const policy::Rule& rule, const std::string& tenant) {
    return std::ranges::any_of(rule.peers,
                               [&](const auto& peer) { return peer.tenant == tenant; });
  };

  if (!from.egress || !to.ingress) return false;
  for (const policy::Rule& out : *from.egress)
    for (const policy::Rule& in : *to.ingress)
      if (names(out, to.name) && names(in, from.name) && share(out.ports, in.ports))
        return true;
  return false;
}

}  // namespace

EdgeModel::EdgeModel(policy::Policy policy, std::function<std::string(uint32_t)> tenant_of_mark)
    : policy_(std::move(policy)),
      without_lane_(policy_),
      tenant_of_mark_(std::move(tenant_of_mark)) {
  without_lane_.infrastructure.clear();
}

std::string EdgeModel::owner_of(const policy::Address& address) const {
  for (const auto& [name, tenant] : policy_.tenants)
    for (const policy::Prefix& range : tenant.addresses)
      if (range.contains(address)) return name;
  return "";
}

bool EdgeModel::owns(const std::string& tenant, const policy::Address& address) const {
  std::string owner = owner_of(address);
  auto found = policy_.tenants.find(tenant);

  if (found == policy_.tenants.end()) return false;
  return owner == tenant || (owner.empty() && found->second.addresses.empty());
}

bool EdgeModel::may_claim(const std::string& tenant, const policy::Address& address) const {
  return is_nothing(address) || is_link_local(address) || owns(tenant, address);
}

// Whether two tenants may talk at all.
bool EdgeModel::talk(const std::string& one, const std::string& other) const {
  auto a = policy_.tenants.find(one);
  auto b = policy_.tenants.find(other);

  if (a == policy_.tenants.end() || b == policy_.tenants.end()) return false;
  return lets(a->second, b->second) || lets(b->second, a->second);
}

bool EdgeModel::may_hear(const std::string& tenant, const std::string& speaker,
                         const policy::Address& source) const {
  std::string who = speaker.empty() ? owner_of(source) : speaker;

  return who.empty() || who == tenant || talk(tenant, who);
}

EdgeModel::FlowKey EdgeModel::Question::key() const {
  return {tenant, ifindex, protocol, own, peer, own_port, peer_port};
}

EdgeModel::Question EdgeModel::question(const EdgeWire& wire, const std::string& tenant,
                                        const EdgeFrame& frame,
                                        const ModelInterface& at) const {
  const DicePacket& packet = wire.packet;
  bool egress = frame.direction == abi::DIRECTION_EGRESS;
  Question of{
      .wire = &wire, .tenant = tenant, .ifindex = frame.ifindex, .direction = frame.direction};

  of.own = egress ? packet.source : packet.target;
  of.peer = egress || wire.is_multicast() ? packet.target : packet.source;
  of.protocol = packet.protocol;
  of.strict = at.strict || mistakes.ignores_strictness;
  if (wire.part == EdgeWire::kLater) return of;
  of.own_port = egress ? packet.source_port : packet.target_port;
  of.peer_port = egress ? packet.target_port : packet.source_port;
  of.is_error = wire.is_icmp_error();
  if (wire.is_tcp()) {
    of.opens = of.begins = (packet.tcp_flags & 0x12) == 0x02;
    of.ends = packet.tcp_flags & 0x05;
  } else if (wire.is_icmp()) {
    of.opens = of.begins = !of.is_error && !wire.is_echo_reply();
  } else {
    of.begins = true;
    of.opens = !wire.is_udp() && !wire.is_tunnel();
  }
  return of;
}

// --- flows ---

bool EdgeModel::has_room(const std::string& tenant) const {
  return with_table.contains(tenant) &&
         (mistakes.ignores_full_tables || !full.contains(tenant));
}

// An echo and its reply are one flow by their number.
static void pair_echo(EdgeWire const& wire, uint16_t& own, uint16_t& peer) {
  if (wire.is_icmp()) own = peer = wire.echo();
}

bool EdgeModel::answers(const Question& of) const {
  Question by = of;

  if (of.opens || of.is_error || mistakes.forgets_flows) return false;
  if (of.protocol != IPPROTO_TCP && of.protocol != IPPROTO_UDP)
    pair_echo(*of.wire, by.own_port, by.peer_port);

  auto known = flows_.find(by.key());

  if (known == flows_.end()) return of.is_tcp() && !of.strict;
  return mistakes.ignores_direction_of_flows || known->second.opened_by != of.direction;
}

// Remembers a flow that its replies would need; false when there is no room.
bool EdgeModel::notes(const Question& of) {
  Question by = of;

  if (of.protocol != IPPROTO_TCP && of.protocol != IPPROTO_UDP)
    pair_echo(*of.wire, by.own_port, by.peer_port);

  auto known = flows_.find(by.key());

  if (of.only_asks) return known != flows_.end() || (of.is_tcp() && !of.strict);
  if (!of.begins) {
    if (of.is_tcp() && of.ends && known != flows_.end()) known->second.host = false;
    return true;
  }
  if (known == flows_.end()) {
    if (!has_room(of.tenant)) return false;
    flows_[by.key()] = {.opened_by = of.direction};
    return true;
  }
  known->second.opened_by = of.direction;
  if (of.is_tcp()) known->second.host = false;
  return true;
}

void EdgeModel::forget(const std::string& tenant) {
  std::erase_if(flows_, [&](const auto& flow) { return std::get<0>(flow.first) == tenant; });
  std::erase_if(datagrams_, [&](const auto& key) { return std::get<0>(key) == tenant; });
}

void EdgeModel::host_asks(const Question& of) {
  Question by = of;

  if (of.wire->part == EdgeWire::kLater || !(of.opens || of.wire->is_udp())) return;
  if (of.protocol != IPPROTO_UDP && of.protocol != IPPROTO_TCP)
    pair_echo(*of.wire, by.own_port, by.peer_port);

  auto known = flows_.find(by.key());

  if (known == flows_.end() && !has_room(of.tenant)) return;
  flows_[by.key()] = {.opened_by = abi::DIRECTION_INGRESS, .host = true};
}

EdgeModel::DatagramKey EdgeModel::datagram(const Question& of) const {
  return {of.tenant, of.ifindex, of.direction, of.protocol, of.own, of.peer, of.wire->datagram};
}

// --- rules ---

abi::reason EdgeModel::of_later_fragment(const Question& of) const {
  std::string peer = of.named_peer ? *of.named_peer : owner_of(of.peer);

  if (peer == of.tenant) return abi::REASON_ALLOW_SAME_TENANT;
  if (!datagrams_.contains(datagram(of)) && !mistakes.ignores_fragments)
    return abi::REASON_DENY_FRAGMENT;
  if (!peer.empty()) return abi::REASON_ALLOW_TENANT_RULE;

  bool lane = std::ranges::any_of(policy_.infrastructure, [&](const auto& entry) {
    return entry.cidr.contains(of.peer) &&
           (!policy::is_multicast(of.peer) || policy::is_multicast(entry.cidr));
  });

  return lane ? abi::REASON_ALLOW_INFRASTRUCTURE : abi::REASON_ALLOW_WORLD;
}

abi::reason EdgeModel::by_rules(const Question& of, const policy::Policy& rules) {
  if (of.wire->part == EdgeWire::kLater && !of.only_asks) return of_later_fragment(of);

  policy::Flow flow;

  flow.tenant = of.tenant;
  flow.direction = of.direction;
  flow.peer = of.peer;
  flow.loopback = of.named_peer.has_value();
  flow.loopback_tenant = of.named_peer.value_or("");
  flow.protocol = of.protocol;
  flow.local_port = of.own_port;
  flow.peer_port = of.peer_port;
  flow.opens = !answers(of);

  policy::Verdict verdict = policy::judge(rules, flow);
  bool lane = verdict.reason == abi::REASON_ALLOW_INFRASTRUCTURE;
  bool forward = lane ? verdict.infrastructure->direction == of.direction
                      : verdict.reason == abi::REASON_ALLOW_TENANT_RULE ||
                            verdict.reason == abi::REASON_ALLOW_WORLD;

  if (!forward) return verdict.reason;

  // What the other end may open as well needs no memory.
  policy::Flow back = flow;

  back.direction = of.egress() ? abi::DIRECTION_INGRESS : abi::DIRECTION_EGRESS;
  back.opens = true;

  policy::Verdict other;

  if (lane) {
    policy::Policy only_lane = without_lane_;

    for (const policy::Infrastructure& entry : rules.infrastructure)
      if (entry.direction == back.direction) only_lane.infrastructure.push_back(entry);
    other = policy::judge(only_lane, back);
    other.allow = other.reason == abi::REASON_ALLOW_INFRASTRUCTURE;
  } else if (of.named_peer && back.direction == abi::DIRECTION_EGRESS) {
    // The other way round: what the named peer's own ingress would say.
    back.tenant = *of.named_peer;
    back.loopback_tenant = of.tenant;
    back.direction = abi::DIRECTION_INGRESS;
    std::swap(back.local_port, back.peer_port);
    other = policy::judge(without_lane_, back);
  } else {
    other = policy::judge(without_lane_, back);
  }
  if (other.allow || notes(of)) return verdict.reason;
  return lane ? by_rules(of, without_lane_) : abi::REASON_DENY_FLOWS_FULL;
}

// An ICMP error passes when the packet that it quotes, which went the other way, was one of a
// flow that may be.
std::optional<abi::reason> EdgeModel::by_quote(const Question& of) {
  bool v4 = of.wire->is_v4();
  wire::Bytes quoted = of.wire->body.subspan(std::min<size_t>(8, of.wire->body.size()));
  size_t header = v4 ? 20 : 40;

  if (mistakes.ignores_quotes || quoted.size() < header) return std::nullopt;
  if (v4 && (quoted[0] != 0x45 || wire::number(quoted, 6) & 0x1fff)) return std::nullopt;
  if (!v4 && quoted[0] >> 4 != 6) return std::nullopt;

  policy::Family family = v4 ? policy::Family::kIpv4 : policy::Family::kIpv6;
  policy::Address source = wire::address(quoted, v4 ? 12 : 8, family);
  policy::Address target = wire::address(quoted, v4 ? 16 : 24, family);
  uint8_t protocol = quoted[v4 ? 9 : 6];

  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return std::nullopt;
  if (quoted.size() < header + 4) return std::nullopt;

  bool sent = !of.egress();
  uint16_t from = wire::number(quoted, header), to = wire::number(quoted, header + 2);
  Question back{.wire = of.wire,
                .tenant = of.tenant,
                .ifindex = of.ifindex,
                .direction = sent ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS};

  back.own = sent ? source : target;
  back.peer = sent ? target : source;
  back.own_port = sent ? from : to;
  back.peer_port = sent ? to : from;
  back.protocol = protocol;
  back.strict = of.strict;
  back.only_asks = true;
  if (!owns(of.tenant, back.own)) return std::nullopt;

  abi::reason reason = by_rules(back);

  if (!is_allowed(reason)) return std::nullopt;
  if (reason == abi::REASON_ALLOW_SAME_TENANT || reason == abi::REASON_ALLOW_INFRASTRUCTURE)
    return reason;
  return owner_of(back.peer).empty() ? abi::REASON_ALLOW_WORLD_REPLY
                                     : abi::REASON_ALLOW_TENANT_REPLY;
}

// --- the link ---

std::optional<abi::reason> EdgeModel::about_neighbors(const EdgeWire& wire,
                                                      const std::string& tenant, bool egress,
                                                      const std::string& speaker) const {
  enum { kQuery = 130, kReport, kDone, kSolicitRouter, kRouter, kSolicit, kAdvert, kRedirect };
  constexpr int kReport2 = 143;
  const policy::Address& source = wire.packet.source;
  const policy::Address& target = wire.packet.target;
  int type = wire.icmp_type();
  bool anything = mistakes.ignores_link_scope;
  bool fresh = wire.hop_limit == 255 || anything;
  bool mine = tenant.empty() || may_claim(tenant, source) || anything;
  bool heard = is_link_local(source) && may_hear(tenant, speaker, source);

  switch (type) {
    case kReport:
    case kDone:
    case kReport2:
      if (egress && mine && ((wire.is_multicast() && wire.hop_limit == 1) || anything))
        return abi::REASON_ALLOW_LINK;
      return std::nullopt;
    case kSolicitRouter:
      if (egress && mine && fresh && (is_of_link(target) || anything))
        return abi::REASON_ALLOW_LINK;
      return std::nullopt;
    case kQuery:
    case kRouter:
    case kRedirect:
      if (egress) return abi::REASON_DENY_NEIGHBOR;
      if (heard && (type == kQuery ? wire.hop_limit == 1 || anything : fresh))
        return abi::REASON_ALLOW_LINK;
      return std::nullopt;
    case kSolicit:
    case kAdvert:
      break;
    default:
      return std::nullopt;
  }
  // To addresses beyond the link only what is no longer than the protocol needs.
  if (!fresh || !(is_of_link(target) || wire.body.size() <= 40 || anything))
    return std::nullopt;

  policy::Address claimed = source;

  if (type == kAdvert) {
    if (wire.body.size() < 24) return abi::REASON_DENY_MALFORMED;
    claimed = wire::address(wire.body, 8, policy::Family::kIpv6);
  }
  if (tenant.empty()) return abi::REASON_ALLOW_LINK;
  if (egress)
    return may_claim(tenant, claimed) && may_claim(tenant, source) ? abi::REASON_ALLOW_LINK
                                                                   : abi::REASON_DENY_NEIGHBOR;
  return may_hear(tenant, speaker, source) ? abi::REASON_ALLOW_LINK : abi::REASON_DENY_TENANT;
}

std::optional<abi::reason> EdgeModel::about_link(const EdgeWire& wire,
                                                 const std::string& tenant, bool egress,
                                                 const std::string& speaker) const {
  static const policy::Address kEveryone = prefix("255.255.255.255/32").address;
  static const policy::Address kServers = prefix("ff02::1:2/128").address;
  const DicePacket& packet = wire.packet;

  if (wire.part == EdgeWire::kLater) {
    // Without its header nobody knows what an ICMP message says; others follow their datagram.
    return std::nullopt;
  }
  if (wire.is_icmp() && !wire.is_v4()) return about_neighbors(wire, tenant, egress, speaker);
  if (wire.is_icmp()) {
    bool routes = wire.icmp_type() == 5 || wire.icmp_type() == 9;

    return egress && routes ? std::optional(abi::REASON_DENY_NEIGHBOR) : std::nullopt;
  }
  if (!wire.is_udp()) return std::nullopt;

  uint16_t client = wire.is_v4() ? 68 : 546;
  uint16_t server = wire.is_v4() ? 67 : 547;
  bool asks = packet.source_port == client && packet.target_port == server;
  bool offers = packet.source_port == server && packet.target_port == client;

  if (egress && offers) return abi::REASON_DENY_NEIGHBOR;
  if (egress && asks && mistakes.ignores_link_scope && wire.is_multicast())
    return abi::REASON_ALLOW_LINK;
  if (egress && asks && packet.target == (wire.is_v4() ? kEveryone : kServers) &&
      (tenant.empty() || may_claim(tenant, packet.source)))
    return abi::REASON_ALLOW_LINK;
  if (!egress && offers && may_hear(tenant, speaker, packet.source))
    return abi::REASON_ALLOW_LINK;
  return std::nullopt;
}

// --- frames ---

abi::reason EdgeModel::ingress_by_sender(const Question& of, const EdgeFrame& frame,
                                         const ModelSender& sender,
                                         const std::string& speaker) {
  std::string who = speaker;

  if (frame.came_over == 0) {  // from a socket of this host
    if (sender.tenant.empty() && !sender.is_managed) {
      host_asks(of);
      return abi::REASON_ALLOW_HOST_PROCESS;
    }
    if (sender.tenant.empty()) return abi::REASON_DENY_UNKNOWN_CGROUP;
    who = sender.tenant;
  }
  if (who.empty() || who == owner_of(of.peer) || of.wire->is_multicast()) return by_rules(of);

  // Its source was rewritten on this node: it answers the tenant's flow, or is the sender's.
  Question reply = of;

  reply.strict = true;
  if (of.wire->part != EdgeWire::kLater && answers(reply)) {
    reply.only_asks = true;
    if (abi::reason reason = by_rules(reply); is_allowed(reason)) return reason;
  }
  Question from = of;

  from.strict = true;
  from.named_peer = who;
  return by_rules(from);
}

abi::reason EdgeModel::decide(const EdgeFrame& frame, const ModelSender& sender,
                              const EdgeWire& wire, const std::string& tenant,
                              ModelInterface& at) {
  bool egress = frame.direction == abi::DIRECTION_EGRESS;

  if (!tenant.empty() && at.has_link_header && !mistakes.ignores_link_addresses) {
    const LinkAddress& address = egress ? wire.from : wire.to;

    bool taken = std::ranges::any_of(interfaces, [&](const auto& other) {
      return &other.second != &at && other.second.mac == address;
    });

    if (!at.mac && egress && taken) return abi::REASON_DENY_LINK_ADDRESS;
    if (!at.mac && egress) at.mac = address;
    if (at.mac && *at.mac != address && (egress || !(address[0] & 1)))
      return abi::REASON_DENY_LINK_ADDRESS;
  }
  if (egress && !sender.tenant.empty() && sender.tenant != tenant)
    return abi::REASON_DENY_INTERFACE;

  std::string speaker = egress || mistakes.ignores_marks ? "" : tenant_of_mark_(frame.mark);
  bool known = interfaces.contains(frame.came_over) || looked_at.contains(frame.came_over);

  if (!egress && speaker.empty() && frame.came_over != 0 && !known &&
      !mistakes.ignores_unknown_interfaces)
    return abi::REASON_DENY_UNBOUND;
  if (wire.refused != abi::REASON_COUNT) return wire.refused;
  if (wire.claims) {
    if (tenant.empty()) return abi::REASON_ALLOW_LINK;
    if (egress)
      return may_claim(tenant, *wire.claims) ? abi::REASON_ALLOW_LINK
                                             : abi::REASON_DENY_NEIGHBOR;
    return may_hear(tenant, speaker, *wire.claims) ? abi::REASON_ALLOW_LINK
                                                   : abi::REASON_DENY_TENANT;
  }
  if (auto reason = about_link(wire, tenant, egress, speaker)) return *reason;
  if (tenant.empty()) return abi::REASON_DENY_UNBOUND;
  // What a workload sends is marked, unless it sent it before it was watched.
  if (!egress && speaker.empty() && marks && interfaces.contains(frame.came_over) &&
      !mistakes.ignores_marks)
    return abi::REASON_DENY_UNBOUND;
  if (policy_.tenants.find(tenant) == policy_.tenants.end())
    return abi::REASON_DENY_UNKNOWN_CGROUP;
  if (egress && !owns(tenant, wire.packet.source)) return abi::REASON_DENY_SOURCE;
  if (std::string owner = egress || wire.is_multicast() ? "" : owner_of(wire.packet.target);
      !owner.empty() && owner != tenant)
    return abi::REASON_DENY_INTERFACE;

  Question of = question(wire, tenant, frame, at);
  std::optional<abi::reason> said;

  if (of.is_error) said = by_quote(of);
  if (!said) said = egress ? by_rules(of) : ingress_by_sender(of, frame, sender, speaker);
  if (egress && !is_allowed(*said) && !of.opens && wire.part != EdgeWire::kLater) {
    Question by = of;

    if (wire.is_icmp()) pair_echo(wire, by.own_port, by.peer_port);

    auto known_flow = flows_.find(by.key());

    if (known_flow != flows_.end() && known_flow->second.host && !of.is_error)
      said = abi::REASON_ALLOW_HOST_PROCESS;
  }
  if (wire.part == EdgeWire::kFirst && is_allowed(*said) &&
      *said != abi::REASON_ALLOW_SAME_TENANT && !datagrams_.contains(datagram(of))) {
    if (!has_room(tenant)) return abi::REASON_DENY_FLOWS_FULL;
    datagrams_.insert(datagram(of));
  }
  return *said;
}

ModelVerdict EdgeModel::judge(const EdgeFrame& frame, const ModelSender& sender) {
  auto found = interfaces.find(frame.ifindex);

  if (found == interfaces.end()) return {};

  ModelInterface& at = found->second;
  bool egress = frame.direction == abi::DIRECTION_EGRESS;
  EdgeWire wire = read_frame(frame.bytes, at.has_link_header);

  if (egress && at.owner().empty()) at.bound = sender.tenant;

  std::string tenant = at.owner();

  if (!egress && tenant.empty() && wire.is_ip() && wire.refused == abi::REASON_COUNT)
    tenant = owner_of(wire.packet.target);

  abi::reason reason = decide(frame, sender, wire, tenant, at);
  auto own = policy_.tenants.find(tenant);
  ModelVerdict verdict;

  verdict.would = !is_allowed(reason) && own != policy_.tenants.end() &&
                  own->second.mode == policy::Mode::kAudit;
  verdict.passes = is_allowed(reason) || verdict.would;
  verdict.marked = egress ? tenant : "";
  // The socket hooks have counted what a tenant's own socket sent, and whatever they could
  // say about it.
  bool inet = wire.outer_type == 0x0800 || wire.outer_type == 0x86dd;
  bool counted = egress && !sender.tenant.empty() && inet && verdict.passes &&
                 !(verdict.would && abi::is_edge_reason(reason));

  if (counted && !mistakes.ignores_charges) return verdict;
  verdict.reason = reason;
  verdict.tenant = tenant;
  verdict.bytes = frame.bytes.size() > wire.network ? frame.bytes.size() - wire.network : 0;
  verdict.packets = 1;
  if (frame.segments > 1) {
    verdict.packets = frame.segments;
    verdict.bytes += (frame.segments - 1) * wire.header_bytes;
  }
  return verdict;
}

}  // namespace partywall::test

// tests/dice/packet_dice.cc: rolls packets. No I/O.
#include "tests/dice/packet_dice.h"

#include <netinet/in.h>

#include <algorithm>

#include "agent/policy/zones.h"

namespace partywall::test {
namespace {

constexpr uint8_t kFlags[] = {0x02, 0x02, 0x02, 0xc2, 0x12, 0x10, 0x10,
                              0x18, 0x11, 0x14, 0x04, 0x03, 0x00, 0x29};
constexpr uint8_t kTypes4[] = {0, 1, 3, 5, 8, 8, 10, 11, 12, 13, 129, 255};
constexpr uint8_t kTypes6[] = {0, 1, 2, 3, 4, 5, 8, 128, 128, 129, 133, 135, 255};
// Neither TCP, UDP nor ICMP of that family, and no IPv6 extension header.
constexpr uint8_t kOthers4[] = {2, 4, 41, 47, 50, 58, 89, 132, 136, 255};
constexpr uint8_t kOthers6[] = {1, 2, 4, 41, 47, 50, 89, 132, 136, 255};

// ICMP types that answer something, or tell of an error.
bool is_answer(uint8_t type, bool v4) {
  return v4 ? type == 0 || type == 3 || type == 11 || type == 12
            : type == 129 || (type >= 1 && type <= 4);
}

// Somebody's address, or one at an edge.
policy::Address peer(Dice& dice, const DicePolicy& policy, bool v4) {
  const auto& owned = policy.owned.at(dice.one_of(policy.tenants));

  if (!owned.empty() && dice.percent(50))
    if (const auto& address = dice.one_of(owned); is_v4(address) == v4) return address;
  return dice.one_of(policy.edges[v4 ? 0 : 1]);
}

}  // namespace

DicePacket roll_packet(Dice& dice, const DicePolicy& policy, const std::string& tenant) {
  DicePacket made;
  bool egress = dice.percent(50);
  policy::Address& local = egress ? made.source : made.target;
  policy::Address& other = egress ? made.target : made.source;
  auto mine = policy.owned.find(tenant);

  made.tenant = tenant;
  made.direction = egress ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS;
  local = mine != policy.owned.end() && !mine->second.empty() && dice.percent(85)
              ? dice.one_of(mine->second)
              : dice.one_of(policy.edges[dice.percent(60) ? 0 : 1]);

  bool v4 = is_v4(local);

  other = peer(dice, policy, v4);
  made.source_port = dice.one_of(policy.ports);
  made.target_port = dice.one_of(policy.ports);
  if (uint32_t kind = dice.below(100); kind < 45) {
    made.protocol = IPPROTO_TCP;
    made.tcp_flags = dice.one_of(kFlags);
  } else if (kind < 70) {
    made.protocol = IPPROTO_UDP;
  } else if (kind < 90) {
    made.protocol = v4 ? uint8_t{IPPROTO_ICMP} : uint8_t{IPPROTO_ICMPV6};
    made.source_port = v4 ? dice.one_of(kTypes4) : dice.one_of(kTypes6);
    made.target_port = static_cast<uint16_t>(dice.below(256));
  } else {
    made.protocol = v4 ? dice.one_of(kOthers4) : dice.one_of(kOthers6);
  }
  made.loopback = dice.percent(egress ? 2 : 12);
  if (made.loopback && !egress && dice.percent(85))
    made.stamp = dice.percent(5) ? "nobody" : dice.one_of(policy.tenants);
  return made;
}

policy::Flow flow_of(const DicePacket& packet) {
  bool egress = packet.direction == abi::DIRECTION_EGRESS;
  policy::Flow flow;

  flow.tenant = packet.tenant;
  flow.direction = packet.direction;
  if (egress) flow.local = packet.source;
  flow.peer = egress || policy::is_multicast(packet.target) ? packet.target : packet.source;
  flow.loopback = packet.loopback;
  flow.loopback_tenant = packet.stamp;
  flow.protocol = packet.protocol;
  flow.local_port = egress ? packet.source_port : packet.target_port;
  flow.peer_port = egress ? packet.target_port : packet.source_port;
  if (packet.protocol == IPPROTO_TCP)
    flow.opens = (packet.tcp_flags & 0x12) == 0x02;  // SYN without ACK
  else if (packet.protocol == IPPROTO_UDP)
    flow.opens = !egress;  // the socket of a rolled packet has sent nothing
  else if (packet.protocol == IPPROTO_ICMP || packet.protocol == IPPROTO_ICMPV6)
    flow.opens = !is_answer(static_cast<uint8_t>(packet.source_port), is_v4(packet.source));
  return flow;
}

std::string to_string(const DicePacket& packet) {
  std::string text = fmt::format(
      "{} {} {} {} -> {} {}, protocol {}, flags {:#x}", packet.tenant,
      packet.direction == abi::DIRECTION_EGRESS ? "sends" : "receives",
      policy::to_string(packet.source), packet.source_port, policy::to_string(packet.target),
      packet.target_port, packet.protocol, packet.tcp_flags);

  if (packet.loopback) text += ", over loopback";
  if (!packet.stamp.empty()) text += " from " + packet.stamp;
  return text;
}

}  // namespace partywall::test

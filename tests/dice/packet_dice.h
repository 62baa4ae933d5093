// tests/dice/packet_dice.h: packets that ask about the edges of a policy. No I/O.
#ifndef PARTYWALL_TESTS_DICE_PACKET_DICE_H
#define PARTYWALL_TESTS_DICE_PACKET_DICE_H

#include <string>

#include "agent/policy/verdict.h"
#include "tests/dice/policy_dice.h"

namespace partywall::test {

// One packet as it stands on the wire, and whose it is.
struct DicePacket {
  std::string tenant;  // whose socket sends or receives it
  abi::direction direction = abi::DIRECTION_EGRESS;
  policy::Address source;
  policy::Address target;
  uint8_t protocol = 6;
  uint16_t source_port = 0;  // host order; ICMP: the type
  uint16_t target_port = 0;  // ICMP: the code
  uint8_t tcp_flags = 0;
  bool loopback = false;
  std::string
      stamp;  // loopback: the tenant that sent it; empty = a process outside the managed root
};
std::string to_string(const DicePacket& packet);

// One that a tenant's socket may send or receive.
DicePacket roll_packet(Dice& dice, const DicePolicy& policy, const std::string& tenant);

// What the reference verdict is to be asked about a packet.
policy::Flow flow_of(const DicePacket& packet);

}  // namespace partywall::test

#endif

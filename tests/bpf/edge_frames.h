// tests/bpf/edge_frames.h: random frames of every kind that the edge tells apart, and of the
// kinds that an attacker would make. The same dice give the same. No I/O.
#ifndef PARTYWALL_TESTS_BPF_EDGE_FRAMES_H
#define PARTYWALL_TESTS_BPF_EDGE_FRAMES_H

#include <string>
#include <vector>

#include "tests/bpf/edge_world.h"
#include "tests/dice/packet_dice.h"

namespace partywall::test {

// X(name): what a rolled frame is about; one frame may be of several shapes.
#define PARTYWALL_FRAME_SHAPES(X) \
  X(PLAIN)                        \
  X(REPLY)                        \
  X(AGAIN)                        \
  X(FIRST_FRAGMENT)               \
  X(LATER_FRAGMENT)               \
  X(ICMP_ERROR)                   \
  X(ARP)                          \
  X(NEIGHBOR)                     \
  X(DHCP)                         \
  X(EXTENSIONS)                   \
  X(VLAN)                         \
  X(HEADER_LENGTH)                \
  X(DAMAGED)                      \
  X(TRUNCATED)                    \
  X(OTHER_TYPE)                   \
  X(TUNNEL)                       \
  X(FORGED_LINK)                  \
  X(SEGMENTS)

enum class Shape {
#define X(name) name,
  PARTYWALL_FRAME_SHAPES(X)
#undef X
      COUNT
};

struct RolledFrame {
  abi::direction direction = abi::DIRECTION_EGRESS;
  std::vector<uint8_t> bytes;
  uint32_t segments = 0;
  uint32_t shapes = 0;  // bits

  bool is(Shape shape) const { return shapes >> static_cast<int>(shape) & 1; }
};

// Rolls the frames of one interface: what it has seen comes again, is answered, quoted and
// taken to pieces.
class FrameDice {
 public:
  // `tenant`: whose addresses the workload mostly uses.
  FrameDice(Dice& dice, const DicePolicy& policy, std::string tenant)
      : dice_(dice), policy_(policy), tenant_(std::move(tenant)) {}

  RolledFrame roll();
  // The last frame was dropped: it is mostly forgotten, or all that is answered and quoted
  // would be what nobody lets pass.
  void was_dropped();

 private:
  struct Seen {
    DicePacket packet;
    uint16_t echo = 0;
  };

  Seen some_packet(RolledFrame& frame);
  Seen fresh();
  Packet built(const Seen& seen) const;
  Packet quoting(const Seen& about, RolledFrame& frame);
  Packet neighbor(RolledFrame& frame);
  Packet dhcp(RolledFrame& frame);
  std::vector<uint8_t> arp(RolledFrame& frame);
  void take_to_pieces(std::vector<uint8_t>& packet, RolledFrame& frame);
  void spoil(std::vector<uint8_t>& bytes, RolledFrame& frame);
  policy::Address some_address(bool v4);
  void set(RolledFrame& frame, Shape shape) const {
    frame.shapes |= 1u << static_cast<int>(shape);
  }

  Dice& dice_;
  const DicePolicy& policy_;
  std::string tenant_;
  std::vector<Seen> seen_;
  size_t next_ = 0;
  bool is_new_ = false;  // the last frame is seen_.back()
};

}  // namespace partywall::test

#endif

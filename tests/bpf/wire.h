// tests/bpf/wire.h: a second reading of IPv4 and IPv6 headers, straight from the rules of
// SECURITY.md, to hold the programs' reading against. No I/O.
#ifndef PARTYWALL_TESTS_BPF_WIRE_H
#define PARTYWALL_TESTS_BPF_WIRE_H

#include <netinet/in.h>

#include <cstring>
#include <span>

#include "tests/dice/packet_dice.h"

namespace partywall::test {

// What the headers of a packet say: why it must not pass, or its addresses, protocol and ports.
struct Wire {
  abi::reason refused = abi::REASON_COUNT;  // REASON_COUNT: it can be judged
  DicePacket packet;
};

namespace wire {

using Bytes = std::span<const uint8_t>;

inline uint16_t number(Bytes bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

inline policy::Address address(Bytes bytes, size_t at, policy::Family family) {
  policy::Address read{family, {}};

  std::memcpy(read.bytes.data(), &bytes[at], family == policy::Family::kIpv4 ? 4 : 16);
  return read;
}

inline Wire refuse(abi::reason reason) { return {.refused = reason, .packet = {}}; }

// Nothing is known of a protocol but its number, unless it is one of three.
inline Wire transport(Wire wire, Bytes rest) {
  uint8_t protocol = wire.packet.protocol;
  bool icmp = protocol == (is_v4(wire.packet.source) ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  size_t least = protocol == IPPROTO_TCP ? 20 : protocol == IPPROTO_UDP || icmp ? 8 : 0;

  if (rest.size() < least) return refuse(abi::REASON_DENY_MALFORMED);
  if (protocol == IPPROTO_TCP && rest[12] >> 4 < 5) return refuse(abi::REASON_DENY_MALFORMED);
  if (protocol == IPPROTO_TCP) wire.packet.tcp_flags = rest[13];
  if (icmp) {
    wire.packet.source_port = rest[0];
    wire.packet.target_port = rest[1];
  } else if (least) {
    wire.packet.source_port = number(rest, 0);
    wire.packet.target_port = number(rest, 2);
  }
  return wire;
}

inline Wire read4(Bytes bytes) {
  Wire wire;

  if (bytes.size() < 20 || bytes[0] >> 4 != 4 || (bytes[0] & 15) < 5)
    return refuse(abi::REASON_DENY_MALFORMED);
  if ((bytes[0] & 15) > 5) return refuse(abi::REASON_DENY_IP_OPTIONS);
  if (number(bytes, 6) & 0x3fff) return refuse(abi::REASON_DENY_FRAGMENT);
  wire.packet.protocol = bytes[9];
  wire.packet.source = address(bytes, 12, policy::Family::kIpv4);
  wire.packet.target = address(bytes, 16, policy::Family::kIpv4);
  return transport(wire, bytes.subspan(20));
}

// Hop-by-hop and destination options are walked, at most six and 256 bytes of them.
inline Wire read6(Bytes bytes) {
  Wire wire;

  if (bytes.size() < 40 || bytes[0] >> 4 != 6) return refuse(abi::REASON_DENY_MALFORMED);
  wire.packet.source = address(bytes, 8, policy::Family::kIpv6);
  wire.packet.target = address(bytes, 24, policy::Family::kIpv6);

  uint8_t next = bytes[6];
  size_t at = 40;

  for (int walked = 0; next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS; walked++) {
    if (walked == 6) return refuse(abi::REASON_DENY_EXTENSION_HEADER);
    if (at + 8 > bytes.size()) return refuse(abi::REASON_DENY_MALFORMED);
    next = bytes[at];
    at += (bytes[at + 1] + 1u) * 8;
    if (at > 40 + 256) return refuse(abi::REASON_DENY_EXTENSION_HEADER);
  }
  switch (next) {
    case IPPROTO_FRAGMENT:
      return refuse(abi::REASON_DENY_FRAGMENT);
    case IPPROTO_ROUTING:
    case IPPROTO_AH:
    case IPPROTO_MH:
    case IPPROTO_NONE:
      return refuse(abi::REASON_DENY_EXTENSION_HEADER);
    default:
      wire.packet.protocol = next;
      return transport(wire, at < bytes.size() ? bytes.subspan(at) : Bytes{});
  }
}

}  // namespace wire

// `bytes` begin with the network header.
inline Wire read_wire(std::span<const uint8_t> bytes, bool v6) {
  return v6 ? wire::read6(bytes) : wire::read4(bytes);
}

}  // namespace partywall::test

#endif

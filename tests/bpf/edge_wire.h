// tests/bpf/edge_wire.h: a second reading of Ethernet frames, straight from the RFCs and the
// rules of SECURITY.md, to hold the edge's reading against. No I/O.
#ifndef PARTYWALL_TESTS_BPF_EDGE_WIRE_H
#define PARTYWALL_TESTS_BPF_EDGE_WIRE_H

#include <array>
#include <optional>

#include "tests/bpf/wire.h"

namespace partywall::test {

// What a frame says.
struct EdgeWire {
  enum Part { kWhole, kFirst, kLater };

  std::array<uint8_t, 6> from{};
  std::array<uint8_t, 6> to{};
  uint16_t outer_type = 0;                  // what the kernel takes the frame for
  uint16_t type = 0;                        // behind VLAN tags
  size_t network = 14;                      // where the packet begins
  abi::reason refused = abi::REASON_COUNT;  // by its headers; REASON_COUNT = it can be judged
  DicePacket packet;                        // addresses, protocol, ports
  Part part = kWhole;
  uint32_t datagram = 0;                  // of a fragment
  uint8_t hop_limit = 0;                  // IPv6
  wire::Bytes body;                       // transport header and up
  size_t header_bytes = 0;                // of network and transport
  std::optional<policy::Address> claims;  // ARP: the sender's address

  bool is_ip() const { return type == 0x0800 || type == 0x86dd; }
  bool is_v4() const { return type == 0x0800; }
  bool is_tcp() const { return packet.protocol == IPPROTO_TCP; }
  bool is_udp() const { return packet.protocol == IPPROTO_UDP; }
  bool is_icmp() const {
    return packet.protocol == (is_v4() ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  }
  bool is_tunnel() const {
    return packet.protocol == IPPROTO_IPIP || packet.protocol == IPPROTO_IPV6 ||
           packet.protocol == IPPROTO_GRE || packet.protocol == IPPROTO_ESP;
  }
  uint8_t icmp_type() const { return static_cast<uint8_t>(packet.source_port); }
  bool is_icmp_error() const {
    uint8_t type_ = icmp_type();

    if (!is_icmp() || part == kLater) return false;
    return is_v4() ? type_ == 3 || type_ == 11 || type_ == 12 : type_ >= 1 && type_ <= 4;
  }
  bool is_echo_reply() const {
    return is_icmp() && part != kLater && icmp_type() == (is_v4() ? 0 : 129);
  }
  uint16_t echo() const {
    return is_icmp() && body.size() >= 8 ? wire::number(body, 4) : uint16_t{0};
  }
  bool is_multicast() const {
    return is_v4() ? packet.target.bytes[0] >> 4 == 14 || packet.target.half(0) >> 32 == ~0u
                   : packet.target.bytes[0] == 0xff;
  }
};

namespace wire {

inline EdgeWire refuse(EdgeWire wire, abi::reason reason) {
  wire.refused = reason;
  return wire;
}

inline EdgeWire edge_transport(EdgeWire wire, Bytes packet, size_t at) {
  wire.body = at < packet.size() ? packet.subspan(at) : Bytes{};
  wire.header_bytes = at;
  if (wire.part == EdgeWire::kLater) return wire;

  size_t least = wire.is_tcp() ? 20 : wire.is_udp() || wire.is_icmp() ? 8 : 0;

  if (wire.body.size() < least) return refuse(wire, abi::REASON_DENY_MALFORMED);
  if (wire.is_tcp()) {
    if (wire.body[12] >> 4 < 5) return refuse(wire, abi::REASON_DENY_MALFORMED);
    wire.packet.tcp_flags = wire.body[13];
    wire.header_bytes += (wire.body[12] >> 4) * 4u;
  } else {
    wire.header_bytes += least;
  }
  if (wire.is_icmp()) {
    wire.packet.source_port = wire.body[0];
    wire.packet.target_port = wire.body[1];
  } else if (least) {
    wire.packet.source_port = number(wire.body, 0);
    wire.packet.target_port = number(wire.body, 2);
  }
  return wire;
}

// A later fragment must not write over the TCP header that its datagram was judged by.
inline EdgeWire later(EdgeWire wire, size_t offset, Bytes packet, size_t at) {
  wire.part = EdgeWire::kLater;
  if (wire.is_tcp() && offset < 20) return refuse(wire, abi::REASON_DENY_FRAGMENT);
  return edge_transport(wire, packet, at);
}

inline EdgeWire edge4(EdgeWire wire, Bytes packet) {
  if (packet.size() < 20 || packet[0] >> 4 != 4 || (packet[0] & 15) < 5)
    return refuse(wire, abi::REASON_DENY_MALFORMED);
  wire.packet.protocol = packet[9];
  wire.packet.source = address(packet, 12, policy::Family::kIpv4);
  wire.packet.target = address(packet, 16, policy::Family::kIpv4);
  if ((packet[0] & 15) > 5) return refuse(wire, abi::REASON_DENY_IP_OPTIONS);

  uint16_t fragment = number(packet, 6);

  wire.datagram = number(packet, 4);
  if (fragment & 0x1fff) return later(wire, (fragment & 0x1fffu) * 8, packet, 20);
  if (fragment & 0x2000) wire.part = EdgeWire::kFirst;
  return edge_transport(wire, packet, 20);
}

// At most six option headers and 256 bytes of them; then perhaps one fragment header.
inline EdgeWire edge6(EdgeWire wire, Bytes packet) {
  if (packet.size() < 40 || packet[0] >> 4 != 6)
    return refuse(wire, abi::REASON_DENY_MALFORMED);
  wire.packet.source = address(packet, 8, policy::Family::kIpv6);
  wire.packet.target = address(packet, 24, policy::Family::kIpv6);
  wire.hop_limit = packet[7];

  uint8_t next = packet[6];
  size_t at = 40;

  for (int walked = 0; next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS; walked++) {
    if (walked == 6) return refuse(wire, abi::REASON_DENY_EXTENSION_HEADER);
    if (at + 8 > packet.size()) return refuse(wire, abi::REASON_DENY_MALFORMED);
    next = packet[at];
    at += (packet[at + 1] + 1u) * 8;
    if (at > 40 + 256) return refuse(wire, abi::REASON_DENY_EXTENSION_HEADER);
  }
  if (next == IPPROTO_FRAGMENT) {
    if (at + 8 > packet.size()) return refuse(wire, abi::REASON_DENY_MALFORMED);

    size_t offset = number(packet, at + 2) & 0xfff8;

    next = packet[at];
    wire.packet.protocol = next;
    wire.datagram =
        static_cast<uint32_t>(number(packet, at + 4)) << 16 | number(packet, at + 6);
    wire.part = EdgeWire::kFirst;
    at += 8;
    if (offset) return later(wire, offset, packet, at);
  }
  wire.packet.protocol = next;
  switch (next) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_DSTOPTS:
    case IPPROTO_FRAGMENT:
    case IPPROTO_ROUTING:
    case IPPROTO_AH:
    case IPPROTO_MH:
    case IPPROTO_NONE:
      return refuse(wire, abi::REASON_DENY_EXTENSION_HEADER);
    default:
      return edge_transport(wire, packet, at);
  }
}

}  // namespace wire

// `frame`: at least 14 bytes. `link_header`: false = the packet begins at once, and the frame's
// type is what the kernel said.
inline EdgeWire read_frame(wire::Bytes frame, bool link_header = true) {
  EdgeWire read;

  read.outer_type = read.type = wire::number(frame, 12);
  read.network = link_header ? 14 : 0;
  if (link_header) {
    std::memcpy(read.to.data(), &frame[0], 6);
    std::memcpy(read.from.data(), &frame[6], 6);
    for (int tags = 0; tags < 2 && (read.type == 0x8100 || read.type == 0x88a8); tags++) {
      if (read.network + 4 > frame.size()) break;
      read.type = wire::number(frame, read.network + 2);
      read.network += 4;
    }
  }

  wire::Bytes packet = frame.subspan(read.network);

  if (read.type == 0x0806) {
    if (packet.size() < 28 || packet.size() > 46)
      return wire::refuse(read, abi::REASON_DENY_MALFORMED);
    read.claims = wire::address(packet, 14, policy::Family::kIpv4);
    return read;
  }
  if (read.type == 0x0800) return wire::edge4(read, packet);
  if (read.type == 0x86dd) return wire::edge6(read, packet);
  return wire::refuse(read, abi::REASON_DENY_FRAME);
}

}  // namespace partywall::test

#endif

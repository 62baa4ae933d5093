// tests/bpf/edge_frames.cc: rolls frames byte by byte. No I/O.
#include "tests/bpf/edge_frames.h"

#include <algorithm>

namespace partywall::test {
namespace {

constexpr size_t kRemembered = 48;
constexpr uint16_t kPorts[] = {67, 68, 546, 547, 4789, 8472, 6081};
constexpr uint16_t kEchoes[] = {0, 1, 2, 0x0100};
constexpr uint32_t kDatagrams[] = {0, 1, 2, 0x00010000};
constexpr uint8_t kTunnels[] = {IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_GRE, IPPROTO_ESP};

void put16(std::vector<uint8_t>& bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

policy::Address address(const char* text) {
  return policy::parse_prefix(fmt::format("{}/{}", text, std::strchr(text, ':') ? 128 : 32))
      .value()
      .address;
}

bool is_icmp(const DicePacket& packet) {
  return packet.protocol == (is_v4(packet.source) ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
}

}  // namespace

policy::Address FrameDice::some_address(bool v4) {
  auto mine = policy_.owned.find(tenant_);

  for (int tries = 0; tries < 4; tries++) {
    const auto& list = dice_.percent(50) && mine != policy_.owned.end() && !mine->second.empty()
                           ? mine->second
                           : policy_.edges[v4 ? 0 : 1];

    if (const auto& one = dice_.one_of(list); is_v4(one) == v4) return one;
  }
  return dice_.one_of(policy_.edges[v4 ? 0 : 1]);
}

FrameDice::Seen FrameDice::fresh() {
  Seen seen{.packet = roll_packet(dice_, policy_, tenant_), .echo = dice_.one_of(kEchoes)};

  seen.packet.loopback = false;
  if (dice_.percent(6)) seen.packet.source_port = dice_.one_of(kPorts);
  if (dice_.percent(6)) seen.packet.target_port = dice_.one_of(kPorts);
  if (is_icmp(seen.packet) || (seen.packet.protocol != 6 && seen.packet.protocol != 17))
    if (dice_.percent(30)) seen.packet.protocol = dice_.one_of(kTunnels);
  return seen;
}

// A new one, one that was seen, or what answers it.
FrameDice::Seen FrameDice::some_packet(RolledFrame& frame) {
  Seen seen;
  uint32_t kind = dice_.below(100);

  if (seen_.empty() || kind < 45) {
    seen = fresh();
    set(frame, Shape::PLAIN);
  } else if (kind < 60) {
    seen = dice_.one_of(seen_);
    if (seen.packet.protocol == IPPROTO_TCP && dice_.percent(50))
      seen.packet.tcp_flags = dice_.percent(50) ? 0x10 : 0x11;
    set(frame, Shape::AGAIN);
  } else {
    seen = dice_.one_of(seen_);
    set(frame, Shape::REPLY);
    std::swap(seen.packet.source, seen.packet.target);
    seen.packet.direction = seen.packet.direction == abi::DIRECTION_EGRESS
                                ? abi::DIRECTION_INGRESS
                                : abi::DIRECTION_EGRESS;
    if (is_icmp(seen.packet)) {
      bool v4 = is_v4(seen.packet.source);

      if (seen.packet.source_port == (v4 ? 8 : 128) && dice_.percent(90))
        seen.packet.source_port = v4 ? 0 : 129;
    } else {
      std::swap(seen.packet.source_port, seen.packet.target_port);
    }
    if (seen.packet.protocol == IPPROTO_TCP && dice_.percent(90))
      seen.packet.tcp_flags = dice_.percent(60) ? 0x12 : 0x10;
    if (dice_.percent(5)) seen.packet.source_port++;
    if (dice_.percent(5)) seen.echo++;
  }
  if (seen_.size() == kRemembered) std::swap(seen_[next_++ % kRemembered], seen_.back());
  if (seen_.size() == kRemembered) seen_.pop_back();
  seen_.push_back(seen);
  is_new_ = true;
  return seen;
}

Packet FrameDice::built(const Seen& seen) const {
  const DicePacket& packet = seen.packet;
  std::string source = policy::to_string(packet.source);
  std::string target = policy::to_string(packet.target);

  if (packet.protocol == IPPROTO_TCP)
    return Packet::tcp(source, packet.source_port, target, packet.target_port,
                       packet.tcp_flags);
  if (packet.protocol == IPPROTO_UDP)
    return Packet::udp(source, packet.source_port, target, packet.target_port);
  if (!is_icmp(packet)) return Packet::raw(source, target, packet.protocol);

  Packet made = Packet::icmp(source, target, static_cast<uint8_t>(packet.source_port),
                             static_cast<uint8_t>(packet.target_port));

  put16(made.bytes(), made.bytes().size() - 4, seen.echo);
  return made;
}

// An ICMP error about a packet, from its target or any router.
Packet FrameDice::quoting(const Seen& about, RolledFrame& frame) {
  static constexpr uint8_t kErrors4[] = {3, 3, 11, 12};
  static constexpr uint8_t kErrors6[] = {1, 2, 3, 4};
  bool v4 = is_v4(about.packet.source);
  bool was_sent = about.packet.direction == abi::DIRECTION_EGRESS;
  Seen error;

  error.packet.source = dice_.percent(50) ? about.packet.target : some_address(v4);
  error.packet.target = dice_.percent(90) ? about.packet.source : some_address(v4);
  error.packet.protocol = v4 ? uint8_t{IPPROTO_ICMP} : uint8_t{IPPROTO_ICMPV6};
  error.packet.source_port = v4 ? dice_.one_of(kErrors4) : dice_.one_of(kErrors6);
  error.echo = dice_.one_of(kEchoes);
  frame.direction =
      (dice_.percent(95) == was_sent) ? abi::DIRECTION_INGRESS : abi::DIRECTION_EGRESS;
  set(frame, Shape::ICMP_ERROR);

  Packet made = built(error);
  std::vector<uint8_t> quoted = built(about).bytes();
  size_t least = 14 + (v4 ? 20u : 40u);

  quoted.resize(std::min(quoted.size(), least + dice_.below(12)));
  if (dice_.percent(10)) quoted[14 + dice_.below(static_cast<uint32_t>(least - 14))] ^= 1;
  made.bytes().insert(made.bytes().end(), quoted.begin() + 14, quoted.end());
  return made;
}

// Neighbour discovery and multicast listeners, by whom it is and by whom not.
Packet FrameDice::neighbor(RolledFrame& frame) {
  static constexpr uint8_t kTypes[] = {130, 131, 132, 133, 134, 135, 135, 136, 136, 137, 143};
  static constexpr uint8_t kLimits[] = {255, 255, 255, 255, 254, 1, 1, 64};
  static const policy::Address kOthers[] = {
      address("::"),       address("fe80::1"),  address("fe80::2"),  address("febf::1"),
      address("ff02::1"),  address("ff02::2"),  address("ff02::16"), address("ff02::1:ff00:5"),
      address("ff0e::16"), address("ff05::1:3")};
  auto some = [&] { return dice_.percent(50) ? dice_.one_of(kOthers) : some_address(false); };
  Seen seen;

  seen.packet.source = some();
  seen.packet.target = some();
  seen.packet.protocol = IPPROTO_ICMPV6;
  seen.packet.source_port = dice_.one_of(kTypes);
  frame.direction = dice_.percent(50) ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS;
  set(frame, Shape::NEIGHBOR);

  Packet made = built(seen);
  policy::Address about = some();

  made.bytes()[14 + 7] = dice_.one_of(kLimits);
  if (dice_.percent(92))
    made.bytes().insert(made.bytes().end(), about.bytes.begin(), about.bytes.end());
  if (dice_.percent(60)) made.bytes().resize(made.bytes().size() + 8 * dice_.below(4), 1);
  return made;
}

Packet FrameDice::dhcp(RolledFrame& frame) {
  static const policy::Address kTargets4[] = {address("255.255.255.255"),
                                              address("255.255.255.255"), address("224.0.0.1"),
                                              address("239.1.2.3"), address("10.0.0.1")};
  static const policy::Address kTargets6[] = {address("ff02::1:2"), address("ff02::1:2"),
                                              address("ff05::1:3"), address("ff0e::1"),
                                              address("fe80::1")};
  bool v4 = dice_.percent(50);
  bool asks = dice_.percent(60);
  Seen seen;

  seen.packet.source =
      dice_.percent(60) ? address(v4 ? "0.0.0.0" : "fe80::5") : some_address(v4);
  seen.packet.target =
      dice_.percent(75) ? dice_.one_of(v4 ? kTargets4 : kTargets6) : some_address(v4);
  if (!asks && dice_.percent(50)) std::swap(seen.packet.source, seen.packet.target);
  seen.packet.protocol = IPPROTO_UDP;
  seen.packet.source_port = v4 ? 68 : 546;
  seen.packet.target_port = v4 ? 67 : 547;
  if (!asks) std::swap(seen.packet.source_port, seen.packet.target_port);
  frame.direction = asks == dice_.percent(80) ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS;
  set(frame, Shape::DHCP);
  return built(seen);
}

std::vector<uint8_t> FrameDice::arp(RolledFrame& frame) {
  std::vector<uint8_t> bytes(14 + 28, 0);
  policy::Address sender = dice_.percent(15) ? address("0.0.0.0") : some_address(true);
  policy::Address target = some_address(true);

  put16(bytes, 12, 0x0806);
  put16(bytes, 14, 1);
  put16(bytes, 16, 0x0800);
  put16(bytes, 18, 0x0604);
  put16(bytes, 20, static_cast<uint16_t>(1 + dice_.below(2)));
  std::copy_n(sender.bytes.begin(), 4, bytes.begin() + 14 + 14);
  std::copy_n(target.bytes.begin(), 4, bytes.begin() + 14 + 24);
  if (dice_.percent(30)) bytes.resize(dice_.percent(80) ? 60 : 61 + dice_.below(200));
  frame.direction = dice_.percent(50) ? abi::DIRECTION_EGRESS : abi::DIRECTION_INGRESS;
  set(frame, Shape::ARP);
  return bytes;
}

// Makes a fragment of a packet: the first one, or one that comes later, may be too early.
void FrameDice::take_to_pieces(std::vector<uint8_t>& packet, RolledFrame& frame) {
  static constexpr uint16_t kOffsets[] = {1, 2, 3, 4, 185, 0x1fff};
  bool v4 = packet[12] == 0x08;
  bool later = dice_.percent(55);
  uint16_t offset = later ? dice_.one_of(kOffsets) : uint16_t{0};
  bool more = !later || dice_.percent(50);
  uint32_t datagram = dice_.one_of(kDatagrams);

  set(frame, later ? Shape::LATER_FRAGMENT : Shape::FIRST_FRAGMENT);
  if (v4) {
    put16(packet, 14 + 4, static_cast<uint16_t>(datagram | datagram >> 16 << 8));
    put16(packet, 14 + 6, static_cast<uint16_t>(offset | (more ? 0x2000 : 0)));
    return;
  }

  std::vector<uint8_t> header(8, 0);

  header[0] = std::exchange(packet[14 + 6], uint8_t{IPPROTO_FRAGMENT});
  put16(header, 2, static_cast<uint16_t>(offset << 3 | (more ? 1 : 0)));
  put16(header, 4, static_cast<uint16_t>(datagram >> 16));
  put16(header, 6, static_cast<uint16_t>(datagram));
  packet.insert(packet.begin() + 14 + 40, header.begin(), header.end());
}

void FrameDice::spoil(std::vector<uint8_t>& bytes, RolledFrame& frame) {
  static constexpr uint8_t kBytes[] = {0,  1,  2,  6,  17, 43, 44,   51,   58,   59,   60,  135,
                                       20, 24, 31, 32, 33, 64, 0x40, 0x45, 0x46, 0x60, 255, 5};
  static constexpr uint16_t kTypes[] = {0x88cc, 0x8847, 0x8863, 0x0806, 0x0800,
                                        0x86dd, 0x0100, 0x9100, 0x88e5, 0x22f0};

  if (bytes[12] == 0x08 && bytes[13] == 0 && dice_.percent(3)) {
    bytes[14] = static_cast<uint8_t>(0x40 | dice_.below(16));
    if (dice_.percent(50))
      bytes.insert(bytes.begin() + 34, (bytes[14] & 15u) > 5 ? ((bytes[14] & 15u) - 5) * 4 : 0,
                   1);
    set(frame, Shape::HEADER_LENGTH);
  }
  if (dice_.percent(6) && bytes.size() > 14) {
    for (uint32_t count = 1 + dice_.below(3); count > 0; count--)
      bytes[14 + dice_.below(static_cast<uint32_t>(bytes.size() - 14))] =
          dice_.percent(70) ? dice_.one_of(kBytes) : static_cast<uint8_t>(dice_.below(256));
    set(frame, Shape::DAMAGED);
  }
  if (dice_.percent(1)) {
    put16(bytes, 12, dice_.one_of(kTypes));
    set(frame, Shape::OTHER_TYPE);
  }
  if (dice_.percent(6)) {
    for (uint32_t tags = 1 + dice_.below(3); tags > 0; tags--) {
      uint8_t tag[] = {0x81, 0x00, 0x00, static_cast<uint8_t>(dice_.below(3))};

      if (dice_.percent(30)) tag[0] = 0x88, tag[1] = 0xa8;
      bytes.insert(bytes.begin() + 12, tag, tag + 4);
    }
    set(frame, Shape::VLAN);
  }
  if (dice_.percent(6)) {
    bytes.resize(14 + dice_.below(static_cast<uint32_t>(bytes.size() - 13)));
    set(frame, Shape::TRUNCATED);
  }
  // BPF_PROG_TEST_RUN itself refuses half an IP header, but not behind a VLAN tag.
  size_t least = bytes[12] == 0x08 && bytes[13] == 0x00   ? 14 + 20
                 : bytes[12] == 0x86 && bytes[13] == 0xdd ? 14 + 40
                                                          : 0;

  if (bytes.size() < least) {
    bytes.insert(bytes.begin() + 12, {0x81, 0x00, 0x00, 0x01});
    set(frame, Shape::VLAN);
  }
}

void FrameDice::was_dropped() {
  if (is_new_ && dice_.percent(85)) seen_.pop_back();
}

RolledFrame FrameDice::roll() {
  RolledFrame frame;
  std::vector<uint8_t> bytes;
  uint32_t kind = dice_.below(100);

  is_new_ = false;
  if (kind < 4) {
    bytes = arp(frame);
  } else if (kind < 10) {
    bytes = std::move(neighbor(frame).bytes());
  } else if (kind < 13) {
    bytes = std::move(dhcp(frame).bytes());
  } else if (kind < 20 && !seen_.empty()) {
    bytes = std::move(quoting(dice_.one_of(seen_), frame).bytes());
  } else {
    Seen seen = some_packet(frame);
    uint8_t protocol = seen.packet.protocol;

    if (std::ranges::find(kTunnels, protocol) != std::end(kTunnels) ||
        (protocol == IPPROTO_UDP && abi::is_tunnel_port(seen.packet.target_port)))
      set(frame, Shape::TUNNEL);
    frame.direction = seen.packet.direction;
    bytes = std::move(built(seen).bytes());
    if (dice_.percent(14)) take_to_pieces(bytes, frame);
    if (bytes[12] == 0x86 && dice_.percent(12)) {
      Packet chain = Packet::raw("::", "::", 0);

      chain.bytes() = std::move(bytes);
      for (uint32_t count = 1 + dice_.below(8); count > 0; count--)
        chain = std::move(chain).extension(
            dice_.percent(94) ? (dice_.percent(50) ? 0 : 60) : (dice_.percent(50) ? 43 : 44),
            8 * (1 + (dice_.percent(90) ? dice_.below(2) : dice_.below(34))));
      bytes = std::move(chain.bytes());
      set(frame, Shape::EXTENSIONS);
    }
    if ((protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) && dice_.percent(4)) {
      frame.segments = 1 + dice_.below(20);
      bytes.resize(bytes.size() + frame.segments * 64, 0x55);
      set(frame, Shape::SEGMENTS);
    }
  }
  bool egress = frame.direction == abi::DIRECTION_EGRESS;

  std::ranges::copy(egress ? kHost : kWorkload, bytes.begin());
  std::ranges::copy(egress ? kWorkload : kHost, bytes.begin() + 6);
  if (dice_.percent(3)) {
    bytes[(egress ? 6 : 0) + dice_.below(6)] ^= static_cast<uint8_t>(1 + dice_.below(255));
    set(frame, Shape::FORGED_LINK);
  }
  if (frame.segments == 0) spoil(bytes, frame);
  frame.bytes = std::move(bytes);
  return frame;
}

}  // namespace partywall::test

// tests/bpf/packet.h: packets for BPF_PROG_TEST_RUN, built fluently. Ethernet header and up.
#ifndef PARTYWALL_TESTS_BPF_PACKET_H
#define PARTYWALL_TESTS_BPF_PACKET_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace partywall::test {

// One packet. The verdict programs read no checksums, so none is filled in.
class Packet {
 public:
  static Packet tcp(const std::string& from, uint16_t sport, const std::string& to,
                    uint16_t dport, uint8_t flags = 0x10) {
    Packet packet(from, to, IPPROTO_TCP);

    packet.put16(sport).put16(dport).put(8, 0).put8(0x50).put8(flags).put(6, 0);
    return packet;
  }
  static Packet syn(const std::string& from, uint16_t sport, const std::string& to,
                    uint16_t dport) {
    return tcp(from, sport, to, dport, 0x02);
  }
  static Packet udp(const std::string& from, uint16_t sport, const std::string& to,
                    uint16_t dport) {
    Packet packet(from, to, IPPROTO_UDP);

    packet.put16(sport).put16(dport).put(4, 0);
    return packet;
  }
  static Packet icmp(const std::string& from, const std::string& to, uint8_t type,
                     uint8_t code = 0) {
    bool v6 = to.find(':') != std::string::npos;
    Packet packet(from, to, v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});

    packet.put8(type).put8(code).put(6, 0);
    return packet;
  }
  static Packet raw(const std::string& from, const std::string& to, uint8_t protocol) {
    Packet packet(from, to, protocol);

    packet.put(20, 0);
    return packet;
  }

  // As many bytes of payload.
  Packet payload(size_t bytes) && {
    put(bytes, 0x55);
    return std::move(*this);
  }
  // An IPv4 header of 24 bytes: one word of options before the transport.
  Packet options() && {
    bytes_[14] = 0x46;
    bytes_.insert(bytes_.begin() + 14 + 20, {0x07, 0x03, 0x04, 0x00});
    return std::move(*this);
  }
  // Marks an IPv4 packet as a later fragment.
  Packet fragment(uint16_t offset_units, bool more) && {
    uint16_t field = htons(static_cast<uint16_t>(offset_units | (more ? 0x2000 : 0)));

    std::memcpy(&bytes_[14 + 6], &field, 2);
    return std::move(*this);
  }
  // An IPv6 extension header of `length` bytes (a multiple of 8) before what follows.
  Packet extension(uint8_t header, size_t length = 8) && {
    std::vector<uint8_t> inserted(length, 0);

    inserted[0] = bytes_[14 + 6];
    inserted[1] = static_cast<uint8_t>(length / 8 - 1);
    bytes_[14 + 6] = header;
    bytes_.insert(bytes_.begin() + 14 + 40, inserted.begin(), inserted.end());
    return std::move(*this);
  }
  // Cuts the packet to `bytes` of network header and up.
  Packet cut(size_t bytes) && {
    bytes_.resize(14 + bytes);
    return std::move(*this);
  }
  // Overwrites one byte, counted from the network header.
  Packet poke(size_t offset, uint8_t value) && {
    bytes_[14 + offset] = value;
    return std::move(*this);
  }

  std::vector<uint8_t>& bytes() { return bytes_; }
  size_t network_bytes() const { return bytes_.size() - 14; }
  bool is_ipv6() const { return bytes_[12] == 0x86; }

 private:
  Packet(const std::string& from, const std::string& to, int protocol) {
    bool v6 = to.find(':') != std::string::npos;

    bytes_.reserve(128);
    put(12, 0).put16(v6 ? 0x86dd : 0x0800);
    if (v6) {
      put8(0x60).put(5, 0).put8(static_cast<uint8_t>(protocol)).put8(64);
      address(AF_INET6, from, 16).address(AF_INET6, to, 16);
    } else {
      put8(0x45).put(7, 0).put8(64).put8(static_cast<uint8_t>(protocol)).put(2, 0);
      address(AF_INET, from, 4).address(AF_INET, to, 4);
    }
  }

  Packet& put8(uint8_t value) {
    bytes_.push_back(value);
    return *this;
  }
  Packet& put16(uint16_t value) {
    return put8(static_cast<uint8_t>(value >> 8)).put8(static_cast<uint8_t>(value));
  }
  Packet& put(size_t count, uint8_t value) {
    bytes_.insert(bytes_.end(), count, value);
    return *this;
  }
  Packet& address(int family, const std::string& text, size_t length) {
    uint8_t raw_address[16] = {};

    inet_pton(family, text.c_str(), raw_address);
    bytes_.insert(bytes_.end(), raw_address, raw_address + length);
    return *this;
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace partywall::test

#endif

// agent/policy/prefix.cc: addresses and ranges, from text and back. Pure.
#include "agent/policy/prefix.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <vector>

namespace partywall::policy {
namespace {

int family_bits(Family family) { return family == Family::kIpv4 ? 32 : 128; }

// The first `bits` bits of 64, 0 to 64.
uint64_t mask(int bits) { return bits <= 0 ? 0 : ~uint64_t{0} << (64 - std::min(bits, 64)); }

// Whether the first `bits` bits of two addresses are equal.
bool same_start(const Address& a, const Address& b, int bits) {
  return ((a.half(0) ^ b.half(0)) & mask(bits)) == 0 &&
         ((a.half(8) ^ b.half(8)) & mask(bits - 64)) == 0;
}

Address cut(Address address, int bits) {
  for (int i = 0; i < 16; i++) {
    int keep = bits - i * 8;
    auto& byte = address.bytes[static_cast<size_t>(i)];

    if (keep <= 0)
      byte = 0;
    else if (keep < 8)
      byte = static_cast<uint8_t>(byte & 0xff00 >> keep);
  }
  return address;
}

bool is_v4_mapped(const Address& address) {
  static constexpr uint8_t kStart[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

  return address.family == Family::kIpv6 &&
         std::memcmp(address.bytes.data(), kStart, sizeof(kStart)) == 0;
}

}  // namespace

bool Prefix::contains(const Address& other) const {
  return address.family == other.family && same_start(address, other, bits);
}

bool Prefix::contains(const Prefix& other) const {
  return bits <= other.bits && contains(other.address);
}

Result<Address> parse_address(std::string_view text) {
  std::string copy(text);
  Address address;

  if (copy.find('\0') != std::string::npos) return fail("this is no address");
  if (inet_pton(AF_INET, copy.c_str(), address.bytes.data()) == 1) return address;
  address.family = Family::kIpv6;
  if (inet_pton(AF_INET6, copy.c_str(), address.bytes.data()) != 1)
    return fail("\"{}\" is no address: write 10.1.0.9 or fd00::9", text);
  if (is_v4_mapped(address)) {
    Address v4;

    std::memcpy(v4.bytes.data(), &address.bytes[12], 4);
    return fail("{} is an IPv4 address in IPv6 clothes: write {}", text, to_string(v4));
  }
  return address;
}

Result<Prefix> parse_prefix(std::string_view text) {
  size_t slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));

  if (!address) {
    if (slash == std::string_view::npos ||
        address.error().message().find("clothes") != std::string::npos)
      return std::move(address.error());
    return fail("\"{}\" is no address range: write 10.1.0.0/24 or fd00:1::/64", text);
  }
  int most = family_bits(address->family);
  int bits = most;

  if (slash != std::string_view::npos) {
    std::string_view length = text.substr(slash + 1);
    auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bits);
    bool plain = !length.empty() && length[0] >= '0' && length[0] <= '9' &&
                 (length.size() == 1 || length[0] != '0');

    if (error != std::errc{} || end != length.data() + length.size() || !plain || bits > most)
      return fail("\"{}\" is no address range: the length after / goes from 0 to {}", text,
                  most);
  }
  Prefix prefix{cut(*address, bits), static_cast<uint8_t>(bits)};

  if (prefix.address != *address)
    return fail("{} has bits set beyond /{}: write {}", text, bits, to_string(prefix));
  return prefix;
}

const Prefix* nobodys_range(const Prefix& range) {
  static const std::vector<Prefix> kNobodys = [] {
    std::vector<Prefix> ranges;

    for (const char* text : {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
                             "::/127", "fe80::/10", "ff00::/8"})
      ranges.push_back(*parse_prefix(text));
    return ranges;
  }();
  auto found = std::ranges::find_if(kNobodys, [&](const Prefix& nobodys) {
    return nobodys.contains(range) || range.contains(nobodys);
  });

  return found == kNobodys.end() ? nullptr : &*found;
}

std::string to_string(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";

  inet_ntop(address.family == Family::kIpv4 ? AF_INET : AF_INET6, address.bytes.data(), text,
            sizeof(text));
  return text;
}

std::string to_string(const Prefix& prefix) {
  return fmt::format("{}/{}", to_string(prefix.address), prefix.bits);
}

}  // namespace partywall::policy

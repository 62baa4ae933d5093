// agent/policy/prefix.h: an IPv4 or IPv6 address range in CIDR form. Pure.
#ifndef PARTYWALL_AGENT_POLICY_PREFIX_H
#define PARTYWALL_AGENT_POLICY_PREFIX_H

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "maps/result.h"

namespace partywall::policy {

enum class Family : uint8_t { kIpv4, kIpv6 };

// 16 bytes in network order; IPv4 uses the first four, the rest are 0.
struct Address {
  Family family = Family::kIpv4;
  std::array<uint8_t, 16> bytes{};

  bool operator==(const Address&) const = default;
  // As the default one would, eight bytes at a time: 100,000 ranges are sorted for each policy.
  std::strong_ordering operator<=>(const Address& other) const {
    if (auto order = family <=> other.family; order != 0) return order;
    if (auto order = half(0) <=> other.half(0); order != 0) return order;
    return half(8) <=> other.half(8);
  }
  // Eight bytes as a number that counts in their order.
  uint64_t half(size_t from) const {
    uint64_t value;

    std::memcpy(&value, &bytes[from], sizeof(value));
    if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
    return value;
  }
};

// Canonical: no bit beyond `bits` is set. Order: family, address, length; so a range stands
// right before everything inside it.
struct Prefix {
  Address address;
  uint8_t bits = 0;  // 0..32 or 0..128
  auto operator<=>(const Prefix&) const = default;

  bool contains(const Address& other) const;
  bool contains(const Prefix& other) const;  // equal counts as contained

  // What it begins with, as a number in the order of ranges; equal for some that differ. An
  // IPv4 range fits whole.
  uint64_t start() const {
    if (address.family == Family::kIpv4) return address.half(0) >> 32 << 8 | bits;
    return uint64_t{1} << 63 | address.half(0) >> 1;
  }
};

// Fails with what would be accepted: "10.0.0.5/24 has bits set beyond /24: write 10.0.0.0/24".
// A plain address is its /32 or /128. v4-mapped IPv6 is refused: write the IPv4 address.
Result<Prefix> parse_prefix(std::string_view text);
Result<Address> parse_address(std::string_view text);

// What of the ranges that no tenant can own, as their addresses mean something else on every
// machine, this one overlaps; nullptr: none.
const Prefix* nobodys_range(const Prefix& range);

std::string to_string(const Address& address);
std::string to_string(const Prefix& prefix);

}  // namespace partywall::policy

#endif

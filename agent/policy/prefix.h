// agent/policy/prefix.h: an IPv4 or IPv6 address range in CIDR form. Pure.
#ifndef PARTYWALL_AGENT_POLICY_PREFIX_H
#define PARTYWALL_AGENT_POLICY_PREFIX_H

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "maps/result.h"

namespace partywall::policy {

enum class Family : uint8_t { kIpv4, kIpv6 };

// 16 bytes in network order; IPv4 uses the first four, the rest are 0.
struct Address {
  Family family = Family::kIpv4;
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const Address&) const = default;
};

// Canonical: no bit beyond `bits` is set. Order: family, address, length; so a range stands
// right before everything inside it.
struct Prefix {
  Address address;
  uint8_t bits = 0;  // 0..32 or 0..128
  auto operator<=>(const Prefix&) const = default;

  bool contains(const Address& other) const;
  bool contains(const Prefix& other) const;  // equal counts as contained
};

// Fails with what would be accepted: "10.0.0.5/24 has bits set beyond /24: write 10.0.0.0/24".
// A plain address is its /32 or /128. v4-mapped IPv6 is refused: write the IPv4 address.
Result<Prefix> parse_prefix(std::string_view text);
Result<Address> parse_address(std::string_view text);

std::string to_string(const Address& address);
std::string to_string(const Prefix& prefix);

}  // namespace partywall::policy

#endif

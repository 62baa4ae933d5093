// agent/policy/rows.cc: flags, limits and home ranges of a tenant, as the datapath reads them.
// Pure.
#include "agent/policy/rows.h"

#include <algorithm>
#include <cstring>

namespace partywall::policy {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint64_t kNsPerSecond = 1'000'000'000;
constexpr uint64_t kMostChunkBytes = 64 << 10;
constexpr uint64_t kMostChunkPackets = 64;
constexpr uint64_t kLeastChunkBytes = 1514;
constexpr uint64_t kLeastChunkPackets = 2;
constexpr uint64_t kMostPace = 0xffffffff;  // bytes a second

// What a CPU takes at a time: a millisecond's worth, so that what lies about on idle CPUs stays
// small against the rate.
abi::rate rate_of(const RateLimit* limit, uint64_t most_chunk, uint64_t least_chunk) {
  abi::rate rate{};

  if (!limit) return rate;
  rate.per_second = limit->per_second;
  if (limit->burst <= UINT64_MAX / kNsPerSecond)  // nearly always, and a quicker division
    rate.burst_ns = limit->burst * kNsPerSecond / limit->per_second;
  else
    rate.burst_ns =
        static_cast<uint64_t>(Wide{limit->burst} * kNsPerSecond / limit->per_second);

  uint64_t chunk = std::min(most_chunk, limit->per_second / 1000);

  if (chunk >= least_chunk) rate.chunk = static_cast<uint32_t>(chunk);
  return rate;
}

// The first `bits` bits set, in network order.
void fill_mask(uint8_t* mask, size_t size, int bits) {
  for (size_t i = 0; i < size; i++, bits -= 8)
    mask[i] = bits >= 8 ? 0xff : bits <= 0 ? 0 : static_cast<uint8_t>(0xff00 >> bits);
}

const Prefix* largest(const Tenant& tenant, Family family) {
  const Prefix* found = nullptr;

  for (const Prefix& range : tenant.addresses)
    if (range.address.family == family && (!found || range.bits < found->bits)) found = &range;
  return found;
}

}  // namespace

abi::tenant_policy tenant_row(const Tenant& tenant, const LimitsInForce& limits) {
  abi::tenant_policy row{};

  row.flags = TENANT_IN_USE;
  if (tenant.mode == Mode::kAudit) row.flags |= TENANT_AUDIT;
  if (!tenant.addresses.empty()) row.flags |= TENANT_OWN_SOURCE;
  for (int direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    row.bytes[direction] = rate_of(limits.bytes[direction], kMostChunkBytes, kLeastChunkBytes);
    row.packets[direction] =
        rate_of(limits.packets[direction], kMostChunkPackets, kLeastChunkPackets);
    if (row.bytes[direction].per_second) row.flags |= TENANT_LIMITS_BYTES(direction);
    if (row.packets[direction].per_second) row.flags |= TENANT_LIMITS_PACKETS(direction);
  }
  // The kernel takes a pace of 32 bits, all ones for none. Audit mode slows nobody down.
  if (uint64_t rate = row.bytes[abi::DIRECTION_EGRESS].per_second;
      rate > 0 && rate < kMostPace && tenant.mode == Mode::kEnforce)
    row.flags |= TENANT_PACED;
  row.flows = limits.flows;
  // No range: nothing under a mask of nothing is all ones.
  row.home4 = 0xffffffff;
  row.home6[0] = row.home6[1] = ~uint64_t{0};
  if (const Prefix* home = largest(tenant, Family::kIpv4)) {
    std::memcpy(&row.home4, home->address.bytes.data(), sizeof(row.home4));
    fill_mask(reinterpret_cast<uint8_t*>(&row.home4_mask), sizeof(row.home4_mask), home->bits);
  }
  if (const Prefix* home = largest(tenant, Family::kIpv6)) {
    std::memcpy(row.home6, home->address.bytes.data(), sizeof(row.home6));
    fill_mask(reinterpret_cast<uint8_t*>(row.home6_mask), sizeof(row.home6_mask), home->bits);
  }
  return row;
}

}  // namespace partywall::policy

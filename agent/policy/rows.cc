// agent/policy/rows.cc: flags, limits and home ranges of a tenant, as the datapath reads them.
// Pure.
#include "agent/policy/rows.h"

#include <algorithm>
#include <cstring>

#include "maps/abi/members.h"

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

const Prefix* largest(const std::vector<Prefix>& ranges, Family family) {
  const Prefix* found = nullptr;

  for (const Prefix& range : ranges)
    if (range.address.family == family && (!found || range.bits < found->bits)) found = &range;
  return found;
}

// The largest range of each family; none: nothing under a mask of nothing is all ones.
void set_home(const std::vector<Prefix>& ranges, uint32_t& home4, uint32_t& mask4,
              __u64 (&home6)[2], __u64 (&mask6)[2]) {
  home4 = 0xffffffff;
  home6[0] = home6[1] = ~uint64_t{0};
  if (const Prefix* home = largest(ranges, Family::kIpv4)) {
    std::memcpy(&home4, home->address.bytes.data(), sizeof(home4));
    fill_mask(reinterpret_cast<uint8_t*>(&mask4), sizeof(mask4), home->bits);
  }
  if (const Prefix* home = largest(ranges, Family::kIpv6)) {
    std::memcpy(home6, home->address.bytes.data(), sizeof(home6));
    fill_mask(reinterpret_cast<uint8_t*>(mask6), sizeof(mask6), home->bits);
  }
}

}  // namespace

abi::tenant_policy tenant_row(const Tenant& tenant, const LimitsInForce& limits,
                              const ClusterNetwork* network, uint16_t pod_tenant) {
  abi::tenant_policy row{};

  row.flags = TENANT_IN_USE;
  if (tenant.mode == Mode::kAudit) row.flags |= TENANT_AUDIT;
  if (!tenant.addresses.empty() || network) row.flags |= TENANT_OWN_SOURCE;
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
  set_home(tenant.addresses, row.home4, row.home4_mask, row.home6, row.home6_mask);

  static const std::vector<Prefix> kNone;

  set_home(network ? network->local_ranges : kNone, row.local4, row.local4_mask, row.local6,
           row.local6_mask);
  row.pod_tenant = network ? pod_tenant : uint32_t{TENANT_NONE};
  return row;
}

}  // namespace partywall::policy

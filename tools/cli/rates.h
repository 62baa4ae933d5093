// tools/cli/rates.h: two readings of the counters -> rates; a rate against its limit. Pure: the
// clock is an argument.
#ifndef PARTYWALL_TOOLS_CLI_RATES_H
#define PARTYWALL_TOOLS_CLI_RATES_H

#include <optional>

#include "maps/abi/tenants.h"
#include "tools/cli/usage_sum.h"

namespace partywall::cli {

// What one tenant does each second. Only what passed counts as traffic.
struct Rates {
  double bits[abi::DIRECTION_COUNT] = {};
  double packets[abi::DIRECTION_COUNT] = {};
  double denied = 0;   // packets and calls
  double limited = 0;  // packets
  double connections = 0;
};

// `seconds` between the two readings; 0 gives rates of 0.
Rates rates_between(const TenantUsage& later, const TenantUsage& earlier, double seconds);

// How much of one limit is used.
struct LimitUse {
  double rate_share = 0;   // of the configured rate, over the last readings
  double burst_share = 0;  // of the burst, at this instant; over 1 while in debt
};

// Absent when the tenant has no such limit. `now_ns`: CLOCK_MONOTONIC.
std::optional<LimitUse> limit_use(const abi::tenant_policy& policy,
                                  const abi::tenant_meters& meters, const Rates& rates,
                                  abi::direction direction, bool packets, uint64_t now_ns);

}  // namespace partywall::cli

#endif

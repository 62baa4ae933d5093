// tools/cli/usage_sum.h: counter rows -> what a tenant used and was refused. Pure: spans in,
// sums out.
#ifndef PARTYWALL_TOOLS_CLI_USAGE_SUM_H
#define PARTYWALL_TOOLS_CLI_USAGE_SUM_H

#include <array>
#include <cstdint>
#include <span>

#include "maps/abi/counters.h"

namespace partywall::cli {

struct Sum {
  uint64_t bytes = 0;  // wire bytes
  uint64_t packets = 0;

  Sum& operator+=(const Sum& other);
  bool operator==(const Sum&) const = default;
};

// One direction of one tenant. Every packet is in `passed` or in `refused`; what audit mode let
// pass is in `passed` and once more in `would_refuse`.
struct DirectionUsage {
  std::array<Sum, abi::CLASS_COUNT> passed{};
  std::array<Sum, abi::REASON_COUNT> refused{};       // denials and limits
  std::array<Sum, abi::REASON_COUNT> would_refuse{};  // the same in audit mode
  uint64_t connections = 0;  // TCP: opened (egress), accepted (ingress)

  Sum passed_total() const;
  Sum denied() const;   // refused by a rule or the floor
  Sum limited() const;  // refused by a rate
  Sum would_refuse_total() const;
};

struct TenantUsage {
  std::array<DirectionUsage, abi::DIRECTION_COUNT> direction{};
  std::array<uint64_t, abi::REASON_COUNT> calls_denied{};
  std::array<uint64_t, abi::REASON_COUNT> calls_would_deny{};
  uint64_t events_sent = 0;
  uint64_t events_throttled = 0;
  uint64_t events_dropped = 0;

  uint64_t calls_denied_total() const;
};

// One tenant over all CPUs: rows are cpu * max_tenants + tenant. Rows of CPUs that `rows` does
// not hold count as 0.
TenantUsage sum_counters(std::span<const abi::tenant_counters> rows, uint32_t max_tenants,
                         uint32_t tenant);

// What was used between two readings. Counters only grow, but for a tenant number that got a
// new owner in between: then `later` itself.
TenantUsage difference(const TenantUsage& later, const TenantUsage& earlier);

}  // namespace partywall::cli

#endif

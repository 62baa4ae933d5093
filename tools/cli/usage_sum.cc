// tools/cli/usage_sum.cc: adds cells up by class and by reason. Pure.
#include "tools/cli/usage_sum.h"

#include <algorithm>
#include <numeric>

#include "maps/counter_rows.h"
#include "maps/words.h"

namespace partywall::cli {
namespace {

// Calls `visit` with a place in `usage` and the cell that counts it.
template <typename Visit>
void for_each_cell(DirectionUsage& usage, Visit visit) {
  for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++) {
    unsigned first = is_limit(reason) ? 0 : static_cast<unsigned>(kReasons[reason].peer);
    unsigned last = is_limit(reason) ? abi::CLASS_COUNT - 1 : first;

    for (unsigned peer = first; peer <= last; peer++) {
      unsigned enforced = abi::counter_cell(reason, peer, 0);

      if (!is_denial(reason)) {
        visit(usage.passed[peer], enforced);
        continue;
      }
      unsigned would = abi::counter_cell(reason, peer, 1);

      visit(usage.refused[reason], enforced);
      visit(usage.would_refuse[reason], would);
      visit(usage.passed[peer], would);
    }
  }
}

uint64_t grown(uint64_t later, uint64_t earlier, bool& shrank) {
  if (later < earlier) shrank = true;
  return later - earlier;
}

Sum grown(const Sum& later, const Sum& earlier, bool& shrank) {
  return {grown(later.bytes, earlier.bytes, shrank),
          grown(later.packets, earlier.packets, shrank)};
}

}  // namespace

Sum& Sum::operator+=(const Sum& other) {
  bytes += other.bytes;
  packets += other.packets;
  return *this;
}

Sum DirectionUsage::passed_total() const {
  Sum total;

  for (const Sum& sum : passed) total += sum;
  return total;
}

Sum DirectionUsage::denied() const {
  Sum total;

  for (unsigned reason = abi::REASON_FIRST_DENY; reason < abi::REASON_FIRST_LIMIT; reason++)
    total += refused[reason];
  return total;
}

Sum DirectionUsage::limited() const {
  Sum total;

  for (unsigned reason = abi::REASON_FIRST_LIMIT; reason < abi::REASON_COUNT; reason++)
    total += refused[reason];
  return total;
}

Sum DirectionUsage::would_refuse_total() const {
  Sum total;

  for (const Sum& sum : would_refuse) total += sum;
  return total;
}

uint64_t TenantUsage::calls_denied_total() const {
  return std::accumulate(calls_denied.begin(), calls_denied.end(), uint64_t{0});
}

TenantUsage sum_counters(std::span<const abi::tenant_counters> rows, uint32_t max_tenants,
                         uint32_t tenant) {
  abi::tenant_counters counters = sum_rows(rows, max_tenants, tenant);
  TenantUsage usage;

  for (unsigned direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    for_each_cell(usage.direction[direction], [&](Sum& sum, unsigned cell) {
      const abi::traffic& traffic = counters.cell[direction][cell];

      sum += {traffic.bytes, traffic.packets};
    });
    usage.direction[direction].connections = counters.connections_opened[direction];
  }
  std::ranges::copy(counters.calls_denied, usage.calls_denied.begin());
  std::ranges::copy(counters.calls_would_deny, usage.calls_would_deny.begin());
  usage.events_sent = counters.events_sent;
  usage.events_throttled = counters.events_throttled;
  usage.events_dropped = counters.events_dropped;
  return usage;
}

TenantUsage difference(const TenantUsage& later, const TenantUsage& earlier) {
  TenantUsage change;
  bool shrank = false;

  for (unsigned d = 0; d < abi::DIRECTION_COUNT; d++) {
    const DirectionUsage& now = later.direction[d];
    const DirectionUsage& then = earlier.direction[d];
    DirectionUsage& out = change.direction[d];

    for (unsigned i = 0; i < abi::CLASS_COUNT; i++)
      out.passed[i] = grown(now.passed[i], then.passed[i], shrank);
    for (unsigned i = 0; i < abi::REASON_COUNT; i++) {
      out.refused[i] = grown(now.refused[i], then.refused[i], shrank);
      out.would_refuse[i] = grown(now.would_refuse[i], then.would_refuse[i], shrank);
    }
    out.connections = grown(now.connections, then.connections, shrank);
  }
  for (unsigned i = 0; i < abi::REASON_COUNT; i++) {
    change.calls_denied[i] = grown(later.calls_denied[i], earlier.calls_denied[i], shrank);
    change.calls_would_deny[i] =
        grown(later.calls_would_deny[i], earlier.calls_would_deny[i], shrank);
  }
  change.events_sent = grown(later.events_sent, earlier.events_sent, shrank);
  change.events_throttled = grown(later.events_throttled, earlier.events_throttled, shrank);
  change.events_dropped = grown(later.events_dropped, earlier.events_dropped, shrank);
  return shrank ? later : change;
}

}  // namespace partywall::cli

// tools/cli/rates.cc: subtraction and division. Pure.
#include "tools/cli/rates.h"

namespace partywall::cli {

Rates rates_between(const TenantUsage& later, const TenantUsage& earlier, double seconds) {
  Rates rates;

  if (seconds <= 0) return rates;

  TenantUsage used = difference(later, earlier);
  auto per_second = [&](uint64_t count) { return static_cast<double>(count) / seconds; };

  for (unsigned d = 0; d < abi::DIRECTION_COUNT; d++) {
    const DirectionUsage& direction = used.direction[d];

    rates.bits[d] = per_second(direction.passed_total().bytes) * 8;
    rates.packets[d] = per_second(direction.passed_total().packets);
    rates.denied += per_second(direction.denied().packets);
    rates.limited += per_second(direction.limited().packets);
    rates.connections += per_second(direction.connections);
  }
  rates.denied += per_second(used.calls_denied_total());
  return rates;
}

std::optional<LimitUse> limit_use(const abi::tenant_policy& policy,
                                  const abi::tenant_meters& meters, const Rates& rates,
                                  abi::direction direction, bool packets, uint64_t now_ns) {
  const abi::rate& rate = packets ? policy.packets[direction] : policy.bytes[direction];
  const abi::meter& meter = meters.direction[direction];
  uint64_t paid_until = packets ? meter.packets_paid_until_ns : meter.bytes_paid_until_ns;

  if (!rate.per_second) return std::nullopt;

  double now = packets ? rates.packets[direction] : rates.bits[direction] / 8;
  LimitUse use{.rate_share = now / static_cast<double>(rate.per_second)};

  if (paid_until > now_ns && rate.burst_ns)
    use.burst_share =
        static_cast<double>(paid_until - now_ns) / static_cast<double>(rate.burst_ns);
  return use;
}

}  // namespace partywall::cli

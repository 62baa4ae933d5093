// agent/policy/policy.cc: what follows from a tenant and its tier. Pure.
#include "agent/policy/policy.h"

namespace partywall::policy {

LimitsInForce limits_in_force(const Policy& policy, const Tenant& tenant) {
  auto tier = policy.tiers.find(tenant.tier);
  const Limits* inherited = tier == policy.tiers.end() ? nullptr : &tier->second.limits;
  auto pick = [](const std::optional<RateLimit>& own, const std::optional<RateLimit>* tiers) {
    return own ? &*own : tiers && *tiers ? &**tiers : nullptr;
  };
  LimitsInForce limits{};

  for (int direction = 0; direction < abi::DIRECTION_COUNT; direction++) {
    limits.bytes[direction] = pick(tenant.limits.bytes[direction],
                                   inherited ? &inherited->bytes[direction] : nullptr);
    limits.packets[direction] = pick(tenant.limits.packets[direction],
                                     inherited ? &inherited->packets[direction] : nullptr);
  }
  if (tenant.limits.flows)
    limits.flows = *tenant.limits.flows;
  else if (inherited && inherited->flows)
    limits.flows = *inherited->flows;
  return limits;
}

}  // namespace partywall::policy

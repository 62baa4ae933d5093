// agent/policy/rows.h: one tenant's row of the map tenants, but for its world rules. Pure.
#ifndef PARTYWALL_AGENT_POLICY_ROWS_H
#define PARTYWALL_AGENT_POLICY_ROWS_H

#include "agent/policy/cluster_network.h"
#include "maps/abi/tenants.h"

namespace partywall::policy {

// Flags, limits and home ranges. The world's decisions stay 0. `network` may be null;
// `pod_tenant` is the number of its pod tenant.
abi::tenant_policy tenant_row(const Tenant& tenant, const LimitsInForce& limits,
                              const ClusterNetwork* network, uint16_t pod_tenant);

}  // namespace partywall::policy

#endif

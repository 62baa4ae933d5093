// tools/cli/tenant_page.h: everything about one tenant, as text or JSON. Pure.
#ifndef PARTYWALL_TOOLS_CLI_TENANT_PAGE_H
#define PARTYWALL_TOOLS_CLI_TENANT_PAGE_H

#include <string>
#include <vector>

#include "agent/policy/policy.h"
#include "maps/abi/tenants.h"
#include "tools/cli/node_cgroups.h"
#include "tools/cli/output.h"
#include "tools/cli/rates.h"
#include "tools/cli/usage_sum.h"

namespace partywall::cli {

struct TenantPage {
  std::string name;
  uint32_t number = 0;
  const policy::Policy* policy = nullptr;  // the one in force; null = not known
  std::vector<NodeCgroup> cgroups;         // its topmost ones on this node
  abi::tenant_policy kernel_policy{};
  abi::tenant_meters meters{};
  TenantUsage usage;
  Rates rates;
  uint64_t now_ns = 0;  // CLOCK_MONOTONIC, when the meters were read
};

std::string tenant_text(const TenantPage& page, bool colored);
Json tenant_json(const TenantPage& page);

// One rule in one line: "from tenant shared-ingress: TCP 443".
std::string rule_text(const policy::Rule& rule, abi::direction direction);

}  // namespace partywall::cli

#endif

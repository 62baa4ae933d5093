// agent/source/kubernetes/tenant_status.h: what a Tenant's and a Tier's status says, from what
// the nodes say. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_STATUS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_STATUS_H

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace partywall::kubernetes {

inline constexpr size_t kMaxLagging = 20;

// What the agent itself found about an object; empty = nothing wrong.
struct Judgement {
  std::string refused;   // why it is not accepted
  std::string conflict;  // who else claims what, and who keeps it
  bool operator==(const Judgement&) const = default;
};

// A condition of a TenantNode: what a status repeats of it.
struct NodeCondition {
  bool there = false;
  bool holds = false;
  std::string reason;  // both empty when all is well
  std::string message;
};

// What a status needs of a TenantNode, of which there may be as many as there are pods.
struct NodeReport {
  int64_t pods = 0;
  int64_t observed_generation = 0;
  NodeCondition realised;
  NodeCondition degraded;
};

NodeReport read_report(const nlohmann::json& tenant_node);

// A Tenant's status, without lastTransitionTime in the conditions. `reports`: by the node's
// name. A node has realised a tenant when its condition Realised holds for this generation.
nlohmann::json tenant_status(int64_t generation,
                             const std::map<std::string, NodeReport>& reports,
                             const Judgement& judgement);

// A Tier's, of which so many tenants are.
nlohmann::json tier_status(int64_t generation, int64_t tenants, const Judgement& judgement);

}  // namespace partywall::kubernetes

#endif

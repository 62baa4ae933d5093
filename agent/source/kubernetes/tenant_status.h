// agent/source/kubernetes/tenant_status.h: what a Tenant's and a Tier's status says, from what
// the nodes say. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_STATUS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_STATUS_H

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

namespace partywall::kubernetes {

inline constexpr size_t kMaxLagging = 20;

// What the agent itself found about an object; empty = nothing wrong.
struct Judgement {
  std::string refused;   // why it is not accepted
  std::string conflict;  // who else claims what, and who keeps it
};

using ObjectsByName = std::map<std::string, nlohmann::json>;

// A condition of a TenantNode: what a status repeats of it.
struct NodeCondition {
  bool there = false;
  bool holds = false;
  std::string reason;  // both empty when all is well
  std::string message;
};

// What a status needs of a TenantNode, of which there may be as many as there are pods.
struct NodeReport {
  std::string tenant;
  std::string node;
  int64_t pods = 0;
  int64_t observed_generation = 0;
  NodeCondition realised;
  NodeCondition degraded;
};

NodeReport read_report(const nlohmann::json& tenant_node);

// name -> status, without lastTransitionTime in the conditions. A node counts for a tenant when
// it has a TenantNode of it and is one of `nodes`; it has realised it when its condition
// Realised holds for the tenant's generation. `reports`: by the TenantNode's name.
std::map<std::string, nlohmann::json> tenant_statuses(
    const ObjectsByName& tenants, const std::map<std::string, NodeReport>& reports,
    const std::set<std::string>& nodes, const std::map<std::string, Judgement>& judgements);

std::map<std::string, nlohmann::json> tier_statuses(
    const ObjectsByName& tiers, const ObjectsByName& tenants,
    const std::map<std::string, Judgement>& judgements);

}  // namespace partywall::kubernetes

#endif

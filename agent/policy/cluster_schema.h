// agent/policy/cluster_schema.h: reads what only a Kubernetes cluster has: pods as members, and
// the ClusterNetwork document. Pure.
#ifndef PARTYWALL_AGENT_POLICY_CLUSTER_SCHEMA_H
#define PARTYWALL_AGENT_POLICY_CLUSTER_SCHEMA_H

#include <memory>
#include <optional>
#include <string>

#include "agent/policy/cluster_network.h"
#include "agent/policy/fields.h"

namespace partywall::policy {

// The fields `namespaces` and `pods` of a member. What is wrong is noted, and none is made.
std::optional<PodSelector> read_pod_selector(Notes& notes, const Fields& member);

std::shared_ptr<const ClusterNetwork> read_cluster_network(Notes& notes, const YamlNode& node,
                                                           const std::string& path);

}  // namespace partywall::policy

#endif

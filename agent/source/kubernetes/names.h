// agent/source/kubernetes/names.h: what Partywall's objects are called in the API. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_NAMES_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_NAMES_H

#include <string>
#include <string_view>

namespace partywall::kubernetes {

inline constexpr const char* kApiVersion = "partywall.dev/v1alpha1";
inline constexpr const char* kApiPath = "/apis/partywall.dev/v1alpha1";
inline constexpr const char* kTenantLabel = "partywall.dev/tenant";
inline constexpr const char* kNodeLabel = "partywall.dev/node";

// The TenantNode of a tenant on a node: "acme.node-1".
std::string tenant_node_name(std::string_view tenant, std::string_view node);

// The value of kNodeLabel for a node. A label's value has at most 63 characters: of a longer
// name, the first 52, '-' and 10 hexadecimal digits of its SHA-256.
std::string node_label(const std::string& node);

}  // namespace partywall::kubernetes

#endif

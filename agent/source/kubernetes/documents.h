// agent/source/kubernetes/documents.h: the policy documents that a cluster comes to, as text
// and as what the text says. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_DOCUMENTS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_DOCUMENTS_H

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/policy/parse.h"

namespace partywall::kubernetes {

inline constexpr const char* kUnassigned = "unassigned";
inline constexpr const char* kInfrastructure = "infrastructure";
inline constexpr const char* kBuiltInTier = "kubernetes-built-in";
inline constexpr const char* kNetworkFile = "cluster.yaml";

inline std::string tenant_file(const std::string& tenant) {
  return "tenant-" + tenant + ".yaml";
}
inline std::string tier_file(const std::string& tier) { return "tier-" + tier + ".yaml"; }
inline bool is_built_in(const std::string& tenant) {
  return tenant == kUnassigned || tenant == kInfrastructure;
}

struct Document {
  std::string name;  // "tenant-acme.yaml"
  std::shared_ptr<const std::string> text;
  std::shared_ptr<const policy::ParsedFile> file;
};

// What a tenant has.
struct Holding {
  std::vector<std::string> cgroups;
  std::set<std::string> addresses;
  bool operator==(const Holding&) const = default;
};

// An object without what the API server adds to it, and with nothing that no policy says.
nlohmann::json bare(const nlohmann::json& object, const char* kind);
nlohmann::json bare(const char* kind, const std::string& name, nlohmann::json spec);

// "53/UDP" and the like as entries of `ports`.
nlohmann::json port_list(const std::vector<std::string>& texts);

// Every tenant that a tenant's rules name.
std::set<std::string> named_by(const nlohmann::json& tenant);

std::string text_of(const nlohmann::json& document);

// A Tenant with what it holds. Who is named in its rules and is not `accepted` may come later:
// until then the name means nobody.
std::string tenant_text(const nlohmann::json& tenant, const Holding& held,
                        const std::function<bool(const std::string&)>& accepted);

// The Tenant that such a text was made of; null when it is none of a Tenant.
nlohmann::json tenant_before(const nlohmann::json& document);

// Parsed, unless it says what the one before says.
Document make_document(std::string name, std::string text, const Document* before);

// `before`, with these addresses instead of its own, without parsing it again; nullopt: it has
// to be made anew.
std::optional<Document> with_addresses(const Document& before,
                                       const std::set<std::string>& addresses);

}  // namespace partywall::kubernetes

#endif

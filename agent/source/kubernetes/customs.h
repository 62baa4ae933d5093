// agent/source/kubernetes/customs.h: the Tiers and Tenants of a cluster, as they are and as
// they were when they could be used. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_CUSTOMS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_CUSTOMS_H

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/parse.h"

namespace partywall::kubernetes {

// A Tier or Tenant.
struct Custom {  // NOLINT(bugprone-exception-escape)
  nlohmann::json object;
  int64_t generation = 0;
  std::string created;
  policy::ParsedFile parsed;
  nlohmann::json good;  // the last one without a problem; null = none
  policy::ParsedFile good_parsed;

  // What it says as a Tenant, or as long as it never could be used, what of it is understood;
  // nullptr: nothing.
  const policy::Tenant* tenant() const;
};

// What cannot be used stays what it was when it could, and so does a Tier that is gone while
// tenants are of it. One thread.
class Customs {
 public:
  struct Verdict {
    bool accepted = false;
    std::string message;  // why it is not, or what of it means nothing
  };

  // What an earlier agent had in force last, before anything is put: a Tenant or Tier that
  // cannot be used when it comes, or a Tier that does not come, is what it was then.
  void remember(const std::vector<std::string>& documents);
  // All that was there has come: Tenants of an earlier agent, and Tiers of which no tenant is,
  // are forgotten.
  void all_have_come();

  // `kind`: Tier or Tenant. Whether it says something new; status and labels are no part of it.
  bool put(std::string_view kind, const nlohmann::json& object);
  bool gone(std::string_view kind, const std::string& name);

  const std::map<std::string, Custom>& tiers() const { return tiers_; }
  const std::map<std::string, Custom>& tenants() const { return tenants_; }
  // All Tiers that can be used, by name.
  std::map<std::string, const nlohmann::json*> usable_tiers() const;
  Verdict judge(const Custom& tenant) const;

 private:
  const nlohmann::json* usable_tier(const std::string& name) const;

  std::map<std::string, Custom> tiers_;
  std::map<std::string, Custom> tenants_;
  std::map<std::string, nlohmann::json> remembered_tiers_;
  std::map<std::string, nlohmann::json> remembered_tenants_;
};

}  // namespace partywall::kubernetes

#endif

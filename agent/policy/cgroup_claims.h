// agent/policy/cgroup_claims.h: which tenant the policy puts at which cgroup. Pure.
#ifndef PARTYWALL_AGENT_POLICY_CGROUP_CLAIMS_H
#define PARTYWALL_AGENT_POLICY_CGROUP_CLAIMS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/policy/cgroup_pattern.h"
#include "agent/policy/name_index.h"

namespace partywall::policy {

// Patterns without stars are looked up, the others are tried one by one: a node has far fewer
// cgroups than a policy has tenants.
class CgroupClaims {
 public:
  struct Glob {
    CgroupPattern pattern;
    uint16_t tenant;
    bool operator==(const Glob&) const = default;
  };

  // Adds a pattern of the tenant with that number. Then, once: index().
  void add(const CgroupPattern& pattern, uint16_t tenant);
  void index();

  // The tenant of a pattern that matches the very path; 0 = none.
  uint16_t tenant_at(std::string_view path) const;
  // The same for the path or the nearest cgroup above it.
  uint16_t tenant_of(std::string_view path) const;

  size_t size() const { return literals_.size() + globs_.size(); }
  // The patterns without stars, as paths; counts from 0.
  size_t paths() const { return literals_.size(); }
  std::string_view path(size_t i) const {
    return std::string_view(text_).substr(literals_[i].start, literals_[i].size);
  }
  bool operator==(const CgroupClaims& other) const {
    return text_ == other.text_ && literals_ == other.literals_ && globs_ == other.globs_;
  }

 private:
  struct Literal {
    uint32_t start;  // in text_
    uint16_t size;
    uint16_t tenant;
    bool operator==(const Literal&) const = default;
  };

  std::string text_;  // all paths, one after the other
  std::vector<Literal> literals_;
  std::vector<Glob> globs_;
  NameIndex index_;  // of literals_
};

}  // namespace partywall::policy

#endif

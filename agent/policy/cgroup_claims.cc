// agent/policy/cgroup_claims.cc: looks cgroup paths up. Pure.
#include "agent/policy/cgroup_claims.h"

namespace partywall::policy {

void CgroupClaims::add(const CgroupPattern& pattern, uint16_t tenant) {
  size_t start = text_.size();

  for (const std::string& segment : pattern.segments) (text_ += '/') += segment;
  if (text_.find('*', start) == std::string::npos) {
    literals_.push_back(
        {static_cast<uint32_t>(start), static_cast<uint16_t>(text_.size() - start), tenant});
    return;
  }
  text_.resize(start);
  globs_.push_back({pattern, tenant});
}

void CgroupClaims::index() {
  index_ = NameIndex(literals_.size(),
                     [this](size_t place) { return NameIndex::hash_of(path(place)); });
}

uint16_t CgroupClaims::tenant_at(std::string_view path) const {
  if (auto place = index_.find(path, [this](size_t other) { return this->path(other); }))
    return literals_[*place].tenant;
  for (const Glob& glob : globs_)
    if (glob.pattern.matches(path)) return glob.tenant;
  return 0;
}

uint16_t CgroupClaims::tenant_of(std::string_view path) const {
  for (; !path.empty(); path = path.substr(0, path.rfind('/')))
    if (uint16_t tenant = tenant_at(path)) return tenant;
  return 0;
}

}  // namespace partywall::policy

// agent/source/kubernetes/customs.cc: Tiers and Tenants that can be used, and those that
// cannot. Pure.
#include "agent/source/kubernetes/customs.h"

#include <set>
#include <tuple>

#include "agent/source/kubernetes/documents.h"
#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

const std::string& tier_of(const Custom& tenant) {
  return text_at(tenant.good, {"spec", "tier"});
}

}  // namespace

const policy::Tenant* Custom::tenant() const {
  const policy::ParsedFile& file = good.is_null() ? parsed : good_parsed;

  return file.documents.empty() ? nullptr
                                : std::get_if<policy::Tenant>(&file.documents.front());
}

void Customs::remember(const std::vector<std::string>& documents) {
  for (const std::string& text : documents) {
    Json document = Json::parse(text, nullptr, false);
    const std::string& name = text_at(document, {"metadata", "name"});

    if (Json tenant = tenant_before(document); !tenant.is_null())
      remembered_tenants_[name] = std::move(tenant);
    if (text_at(document, {"kind"}) == "Tier" && name != kBuiltInTier)
      remembered_tiers_[name] = bare(document, "Tier");
  }
}

void Customs::all_have_come() {
  std::set<std::string> used;

  remembered_tenants_.clear();
  for (const auto& [name, tenant] : tenants_) used.insert(tier_of(tenant));
  std::erase_if(remembered_tiers_, [&](const auto& one) { return !used.contains(one.first); });
}

bool Customs::put(std::string_view kind, const Json& object) {
  bool is_tier = kind == "Tier";
  std::string name = key_of(object);
  Custom& custom = (is_tier ? tiers_ : tenants_)[name];
  Json document = bare(object, is_tier ? "Tier" : "Tenant");
  int64_t generation = number_at(object, {"metadata", "generation"});
  const std::string& created = text_at(object, {"metadata", "creationTimestamp"});

  if (std::tie(custom.generation, custom.created, custom.object) ==
      std::tie(generation, created, document))
    return false;
  custom.object = document;
  custom.generation = generation;
  custom.created = created;
  custom.parsed = policy::parse_file(name, document.dump());
  if (is_tier ? name == kBuiltInTier : is_built_in(name))
    custom.parsed.problems.push_back(
        {{name, 0, 0}, "metadata.name", "is built in: give it another name"});
  if (custom.parsed.problems.empty()) {
    custom.good = std::move(document);
    custom.good_parsed = custom.parsed;
    if (is_tier) remembered_tiers_.erase(name);
  } else if (auto before = remembered_tenants_.find(name);
             !is_tier && custom.good.is_null() && before != remembered_tenants_.end()) {
    auto parsed = policy::parse_file(name, before->second.dump());

    if (!parsed.problems.empty()) return true;
    custom.good = before->second;
    custom.good_parsed = std::move(parsed);
  }
  return true;
}

bool Customs::gone(std::string_view kind, const std::string& name) {
  if (kind == "Tenant") return tenants_.erase(name) > 0;
  if (auto tier = tiers_.find(name); tier != tiers_.end() && !tier->second.good.is_null())
    remembered_tiers_[name] = tier->second.good;
  return tiers_.erase(name) > 0;
}

std::map<std::string, const Json*> Customs::usable_tiers() const {
  std::map<std::string, const Json*> usable;

  for (const auto& [name, tier] : tiers_)
    if (!tier.good.is_null()) usable[name] = &tier.good;
  for (const auto& [name, last] : remembered_tiers_) usable.emplace(name, &last);
  return usable;
}

const Json* Customs::usable_tier(const std::string& name) const {
  if (auto tier = tiers_.find(name); tier != tiers_.end() && !tier->second.good.is_null())
    return &tier->second.good;

  auto last = remembered_tiers_.find(name);

  return last == remembered_tiers_.end() ? nullptr : &last->second;
}

Customs::Verdict Customs::judge(const Custom& tenant) const {
  Verdict verdict;
  const std::string& tier = tier_of(tenant);

  if (!tenant.parsed.problems.empty())
    verdict.message = to_string(tenant.parsed.problems.front());
  if (tenant.good.is_null()) return verdict;
  verdict.accepted = usable_tier(tier) != nullptr;
  if (!verdict.accepted)
    verdict.message = "spec.tier: there is no usable tier " + tier;
  else if (!tiers_.contains(tier) && verdict.message.empty())
    verdict.message = "spec.tier: tier " + tier +
                      " is gone; until it is there again, what it said last holds";
  return verdict;
}

}  // namespace partywall::kubernetes

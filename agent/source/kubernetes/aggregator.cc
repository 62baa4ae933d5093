// agent/source/kubernetes/aggregator.cc: TenantNodes in, statuses out, tenant by tenant.
#include "agent/source/kubernetes/aggregator.h"

#include <malloc.h>

#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/names.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

int64_t generation_of(const Json& object) {
  return number_at(object, {"metadata", "generation"});
}

const Judgement& judgement_of(const std::string& name,
                              const std::map<std::string, Judgement>& judgements) {
  static const Judgement kGood;
  auto found = judgements.find(name);

  return found == judgements.end() ? kGood : found->second;
}

}  // namespace

Aggregator::Aggregator(ApiClient& client, Judge judge, AggregatorTimes times,
                       ReflectorLimits limits)
    : client_(client),
      judge_(std::move(judge)),
      times_(times),
      limits_(limits),
      tenant_writer_(client, "tenants", {.spacing = times.spacing}),
      tier_writer_(client, "tiers", {.spacing = times.spacing}),
      soon_(client.loop().base(), [this] { write(); }) {
  follow(
      "tenants", [this](const Json& one) { put_tenant(one); },
      [this](const std::string& name) {
        tenants_.erase(name);
        tenant_writer_.forget(name);
      });
  follow(
      "tiers",
      [this](const Json& one) {
        tiers_[key_of(one)] = generation_of(one);
        tier_writer_.see(one);
      },
      [this](const std::string& name) {
        tiers_.erase(name);
        tier_writer_.forget(name);
      });
  follow(
      "tenantnodes", [this](const Json& one) { put_report(one); },
      [this](const std::string& name) { forget_report(name); });
}

void Aggregator::follow(const char* resource, std::function<void(const Json&)> put,
                        std::function<void(const std::string&)> gone) {
  reflectors_.push_back(std::make_unique<Reflector>(
      client_, Selection{.path = fmt::format("{}/{}", kApiPath, resource)},
      Reflector::Handlers{.put =
                              [this, put = std::move(put)](const Json& one) {
                                put(one);
                                settle();
                              },
                          .gone =
                              [this, gone = std::move(gone)](const std::string& name) {
                                gone(name);
                                settle();
                              },
                          .synced =
                              [this] {
                                malloc_trim(0);  // a list leaves much behind
                                settle();
                              }},
      limits_));
}

void Aggregator::put_tenant(const Json& object) {
  std::string name = key_of(object);

  tenants_[name] = {generation_of(object), text_at(object, {"spec", "tier"})};
  tenant_writer_.see(object);
  changed_.insert(std::move(name));
}

void Aggregator::put_report(const Json& tenant_node) {
  const std::string& tenant = text_at(tenant_node, {"tenant"});
  const std::string& node = text_at(tenant_node, {"node"});

  // Nobody could tell of which tenant it was when it is gone.
  if (key_of(tenant_node) != tenant_node_name(tenant, node)) return;
  reports_[tenant][node] = read_report(tenant_node);
  changed_.insert(tenant);
}

void Aggregator::forget_report(const std::string& name) {
  size_t dot = name.find('.');
  auto reports = reports_.find(name.substr(0, dot));

  if (dot == std::string::npos || reports == reports_.end()) return;
  reports->second.erase(name.substr(dot + 1));
  changed_.insert(reports->first);
  if (reports->second.empty()) reports_.erase(reports);
}

// Counted from the first change, so that changes without a pause are not put off for ever.
void Aggregator::settle() {
  if (!soon_.is_set()) soon_.after(times_.settle);
}

void Aggregator::note(Judgements fresh) {
  for (const auto* judged : {&judgements_.tenants, &fresh.tenants})
    for (const auto& [name, judgement] : *judged)
      if (judgement_of(name, judgements_.tenants) != judgement_of(name, fresh.tenants))
        changed_.insert(name);
  judgements_ = std::move(fresh);
}

std::map<std::string, Json> Aggregator::changed_tenants() {
  static const std::map<std::string, NodeReport> kNone;
  std::map<std::string, Json> statuses;

  for (const std::string& name : changed_) {
    auto tenant = tenants_.find(name);
    auto reports = reports_.find(name);

    if (tenant == tenants_.end()) continue;
    statuses[name] = tenant_status(tenant->second.generation,
                                   reports == reports_.end() ? kNone : reports->second,
                                   judgement_of(name, judgements_.tenants));
  }
  changed_.clear();
  return statuses;
}

std::map<std::string, Json> Aggregator::all_tiers() const {
  std::map<std::string, int64_t> counts;
  std::map<std::string, Json> statuses;

  for (const auto& [name, tenant] : tenants_) ++counts[tenant.tier];
  for (const auto& [name, generation] : tiers_)
    statuses[name] =
        tier_status(generation, counts[name], judgement_of(name, judgements_.tiers));
  return statuses;
}

void Aggregator::write() {
  for (const auto& reflector : reflectors_)
    if (!reflector->synced()) return;

  auto judgements = judge_();

  if (!judgements) return;
  note(std::move(*judgements));

  bool more = tenant_writer_.write(changed_tenants());

  more |= tier_writer_.write(all_tiers());
  if (more) settle();
}

}  // namespace partywall::kubernetes

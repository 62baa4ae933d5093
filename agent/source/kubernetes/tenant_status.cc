// agent/source/kubernetes/tenant_status.cc: counts nodes and pods, and says who lags.
#include "agent/source/kubernetes/tenant_status.h"

#include <fmt/format.h>

#include <vector>

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using nlohmann::json;

// What the nodes say of one tenant.
struct Counted {
  int64_t total = 0;
  int64_t realised = 0;
  int64_t pods = 0;
  std::vector<json> lagging;
  std::vector<std::string> degraded;  // "node-1: why"
};

// `well`: the status that needs no words.
NodeCondition condition_of(const json& object, const std::string& type, bool well) {
  const json* all = find(object, {"conditions"});

  if (!all || !all->is_array()) return {};
  for (const json& one : *all) {
    if (text_at(one, {"type"}) != type) continue;

    NodeCondition found{.there = true, .holds = text_at(one, {"status"}) == "True"};

    if (found.holds == well) return found;
    found.reason = text_at(one, {"reason"});
    found.message = text_at(one, {"message"});
    return found;
  }
  return {};
}

void count(const std::string& node, const NodeReport& report, int64_t generation,
           Counted& counted) {
  const NodeCondition& realised = report.realised;
  int64_t observed = report.observed_generation;

  ++counted.total;
  counted.pods += report.pods;
  if (report.degraded.holds)
    counted.degraded.push_back(fmt::format("{}: {}", node, report.degraded.message));
  if (observed >= generation && realised.holds) {
    ++counted.realised;
    return;
  }
  if (observed < generation && (!realised.there || realised.holds))
    counted.lagging.push_back(
        {{"node", node},
         {"reason", "OldGeneration"},
         {"message", fmt::format("enforces generation {}, not {}", observed, generation)}});
  else
    counted.lagging.push_back({{"node", node},
                               {"reason", realised.there ? realised.reason : "Unknown"},
                               {"message", realised.message}});
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;

  for (size_t i = 0; i < parts.size() && i < kMaxLagging; ++i)
    text += (i ? "; " : "") + parts[i];
  if (parts.size() > kMaxLagging)
    text += fmt::format("; and {} more", parts.size() - kMaxLagging);
  return text;
}

json accepted(const Judgement& judgement) {
  return judgement.refused.empty() ? condition("Accepted", true, "Valid", "")
                                   : condition("Accepted", false, "Invalid", judgement.refused);
}

json realised(const Counted& counted, const Judgement& judgement) {
  if (!judgement.refused.empty())
    return condition("Realised", false, "NotAccepted",
                     "the last accepted generation stays in force");
  if (counted.total == 0)
    return condition("Realised", true, "NoPods", "no node has pods of this tenant");
  if (counted.realised == counted.total)
    return condition("Realised", true, "AllNodes",
                     fmt::format("{} of {} nodes enforce it", counted.realised, counted.total));
  return condition(
      "Realised", false, "NodesLag",
      fmt::format("{} of {} nodes enforce it; see lagging", counted.realised, counted.total));
}

json with_generation(json conditions, int64_t generation) {
  for (json& one : conditions) one["observedGeneration"] = generation;
  return conditions;
}

}  // namespace

NodeReport read_report(const json& tenant_node) {
  return {.pods = number_at(tenant_node, {"pods"}),
          .observed_generation = number_at(tenant_node, {"observedGeneration"}),
          .realised = condition_of(tenant_node, "Realised", true),
          .degraded = condition_of(tenant_node, "Degraded", false)};
}

json tenant_status(int64_t generation, const std::map<std::string, NodeReport>& reports,
                   const Judgement& judgement) {
  Counted counted;

  for (const auto& [node, report] : reports) count(node, report, generation, counted);

  json conditions = json::array(
      {accepted(judgement), realised(counted, judgement),
       counted.degraded.empty()
           ? condition("Degraded", false, "AsSpecified", "")
           : condition("Degraded", true, "NodesDegraded", joined(counted.degraded)),
       judgement.conflict.empty()
           ? condition("Conflict", false, "NoConflict", "")
           : condition("Conflict", true, "NamespaceClaimedTwice", judgement.conflict)});

  if (counted.lagging.size() > kMaxLagging) counted.lagging.resize(kMaxLagging);
  return {{"observedGeneration", generation},
          {"summary", fmt::format("{}/{}", counted.realised, counted.total)},
          {"nodesTotal", counted.total},
          {"nodesRealised", counted.realised},
          {"pods", counted.pods},
          {"lagging", counted.lagging},
          {"conditions", with_generation(std::move(conditions), generation)}};
}

json tier_status(int64_t generation, int64_t tenants, const Judgement& judgement) {
  return {{"observedGeneration", generation},
          {"tenants", tenants},
          {"conditions", with_generation(json::array({accepted(judgement)}), generation)}};
}

}  // namespace partywall::kubernetes

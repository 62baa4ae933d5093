// agent/source/kubernetes/aggregator.h: the agent that leads: sums up in the statuses of
// Tenants and Tiers what all nodes say of them.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_AGGREGATOR_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_AGGREGATOR_H

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/reflector.h"
#include "agent/source/kubernetes/status_writer.h"
#include "agent/source/kubernetes/tenant_status.h"
#include "agent/source/kubernetes/timer.h"

namespace partywall::kubernetes {

// What this agent finds about objects, by name; whoever is not in it is well.
struct Judgements {
  std::map<std::string, Judgement> tenants;
  std::map<std::string, Judgement> tiers;
};

struct AggregatorTimes {
  std::chrono::milliseconds settle{2'000};   // from a change until statuses tell of it
  std::chrono::milliseconds spacing{2'000};  // from one writing of an object to its next
};

// Follows all Tenants, Tiers and TenantNodes as long as it lives. What changes costs as much as
// the tenants that it concerns. One thread.
class Aggregator {
 public:
  // Asked before statuses are written; nullopt: this agent does not know yet.
  using Judge = std::function<std::optional<Judgements>()>;

  Aggregator(ApiClient& client, Judge judge, AggregatorTimes times = {},
             ReflectorLimits limits = {});

  // What the agent finds may have changed.
  void judge_again() { settle(); }

  // Why the last writing of a Tenant's status failed; empty when it did not.
  const std::string& last_error() const { return tenant_writer_.facts().last_error; }

 private:
  struct Tenant {
    int64_t generation = 0;
    std::string tier;
  };
  using Json = nlohmann::json;

  void follow(const char* resource, std::function<void(const Json&)> put,
              std::function<void(const std::string&)> gone);
  void put_tenant(const Json& object);
  void put_report(const Json& tenant_node);
  void forget_report(const std::string& name);
  void settle();
  void note(Judgements fresh);
  std::map<std::string, Json> changed_tenants();
  std::map<std::string, Json> all_tiers() const;
  void write();

  ApiClient& client_;
  Judge judge_;
  AggregatorTimes times_;
  ReflectorLimits limits_;
  StatusWriter tenant_writer_;
  StatusWriter tier_writer_;
  std::map<std::string, Tenant> tenants_;
  std::map<std::string, int64_t> tiers_;                              // their generations
  std::map<std::string, std::map<std::string, NodeReport>> reports_;  // by tenant and node
  Judgements judgements_;
  std::set<std::string> changed_;  // tenants whose statuses may have to say something else
  Timer soon_;
  std::vector<std::unique_ptr<Reflector>> reflectors_;
};

}  // namespace partywall::kubernetes

#endif

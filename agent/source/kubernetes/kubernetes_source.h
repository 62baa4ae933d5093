// agent/source/kubernetes/kubernetes_source.h: the API server as the source of the policy:
// follows the objects, and tells the API what this node made of them.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_KUBERNETES_SOURCE_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_KUBERNETES_SOURCE_H

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/assembler.h"
#include "agent/source/kubernetes/aggregator.h"
#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/cluster.h"
#include "agent/source/kubernetes/leader_lease.h"
#include "agent/source/kubernetes/reflector.h"
#include "agent/source/kubernetes/tenant_node_publisher.h"
#include "agent/source/kubernetes/timer.h"
#include "agent/source/policy_folder.h"

namespace partywall::kubernetes {

struct SourceOptions {
  ApiAccess access;
  ClusterOptions cluster;
  std::string space;                   // of the release; "" = no Lease, no statuses
  std::vector<std::string> last_good;  // the documents that an earlier agent had in force last
};

// One thread, which is the loop's.
class KubernetesSource {
 public:
  // Starts to follow. `changed` is called, a moment after the first of several changes, when
  // read() would say something new; not before everything is there.
  static Result<std::unique_ptr<KubernetesSource>> open(observe::Loop& loop,
                                                        SourceOptions options,
                                                        std::function<void()> changed);

  // Whether everything that this node needs has arrived once.
  bool synced() const;
  // What is missing, in words; empty when synced.
  std::string missing() const;

  // The policy as the API has it. Objects that cannot be used are left out, and say so in
  // their status; what remains are problems of the node: no pod ranges.
  policy::ParsedPolicy read(const std::vector<policy::Infrastructure>& infrastructure,
                            std::string_view managed_root);
  std::vector<source::PolicySource> sources() const;

  // What was read last is in force, or not: `trouble` says why not. Tells the API.
  void report(const std::string& trouble);

  // Gives up what only one agent has, and calls `done`.
  void stop(std::function<void()> done);

  // For metrics and status.
  struct Facts {
    std::chrono::milliseconds since_last_word{0};  // of the resource that is silent longest
    bool stale = true;
    uint64_t lists = 0;
    uint64_t events = 0;
    uint64_t bytes = 0;
    uint64_t errors = 0;
    uint64_t requests = 0;
    std::string last_error;
    bool leads = false;
  };
  Facts facts() const;
  const std::string& server() const { return client_->access().server; }
  const ApiAccess& access() const { return client_->access(); }

 private:
  KubernetesSource(SourceOptions options, std::function<void()> changed);
  void follow(const std::string& kind, Selection selection);
  void settle(std::chrono::milliseconds delay);
  void see_own_addresses();
  void follow_tenant_nodes();
  void take_change();
  void lead(bool leads);
  std::optional<Judgements> judge();
  nlohmann::json tenant_node(const std::string& tenant, const TenantState& state) const;

  SourceOptions options_;
  std::function<void()> changed_;
  std::unique_ptr<ApiClient> client_;
  Cluster cluster_;
  policy::Assembler assembler_;
  bool was_read_ = false;
  std::string trouble_;
  std::optional<std::pair<std::string, uint64_t>>
      reported_;  // trouble_, Cluster::own_version()
  std::map<std::string, std::unique_ptr<Reflector>> reflectors_;  // by kind
  std::optional<std::set<std::string>> followed_;  // whose TenantNodes; nullopt = everybody's
  std::unique_ptr<Timer> soon_;
  std::chrono::milliseconds soon_delay_{0};  // that it was set to
  std::chrono::milliseconds peers_delay_;    // of changes on other nodes
  std::unique_ptr<TenantNodePublisher> publisher_;
  std::unique_ptr<LeaderLease> lease_;
  std::unique_ptr<Aggregator> aggregator_;  // of whoever leads
};

}  // namespace partywall::kubernetes

#endif

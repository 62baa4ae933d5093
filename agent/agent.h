// agent/agent.h: one node's agent: policy in, kernel told, metrics and events out. One thread,
// one loop.
#ifndef PARTYWALL_AGENT_AGENT_H
#define PARTYWALL_AGENT_AGENT_H

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/access/access_point.h"
#include "agent/control/server.h"
#include "agent/kernel/datapath.h"
#include "agent/last_good.h"
#include "agent/observe/event_log.h"
#include "agent/observe/http_server.h"
#include "agent/observe/loop.h"
#include "agent/observe/self_metrics.h"
#include "agent/observe/tenant_series.h"
#include "agent/options.h"
#include "agent/source/kubernetes/kubernetes_source.h"
#include "agent/source/policy_folder.h"

namespace partywall {

class Agent {
 public:
  // Everything up to readiness: opens the datapath, puts the first generation into force,
  // attaches, serves. When the policy folder cannot be taken, the last good copy is enforced,
  // else what the pins hold from before; fails when there is neither. A start that fails leaves
  // whatever was in force as it was, and nothing in the kernel when nothing was.
  static Result<std::unique_ptr<Agent>> start(const Options& options);

  // Follows policy, cgroups and signals until SIGTERM or SIGINT. Enforcement goes on after it.
  void run();

 private:
  explicit Agent(Options options);
  Result<void> set_up();
  Result<void> open_source();
  Result<void> open_cluster();
  void wait_for_cluster();
  void let_own_pod_pass();
  policy::ParsedPolicy read_policy();
  std::vector<source::PolicySource> policy_sources() const;
  std::string source_name() const;
  Result<void> read_config();
  Result<void> serve();
  Result<void> enforce_first();
  Result<void> enforce(const char* why, policy::ParsedPolicy parsed);
  void list_tenants();
  void reload(const char* why);
  void follow_cgroups();
  void observe_exposures();
  void follow_interfaces();
  void look_after();
  void on_stop(const char* signal);
  void refuse(std::vector<std::string> problems);
  void remember(std::vector<source::PolicySource> sources);
  void report_attachments();
  void read_facts();
  void read_cluster_facts();
  bool is_ready() const;
  std::string status();
  Result<void> serve_https();
  observe::Page metrics_page();
  std::optional<observe::Page> metrics_page_of(const std::string& tenant);
  std::optional<observe::Page> events_page_of(const std::string& tenant);

  Options options_;
  std::string mount_;  // of cgroup2
  std::string config_text_;
  std::vector<policy::Infrastructure> infrastructure_;
  std::vector<policy::LaneService> lane_services_;
  LastGood last_good_;
  std::unique_ptr<observe::Loop> loop_;
  observe::SelfMetrics metrics_;
  // Where the policy comes from: one of the two.
  std::unique_ptr<source::PolicyFolder> folder_;
  std::unique_ptr<kubernetes::KubernetesSource> cluster_;
  bool cluster_changed_ = false;  // since it was read last
  std::unique_ptr<kernel::Datapath> datapath_;
  std::unique_ptr<observe::EventLog> events_;
  std::unique_ptr<observe::TenantSeries> series_;
  std::unique_ptr<control::Server> control_;
  std::unique_ptr<observe::HttpServer> http_;
  std::unique_ptr<access::AccessPoint> https_;

  policy::Numbers numbers_;  // that an earlier agent gave out
  // Of the policy in force.
  policy::Policy policy_;
  std::shared_ptr<const policy::Image> image_;  // null: of an earlier agent
  std::vector<source::PolicySource> sources_;
  size_t tenants_[2] = {};  // enforced, in audit mode
  // Of the folder's last reading; empty = it is what is in force.
  std::vector<std::string> problems_;
  std::vector<std::string> detached_;  // programs that are not attached, by name
  bool is_running_ = false;
  std::string trouble_;  // what look_after() could not mend
  std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
};

}  // namespace partywall

#endif

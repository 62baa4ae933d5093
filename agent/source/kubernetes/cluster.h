// agent/source/kubernetes/cluster.h: the cluster's objects as this node needs them, and the
// policy documents they come to. Pure: objects in, text out.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_CLUSTER_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_CLUSTER_H

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/source/kubernetes/customs.h"
#include "agent/source/kubernetes/documents.h"
#include "agent/source/kubernetes/objects.h"

namespace partywall::kubernetes {

struct ClusterOptions {
  std::string node;
  std::string cgroup_root;                  // "/kubepods" or "/kubepods.slice"
  std::vector<std::string> pod_ranges;      // empty = the nodes'
  std::vector<std::string> service_ranges;  // may be empty
  std::set<std::string> infrastructure_namespaces;
  std::vector<std::string> offers;   // "53/UDP": what pods of those offer to every tenant
  std::vector<std::string> reaches;  // what they may reach of every tenant
  std::vector<policy::LaneService> lane;
  bool deny_unassigned = false;
};

// What became of a Tenant object.
struct TenantState {
  int64_t generation = 0;
  bool accepted = false;
  std::string message;                 // why it is not, or what of it means nothing
  std::set<std::string> conflicts;     // other tenants that claim a pod of this node, too
  int pods = 0;                        // of this node
  std::vector<std::string> addresses;  // theirs, sorted
  std::vector<HostPort> host_ports;
  bool operator==(const TenantState&) const = default;
};

struct Rendered {
  std::vector<Document> documents;             // in the order of their names
  std::map<std::string, TenantState> tenants;  // the built-in ones, too
  // The tenants whose addresses on other nodes matter here; nullopt: everybody's.
  std::optional<std::set<std::string>> peers;
};

// Remembers what it rendered: what other nodes hold, which changes all the time, costs as much
// as changes of it; all other changes make everything anew. One thread.
class Cluster {
 public:
  explicit Cluster(ClusterOptions options);

  // An object that is new or changed, or is gone ("namespace/name" or "name"). `kind`: Pod,
  // Namespace, Service, Node (this one only), Tier, Tenant, TenantNode.
  void put(std::string_view kind, const nlohmann::json& object);
  void gone(std::string_view kind, const std::string& key);

  // The addresses of this machine's interfaces, which are the node's beside those of the Node.
  void put_own_addresses(std::set<std::string> addresses);

  // As Customs has it.
  void remember(const std::vector<std::string>& documents) { customs_.remember(documents); }

  // Whether render() would say something else than the last time.
  bool changed() const { return changed_; }

  // A Tenant that never could be used is left out, and the pods that it claims belong to
  // nobody, which is denied.
  const Rendered& render();
  // What it said the last time.
  const Rendered& rendered() const { return rendered_; }
  // Is another number when rendered().tenants or node() may say something else.
  uint64_t own_version() const { return own_version_; }

  // What is the matter with Tenants and Tiers, by name: why one is not accepted, and what
  // others claim, too.
  std::map<std::string, std::string> refused(std::string_view kind) const;
  std::map<std::string, std::set<std::string>> conflicts();

  // Nothing else tells pods from the world.
  bool knows_pod_ranges() const { return !pod_ranges().empty(); }
  const std::optional<Node>& node() const { return node_; }

 private:
  using States = std::map<std::string, TenantState>;
  // Tenants whose selectors hold for a namespace and for some pods of it, the oldest first.
  using Claimants = std::vector<std::pair<std::string, const policy::Tenant*>>;

  void note_change(std::string_view kind, const std::string& key);
  void retell(TenantNode& known, TenantNode fresh);
  const std::string* owner_on_other_nodes(const std::string& address) const;
  std::vector<std::string> pod_ranges() const;
  const Claimants& claimants(const Namespace& space);
  std::string claimed_by(const Pod& pod, States& states);
  std::string claimed_by(const ServiceFacts& facts);
  void judge_tenants(States& states) const;
  void place_pods(States& states);
  void place_peers();
  void find_peers();
  const Document* known(std::string_view name) const;
  Document document(std::string name, std::string text) const;
  Document tenant_document(const std::string& tenant);
  nlohmann::json network_document();
  void make_all();
  void make_again(Document fresh);

  ClusterOptions options_;
  std::map<std::string, Namespace> namespaces_;
  std::map<std::string, Pod> pods_;
  std::map<std::string, ServiceFacts> services_;
  Customs customs_;
  std::map<std::string, TenantNode> tenant_nodes_;
  std::optional<Node> node_;
  std::set<std::string> own_addresses_;

  // What was made of them, up to the last change that is still to be rendered.
  std::map<std::string, Claimants> claimants_;  // by namespace, as it is asked
  // Who on other nodes says that it has an address: mostly one.
  std::unordered_multimap<std::string, const TenantNode*> tellers_;
  Rendered rendered_;
  std::map<std::string, Holding> held_;  // by tenant
  std::set<std::string> here_;           // addresses of pods of this node

  uint64_t own_version_ = 0;
  bool changed_ = true;
  bool all_changed_ = true;          // all that was made is to be made anew,
  bool customs_changed_ = true;      // documents of tenants that hold the same, too
  bool network_changed_ = true;      // and the network's
  std::set<std::string> regrouped_;  // tenants that hold something else on other nodes
};

}  // namespace partywall::kubernetes

#endif

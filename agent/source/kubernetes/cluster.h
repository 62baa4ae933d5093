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
#include <vector>

#include "agent/policy/parse.h"
#include "agent/source/kubernetes/objects.h"

namespace partywall::kubernetes {

inline constexpr const char* kUnassigned = "unassigned";
inline constexpr const char* kInfrastructure = "infrastructure";

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

// A document of the policy.
struct Document {
  std::string name;  // "tenant-acme.yaml"
  std::shared_ptr<const std::string> text;
  std::shared_ptr<const policy::ParsedFile> file;
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
};

struct Rendered {
  std::vector<Document> documents;             // in the order of their names
  std::map<std::string, TenantState> tenants;  // the built-in ones, too
  // The tenants whose addresses on other nodes matter here; nullopt: everybody's.
  std::optional<std::set<std::string>> peers;
};

// One thread.
class Cluster {
 public:
  explicit Cluster(ClusterOptions options);

  // An object that is new or changed, or is gone ("namespace/name" or "name"). `kind`: Pod,
  // Namespace, Service, Node (this one only), Tier, Tenant, TenantNode.
  void put(std::string_view kind, const nlohmann::json& object);
  void gone(std::string_view kind, const std::string& key);

  // The addresses of this machine's interfaces, which are the node's beside those of the Node.
  void put_own_addresses(std::set<std::string> addresses);

  // Whether render() would say something else than the last time.
  bool changed() const { return changed_; }

  // A Tenant or Tier that cannot be used stays what it was when it could; one that never could
  // is left out, and the pods that it claims belong to nobody, which is denied.
  Rendered render();

  // What is the matter with Tenants and Tiers, by name: why one is not accepted, and what
  // others claim, too.
  std::map<std::string, std::string> refused(std::string_view kind) const;
  std::map<std::string, std::set<std::string>> conflicts();

  // Nothing else tells pods from the world.
  bool knows_pod_ranges() const { return !pod_ranges().empty(); }
  const std::optional<Node>& node() const { return node_; }

 private:
  struct Custom {  // a Tier or Tenant
    nlohmann::json object;
    int64_t generation = 0;
    std::string created;
    policy::ParsedFile parsed;
    nlohmann::json good;  // the last one without a problem; null = none
    policy::ParsedFile good_parsed;
  };
  struct Holding {  // what a tenant has
    std::vector<std::string> cgroups;
    std::set<std::string> addresses;
    bool operator==(const Holding&) const = default;
  };
  struct Made {  // a tenant's document, and what it was made of
    Holding held;
    uint64_t customs = 0;
    Document document;
  };

  static bool take_custom(Custom& custom, const nlohmann::json& object, std::string_view kind);
  void forget(std::string_view kind);
  std::vector<std::string> pod_ranges() const;
  std::string claimed_by(const Pod& pod, Rendered& rendered) const;
  const std::string& claimed_by(const std::string& space);
  bool selects(const policy::Tenant& tenant, const Namespace& space,
               const policy::Labels* pod_labels) const;
  void judge_tenants(Rendered& rendered) const;
  void place_pods(Rendered& rendered, std::map<std::string, Holding>& held) const;
  void place_peers(const Rendered& rendered, std::map<std::string, Holding>& held) const;
  void find_peers(Rendered& rendered) const;
  Document document(std::string name, const nlohmann::json& content);
  nlohmann::json tenant_document(const nlohmann::json& object, const Holding& held,
                                 const Rendered& rendered) const;
  nlohmann::json network_document();

  ClusterOptions options_;
  std::map<std::string, Namespace> namespaces_;
  std::map<std::string, Pod> pods_;
  std::map<std::string, ServiceFacts> services_;
  std::map<std::string, Custom> tiers_;
  std::map<std::string, Custom> tenants_;
  std::map<std::string, TenantNode> tenant_nodes_;
  std::optional<Node> node_;
  std::set<std::string> own_addresses_;
  uint64_t customs_changed_ = 1;               // how often Tiers and Tenants have
  std::map<std::string, std::string> spaces_;  // namespace -> who claims it; as it is asked
  std::map<std::string, Made> made_;           // by tenant
  std::map<std::string, Document> rendered_;   // by name: what did not change is kept
  std::optional<Document> network_;            // nullopt: to be made anew
  std::optional<std::map<std::string, std::set<std::string>>> conflicts_;  // the same
  bool changed_ = true;
};

}  // namespace partywall::kubernetes

#endif

// agent/source/kubernetes/objects.h: what the agent needs of the API's objects, and how it is
// read out of them. Pure.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_OBJECTS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_OBJECTS_H

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/cluster_network.h"

namespace partywall::kubernetes {

// Fields that are absent or of another type are empty: the API server has checked them.

struct Namespace {
  std::string name;
  policy::Labels labels;
};

struct HostPort {
  std::string protocol;
  uint16_t port = 0;
  auto operator<=>(const HostPort&) const = default;
};

struct Pod {
  std::string space;  // its namespace
  std::string name;
  std::string cgroup_uid;  // of a static pod, not its own
  std::string created;     // RFC 3339: compares as text
  policy::Labels labels;
  std::vector<std::string> addresses;  // empty when it has the node's
  std::vector<HostPort> host_ports;
  std::string qos;  // Guaranteed, Burstable, BestEffort
  bool host_network = false;
  bool leaving = false;  // being deleted
  bool over = false;     // will not run again
};

struct Node {
  std::string name;
  std::string uid;
  std::vector<std::string> addresses;
  std::vector<std::string> pod_ranges;
};

// What one node holds of one tenant (kind TenantNode).
struct TenantNode {
  std::string tenant;
  std::string node;
  std::vector<std::string> addresses;
  std::vector<std::string> node_addresses;  // of the infrastructure tenant's only
  std::vector<std::string> pod_ranges;      // the same
  bool operator==(const TenantNode&) const = default;
};

// A Service: what of it can be reached. The tenant is still empty.
struct ServiceFacts {
  std::string space;
  policy::Labels selector;  // what all pods behind it have; empty: they are named by hand
  policy::Service service;
  bool operator==(const ServiceFacts& other) const;
};

Namespace read_namespace(const nlohmann::json& object);
Pod read_pod(const nlohmann::json& object);
Node read_node(const nlohmann::json& object);
TenantNode read_tenant_node(const nlohmann::json& object);
ServiceFacts read_service(const nlohmann::json& object);

// Whether a map of labels has all that a selector asks for. Both sorted.
bool has_labels(const policy::Labels& labels, const policy::Labels& wanted);

// Where the kubelet puts a pod: "/kubepods/burstable/pod<uid>", or with the systemd driver
// "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice". `root` says
// which of the two.
std::string cgroup_of(const Pod& pod, const std::string& root);

}  // namespace partywall::kubernetes

#endif

// agent/policy/cluster_network.h: what the addresses of a Kubernetes cluster mean. Plain data.
#ifndef PARTYWALL_AGENT_POLICY_CLUSTER_NETWORK_H
#define PARTYWALL_AGENT_POLICY_CLUSTER_NETWORK_H

#include <cstdint>
#include <string>
#include <vector>

#include "agent/policy/policy.h"

namespace partywall::policy {

// One port of a service. A workload that may reach `target` of the service's tenant may ask
// for `port` at the service's addresses, and for `node` at every node's.
struct ServicePort {
  Protocol protocol = Protocol::kTcp;  // TCP or UDP
  uint16_t port = 0;
  uint16_t target = 0;  // of the workloads behind it; the service's own where that is a name
  uint16_t node = 0;    // 0 = none
};

// An address behind which a tenant's workloads stand, and what the kernel rewrites it to only
// after the sender was judged. Several services may share an address, not a port of it.
struct Service {
  Position at;
  std::string name;               // "shop/web"
  std::string tenant;             // empty, or no tenant of the policy: nobody may reach it
  std::vector<Prefix> addresses;  // single ones, in no pod range
  std::vector<ServicePort> ports;
  std::string lane;  // not empty: every tenant may reach it, as the infrastructure of that name
};

// Two tenants are built in: they are in the policy like any other, have no rules, agree to
// whatever another tenant's rules say of them, and to everything between the two.
struct ClusterNetwork {
  Position at;
  // Who has the addresses of pods that no tenant has: pods that belong to no tenant, or to one
  // that this node need not know.
  std::string pod_tenant;
  std::vector<Prefix> pod_ranges;
  // The part of the pod ranges that is this node's. A workload may send from an address in it
  // that no tenant has: the API learns of a pod's address later than the pod.
  std::vector<Prefix> local_ranges;
  std::vector<Prefix> service_ranges;  // who has no service there is nobody
  std::vector<Prefix> nodes;           // single addresses; may lie in a pod range
  std::string infrastructure_tenant;
  std::vector<PortRange> offers;   // that every tenant may reach of the infrastructure tenant
  std::vector<PortRange> reaches;  // that it may reach of every tenant
  std::vector<Service> services;
};

}  // namespace partywall::policy

#endif

// agent/policy/cluster_rules.h: what a cluster's network adds to the decisions: the built-in
// tenants, services, nodes. Pure.
#ifndef PARTYWALL_AGENT_POLICY_CLUSTER_RULES_H
#define PARTYWALL_AGENT_POLICY_CLUSTER_RULES_H

#include <map>
#include <span>
#include <vector>

#include "agent/policy/cluster_network.h"
#include "agent/policy/openings.h"
#include "agent/policy/zones.h"

namespace partywall::policy {

// One for each compilation, in this order: agree(), open() for every flow that two tenants may
// open, take_from_nodes() for every tenant, pairs().
class ClusterRules {
 public:
  using Id = PortTable::Id;

  // `numbers`: of the policy's tenants, in their order. All of it outlives this.
  ClusterRules(const Policy& policy, std::span<const uint16_t> numbers,
               std::span<const Zone> zones, PortTable& ports);

  // Adds what the built-in tenants agree to, and what every tenant is offered. `out` and `in`:
  // what senders and receivers say.
  void agree(std::vector<Opening>& out, std::vector<Opening>& in);

  // Two tenants' rules let `from` reach `to`: so it may at the services of `to`.
  void open(uint16_t from, uint16_t to, Id allowed);

  // What a tenant takes from a node's address, behind which the world stands.
  void take_from_nodes(uint16_t tenant, const Zone& node, Id in);

  // One of each kind of node.
  const std::vector<const Zone*>& nodes() const { return nodes_; }

  // The rows for services and nodes, each once.
  std::vector<PairIds> pairs() const;

 private:
  // What one tenant offers at one zone.
  struct Offer {
    uint32_t peer;
    bool alone;  // nobody else has a service there
    bool node;
    std::vector<std::pair<ServicePort, uint16_t>> ports;  // and what to ask for there
  };

  uint16_t number_of(const std::string& tenant) const;
  void note_services(std::span<const Zone> zones);
  Offer& offer_of(uint16_t tenant, const Zone& zone);
  Id allowed_at(const Offer& offer, Id allowed);
  void add(uint16_t tenant, uint32_t peer, Id out, Id in);

  const Policy& policy_;
  const ClusterNetwork& network_;
  std::span<const uint16_t> numbers_;
  PortTable& ports_;
  uint16_t pod_tenant_;
  uint16_t infrastructure_;
  Id anything_;  // tunnels, too
  std::vector<const Zone*> nodes_;
  std::map<uint16_t, std::vector<Offer>> offers_;
  std::map<uint64_t, PairIds> pairs_;
};

}  // namespace partywall::policy

#endif

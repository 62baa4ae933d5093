// agent/policy/image.h: what the maps should hold, and what compile() remembers between
// policies. Plain data.
#ifndef PARTYWALL_AGENT_POLICY_IMAGE_H
#define PARTYWALL_AGENT_POLICY_IMAGE_H

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/policy/cgroup_claims.h"
#include "agent/policy/flat_map.h"
#include "agent/policy/prefix.h"
#include "maps/abi/pairs.h"
#include "maps/abi/tenants.h"

namespace partywall::policy {

// The TCP and UDP ports that a decision word cannot say by itself: sorted, disjoint ranges.
struct PortSet {
  std::vector<std::pair<uint16_t, uint16_t>> tcp;  // first..last
  std::vector<std::pair<uint16_t, uint16_t>> udp;
  auto operator<=>(const PortSet&) const = default;
};

// Numbers given out so far. They stay with their owner as long as it is in the policy, so that
// one changed tenant changes few map entries, and a tenant's counters stay its own.
struct Numbers {
  FlatMap<std::string, uint16_t> tenants;  // 1..max_tenants-1
  FlatMap<Prefix, uint32_t> zones;         // peer words (maps/abi/endpoints.h)
  std::map<PortSet, uint32_t> port_sets;   // 1..2^24-1; those that fit no word
};

// One side of the policy maps, in full. Ordered where order makes a diff cheap.
struct Image {
  Numbers numbers;
  FlatMap<uint16_t, abi::tenant_policy> tenants;  // number -> row
  FlatMap<Prefix, uint32_t> endpoints;            // range -> peer, both families
  FlatMap<uint64_t, abi::pair> pairs;             // tenant << 32 | peer -> who may open what
  CgroupClaims cgroups;                           // path -> tenant number
  std::vector<std::pair<std::string, uint16_t>> interfaces;  // pattern of a name -> tenant
  // What would be zones, if no tenant owned it.
  std::vector<Prefix> hidden;
};

}  // namespace partywall::policy

#endif

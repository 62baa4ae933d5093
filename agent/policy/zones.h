// agent/policy/zones.h: the ranges of the world that verdicts can differ for. Pure.
#ifndef PARTYWALL_AGENT_POLICY_ZONES_H
#define PARTYWALL_AGENT_POLICY_ZONES_H

#include <span>
#include <vector>

#include "agent/policy/image.h"
#include "agent/policy/policy.h"
#include "maps/abi/endpoints.h"

namespace partywall::policy {

// Multicast and broadcast: 224.0.0.0/4, 255.255.255.255/32, ff00::/8. Ranges of the world mean
// addresses in them only when they lie inside themselves.
std::span<const Prefix> multicast_ranges();
bool is_multicast(const Prefix& range);
bool is_multicast(const Address& address);

// A range and the number of the tenant that owns it.
using OwnedRange = std::pair<Prefix, uint32_t>;

struct Zone {
  Prefix range;
  uint32_t peer = 0;  // maps/abi/endpoints.h
  bool multicast() const { return peer & PEER_MULTICAST; }
  bool infrastructure() const { return peer & PEER_INFRASTRUCTURE; }
  bool service() const { return peer & PEER_SERVICE; }
  bool node() const { return peer & PEER_NODE; }
};

// Every range that the policy names, the infrastructure lane's, and the multicast ranges;
// sorted. The whole of IPv4 or IPv6 is no zone but the world, unless the lane names it. Ranges
// keep the numbers that `previous` gave them. What lies inside one of `owned`, tenants' ranges
// sorted and disjoint, is left out, and told of in `hidden`.
//
// In a cluster also the services' addresses and ranges, and the nodes' addresses: those that
// all rules and services take alike share a number. What else lies inside a pod range, or is a
// part of a service range that is no service's, is left out.
std::vector<Zone> find_zones(const Policy& policy, const Numbers& previous,
                             std::span<const OwnedRange> owned, std::vector<Prefix>& hidden);

bool is_owned(const Prefix& range, std::span<const OwnedRange> owned);

// The zones inside `range`; they stand together.
std::span<const Zone> zones_in(std::span<const Zone> zones, const Prefix& range);

// Whether a range of the world, or of the lane, means the zone.
bool covers(const Prefix& range, const Zone& zone);
bool covers(const PeerSelector& selector, const Zone& zone);

}  // namespace partywall::policy

#endif

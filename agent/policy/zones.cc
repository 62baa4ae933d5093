// agent/policy/zones.cc: collects and numbers the ranges of the world. Pure.
#include "agent/policy/zones.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "agent/policy/cluster_network.h"
#include "agent/policy/free_numbers.h"

namespace partywall::policy {
namespace {

struct PrefixHash {
  size_t operator()(const Prefix& prefix) const {
    std::string_view bytes(reinterpret_cast<const char*>(prefix.address.bytes.data()), 16);

    return std::hash<std::string_view>()(bytes) * 131 + prefix.bits;
  }
};

class RangeSet {
 public:
  void add(const Prefix& range) {
    // Tenants of one template name the same ranges one after the other.
    if (ranges_.empty() || range != last_) ranges_.insert(range);
    last_ = range;
  }
  void add(const std::optional<std::vector<Rule>>& rules) {
    if (!rules) return;
    for (const Rule& rule : *rules)
      for (const PeerSelector& peer : rule.peers) {
        if (peer.cidr && peer.cidr->bits > 0) add(*peer.cidr);
        for (const Prefix& hole : peer.except)
          if (hole.bits > 0) add(hole);
      }
  }
  bool contains(const Prefix& range) const { return ranges_.contains(range); }
  std::vector<Prefix> sorted() const {
    std::vector<Prefix> list(ranges_.begin(), ranges_.end());

    std::ranges::sort(list);
    return list;
  }

 private:
  std::unordered_set<Prefix, PrefixHash> ranges_;
  Prefix last_;
};

// A pod range is the built-in tenant's wherever no tenant has a smaller one.
bool is_within(const Prefix& range, const std::vector<Prefix>& ranges) {
  return std::ranges::any_of(ranges, [&](const Prefix& one) { return one.contains(range); });
}

// What tells nodes' addresses apart: the smallest range that holds them, and the services that
// have them as an address of their own.
using NodeKind = std::pair<Prefix, std::vector<const Service*>>;

}  // namespace

std::span<const Prefix> multicast_ranges() {
  static const std::vector<Prefix> kRanges = {*parse_prefix("224.0.0.0/4"),
                                              *parse_prefix("255.255.255.255/32"),
                                              *parse_prefix("ff00::/8")};

  return kRanges;
}

bool is_multicast(const Prefix& range) {
  return std::ranges::any_of(multicast_ranges(),
                             [&](const Prefix& group) { return group.contains(range); });
}

bool is_multicast(const Address& address) {
  return std::ranges::any_of(multicast_ranges(),
                             [&](const Prefix& group) { return group.contains(address); });
}

bool is_owned(const Prefix& range, std::span<const OwnedRange> owned) {
  auto after = std::ranges::upper_bound(owned, range, {}, &OwnedRange::first);

  return after != owned.begin() && std::prev(after)->first.contains(range);
}

std::vector<Zone> find_zones(const Policy& policy, const Numbers& previous,
                             std::span<const OwnedRange> owned, std::vector<Prefix>& hidden) {
  static const ClusterNetwork kNoCluster;
  const ClusterNetwork& network = policy.network ? *policy.network : kNoCluster;
  RangeSet named;
  std::map<Prefix, std::vector<const Service*>> services;

  for (const Prefix& group : multicast_ranges()) named.add(group);
  for (const Infrastructure& entry : policy.infrastructure) named.add(entry.cidr);
  for (const auto& [name, tenant] : policy.tenants) {
    named.add(tenant.ingress);
    named.add(tenant.egress);
  }

  RangeSet ranges = named;

  for (const Prefix& range : network.service_ranges) ranges.add(range);
  for (const Prefix& node : network.nodes) ranges.add(node);
  for (const Service& service : network.services)
    for (const Prefix& address : service.addresses) {
      ranges.add(address);
      services[address].push_back(&service);
    }

  std::vector<Zone> zones;
  std::vector<Prefix> around;  // the ranges that hold the one at hand
  std::map<NodeKind, uint32_t> nodes;
  FreeNumbers free(0);
  std::vector<bool> taken;
  // Nodes that had a number in common may part: only the first of them keeps it.
  auto take = [&](uint32_t number) {
    if (number >= taken.size()) taken.resize(size_t{number} + 1);
    if (taken[number]) return false;
    taken[number] = true;
    return true;
  };
  auto number_for = [&](const Prefix& range) {
    auto known = previous.zones.find(range);

    if (known != previous.zones.end() && take(known->second & PEER_ZONE_NUMBER))
      return known->second & PEER_ZONE_NUMBER;

    uint32_t fresh = free.next();

    take(fresh);
    return fresh;
  };

  for (const auto& [range, peer] : previous.zones) free.take(peer & PEER_ZONE_NUMBER);
  for (const Prefix& range : ranges.sorted()) {
    bool node = std::ranges::binary_search(network.nodes, range);
    auto service = services.find(range);
    Zone zone{.range = range, .peer = PEER_ZONE};

    while (!around.empty() && !around.back().contains(range)) around.pop_back();
    if (!node || named.contains(range)) around.push_back(range);
    // A node has addresses in the pod ranges, too: its end of the pods' links.
    if (!node && is_within(range, network.pod_ranges)) continue;
    if (is_multicast(range)) zone.peer |= PEER_MULTICAST;

    bool lane = std::ranges::any_of(policy.infrastructure, [&](const Infrastructure& entry) {
      return covers(entry.cidr, zone);
    });

    if (lane) zone.peer |= PEER_INFRASTRUCTURE;
    if (node) {
      zone.peer |= PEER_NODE;
    } else if (is_within(range, network.service_ranges) || service != services.end()) {
      // What is no service's there is nobody's, but for the lane.
      if (!lane && service == services.end() &&
          !std::ranges::binary_search(network.service_ranges, range))
        continue;
      zone.peer |= PEER_SERVICE;
    }
    if (is_owned(range, owned)) {
      hidden.push_back(range);
      continue;
    }
    if (node) {
      NodeKind kind{around.empty() ? Prefix{{range.address.family, {}}, 0} : around.back(), {}};

      if (service != services.end()) kind.second = service->second;

      auto [entry, is_new] = nodes.try_emplace(std::move(kind), 0);

      if (is_new) entry->second = number_for(range);
      zone.peer |= entry->second;
    } else {
      zone.peer |= number_for(range);
    }
    zones.push_back(zone);
  }
  return zones;
}

std::span<const Zone> zones_in(std::span<const Zone> zones, const Prefix& range) {
  auto first = std::ranges::lower_bound(zones, range, {}, &Zone::range);
  auto last = std::partition_point(
      first, zones.end(), [&](const Zone& zone) { return range.contains(zone.range); });

  return {first, last};
}

bool covers(const Prefix& range, const Zone& zone) {
  return range.contains(zone.range) && (!zone.multicast() || is_multicast(range));
}

bool covers(const PeerSelector& selector, const Zone& zone) {
  return selector.cidr && covers(*selector.cidr, zone) &&
         std::ranges::none_of(selector.except,
                              [&](const Prefix& hole) { return hole.contains(zone.range); });
}

}  // namespace partywall::policy

// agent/policy/zones.cc: collects and numbers the ranges of the world. Pure.
#include "agent/policy/zones.h"

#include <algorithm>
#include <unordered_set>

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
  std::vector<Prefix> sorted() const {
    std::vector<Prefix> list(ranges_.begin(), ranges_.end());

    std::ranges::sort(list);
    return list;
  }

 private:
  std::unordered_set<Prefix, PrefixHash> ranges_;
  Prefix last_;
};

bool is_owned(const Prefix& range, std::span<const OwnedRange> owned) {
  auto after = std::ranges::upper_bound(owned, range, {}, &OwnedRange::first);

  return after != owned.begin() && std::prev(after)->first.contains(range);
}

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

std::vector<Zone> find_zones(const Policy& policy, const Numbers& previous,
                             std::span<const OwnedRange> owned) {
  RangeSet ranges;

  for (const Prefix& group : multicast_ranges()) ranges.add(group);
  for (const Infrastructure& entry : policy.infrastructure) ranges.add(entry.cidr);
  for (const auto& [name, tenant] : policy.tenants) {
    ranges.add(tenant.ingress);
    ranges.add(tenant.egress);
  }
  std::vector<Zone> zones;
  FreeNumbers free(0);

  for (const auto& [range, peer] : previous.zones) free.take(peer & PEER_ZONE_NUMBER);
  for (const Prefix& range : ranges.sorted()) {
    if (is_owned(range, owned)) continue;

    Zone zone{.range = range, .peer = PEER_ZONE};

    if (is_multicast(range)) zone.peer |= PEER_MULTICAST;
    if (std::ranges::any_of(policy.infrastructure, [&](const Infrastructure& entry) {
          return covers(entry.cidr, zone);
        }))
      zone.peer |= PEER_INFRASTRUCTURE;
    if (auto known = previous.zones.find(range); known != previous.zones.end())
      zone.peer |= known->second & PEER_ZONE_NUMBER;
    else
      zone.peer |= free.next();
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

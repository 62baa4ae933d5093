// agent/policy/compile.cc: rules into the words that the datapath looks up. Pure.
#include "agent/policy/compile.h"

#include <algorithm>
#include <tuple>

#include "agent/policy/cluster_rules.h"
#include "agent/policy/free_numbers.h"
#include "agent/policy/openings.h"
#include "agent/policy/port_table.h"
#include "agent/policy/radix_sort.h"
#include "agent/policy/rows.h"
#include "agent/policy/zones.h"
#include "maps/abi/members.h"

namespace partywall::policy {
namespace {

using Id = PortTable::Id;
using Rules = std::optional<std::vector<Rule>>;

struct Selector {
  const PeerSelector* peer;
  Id allowed;
};

// What a tenant may open to the world and take from it, outside of all zones.
struct WorldIds {
  Id out4;
  Id in4;
  Id out6;
  Id in6;
};

// The world's half of one list of rules.
struct WorldList {
  bool present = false;
  Id fallback = PortTable::kNothing;  // the tier's default, when there is no list
  std::vector<Selector> ranges;
};

// One range of ports, of TCP, UDP or both, fits into the decision word; 0 for any other set.
uint32_t range_word(const PortSet& ports) {
  const auto& ranges = ports.tcp.empty() ? ports.udp : ports.tcp;
  uint32_t protocols =
      (ports.tcp.empty() ? 0 : DECIDE_TCP) | (ports.udp.empty() ? 0 : DECIDE_UDP);

  if (ranges.size() != 1 || (protocols == (DECIDE_TCP | DECIDE_UDP) && ports.tcp != ports.udp))
    return 0;

  uint32_t first = ranges[0].first;
  uint32_t more = ranges[0].second - first;

  if (more > DECIDE_MORE_MAX) return 0;
  return protocols << DECIDE_RANGE_SHIFT | more << DECIDE_MORE_SHIFT |
         first << DECIDE_FIRST_SHIFT;
}

// Items that are shared need no look.
template <typename T>
bool all_same(const ByName<T>& one, const ByName<T>& other, bool (*same)(const T&, const T&)) {
  if (one.size() != other.size()) return false;
  for (size_t i = 0; i < one.size(); i++)
    if (&one[i] != &other[i] && !same(one[i], other[i])) return false;
  return true;
}

// As far as a compiled policy depends on it.
bool same_but_for_addresses(const Policy& one, const Policy& other) {
  return one.network == other.network && one.infrastructure == other.infrastructure &&
         all_same<Tier>(one.tiers, other.tiers,
                        [](const Tier& a, const Tier& b) { return a == b; }) &&
         all_same<Tenant>(one.tenants, other.tenants, [](const Tenant& a, const Tenant& b) {
           auto rest = [](const Tenant& tenant) {
             return std::tie(tenant.name, tenant.tier, tenant.mode, tenant.cgroups,
                             tenant.interfaces, tenant.limits, tenant.ingress, tenant.egress);
           };

           return rest(a) == rest(b);
         });
}

class Compiler {
 public:
  Compiler(const Policy& policy, const Numbers& previous, const Capacity& capacity)
      : policy_(policy), previous_(previous), capacity_(capacity) {}

  Result<Image> run();
  std::optional<Image> run_again(const Policy& before, const Image& made);

 private:
  Result<void> number_tenants();
  void own_ranges();
  void place_endpoints();
  uint16_t pod_tenant() const;
  void place_rows();
  void place_claims();
  void read_tenant(const Tenant& tenant, uint16_t number);
  void read_rules(const Rules& rules, uint16_t number, std::vector<Opening>& openings,
                  WorldList& world);
  void decide_zones(uint16_t number, Id out4, Id in4, Id out6, Id in6);
  Id decide(const WorldList& list, const Zone& zone);
  Id decide_world(const WorldList& list, Family family);
  void decide_lane();
  void pair_tenants();
  Result<void> number_port_sets();
  uint32_t word(Id id) const;
  Result<void> write_pairs();
  Result<void> check_endpoints() const;

  const Policy& policy_;
  const Numbers& previous_;
  const Capacity& capacity_;
  Image image_;
  PortTable ports_;
  std::vector<uint16_t> numbers_;  // of the tenants, in their order
  std::vector<OwnedRange> owned_;  // sorted, disjoint
  std::vector<Zone> zones_;
  std::vector<Opening> out_;  // tenant's egress rules: from = the tenant, to = the peer
  std::vector<Opening> in_;   // tenant's ingress rules: from = the peer, to = the tenant
  std::vector<PairIds> pairs_;
  std::vector<WorldIds> worlds_;  // of the tenants, in their order
  std::vector<uint32_t> words_;   // id -> decision word
  // Of the tenant at hand; kept, so that their memory is.
  WorldList world_out_;
  WorldList world_in_;
  std::vector<const Zone*> near_;
  std::optional<ClusterRules> cluster_;
};

Result<void> Compiler::number_tenants() {
  size_t needed = policy_.tenants.size() + 1;

  if (needed > capacity_.tenants || needed > PEER_TENANT_MAX)
    return fail(
        "map tenants: the policy needs {} rows (row 0 included) and there are {}: start the "
        "agent "
        "with a larger --max-tenants (at most {}), or name fewer tenants",
        needed, capacity_.tenants, PEER_TENANT_MAX);

  FreeNumbers fresh(1);
  FreeNumbers released(1);  // once all others are taken
  auto known = previous_.tenants.begin();

  numbers_.reserve(needed);
  for (const auto& [name, number] : previous_.tenants) fresh.take(number);
  for (const auto& [name, tenant] : policy_.tenants) {
    while (known != previous_.tenants.end() && known->first < name) ++known;

    bool keeps = known != previous_.tenants.end() && known->first == name &&
                 known->second < capacity_.tenants;

    numbers_.push_back(keeps ? known->second : uint16_t{TENANT_NONE});
    if (keeps) released.take(known->second);
  }
  for (uint16_t& number : numbers_) {
    if (number != TENANT_NONE) continue;

    uint32_t free = fresh.next();

    if (free >= capacity_.tenants) free = released.next();
    released.take(free);
    number = static_cast<uint16_t>(free);
  }
  image_.numbers.tenants.reserve(numbers_.size());
  for (size_t i = 0; i < numbers_.size(); i++)
    image_.numbers.tenants.append(policy_.tenants[i].name, numbers_[i]);
  return {};
}

// All ranges of all tenants, less those inside another one of the same tenant.
void Compiler::own_ranges() {
  owned_.reserve(policy_.addresses.size());
  for (const OwnedAddresses& owned : policy_.addresses)
    if (owned_.empty() || !owned_.back().first.contains(owned.range))
      owned_.emplace_back(owned.range, numbers_[owned.tenant]);
}

void Compiler::place_endpoints() {
  // A pod range is the built-in tenant's wherever nobody has a smaller one.
  std::vector<OwnedRange> pods;

  if (uint16_t tenant = pod_tenant(); tenant != TENANT_NONE)
    for (const Prefix& range : policy_.network->pod_ranges)
      if (!std::ranges::binary_search(owned_, range, {}, &OwnedRange::first))
        pods.emplace_back(range, tenant);

  auto owned = owned_.begin();
  auto pod = pods.begin();
  auto& endpoints = image_.endpoints;
  auto append_before = [&](const Prefix* end) {
    while (true) {
      bool takes_pod =
          pod != pods.end() && (owned == owned_.end() || pod->first < owned->first);
      auto& next = takes_pod ? pod : owned;

      if ((!takes_pod && owned == owned_.end()) || (end && *end < next->first)) return;
      endpoints.append(next->first, next->second);
      ++next;
    }
  };

  endpoints.reserve(owned_.size() + pods.size() + zones_.size());
  image_.numbers.zones.reserve(zones_.size());
  for (const Zone& zone : zones_) {
    append_before(&zone.range);
    endpoints.append(zone.range, zone.peer);
    image_.numbers.zones.append(zone.range, zone.peer);
  }
  append_before(nullptr);
}

uint16_t Compiler::pod_tenant() const {
  auto place =
      policy_.network ? policy_.tenants.place_of(policy_.network->pod_tenant) : std::nullopt;

  return place ? numbers_[*place] : uint16_t{TENANT_NONE};
}

// Limits, flags and home ranges, and what the rules say about the world.
void Compiler::place_rows() {
  std::vector<std::pair<uint16_t, uint32_t>> order;  // number, place

  order.reserve(numbers_.size());
  for (uint16_t number : numbers_)
    order.emplace_back(number, static_cast<uint32_t>(order.size()));
  std::ranges::sort(order);
  image_.tenants.reserve(order.size());

  uint16_t pods = pod_tenant();

  for (auto [number, place] : order) {
    const Tenant& tenant = policy_.tenants[place];
    abi::tenant_policy row =
        tenant_row(tenant, limits_in_force(policy_, tenant), policy_.network.get(), pods);
    const WorldIds& world = worlds_[place];

    row.world_out = words_[world.out4];
    row.world_in = words_[world.in4];
    row.world6_out = words_[world.out6];
    row.world6_in = words_[world.in6];
    image_.tenants.append(number, row);
  }
}

void Compiler::place_claims() {
  for (size_t i = 0; i < numbers_.size(); i++)
    for (const CgroupPattern& pattern : policy_.tenants[i].cgroups)
      image_.cgroups.add(pattern, numbers_[i]);
  for (size_t i = 0; i < numbers_.size(); i++)
    for (const std::string& pattern : policy_.tenants[i].interfaces)
      image_.interfaces.emplace_back(pattern, numbers_[i]);
  image_.cgroups.index();
}

// Tenants that the rules name go to `openings`, ranges to `world`.
void Compiler::read_rules(const Rules& rules, uint16_t number, std::vector<Opening>& openings,
                          WorldList& world) {
  world.present = rules.has_value();
  world.ranges.clear();
  if (!rules) return;
  for (const Rule& rule : *rules) {
    Id allowed = ports_.of(rule.ports);

    if (allowed == PortTable::kNothing) continue;
    for (const PeerSelector& peer : rule.peers) {
      if (peer.cidr) {
        world.ranges.push_back({&peer, allowed});
      } else if (auto place = policy_.tenants.place_of(peer.tenant)) {
        bool egress = &openings == &out_;
        uint16_t other = numbers_[*place];

        openings.push_back({egress ? number : other, egress ? other : number, allowed});
      }
    }
  }
}

Id Compiler::decide_world(const WorldList& list, Family family) {
  if (!list.present) return list.fallback;

  Id allowed = PortTable::kNothing;

  for (const Selector& selector : list.ranges)
    if (selector.peer->cidr->bits == 0 && selector.peer->cidr->address.family == family &&
        std::ranges::none_of(selector.peer->except,
                             [](const Prefix& hole) { return hole.bits == 0; }))
      allowed = ports_.unite(allowed, selector.allowed);
  return allowed;
}

Id Compiler::decide(const WorldList& list, const Zone& zone) {
  if (!list.present) return zone.multicast() ? PortTable::kNothing : list.fallback;

  Id allowed = PortTable::kNothing;

  for (const Selector& selector : list.ranges)
    if (covers(*selector.peer, zone)) allowed = ports_.unite(allowed, selector.allowed);
  return allowed;
}

// Only zones that one of the tenant's own ranges or exceptions holds can differ from the world.
void Compiler::decide_zones(uint16_t number, Id out4, Id in4, Id out6, Id in6) {
  near_.clear();
  for (const WorldList* list : {&world_out_, &world_in_})
    for (const Selector& selector : list->ranges) {
      auto add = [&](const Prefix& range) {
        for (const Zone& zone : zones_in(zones_, range)) near_.push_back(&zone);
      };

      if (selector.peer->cidr->bits > 0) add(*selector.peer->cidr);
      for (const Prefix& hole : selector.peer->except) add(hole);
    }
  std::ranges::sort(near_);
  near_.erase(std::unique(near_.begin(), near_.end()), near_.end());
  for (const Zone* zone : near_) {
    if (zone->service() || zone->node()) continue;  // those are the cluster's to decide

    bool v4 = zone->range.address.family == Family::kIpv4;
    Id out = decide(world_out_, *zone);
    Id in = decide(world_in_, *zone);
    bool as_world = out == (v4 ? out4 : out6) && in == (v4 ? in4 : in6);
    bool as_absent =
        zone->multicast() ? out == PortTable::kNothing && in == PortTable::kNothing : as_world;

    if (!as_absent) pairs_.push_back({uint64_t{number} << 32 | zone->peer, out, in});
  }
}

void Compiler::read_tenant(const Tenant& tenant, uint16_t number) {
  auto tier = policy_.tiers.find(tenant.tier);
  static const Tier kNoTier;
  const Tier& plan = tier == policy_.tiers.end() ? kNoTier : tier->second;
  auto fallback = [](WorldDefault word) {
    return word == WorldDefault::kAllow ? PortTable::kEverything : PortTable::kNothing;
  };

  world_out_.fallback = fallback(plan.world_egress);
  world_in_.fallback = fallback(plan.world_ingress);
  read_rules(tenant.egress, number, out_, world_out_);
  read_rules(tenant.ingress, number, in_, world_in_);

  Id out4 = decide_world(world_out_, Family::kIpv4);
  Id in4 = decide_world(world_in_, Family::kIpv4);
  Id out6 = decide_world(world_out_, Family::kIpv6);
  Id in6 = decide_world(world_in_, Family::kIpv6);

  worlds_.push_back({out4, in4, out6, in6});
  decide_zones(number, out4, in4, out6, in6);
  if (!cluster_) return;
  for (const Zone* node : cluster_->nodes())
    cluster_->take_from_nodes(number, *node, decide(world_in_, *node));
}

void Compiler::decide_lane() {
  std::vector<uint32_t> done;  // nodes share numbers

  for (const Zone& zone : zones_) {
    if (!zone.infrastructure()) continue;
    if (zone.node() && std::ranges::find(done, zone.peer) != done.end()) continue;
    if (zone.node()) done.push_back(zone.peer);

    PairIds pair{uint64_t{TENANT_NONE} << 32 | zone.peer, PortTable::kNothing,
                 PortTable::kNothing};

    for (const Infrastructure& entry : policy_.infrastructure) {
      if (!covers(entry.cidr, zone)) continue;

      Id& side = entry.direction == abi::DIRECTION_EGRESS ? pair.out : pair.in;

      side = ports_.unite(side, ports_.of(entry.ports));
    }
    pairs_.push_back(pair);
  }
}

// Two tenants talk where the sender's egress and the receiver's ingress meet.
void Compiler::pair_tenants() {
  auto settle = [&](std::vector<Opening>& openings) {
    sort_by_start(openings, [](const Opening& opening) { return opening.key(); });

    size_t kept = 0;

    for (const Opening& opening : openings) {
      if (kept > 0 && openings[kept - 1].key() == opening.key())
        openings[kept - 1].allowed = ports_.unite(openings[kept - 1].allowed, opening.allowed);
      else
        openings[kept++] = opening;
    }
    openings.resize(kept);
  };

  if (cluster_) cluster_->agree(out_, in_);
  settle(out_);
  settle(in_);

  std::vector<PairIds> halves;
  auto in = in_.begin();

  for (const Opening& out : out_) {
    while (in != in_.end() && in->key() < out.key()) ++in;
    if (in == in_.end()) break;
    if (in->key() != out.key()) continue;

    Id both = ports_.intersect(out.allowed, in->allowed);

    if (both == PortTable::kNothing) continue;
    if (cluster_) cluster_->open(out.from, out.to, both);
    halves.push_back({uint64_t{out.from} << 32 | out.to, both, PortTable::kNothing});
    halves.push_back({uint64_t{out.to} << 32 | out.from, PortTable::kNothing, both});
  }
  sort_by_start(halves, [](const PairIds& pair) { return pair.key; });
  for (size_t i = 0; i < halves.size(); i++) {
    PairIds pair = halves[i];

    if (i + 1 < halves.size() && halves[i + 1].key == pair.key) {
      i++;
      pair.out = std::max(pair.out, halves[i].out);  // one of them is 0, nothing
      pair.in = std::max(pair.in, halves[i].in);
    }
    pairs_.push_back(pair);
  }
}

// Gives every set of ports that some decision uses its number, and every id its word.
Result<void> Compiler::number_port_sets() {
  std::vector<bool> used(ports_.size());
  FreeNumbers free(1);
  size_t pages = 0;

  for (const PairIds& pair : pairs_) used[pair.out] = used[pair.in] = true;
  for (const auto& [out4, in4, out6, in6] : worlds_)
    used[out4] = used[in4] = used[out6] = used[in6] = true;
  for (const auto& [ports, number] : previous_.port_sets) free.take(number);
  words_.resize(ports_.size());
  for (Id id = 0; id < ports_.size(); id++) {
    const Allowed& allowed = ports_[id];

    words_[id] = allowed.bits | range_word(allowed.ports);
    if (!used[id] || words_[id] & DECIDE_RANGE || allowed.ports == PortSet{}) continue;

    auto [entry, is_new] = image_.numbers.port_sets.emplace(allowed.ports, 0);

    if (is_new) {
      auto known = previous_.port_sets.find(allowed.ports);

      entry->second = known == previous_.port_sets.end() ? free.next() : known->second;
      for (const auto* ranges : {&allowed.ports.tcp, &allowed.ports.udp}) {
        int last = -1;

        for (auto [first_port, last_port] : *ranges) {
          pages += static_cast<size_t>(last_port / 64 - first_port / 64 +
                                       (first_port / 64 == last ? 0 : 1));
          last = last_port / 64;
        }
      }
    }
    words_[id] |= entry->second << DECIDE_SET_SHIFT;
  }
  if (pages > capacity_.port_pages)
    return fail(
        "map port_pages: the policy needs {} rows and there are {}: name fewer different sets "
        "of "
        "ports, or smaller ranges",
        pages, capacity_.port_pages);
  return {};
}

Result<void> Compiler::write_pairs() {
  if (pairs_.size() > capacity_.pairs)
    return fail(
        "map pairs: the policy needs {}{} rows and there are {}: let fewer tenants name each "
        "other "
        "or narrow ranges",
        pairs_.size() > capacity_.pairs * 4 ? "at least " : "", pairs_.size(), capacity_.pairs);
  sort_by_start(pairs_, [](const PairIds& pair) { return pair.key; });
  image_.pairs.reserve(pairs_.size());
  for (const PairIds& pair : pairs_)
    image_.pairs.append(pair.key, abi::pair{.out = words_[pair.out], .in = words_[pair.in]});
  return {};
}

Result<void> Compiler::check_endpoints() const {
  auto first6 = image_.endpoints.lower_bound(Prefix{Address{Family::kIpv6, {}}, 0});
  auto needed = static_cast<size_t>(std::distance(first6, image_.endpoints.end()));

  if (needed > capacity_.endpoints6)
    return fail("map endpoints6: the policy needs {} rows and there are {}: join IPv6 ranges",
                needed, capacity_.endpoints6);
  return {};
}

Result<Image> Compiler::run() {
  if (auto numbered = number_tenants(); !numbered) return std::move(numbered.error());
  own_ranges();
  zones_ = find_zones(policy_, previous_, owned_, image_.hidden);
  place_endpoints();
  if (auto checked = check_endpoints(); !checked) return std::move(checked.error());

  if (policy_.network) cluster_.emplace(policy_, numbers_, zones_, ports_);
  decide_lane();
  for (size_t i = 0; i < numbers_.size(); i++) {
    read_tenant(policy_.tenants[i], numbers_[i]);
    if (pairs_.size() > capacity_.pairs * 4) break;  // hopeless: no need to fill the memory
  }
  pair_tenants();
  if (cluster_) {
    auto rows = cluster_->pairs();

    pairs_.insert(pairs_.end(), rows.begin(), rows.end());
  }
  if (auto numbered = number_port_sets(); !numbered) return std::move(numbered.error());
  if (auto written = write_pairs(); !written) return std::move(written.error());
  place_rows();
  place_claims();
  return std::move(image_);
}

// What tenants talk to whom, on which ports, does not depend on addresses, as long as all
// ranges of the world stay what they are.
std::optional<Image> Compiler::run_again(const Policy& before, const Image& made) {
  if (!same_but_for_addresses(policy_, before)) return std::nullopt;
  for (const auto& [name, number] : made.numbers.tenants) numbers_.push_back(number);
  own_ranges();
  for (const auto& [range, peer] : made.numbers.zones) {
    if (is_owned(range, owned_)) return std::nullopt;
    zones_.push_back({.range = range, .peer = peer});
  }
  for (const Prefix& range : made.hidden)
    if (!is_owned(range, owned_)) return std::nullopt;
  image_.numbers.tenants = made.numbers.tenants;
  image_.numbers.port_sets = made.numbers.port_sets;
  image_.tenants = made.tenants;
  image_.pairs = made.pairs;
  image_.cgroups = made.cgroups;
  image_.interfaces = made.interfaces;
  image_.hidden = made.hidden;
  place_endpoints();
  if (!check_endpoints()) return std::nullopt;  // compile() says why

  uint16_t pods = pod_tenant();

  for (size_t i = 0; i < numbers_.size(); i++) {
    const Tenant& tenant = policy_.tenants[i];

    if (&tenant == &before.tenants[i]) continue;

    const abi::tenant_policy& old = made.tenants.at(numbers_[i]);
    abi::tenant_policy row =
        tenant_row(tenant, limits_in_force(policy_, tenant), policy_.network.get(), pods);

    row.world_out = old.world_out;
    row.world_in = old.world_in;
    row.world6_out = old.world6_out;
    row.world6_in = old.world6_in;
    image_.tenants.replace(numbers_[i], row);
  }
  return std::move(image_);
}

}  // namespace

std::optional<Image> compile_addresses(const Policy& policy, const Policy& before,
                                       const Image& made, const Capacity& capacity) {
  return Compiler(policy, made.numbers, capacity).run_again(before, made);
}

Result<Image> compile(const Policy& policy, const Numbers& previous, const Capacity& capacity) {
  return Compiler(policy, previous, capacity).run();
}

}  // namespace partywall::policy

// agent/policy/cluster_rules.cc: services and nodes as rows of the map pairs. Pure.
#include "agent/policy/cluster_rules.h"

#include <algorithm>

#include "maps/abi/members.h"

namespace partywall::policy {
namespace {

bool has_port(const Allowed& allowed, Protocol protocol, uint16_t port) {
  bool tcp = protocol == Protocol::kTcp;

  if (allowed.bits & (tcp ? DECIDE_TCP : DECIDE_UDP)) return true;
  return std::ranges::any_of(tcp ? allowed.ports.tcp : allowed.ports.udp, [&](auto range) {
    return range.first <= port && port <= range.second;
  });
}

}  // namespace

ClusterRules::ClusterRules(const Policy& policy, std::span<const uint16_t> numbers,
                           std::span<const Zone> zones, PortTable& ports)
    : policy_(policy),
      network_(*policy.network),
      numbers_(numbers),
      ports_(ports),
      pod_tenant_(number_of(network_.pod_tenant)),
      infrastructure_(number_of(network_.infrastructure_tenant)),
      anything_(ports.unite(PortTable::kEverything,
                            ports.of(std::vector{PortRange{Protocol::kTunnel}}))) {
  note_services(zones);
}

uint16_t ClusterRules::number_of(const std::string& tenant) const {
  auto place = policy_.tenants.place_of(tenant);

  return place ? numbers_[*place] : uint16_t{TENANT_NONE};
}

// Every tenant that is not built in, in pairs with those that are.
void ClusterRules::agree(std::vector<Opening>& out, std::vector<Opening>& in) {
  size_t outs = out.size();
  size_t ins = in.size();
  auto built_in = [&](uint16_t tenant) {
    return tenant != TENANT_NONE && (tenant == pod_tenant_ || tenant == infrastructure_);
  };
  auto add_both = [&](uint16_t from, uint16_t to, Id allowed) {
    if (from == TENANT_NONE || to == TENANT_NONE || allowed == PortTable::kNothing) return;
    out.push_back({from, to, allowed});
    in.push_back({from, to, allowed});
  };

  for (size_t i = 0; i < outs; i++)
    if (built_in(out[i].to)) in.push_back({out[i].from, out[i].to, anything_});
  for (size_t i = 0; i < ins; i++)
    if (built_in(in[i].from)) out.push_back({in[i].from, in[i].to, anything_});
  add_both(pod_tenant_, infrastructure_, anything_);
  add_both(infrastructure_, pod_tenant_, anything_);

  Id offers = ports_.of(network_.offers);
  Id reaches = ports_.of(network_.reaches);

  for (uint16_t tenant : numbers_) {
    if (built_in(tenant)) continue;
    add_both(tenant, infrastructure_, offers);
    add_both(infrastructure_, tenant, reaches);
  }
}

ClusterRules::Offer& ClusterRules::offer_of(uint16_t tenant, const Zone& zone) {
  std::vector<Offer>& offers = offers_[tenant];
  auto found = std::ranges::find(offers, zone.peer, &Offer::peer);

  if (found != offers.end()) return *found;
  return offers.emplace_back(Offer{zone.peer, true, zone.node(), {}});
}

void ClusterRules::note_services(std::span<const Zone> zones) {
  std::map<Prefix, std::vector<const Service*>> services;

  for (const Service& service : network_.services)
    for (const Prefix& address : service.addresses) services[address].push_back(&service);

  std::vector<uint32_t> seen;

  for (const Zone& zone : zones) {
    if (!zone.service() && !zone.node()) continue;
    if (zone.node()) {
      if (std::ranges::find(seen, zone.peer) != seen.end()) continue;  // of a kind
      seen.push_back(zone.peer);
      nodes_.push_back(&zone);
    }

    auto here = services.find(zone.range);

    if (here == services.end()) continue;

    const std::string& first = here->second.front()->tenant;
    bool alone = !zone.node() && std::ranges::all_of(here->second, [&](const Service* service) {
      return service->tenant == first;
    });

    for (const Service* service : here->second) {
      uint16_t tenant = number_of(service->tenant);

      if (tenant == TENANT_NONE) continue;

      Offer& offer = offer_of(tenant, zone);

      offer.alone = alone;
      for (const ServicePort& port : service->ports) offer.ports.emplace_back(port, port.port);
    }
  }
  for (const Service& service : network_.services) {
    uint16_t tenant = number_of(service.tenant);

    if (tenant == TENANT_NONE) continue;
    for (const Zone* node : nodes_)
      for (const ServicePort& port : service.ports)
        if (port.node) offer_of(tenant, *node).ports.emplace_back(port, port.node);
  }
  for (auto& [tenant, offers] : offers_)
    for (Offer& offer : offers) {
      // A node is not its services' owner's, whoever has one there.
      if (offer.node) offer.alone = false;
      if (offer.alone)
        add(tenant, offer.peer, PortTable::kEverything, PortTable::kEverything);
      else
        add(tenant, offer.peer, allowed_at(offer, PortTable::kEverything), PortTable::kNothing);
    }
}

// What may be asked for there by whom `allowed` lets reach the workloads behind it.
ClusterRules::Id ClusterRules::allowed_at(const Offer& offer, Id allowed) {
  const Allowed may = ports_[allowed];
  std::vector<PortRange> asked;

  for (const auto& [port, number] : offer.ports)
    if (has_port(may, port.protocol, port.target))
      asked.push_back({port.protocol, number, number});
  return ports_.of(asked);
}

void ClusterRules::add(uint16_t tenant, uint32_t peer, Id out, Id in) {
  uint64_t key = uint64_t{tenant} << 32 | peer;
  auto [entry, is_new] = pairs_.try_emplace(key, PairIds{key, out, in});

  if (is_new) return;
  entry->second.out = ports_.unite(entry->second.out, out);
  entry->second.in = ports_.unite(entry->second.in, in);
}

void ClusterRules::open(uint16_t from, uint16_t to, Id allowed) {
  auto offers = offers_.find(to);

  if (offers == offers_.end()) return;
  for (const Offer& offer : offers->second)
    if (Id out = allowed_at(offer, allowed); out != PortTable::kNothing)
      add(from, offer.peer, out, PortTable::kNothing);
}

void ClusterRules::take_from_nodes(uint16_t tenant, const Zone& node, Id in) {
  bool built_in = tenant == pod_tenant_ || tenant == infrastructure_;

  if (built_in)
    add(tenant, node.peer, anything_, anything_);
  else
    add(tenant, node.peer, PortTable::kNothing, in);  // also when that is nothing
}

std::vector<PairIds> ClusterRules::pairs() const {
  std::vector<PairIds> rows;

  rows.reserve(pairs_.size());
  for (const auto& [key, row] : pairs_) rows.push_back(row);
  return rows;
}

}  // namespace partywall::policy

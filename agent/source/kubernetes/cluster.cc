// agent/source/kubernetes/cluster.cc: who claims which pod, and the documents that say so.
// Pure.
#include "agent/source/kubernetes/cluster.h"

#include <algorithm>
#include <tuple>

#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

bool fits(const policy::PodSelector& selector, const Namespace& space) {
  if (!selector.namespaces.empty() &&
      std::ranges::find(selector.namespaces, space.name) == selector.namespaces.end())
    return false;
  return has_labels(space.labels, selector.namespace_labels);
}

// Whether a tenant claims a namespace's pods with these labels ...
bool selects(const policy::Tenant& tenant, const Namespace& space,
             const policy::Labels& pod_labels) {
  return std::ranges::any_of(tenant.pods, [&](const policy::PodSelector& selector) {
    return fits(selector, space) && has_labels(pod_labels, selector.pod_labels);
  });
}

// ... or with any.
bool selects(const policy::Tenant& tenant, const Namespace& space) {
  return std::ranges::any_of(
      tenant.pods, [&](const policy::PodSelector& selector) { return fits(selector, space); });
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {}

void Cluster::put(std::string_view kind, const Json& object) {
  std::string key = key_of(object);
  auto replace = [&](auto& all, auto fresh, auto same) {
    auto found = all.find(key);

    if (found != all.end() && same(found->second, fresh)) return;
    all[key] = std::move(fresh);
    note_change(kind, key);
  };

  if (kind == "Pod") {
    replace(pods_, read_pod(object), [](const Pod& a, const Pod& b) {
      auto all = [](const Pod& pod) {
        return std::tie(pod.cgroup_uid, pod.created, pod.labels, pod.addresses, pod.host_ports,
                        pod.qos, pod.host_network, pod.leaving, pod.over);
      };

      return all(a) == all(b);
    });
  } else if (kind == "Namespace") {
    replace(namespaces_, read_namespace(object),
            [](const Namespace& a, const Namespace& b) { return a.labels == b.labels; });
  } else if (kind == "Service") {
    replace(services_, read_service(object), std::equal_to<>());
  } else if (kind == "TenantNode") {
    TenantNode fresh = read_tenant_node(object);
    TenantNode& known = tenant_nodes_[key];

    if (fresh != known) retell(known, std::move(fresh));
  } else if (kind == "Node") {
    Node node = read_node(object);

    if (node_ && node_->addresses == node.addresses && node_->pod_ranges == node.pod_ranges)
      return;
    node_ = std::move(node);
    note_change(kind, key);
  } else if (kind == "Tier" || kind == "Tenant") {
    if (customs_.put(kind, object)) note_change(kind, key);
  }
}

void Cluster::gone(std::string_view kind, const std::string& key) {
  bool erased = false;

  if (kind == "TenantNode") {
    if (auto known = tenant_nodes_.find(key); known != tenant_nodes_.end()) {
      retell(known->second, {});
      tenant_nodes_.erase(known);
    }
    return;
  }
  if (kind == "Pod") erased = pods_.erase(key) > 0;
  if (kind == "Namespace") erased = namespaces_.erase(key) > 0;
  if (kind == "Service") erased = services_.erase(key) > 0;
  if (kind == "Tier" || kind == "Tenant") erased = customs_.gone(kind, key);
  if (erased) note_change(kind, key);
}

// What was made of such an object is to be made again. TenantNodes: retell().
void Cluster::note_change(std::string_view kind, const std::string& key) {
  changed_ = true;
  if (kind == "Node") own_version_++;
  if (kind != "Pod") network_changed_ = true;
  if (kind == "Namespace") claimants_.erase(key);
  if (kind == "Tenant") claimants_.clear();
  if (kind == "Tenant" || kind == "Tier") customs_changed_ = true;
  // Of Services and the Node nothing is made but the network's document.
  if (kind != "Service" && kind != "Node") all_changed_ = true;
}

// Puts a TenantNode into the place of another one; one without anything is none. Every address
// of the two passes from whoever has it to whoever has it then.
void Cluster::retell(TenantNode& known, TenantNode fresh) {
  std::set<std::string> addresses(known.addresses.begin(), known.addresses.end());
  auto hand_over = [&](bool is_taken) {
    if (all_changed_) return;
    for (const std::string& address : addresses)
      if (const std::string* owner = owner_on_other_nodes(address)) {
        std::set<std::string>& held = held_[*owner].addresses;

        if (is_taken)
          held.erase(address);
        else
          held.insert(address);
        regrouped_.insert(*owner);
      }
  };

  changed_ = true;
  // Most say nothing of the network.
  if (fresh.node_addresses != known.node_addresses || fresh.pod_ranges != known.pod_ranges)
    network_changed_ = true;
  addresses.insert(fresh.addresses.begin(), fresh.addresses.end());
  hand_over(true);
  for (const std::string& address : known.addresses) {
    auto [first, last] = tellers_.equal_range(address);
    auto own = std::find_if(first, last, [&](auto& one) { return one.second == &known; });

    if (own != last) tellers_.erase(own);
  }
  known = std::move(fresh);
  if (known.node != options_.node)  // this node knows best who has the addresses on it
    for (const std::string& address : known.addresses) tellers_.emplace(address, &known);
  hand_over(false);
}

// The tenant that has an address on another node: nullptr when it is nobody, two of them, or
// somebody on this node.
const std::string* Cluster::owner_on_other_nodes(const std::string& address) const {
  const std::string* owner = nullptr;

  if (here_.contains(address)) return nullptr;
  for (auto [one, last] = tellers_.equal_range(address); one != last; ++one) {
    auto tenant = rendered_.tenants.find(one->second->tenant);

    if (tenant == rendered_.tenants.end() || !tenant->second.accepted) continue;
    if (owner && owner != &tenant->first) return nullptr;
    owner = &tenant->first;
  }
  return owner;
}

std::vector<std::string> Cluster::pod_ranges() const {
  std::set<std::string> ranges(options_.pod_ranges.begin(), options_.pod_ranges.end());

  if (!ranges.empty()) return {ranges.begin(), ranges.end()};
  if (node_) ranges.insert(node_->pod_ranges.begin(), node_->pod_ranges.end());
  for (const auto& [key, held] : tenant_nodes_)
    ranges.insert(held.pod_ranges.begin(), held.pod_ranges.end());
  return {ranges.begin(), ranges.end()};
}

// As far as namespaces say it. A tenant that could never be accepted claims what it says as
// well: its pods must not be anybody else's meanwhile.
const Cluster::Claimants& Cluster::claimants(const Namespace& space) {
  auto [found, is_new] = claimants_.try_emplace(space.name);

  if (!is_new) return found->second;

  std::vector<std::tuple<std::string_view, std::string, const policy::Tenant*>> claims;

  for (const auto& [name, custom] : customs_.tenants()) {
    const policy::Tenant* tenant = custom.tenant();

    if (tenant && selects(*tenant, space)) claims.emplace_back(custom.created, name, tenant);
  }
  std::ranges::sort(claims);
  for (auto& [created, name, tenant] : claims)
    found->second.emplace_back(std::move(name), tenant);
  return found->second;
}

// The oldest tenant that claims a pod; "" is nobody.
std::string Cluster::claimed_by(const Pod& pod, States& states) {
  if (options_.infrastructure_namespaces.contains(pod.space)) return kInfrastructure;

  auto space = namespaces_.find(pod.space);

  if (space == namespaces_.end()) return "";  // not known yet

  std::vector<std::string_view> claims;

  for (const auto& [name, tenant] : claimants(space->second))
    if (selects(*tenant, space->second, pod.labels)) claims.push_back(name);
  if (claims.empty()) return options_.deny_unassigned ? "" : kUnassigned;
  for (std::string_view name : claims)
    for (std::string_view other : claims)
      if (name != other) states[std::string(name)].conflicts.emplace(other);

  std::string owner(claims.front());

  return states[owner].accepted ? owner : "";
}

// Of a Service, as of a pod that has no labels but those that it selects pods by.
std::string Cluster::claimed_by(const ServiceFacts& facts) {
  if (options_.infrastructure_namespaces.contains(facts.space)) return kInfrastructure;

  auto known = namespaces_.find(facts.space);

  if (known == namespaces_.end()) return "";
  for (const auto& [name, tenant] : claimants(known->second))
    if (selects(*tenant, known->second, facts.selector)) return name;
  return kUnassigned;
}

std::map<std::string, std::string> Cluster::refused(std::string_view kind) const {
  std::map<std::string, std::string> found;

  if (kind == "Tier")
    for (const auto& [name, tier] : customs_.tiers())
      found[name] = tier.parsed.problems.empty() ? "" : to_string(tier.parsed.problems.front());
  else
    for (const auto& [name, tenant] : customs_.tenants())
      found[name] = customs_.judge(tenant).message;
  return found;
}

std::map<std::string, std::set<std::string>> Cluster::conflicts() {
  std::map<std::string, std::set<std::string>> found;

  for (const auto& [space_name, space] : namespaces_) {
    std::vector<std::string_view> claims;

    for (const auto& [name, tenant] : claimants(space))
      if (selects(*tenant, space, policy::Labels())) claims.push_back(name);
    for (std::string_view one : claims)
      for (std::string_view other : claims)
        if (one != other) found[std::string(one)].emplace(other);
  }
  return found;
}

void Cluster::judge_tenants(States& states) const {
  for (const auto& [name, custom] : customs_.tenants()) {
    TenantState& state = states[name];
    Customs::Verdict verdict = customs_.judge(custom);

    state.generation = custom.generation;
    state.accepted = verdict.accepted;
    state.message = std::move(verdict.message);
  }
  states[kUnassigned].accepted = true;
  states[kInfrastructure].accepted = true;
}

void Cluster::place_pods(States& states) {
  // An address that is used again belongs to the newer pod; of two, to the one that stays.
  std::map<std::string, const Pod*> holders;
  std::map<const Pod*, std::string> owners;

  for (const auto& [key, pod] : pods_) {
    if (pod.over) continue;

    std::string owner = claimed_by(pod, states);

    if (owner.empty()) continue;
    owners[&pod] = owner;
    held_[owner].cgroups.push_back(cgroup_of(pod, options_.cgroup_root));
    states[owner].pods++;
    for (const HostPort& port : pod.host_ports) states[owner].host_ports.push_back(port);
    for (const std::string& address : pod.addresses) {
      const Pod*& holder = holders[address];

      if (!holder ||
          std::tuple(!holder->leaving, holder->created) < std::tuple(!pod.leaving, pod.created))
        holder = &pod;
    }
  }
  here_.clear();
  for (const auto& [address, pod] : holders) {
    here_.insert(address);
    held_[owners[pod]].addresses.insert(address);
    states[owners[pod]].addresses.push_back(address);
  }
  for (auto& [name, state] : states) {
    std::ranges::sort(state.host_ports);
    state.host_ports.erase(std::unique(state.host_ports.begin(), state.host_ports.end()),
                           state.host_ports.end());
  }
}

// What tenants hold on other nodes.
void Cluster::place_peers() {
  for (const auto& [address, teller] : tellers_)
    if (const std::string* owner = owner_on_other_nodes(address))
      held_[*owner].addresses.insert(address);
}

void Cluster::find_peers() {
  std::set<std::string> peers{kInfrastructure};
  bool everybody = false;

  for (const auto& [name, state] : rendered_.tenants) {
    if (state.pods == 0 || !state.accepted || is_built_in(name)) continue;

    std::set<std::string> named = named_by(customs_.tenants().at(name).good);

    // Only who knows all tenants' addresses knows whose are nobody's.
    everybody = everybody || named.contains(kUnassigned);
    peers.insert(name);
    peers.insert(named.begin(), named.end());
  }
  rendered_.peers.reset();
  if (!everybody) rendered_.peers = std::move(peers);
}

// The one of that name as it was made the last time; nullptr when there was none.
const Document* Cluster::known(std::string_view name) const {
  auto found = std::ranges::lower_bound(rendered_.documents, name, {}, &Document::name);

  return found != rendered_.documents.end() && found->name == name ? &*found : nullptr;
}

Document Cluster::document(std::string name, std::string text) const {
  const Document* before = known(name);

  return make_document(std::move(name), std::move(text), before);
}

Document Cluster::tenant_document(const std::string& tenant) {
  // What the built-in ones send and take is theirs to decide; the others decide for themselves.
  Json object = is_built_in(tenant)
                    ? bare("Tenant", tenant, {{"tier", kBuiltInTier}, {"mode", "audit"}})
                    : customs_.tenants().at(tenant).good;

  return document(tenant_file(tenant),
                  tenant_text(object, held_[tenant], [this](const std::string& name) {
                    auto found = rendered_.tenants.find(name);

                    return found != rendered_.tenants.end() && found->second.accepted;
                  }));
}

void Cluster::put_own_addresses(std::set<std::string> addresses) {
  if (addresses == own_addresses_) return;
  own_addresses_ = std::move(addresses);
  changed_ = network_changed_ = true;
}

Json Cluster::network_document() {
  Json spec = {{"podTenant", kUnassigned},
               {"podRanges", pod_ranges()},
               {"serviceRanges", options_.service_ranges},
               {"infrastructure",
                {{"tenant", kInfrastructure},
                 {"offers", port_list(options_.offers)},
                 {"reaches", port_list(options_.reaches)}}}};
  std::set<std::string> nodes;
  Json services = Json::array();

  nodes = own_addresses_;
  if (node_) {
    spec["localRanges"] = node_->pod_ranges;
    nodes.insert(node_->addresses.begin(), node_->addresses.end());
  }
  for (const auto& [key, held] : tenant_nodes_)
    nodes.insert(held.node_addresses.begin(), held.node_addresses.end());
  spec["nodes"] = nodes;
  for (const auto& [key, facts] : services_) {
    auto is_lane = std::ranges::find(options_.lane, key, &policy::LaneService::service);
    Json ports = Json::array();
    Json addresses = Json::array();

    for (const policy::Prefix& address : facts.service.addresses)
      addresses.push_back(to_string(address.address));
    for (const policy::ServicePort& port : facts.service.ports) {
      Json entry = {{"protocol", port.protocol == policy::Protocol::kUdp ? "UDP" : "TCP"},
                    {"port", port.port},
                    {"target", port.target}};

      if (port.node) entry["node"] = port.node;
      ports.push_back(std::move(entry));
    }
    if (addresses.empty() || ports.empty()) continue;

    Json entry = {{"name", key},
                  {"tenant", claimed_by(facts)},
                  {"addresses", addresses},
                  {"ports", ports}};

    if (is_lane != options_.lane.end()) entry["lane"] = is_lane->name;
    services.push_back(std::move(entry));
  }
  spec["services"] = std::move(services);
  return bare("ClusterNetwork", "cluster", std::move(spec));
}

void Cluster::make_all() {
  States states;
  std::map<std::string, Holding> before = std::exchange(held_, {});
  std::vector<Document> documents;

  own_version_++;
  customs_.all_have_come();
  judge_tenants(states);
  place_pods(states);
  rendered_.tenants = std::move(states);
  place_peers();
  find_peers();

  documents.push_back(document(
      tier_file(kBuiltInTier),
      text_of(bare("Tier", kBuiltInTier,
                   {{"network", {{"world", {{"egress", "allow"}, {"ingress", "allow"}}}}}}))));
  for (const auto& [name, tier] : customs_.usable_tiers())
    documents.push_back(document(tier_file(name), text_of(*tier)));
  for (const auto& [name, state] : rendered_.tenants) {
    if (!state.accepted) continue;

    bool is_same =
        !customs_changed_ && !regrouped_.contains(name) && before[name] == held_[name];
    const Document* there = is_same ? known(tenant_file(name)) : nullptr;

    documents.push_back(there ? *there : tenant_document(name));
  }
  documents.push_back(network_changed_ ? document(kNetworkFile, text_of(network_document()))
                                       : *known(kNetworkFile));
  std::ranges::sort(documents, {}, &Document::name);
  rendered_.documents = std::move(documents);
}

// In the place of the one of the same name.
void Cluster::make_again(Document fresh) {
  *std::ranges::lower_bound(rendered_.documents, fresh.name, {}, &Document::name) =
      std::move(fresh);
}

const Rendered& Cluster::render() {
  if (all_changed_) {
    make_all();
  } else {
    for (const std::string& tenant : regrouped_) {
      auto same_but_for = with_addresses(*known(tenant_file(tenant)), held_[tenant].addresses);

      make_again(same_but_for ? std::move(*same_but_for) : tenant_document(tenant));
    }
    if (network_changed_) make_again(document(kNetworkFile, text_of(network_document())));
  }
  regrouped_.clear();
  changed_ = all_changed_ = customs_changed_ = network_changed_ = false;
  return rendered_;
}

}  // namespace partywall::kubernetes

// agent/source/kubernetes/cluster.cc: who claims which pod, and the documents that say so.
// Pure.
#include "agent/source/kubernetes/cluster.h"

#include <algorithm>
#include <charconv>
#include <tuple>
#include <unordered_map>

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

constexpr const char* kApiVersion = "partywall.dev/v1alpha1";
constexpr const char* kBuiltInTier = "kubernetes-built-in";

const Json& at(const Json& object, std::initializer_list<const char*> path) {
  static const Json kNothing;
  const Json* found = &object;

  for (const char* name : path) {
    if (!found->is_object()) return kNothing;

    auto next = found->find(name);

    if (next == found->end()) return kNothing;
    found = &*next;
  }
  return *found;
}

std::string text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

std::string key_of(const Json& object) {
  std::string space = text(at(object, {"metadata", "namespace"}));
  std::string name = text(at(object, {"metadata", "name"}));

  return space.empty() ? name : space + "/" + name;
}

bool is_built_in(const std::string& tenant) {
  return tenant == kUnassigned || tenant == kInfrastructure;
}

Json named(const char* kind, const std::string& name, Json spec) {
  return {{"apiVersion", kApiVersion},
          {"kind", kind},
          {"metadata", {{"name", name}}},
          {"spec", std::move(spec)}};
}

// "53/UDP" as an entry of `ports`.
Json port_entry(const std::string& text) {
  size_t slash = text.find('/');
  Json entry = {{"protocol", slash == std::string::npos ? "TCP" : text.substr(slash + 1)}};

  if (text.substr(0, slash) != "*") entry["port"] = text.substr(0, slash);
  return entry;
}

Json port_list(const std::vector<std::string>& texts) {
  Json list = Json::array();

  for (const std::string& one : texts) list.push_back(port_entry(one));
  return list;
}

const policy::Tenant* tenant_of(const policy::ParsedFile& file) {
  return file.documents.empty() ? nullptr
                                : std::get_if<policy::Tenant>(&file.documents.front());
}

// What the API server adds to an object, and what no policy says.
Json as_document(const Json& object, const char* kind) {
  return named(kind, text(at(object, {"metadata", "name"})),
               at(object, {"spec"}).is_object() ? at(object, {"spec"}) : Json::object());
}

// Every tenant that a tenant's rules name.
void add_named(const Json& spec, std::set<std::string>& named) {
  for (auto [list, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}})
    for (const Json& rule : at(spec, {"network", list}))
      for (const Json& peer : at(rule, {peers}))
        if (std::string tenant = text(at(peer, {"tenant"})); !tenant.empty())
          named.insert(tenant);
}

}  // namespace

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {}

// Whether it says something new. Status and labels are no part of it.
bool Cluster::take_custom(Custom& custom, const Json& object, std::string_view kind) {
  Json document = as_document(object, kind == "Tier" ? "Tier" : "Tenant");
  const Json& stated = at(object, {"metadata", "generation"});
  int64_t generation = stated.is_number_integer() ? stated.get<int64_t>() : 0;
  std::string created = text(at(object, {"metadata", "creationTimestamp"}));
  std::string name = key_of(object);

  if (std::tie(custom.generation, custom.created, custom.object) ==
      std::tie(generation, created, document))
    return false;
  custom.object = document;
  custom.generation = generation;
  custom.created = std::move(created);
  custom.parsed = policy::parse_file(name, document.dump());
  if ((kind == "Tenant" && is_built_in(name)) || (kind == "Tier" && name == kBuiltInTier))
    custom.parsed.problems.push_back(
        {{name, 0, 0}, "metadata.name", "is built in: give it another name"});
  if (!custom.parsed.problems.empty()) return true;
  custom.good = std::move(document);
  custom.good_parsed = custom.parsed;
  return true;
}

void Cluster::put(std::string_view kind, const Json& object) {
  std::string key = key_of(object);
  auto replace = [&](auto& all, auto fresh, auto same) {
    auto found = all.find(key);

    if (found != all.end() && same(found->second, fresh)) return;
    all[key] = std::move(fresh);
    changed_ = true;
  };

  if (kind == "Pod") {
    replace(pods_, read_pod(object), [](const Pod& a, const Pod& b) {
      auto all = [](const Pod& pod) {
        return std::tie(pod.cgroup_uid, pod.labels, pod.addresses, pod.host_ports, pod.qos,
                        pod.host_network, pod.leaving, pod.over);
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

    if (fresh == known) return;
    changed_ = true;
    // Most are about tenants' addresses, of which the network says nothing.
    if (fresh.node_addresses != known.node_addresses || fresh.pod_ranges != known.pod_ranges)
      network_.reset();
    known = std::move(fresh);
    return;
  } else if (kind == "Node") {
    Node node = read_node(object);

    if (node_ && node_->addresses == node.addresses && node_->pod_ranges == node.pod_ranges)
      return;
    node_ = std::move(node);
    changed_ = true;
  } else if (kind == "Tier" || kind == "Tenant") {
    if (!take_custom((kind == "Tier" ? tiers_ : tenants_)[key], object, kind)) return;
    changed_ = true;
    customs_changed_++;
  }
  if (changed_) forget(kind);
}

// What was made of objects of that kind is to be made again.
void Cluster::forget(std::string_view kind) {
  if (kind == "Pod") return;
  if (kind == "Tenant" || kind == "Namespace") {
    spaces_.clear();
    conflicts_.reset();
  }
  network_.reset();
}

void Cluster::gone(std::string_view kind, const std::string& key) {
  size_t erased = 0;

  if (kind == "Pod") erased = pods_.erase(key);
  if (kind == "Namespace") erased = namespaces_.erase(key);
  if (kind == "Service") erased = services_.erase(key);
  if (kind == "TenantNode") erased = tenant_nodes_.erase(key);
  if (kind == "Tier") erased = tiers_.erase(key);
  if (kind == "Tenant") erased = tenants_.erase(key);
  if (!erased) return;
  changed_ = true;
  if (kind == "Tier" || kind == "Tenant") customs_changed_++;
  forget(kind);
}

std::vector<std::string> Cluster::pod_ranges() const {
  std::set<std::string> ranges(options_.pod_ranges.begin(), options_.pod_ranges.end());

  if (!ranges.empty()) return {ranges.begin(), ranges.end()};
  if (node_) ranges.insert(node_->pod_ranges.begin(), node_->pod_ranges.end());
  for (const auto& [key, held] : tenant_nodes_)
    ranges.insert(held.pod_ranges.begin(), held.pod_ranges.end());
  return {ranges.begin(), ranges.end()};
}

bool Cluster::selects(const policy::Tenant& tenant, const Namespace& space,
                      const policy::Labels* pod_labels) const {
  return std::ranges::any_of(tenant.pods, [&](const policy::PodSelector& selector) {
    if (!selector.namespaces.empty() &&
        std::ranges::find(selector.namespaces, space.name) == selector.namespaces.end())
      return false;
    if (!has_labels(space.labels, selector.namespace_labels)) return false;
    return selector.pod_labels.empty() ||
           (pod_labels && has_labels(*pod_labels, selector.pod_labels));
  });
}

// The oldest tenant that claims a pod; "" is nobody. One that could never be accepted claims
// what it says as well: its pods must not be anybody else's meanwhile.
std::string Cluster::claimed_by(const Pod& pod, Rendered& rendered) const {
  if (options_.infrastructure_namespaces.contains(pod.space)) return kInfrastructure;

  auto space = namespaces_.find(pod.space);

  if (space == namespaces_.end()) return "";  // not known yet

  std::vector<std::pair<std::string, std::string>> claims;  // created, name

  for (const auto& [name, custom] : tenants_) {
    const policy::Tenant* tenant =
        tenant_of(custom.good.is_null() ? custom.parsed : custom.good_parsed);

    if (tenant && selects(*tenant, space->second, &pod.labels))
      claims.emplace_back(custom.created, name);
  }
  if (claims.empty()) return options_.deny_unassigned ? "" : kUnassigned;
  std::ranges::sort(claims);
  for (const auto& [created, name] : claims)
    for (const auto& [other_created, other] : claims)
      if (name != other) rendered.tenants[name].conflicts.insert(other);

  const std::string& owner = claims.front().second;

  return rendered.tenants[owner].accepted ? owner : "";
}

// Of a Service, by its namespace alone: its pods may be several tenants'.
const std::string& Cluster::claimed_by(const std::string& space) {
  auto [claim, is_new] = spaces_.try_emplace(space);

  if (!is_new) return claim->second;
  if (options_.infrastructure_namespaces.contains(space))
    return claim->second = kInfrastructure;

  auto known = namespaces_.find(space);

  if (known == namespaces_.end()) return claim->second;

  const Custom* oldest = nullptr;
  std::string owner;

  for (const auto& [name, custom] : tenants_) {
    const policy::Tenant* tenant =
        tenant_of(custom.good.is_null() ? custom.parsed : custom.good_parsed);

    if (!tenant || !selects(*tenant, known->second, nullptr)) continue;
    if (oldest && std::tie(oldest->created, owner) < std::tie(custom.created, name)) continue;
    oldest = &custom;
    owner = name;
  }
  return claim->second = oldest ? owner : kUnassigned;
}

std::map<std::string, std::string> Cluster::refused(std::string_view kind) const {
  std::map<std::string, std::string> found;
  Rendered rendered;

  if (kind == "Tier") {
    for (const auto& [name, tier] : tiers_)
      found[name] = tier.parsed.problems.empty() ? "" : to_string(tier.parsed.problems.front());
    return found;
  }
  judge_tenants(rendered);
  for (const auto& [name, tenant] : tenants_) found[name] = rendered.tenants[name].message;
  return found;
}

std::map<std::string, std::set<std::string>> Cluster::conflicts() {
  if (conflicts_) return *conflicts_;

  std::map<std::string, std::set<std::string>>& found = conflicts_.emplace();

  for (const auto& [space_name, space] : namespaces_) {
    std::vector<std::string> claims;

    for (const auto& [name, custom] : tenants_)
      if (const policy::Tenant* tenant =
              tenant_of(custom.good.is_null() ? custom.parsed : custom.good_parsed);
          tenant && selects(*tenant, space, nullptr))
        claims.push_back(name);
    for (const std::string& one : claims)
      for (const std::string& other : claims)
        if (one != other) found[one].insert(other);
  }
  return found;
}

void Cluster::judge_tenants(Rendered& rendered) const {
  for (const auto& [name, custom] : tenants_) {
    TenantState& state = rendered.tenants[name];

    state.generation = custom.generation;
    state.accepted = !custom.good.is_null();
    if (!custom.parsed.problems.empty())
      state.message = to_string(custom.parsed.problems.front());
    if (!state.accepted) continue;

    std::string tier = text(at(custom.good, {"spec", "tier"}));
    auto found = tiers_.find(tier);

    if (found == tiers_.end() || found->second.good.is_null()) {
      state.accepted = false;
      state.message = "spec.tier: there is no usable tier " + tier;
    }
  }
  rendered.tenants[kUnassigned].accepted = true;
  rendered.tenants[kInfrastructure].accepted = true;
}

void Cluster::place_pods(Rendered& rendered, std::map<std::string, Holding>& held) const {
  // An address that is used again belongs to the newer pod; of two, to the one that stays.
  std::map<std::string, const Pod*> holders;
  std::map<const Pod*, std::string> owners;

  for (const auto& [key, pod] : pods_) {
    if (pod.over) continue;

    std::string owner = claimed_by(pod, rendered);

    if (owner.empty()) continue;
    owners[&pod] = owner;
    held[owner].cgroups.push_back(cgroup_of(pod, options_.cgroup_root));
    rendered.tenants[owner].pods++;
    for (const HostPort& port : pod.host_ports)
      rendered.tenants[owner].host_ports.push_back(port);
    for (const std::string& address : pod.addresses) {
      const Pod*& holder = holders[address];

      if (!holder ||
          std::tuple(!holder->leaving, holder->created) < std::tuple(!pod.leaving, pod.created))
        holder = &pod;
    }
  }
  for (const auto& [address, pod] : holders) {
    held[owners[pod]].addresses.insert(address);
    rendered.tenants[owners[pod]].addresses.push_back(address);
  }
  for (auto& [name, state] : rendered.tenants) {
    std::ranges::sort(state.host_ports);
    state.host_ports.erase(std::unique(state.host_ports.begin(), state.host_ports.end()),
                           state.host_ports.end());
  }
}

// What tenants hold on other nodes. An address of two tenants is nobody's; this node knows
// best who has the addresses on it.
void Cluster::place_peers(const Rendered& rendered,
                          std::map<std::string, Holding>& held) const {
  // Address -> the tenant of the first who said it; nullptr: another one has, too.
  std::unordered_map<std::string_view, const std::string*> owners;
  std::set<std::string_view> here;
  auto told = [&](auto&& take) {
    for (const auto& [key, remote] : tenant_nodes_) {
      if (remote.node == options_.node) continue;

      auto tenant = rendered.tenants.find(remote.tenant);

      if (tenant != rendered.tenants.end() && tenant->second.accepted)
        take(tenant->first, remote.addresses);
    }
  };

  for (const auto& [name, holding] : held)
    here.insert(holding.addresses.begin(), holding.addresses.end());
  owners.reserve(tenant_nodes_.size());
  told([&](const std::string& tenant, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      auto [owner, is_new] = owners.emplace(address, &tenant);

      if (!is_new && owner->second != &tenant) owner->second = nullptr;
    }
  });
  told([&](const std::string& tenant, const std::vector<std::string>& addresses) {
    std::set<std::string>& all = held[tenant].addresses;

    for (const std::string& address : addresses)
      if (!here.contains(address) && owners.at(address)) all.insert(address);
  });
}

void Cluster::find_peers(Rendered& rendered) const {
  std::set<std::string> peers{kInfrastructure};
  bool everybody = false;

  for (const auto& [name, state] : rendered.tenants) {
    if (state.pods == 0 || !state.accepted || is_built_in(name)) continue;

    std::set<std::string> named;

    add_named(at(tenants_.at(name).good, {"spec"}), named);
    // Only who knows all tenants' addresses knows whose are nobody's.
    everybody = everybody || named.contains(kUnassigned);
    peers.insert(name);
    peers.insert(named.begin(), named.end());
  }
  if (!everybody) rendered.peers = std::move(peers);
}

Document Cluster::document(std::string name, const Json& content) {
  std::string fresh = content.dump(1, ' ', false, Json::error_handler_t::replace);
  auto known = rendered_.find(name);

  if (known != rendered_.end() && *known->second.text == fresh) return known->second;

  auto shared = std::make_shared<const std::string>(std::move(fresh));
  auto file = std::make_shared<const policy::ParsedFile>(policy::parse_file(name, *shared));

  return {std::move(name), std::move(shared), std::move(file)};
}

Json Cluster::tenant_document(const Json& object, const Holding& held,
                              const Rendered& rendered) const {
  Json document = object;
  Json& spec = document["spec"];
  Json members = Json::array();

  for (const Json& member : at(spec, {"members"}))
    if (!member.contains("namespaces")) members.push_back(member);
  for (const std::string& cgroup : held.cgroups) members.push_back({{"cgroup", cgroup}});
  if (!held.addresses.empty()) members.push_back({{"addresses", held.addresses}});
  spec["members"] = std::move(members);
  // Who is named and is not there may come later: until then the name means nobody.
  for (auto [list, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}}) {
    if (!at(spec, {"network", list}).is_array()) continue;
    for (Json& rule : spec["network"][list]) {
      Json kept = Json::array();

      for (const Json& peer : at(rule, {peers})) {
        std::string tenant = text(at(peer, {"tenant"}));
        auto found = rendered.tenants.find(tenant);

        if (tenant.empty() || (found != rendered.tenants.end() && found->second.accepted))
          kept.push_back(peer);
      }
      rule[peers] = std::move(kept);
    }
  }
  return document;
}

void Cluster::put_own_addresses(std::set<std::string> addresses) {
  if (addresses == own_addresses_) return;
  own_addresses_ = std::move(addresses);
  network_.reset();
  changed_ = true;
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
                  {"tenant", claimed_by(facts.space)},
                  {"addresses", addresses},
                  {"ports", ports}};

    if (is_lane != options_.lane.end()) entry["lane"] = is_lane->name;
    services.push_back(std::move(entry));
  }
  spec["services"] = std::move(services);
  return named("ClusterNetwork", "cluster", std::move(spec));
}

Rendered Cluster::render() {
  Rendered rendered;
  std::map<std::string, Holding> held;
  std::map<std::string, Document> documents;
  auto add = [&](std::string name, const Json& content) {
    Document made = document(std::move(name), content);

    documents.emplace(made.name, std::move(made));
  };

  judge_tenants(rendered);
  place_pods(rendered, held);
  place_peers(rendered, held);
  find_peers(rendered);

  add("tier-built-in.yaml",
      named("Tier", kBuiltInTier,
            {{"network", {{"world", {{"egress", "allow"}, {"ingress", "allow"}}}}}}));
  for (const char* name : {kUnassigned, kInfrastructure})
    // What they send and take is theirs to decide; the other tenants decide for themselves.
    add(std::string("tenant-") + name + ".yaml",
        tenant_document(named("Tenant", name, {{"tier", kBuiltInTier}, {"mode", "audit"}}),
                        held[name], rendered));
  for (const auto& [name, custom] : tiers_)
    if (!custom.good.is_null()) add("tier-" + name + ".yaml", custom.good);
  std::erase_if(made_, [&](const auto& made) { return !tenants_.contains(made.first); });
  for (const auto& [name, custom] : tenants_) {
    if (!rendered.tenants[name].accepted) continue;

    Made& made = made_[name];

    if (made.customs != customs_changed_ || made.held != held[name])
      made = {held[name], customs_changed_,
              document("tenant-" + name + ".yaml",
                       tenant_document(custom.good, held[name], rendered))};
    documents.emplace(made.document.name, made.document);
  }
  if (!network_) network_ = document("cluster.yaml", network_document());
  documents.emplace(network_->name, *network_);
  rendered_ = documents;
  for (auto& [name, made] : documents) rendered.documents.push_back(std::move(made));
  changed_ = false;
  return rendered;
}

}  // namespace partywall::kubernetes

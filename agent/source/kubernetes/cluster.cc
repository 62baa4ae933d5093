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
constexpr const char* kNetworkFile = "cluster.yaml";
// Of a rendered Tenant: the spec that it was made of.
constexpr const char* kSpecAnnotation = "partywall.dev/spec";
// In the text of a tenant's document: what stands before the list of a member's addresses. No
// text of somebody else has a line break in it.
constexpr std::string_view kAddressList = "\n    \"addresses\": ";
constexpr int kInOneLine = -1;

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

std::string text_of(const Json& content, int indent = 1) {
  return content.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string tenant_file(const std::string& tenant) { return "tenant-" + tenant + ".yaml"; }
std::string tier_file(const std::string& tier) { return "tier-" + tier + ".yaml"; }

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

void Cluster::remember(const std::vector<std::string>& documents) {
  for (const std::string& one : documents) {
    Json document = Json::parse(one, nullptr, false);
    std::string kind = text(at(document, {"kind"}));
    std::string name = text(at(document, {"metadata", "name"}));
    Json spec = Json::parse(text(at(document, {"metadata", "annotations", kSpecAnnotation})),
                            nullptr, false);

    if (kind == "Tenant" && spec.is_object())
      remembered_tenants_[name] = named("Tenant", name, std::move(spec));
    if (kind == "Tier" && name != kBuiltInTier)
      remembered_tiers_[name] = as_document(document, "Tier");
  }
}

// What a Tier says, or said when it could be used; nullptr: it never could, or there is none.
const Json* Cluster::usable_tier(const std::string& name) const {
  if (auto tier = tiers_.find(name); tier != tiers_.end() && !tier->second.good.is_null())
    return &tier->second.good;

  auto remembered = remembered_tiers_.find(name);

  return remembered == remembered_tiers_.end() ? nullptr : &remembered->second;
}

// Remembered ones of which no tenant is, or which are there again.
void Cluster::forget_tiers() {
  std::set<std::string> used;

  for (const auto& [name, custom] : tenants_)
    used.insert(text(at(custom.good, {"spec", "tier"})));
  std::erase_if(remembered_tiers_, [&](const auto& one) {
    auto tier = tiers_.find(one.first);

    return !used.contains(one.first) || (tier != tiers_.end() && !tier->second.good.is_null());
  });
}

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
  if (custom.parsed.problems.empty()) {
    custom.good = std::move(document);
    custom.good_parsed = custom.parsed;
  } else if (auto before = remembered_tenants_.find(name);
             custom.good.is_null() && kind == "Tenant" && before != remembered_tenants_.end()) {
    auto parsed = policy::parse_file(name, before->second.dump());

    if (!parsed.problems.empty()) return true;
    custom.good = before->second;
    custom.good_parsed = std::move(parsed);
  }
  return true;
}

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
    if (take_custom((kind == "Tier" ? tiers_ : tenants_)[key], object, kind))
      note_change(kind, key);
  }
}

void Cluster::gone(std::string_view kind, const std::string& key) {
  size_t erased = 0;

  if (kind == "TenantNode") {
    if (auto known = tenant_nodes_.find(key); known != tenant_nodes_.end()) {
      retell(known->second, {});
      tenant_nodes_.erase(known);
    }
    return;
  }
  if (kind == "Pod") erased = pods_.erase(key);
  if (kind == "Namespace") erased = namespaces_.erase(key);
  if (kind == "Service") erased = services_.erase(key);
  if (kind == "Tier") {
    if (const Json* last = usable_tier(key)) remembered_tiers_[key] = *last;
    erased = tiers_.erase(key);
  }
  if (kind == "Tenant") erased = tenants_.erase(key);
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

  for (const auto& [name, custom] : tenants_) {
    const policy::Tenant* tenant =
        tenant_of(custom.good.is_null() ? custom.parsed : custom.good_parsed);

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
  States states;

  if (kind == "Tier") {
    for (const auto& [name, tier] : tiers_)
      found[name] = tier.parsed.problems.empty() ? "" : to_string(tier.parsed.problems.front());
    return found;
  }
  judge_tenants(states);
  for (const auto& [name, tenant] : tenants_) found[name] = states[name].message;
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
  for (const auto& [name, custom] : tenants_) {
    TenantState& state = states[name];

    state.generation = custom.generation;
    state.accepted = !custom.good.is_null();
    if (!custom.parsed.problems.empty())
      state.message = to_string(custom.parsed.problems.front());
    if (!state.accepted) continue;

    std::string tier = text(at(custom.good, {"spec", "tier"}));

    if (!usable_tier(tier)) {
      state.accepted = false;
      state.message = "spec.tier: there is no usable tier " + tier;
    } else if (!tiers_.contains(tier) && state.message.empty()) {
      state.message = "spec.tier: tier " + tier +
                      " is gone; until it is there again, what it said last holds";
    }
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

    std::set<std::string> named;

    add_named(at(tenants_.at(name).good, {"spec"}), named);
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

  if (before && *before->text == text) return *before;

  auto shared = std::make_shared<const std::string>(std::move(text));
  auto file = std::make_shared<const policy::ParsedFile>(policy::parse_file(name, *shared));

  return {std::move(name), std::move(shared), std::move(file)};
}

// When nothing but its addresses has changed. nullopt: it has to be made anew.
std::optional<Document> Cluster::with_addresses(const Document& before,
                                                const std::set<std::string>& addresses) {
  auto file = policy::with_addresses(*before.file, addresses);
  // A Tenant's own lists go over several lines.
  size_t list = before.text->rfind(std::string(kAddressList) + "[\"");

  if (!file || list == std::string::npos) return std::nullopt;
  list += kAddressList.size();

  std::string text = before.text->substr(0, list) + '[';

  // As text_of() writes them: no address needs an escape.
  for (const std::string& address : addresses) ((text += '"') += address) += "\",";
  text.back() = ']';
  text.append(*before.text, before.text->find(']', list) + 1);
  return Document{before.name, std::make_shared<const std::string>(std::move(text)),
                  std::make_shared<const policy::ParsedFile>(std::move(*file))};
}

Document Cluster::tenant_document(const std::string& tenant) {
  const Holding& held = held_[tenant];
  // What the built-in ones send and take is theirs to decide; the others decide for themselves.
  Json document = is_built_in(tenant)
                      ? named("Tenant", tenant, {{"tier", kBuiltInTier}, {"mode", "audit"}})
                      : tenants_.at(tenant).good;
  Json& spec = document["spec"];
  Json members = Json::array();

  if (!is_built_in(tenant))
    document["metadata"]["annotations"] = {
        {kSpecAnnotation, spec.dump(-1, ' ', false, Json::error_handler_t::replace)}};
  for (const Json& member : at(spec, {"members"}))
    if (!member.contains("namespaces")) members.push_back(member);
  for (const std::string& cgroup : held.cgroups) members.push_back({{"cgroup", cgroup}});
  if (!held.addresses.empty()) members.push_back({{"addresses", nullptr}});
  spec["members"] = std::move(members);
  // Who is named and is not there may come later: until then the name means nobody.
  for (auto [list, peers] : {std::pair{"ingress", "from"}, {"egress", "to"}}) {
    if (!at(spec, {"network", list}).is_array()) continue;
    for (Json& rule : spec["network"][list]) {
      Json kept = Json::array();

      for (const Json& peer : at(rule, {peers})) {
        std::string named = text(at(peer, {"tenant"}));
        auto found = rendered_.tenants.find(named);

        if (named.empty() || (found != rendered_.tenants.end() && found->second.accepted))
          kept.push_back(peer);
      }
      rule[peers] = std::move(kept);
    }
  }

  std::string text = text_of(document);

  if (!held.addresses.empty())
    text.replace(text.rfind(kAddressList) + kAddressList.size(), std::size("null") - 1,
                 text_of(held.addresses, kInOneLine));
  return this->document(tenant_file(tenant), std::move(text));
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
  return named("ClusterNetwork", "cluster", std::move(spec));
}

void Cluster::make_all() {
  States states;
  std::map<std::string, Holding> before = std::exchange(held_, {});
  std::vector<Document> documents;

  own_version_++;
  forget_tiers();
  remembered_tenants_.clear();
  judge_tenants(states);
  place_pods(states);
  rendered_.tenants = std::move(states);
  place_peers();
  find_peers();

  documents.push_back(document(
      tier_file(kBuiltInTier),
      text_of(named("Tier", kBuiltInTier,
                    {{"network", {{"world", {{"egress", "allow"}, {"ingress", "allow"}}}}}}))));
  for (const auto& [name, custom] : tiers_)
    if (!custom.good.is_null())
      documents.push_back(document(tier_file(name), text_of(custom.good)));
  for (const auto& [name, last] : remembered_tiers_)
    documents.push_back(document(tier_file(name), text_of(last)));
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

// agent/source/kubernetes/kubernetes_source.cc: wires client, reflectors, cluster and
// publishers to one another.
#include "agent/source/kubernetes/kubernetes_source.h"

#include <malloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>

#include "agent/source/kubernetes/names.h"
#include "agent/source/kubernetes/own_addresses.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

constexpr const char* kLease = "partywall-aggregator";
// Changes that come together are one: a pod's address with its node's, a list's objects.
constexpr std::chrono::milliseconds kSettle(5);
// Those of other nodes never pause on a large cluster, and may wait for one another: forty
// times as long as it took to make a policy of the last ones.
constexpr std::chrono::milliseconds kSettlePeers(50);
constexpr std::chrono::milliseconds kSettlePeersMost(300);
constexpr int kSettleRest = 40;
constexpr size_t kSparePeers = 16;

std::string path_of(const char* resource) { return fmt::format("{}/{}", kApiPath, resource); }

std::string labels_of(const std::optional<std::set<std::string>>& tenants) {
  return tenants ? fmt::format("{} in ({})", kTenantLabel, fmt::join(*tenants, ",")) : "";
}

}  // namespace

KubernetesSource::KubernetesSource(SourceOptions options, std::function<void()> changed)
    : options_(std::move(options)),
      changed_(std::move(changed)),
      cluster_(options_.cluster),
      peers_delay_(kSettlePeers) {
  cluster_.remember(options_.last_good);
  options_.last_good.clear();
}

Result<std::unique_ptr<KubernetesSource>> KubernetesSource::open(
    observe::Loop& loop, SourceOptions options, std::function<void()> changed) {
  auto client = ApiClient::make(loop, options.access);

  if (!client) return std::move(client.error());

  std::unique_ptr<KubernetesSource> made(
      new KubernetesSource(std::move(options), std::move(changed)));
  KubernetesSource* self = made.get();
  const std::string& node = made->options_.cluster.node;

  made->client_ = std::move(*client);
  made->soon_ = std::make_unique<Timer>(loop.base(), [self] { self->take_change(); });
  made->follow("Node", {.path = "/api/v1/nodes", .fields = "metadata.name=" + node});
  made->follow("Namespace", {.path = "/api/v1/namespaces", .metadata_only = true});
  made->follow("Service", {.path = "/api/v1/services"});
  made->follow("Pod", {.path = "/api/v1/pods", .fields = "spec.nodeName=" + node});
  made->follow("Tier", {.path = path_of("tiers")});
  made->follow("Tenant", {.path = path_of("tenants")});
  if (!made->options_.space.empty())
    made->lease_ =
        std::make_unique<LeaderLease>(*made->client_, made->options_.space, kLease, node,
                                      [self](bool leads) { self->lead(leads); });
  return made;
}

void KubernetesSource::follow(const std::string& kind, Selection selection) {
  bool is_peer = kind == "TenantNode";
  Reflector::Handlers handlers{.put =
                                   [this, kind, is_peer](const Json& object) {
                                     cluster_.put(kind, object);
                                     settle(is_peer ? peers_delay_ : kSettle);
                                   },
                               .gone =
                                   [this, kind, is_peer](const std::string& key) {
                                     cluster_.gone(kind, key);
                                     settle(is_peer ? peers_delay_ : kSettle);
                                   },
                               .synced =
                                   [this] {
                                     malloc_trim(0);  // a list leaves much behind
                                     settle(kSettle);
                                   }};

  reflectors_[kind] =
      std::make_unique<Reflector>(*client_, std::move(selection), std::move(handlers));
}

// Counted from the first change, so that changes without a pause are not put off for ever.
void KubernetesSource::settle(std::chrono::milliseconds delay) {
  if (soon_->is_set() && soon_delay_ <= delay) return;
  soon_delay_ = delay;
  soon_->after(delay);
}

bool KubernetesSource::synced() const { return missing().empty(); }

std::string KubernetesSource::missing() const {
  std::string words;

  for (const auto& [kind, reflector] : reflectors_) {
    if (reflector->facts().lists > 0) continue;
    if (!words.empty()) words += ", ";
    words += kind + "s";
    if (!reflector->facts().last_error.empty())
      words += " (" + reflector->facts().last_error + ")";
  }
  if (words.empty() && !reflectors_.contains("TenantNode")) words = "TenantNodes";
  return words;
}

// A CNI gives the host its address with the first pod: before the API says that pod's.
void KubernetesSource::see_own_addresses() {
  if (auto own = own_addresses())
    cluster_.put_own_addresses(std::move(*own));
  else
    spdlog::warn("{}; those that were known stay", own.error().message());
}

// The TenantNodes of tenants that matter here; which they are, the other objects say. A pod may
// bring further tenants at any time: theirs are added. Those that do not matter any more stay,
// until they are the larger part: a whole list is much for the API server.
void KubernetesSource::follow_tenant_nodes() {
  const std::optional<std::set<std::string>>& wanted = cluster_.rendered().peers;
  auto reflector = reflectors_.find("TenantNode");

  if (reflector == reflectors_.end()) {
    followed_ = wanted;
    return follow("TenantNode",
                  {.path = path_of("tenantnodes"), .labels = labels_of(followed_)});
  }
  if (wanted == followed_) return;
  if (!wanted || !followed_ || followed_->size() > 2 * wanted->size() + kSparePeers) {
    followed_ = wanted;
    return reflector->second->change_selector(labels_of(followed_), "");
  }

  std::set<std::string> added;

  std::ranges::set_difference(*wanted, *followed_, std::inserter(added, added.end()));
  if (added.empty()) return;
  followed_->insert(added.begin(), added.end());
  reflector->second->widen(labels_of(followed_), labels_of(added));
}

void KubernetesSource::take_change() {
  for (const auto& [kind, reflector] : reflectors_)
    if (reflector->facts().lists == 0) return;
  see_own_addresses();
  if (!reflectors_.contains("TenantNode")) {
    cluster_.render();
    follow_tenant_nodes();
    return;
  }
  if (aggregator_) aggregator_->judge_again();
  if (!cluster_.changed() && was_read_) return;

  auto start = std::chrono::steady_clock::now();

  changed_();
  peers_delay_ = std::clamp(std::chrono::duration_cast<std::chrono::milliseconds>(
                                (std::chrono::steady_clock::now() - start) * kSettleRest),
                            kSettlePeers, kSettlePeersMost);
}

policy::ParsedPolicy KubernetesSource::read(
    const std::vector<policy::Infrastructure>& infrastructure, std::string_view managed_root) {
  std::vector<std::shared_ptr<const policy::ParsedFile>> files;

  was_read_ = true;
  cluster_.render();
  follow_tenant_nodes();
  for (const Document& document : cluster_.rendered().documents) files.push_back(document.file);

  auto parsed = assembler_.assemble(files, infrastructure, managed_root);

  if (!cluster_.knows_pod_ranges())
    parsed.problems.push_back(
        {{},
         "",
         "the pods' address ranges are not known: no Node has spec.podCIDRs; set "
         "--cluster-cidrs (clusterCIDRs in the chart's values)"});
  return parsed;
}

std::vector<source::PolicySource> KubernetesSource::sources() const {
  std::vector<source::PolicySource> all;

  for (const Document& document : cluster_.rendered().documents)
    all.push_back({document.name, document.text});
  return all;
}

Json KubernetesSource::tenant_node(const std::string& tenant, const TenantState& state) const {
  bool good = trouble_.empty();
  Json ports = Json::array();
  Json fields = {{"addresses", state.addresses},
                 {"pods", state.pods},
                 {"observedGeneration", state.generation},
                 {"conditions",
                  {{{"type", "Realised"},
                    {"status", good ? "True" : "False"},
                    {"reason", good ? "Enforced" : "NotEnforced"},
                    {"message", good ? "in force on this node" : trouble_.substr(0, 1000)}}}}};

  for (const HostPort& port : state.host_ports)
    ports.push_back({{"protocol", port.protocol}, {"port", port.port}});
  fields["hostPorts"] = std::move(ports);
  if (tenant == kInfrastructure && cluster_.node()) {
    fields["nodeAddresses"] = cluster_.node()->addresses;
    fields["podCIDRs"] = cluster_.node()->pod_ranges;
  }
  return fields;
}

void KubernetesSource::report(const std::string& trouble) {
  std::map<std::string, Json> wanted;
  std::pair reported(trouble, cluster_.own_version());

  trouble_ = trouble;
  // Most of what changes does so on other nodes, and says nothing of this one.
  if (!cluster_.node() || reported == reported_) return;
  reported_ = std::move(reported);
  for (const auto& [name, state] : cluster_.rendered().tenants)
    if (name == kInfrastructure || (state.accepted && state.pods > 0 && name != kUnassigned))
      wanted[name] = tenant_node(name, state);
  if (!publisher_)
    publisher_ = std::make_unique<TenantNodePublisher>(
        *client_, TenantNodePublisher::Node{cluster_.node()->name, cluster_.node()->uid});
  publisher_->publish(std::move(wanted));
}

void KubernetesSource::lead(bool leads) {
  spdlog::info("this agent {} the statuses of tenants", leads ? "writes" : "does not write");
  aggregator_.reset();
  if (leads) aggregator_ = std::make_unique<Aggregator>(*client_, [this] { return judge(); });
}

std::optional<Judgements> KubernetesSource::judge() {
  Judgements judgements;

  if (!synced()) return std::nullopt;
  for (auto& [name, words] : cluster_.refused("Tenant"))
    judgements.tenants[name].refused = std::move(words);
  for (auto& [name, words] : cluster_.refused("Tier"))
    judgements.tiers[name].refused = std::move(words);
  for (const auto& [name, others] : cluster_.conflicts())
    judgements.tenants[name].conflict = fmt::format(
        "namespaces that {} claims, too: the older tenant keeps them", fmt::join(others, ", "));
  return judgements;
}

void KubernetesSource::stop(std::function<void()> done) {
  if (!lease_) {
    done();
    return;
  }
  lease_->give_up(std::move(done));
}

KubernetesSource::Facts KubernetesSource::facts() const {
  Facts facts;

  facts.stale = !synced();
  for (const auto& [kind, reflector] : reflectors_) {
    facts.since_last_word = std::max(facts.since_last_word, reflector->since_last_word());
    facts.stale = facts.stale || reflector->stale();
    facts.lists += reflector->facts().lists;
    facts.events += reflector->facts().events;
    facts.bytes += reflector->facts().bytes;
    for (const auto& [error, count] : reflector->facts().errors) facts.errors += count;
    if (!reflector->facts().last_error.empty())
      facts.last_error = kind + ": " + reflector->facts().last_error;
  }
  facts.requests = client_->facts().requests;
  facts.leads = lease_ && lease_->leads();
  return facts;
}

}  // namespace partywall::kubernetes

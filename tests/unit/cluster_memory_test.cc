// tests/unit/cluster_memory_test.cc: a Cluster that remembers what it made says what a fresh
// one says that is told the same.
#include <gtest/gtest.h>

#include "agent/source/kubernetes/cluster.h"
#include "tests/dice/dice.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;

// Few of everything, so that claims and addresses meet.
class Crowd {
 public:
  explicit Crowd(uint64_t seed) : dice_(seed) {}

  // Changes, makes or removes an object, and tells `cluster`.
  void change(Cluster& cluster) {
    static const char* const kKinds[] = {"TenantNode", "TenantNode", "TenantNode", "TenantNode",
                                         "TenantNode", "Pod",        "Pod",        "Namespace",
                                         "Tenant",     "Tier",       "Service",    "Node"};
    std::string kind = dice_.one_of(kKinds);
    Json object = kind == "TenantNode"  ? tenant_node()
                  : kind == "Pod"       ? pod()
                  : kind == "Namespace" ? space()
                  : kind == "Tenant"    ? tenant()
                  : kind == "Tier"      ? tier()
                  : kind == "Service"   ? service()
                                        : node();
    const Json& metadata = object["metadata"];
    std::string key = metadata.value("namespace", "");

    key += (key.empty() ? "" : "/") + metadata["name"].get<std::string>();

    Told& told = objects_[{kind, key}];

    // Of a Tier that is gone counts what tenants are of it then.
    if (dice_.below(4) == 0 && kind != "Node" && kind != "Tier") {
      objects_.erase({kind, key});
      cluster.gone(kind, key);
      return;
    }
    // What could be used counts as long as what came after it cannot.
    if (object.contains("spec") && object["spec"].contains("bad"))
      told.bad = object;
    else
      told = {object, nullptr};
    cluster.put(kind, object);
  }

  void tell(Cluster& cluster) const {
    for (const auto& [id, told] : objects_)
      for (const Json* object : {&told.good, &told.bad})
        if (!object->is_null()) cluster.put(id.first, *object);
  }

 private:
  struct Told {
    Json good;
    Json bad;
  };

  std::string one(const char* what, uint32_t count) {
    return what + std::to_string(dice_.below(count));
  }
  std::string address() {
    static const char* const kStrange[] = {"127.0.0.1", "10.1.0.0/28", "x\"], y", "fd00::1"};

    return dice_.below(30) ? "10.1.0." + std::to_string(dice_.below(12) + 1)
                           : dice_.one_of(kStrange);
  }
  Json addresses() {
    Json list = Json::array();

    for (uint32_t i = dice_.below(4); i > 0; i--) list.push_back(address());
    return list;
  }
  std::string some_tenant() {
    uint32_t which = dice_.below(10);

    return which == 0 ? kUnassigned : which == 1 ? kInfrastructure : one("tenant-", 6);
  }
  std::string other_tenant(const std::string& than) {
    std::string other = some_tenant();

    return other == than ? other_tenant(than) : other;
  }

  Json tenant_node() {
    std::string tenant = some_tenant();
    std::string node = one("n", 4);
    Json object = {{"metadata", {{"name", tenant + "." + node}}},
                   {"tenant", tenant},
                   {"node", node},
                   {"addresses", addresses()}};

    if (dice_.below(6) == 0)
      object["nodeAddresses"] = {"192.0.2." + std::to_string(dice_.below(9) + 1)};
    if (dice_.below(6) == 0)
      object["podCIDRs"] = {"10.1." + std::to_string(dice_.below(9)) + ".0/24"};
    return object;
  }
  Json pod() {
    Json object = {{"metadata",
                    {{"namespace", one("space-", 5)},
                     {"name", one("pod-", 3)},
                     {"uid", one("uid-", 9)},
                     {"creationTimestamp", one("2026-02-0", 9)},
                     {"labels", {{"app", one("", 2)}}}}},
                   {"status",
                    {{"phase", dice_.below(6) ? "Running" : "Succeeded"},
                     {"qosClass", "BestEffort"},
                     {"podIPs", {{{"ip", address()}}}}}}};

    if (dice_.below(5) == 0) object["metadata"]["deletionTimestamp"] = "x";
    return object;
  }
  Json space() {
    return {{"metadata", {{"name", one("space-", 5)}, {"labels", {{"team", one("", 3)}}}}}};
  }
  Json tier() {
    if (dice_.below(8) == 0)
      return {{"metadata", {{"name", one("tier-", 2)}}}, {"spec", {{"bad", true}}}};
    return {{"metadata", {{"name", one("tier-", 2)}}},
            {"spec", {{"limits", {{"egress", {{"ceiling", one("1", 9) + "Mbit"}}}}}}}};
  }
  Json tenant() {
    std::string name = one("tenant-", 6);
    Json object = {{"metadata",
                    {{"name", name},
                     {"generation", dice_.below(9)},
                     {"creationTimestamp", one("2026-01-0", 3)}}}};

    if (dice_.below(8) == 0) {
      object["spec"] = {{"bad", true}};
      return object;
    }

    Json member = {{"namespaces", dice_.below(2)
                                      ? Json{{"names", {one("space-", 5)}}}
                                      : Json{{"matchLabels", {{"team", one("", 3)}}}}}};

    if (dice_.below(3) == 0) member["pods"] = {{"matchLabels", {{"app", one("", 2)}}}};
    object["spec"] = {
        {"tier", one("tier-", 2)},
        {"members", {member}},
        {"network", {{"egress", {{{"to", {{{"tenant", other_tenant(name)}}}}}}}}}};
    if (dice_.below(4) == 0)
      object["spec"]["members"].push_back({{"addresses", {"10.9.0.0/24", "10.9.1.0/24"}}});
    if (dice_.below(6) == 0)
      object["spec"]["network"]["ingress"] = {{{"from", {{{"tenant", other_tenant(name)}}}}}};
    return object;
  }
  Json service() {
    return {{"metadata", {{"namespace", one("space-", 5)}, {"name", "front"}}},
            {"spec",
             {{"clusterIP", "10.96.0." + std::to_string(dice_.below(5) + 1)},
              {"selector", {{dice_.below(3) ? "app" : "role", one("", 2)}}},
              {"ports", {{{"port", 80}, {"targetPort", 8080 + dice_.below(3)}}}}}}};
  }
  Json node() {
    return {{"metadata", {{"name", "n0"}, {"uid", "u"}}},
            {"spec", {{"podCIDRs", {"10.1." + std::to_string(dice_.below(3)) + ".0/24"}}}},
            {"status",
             {{"addresses",
               {{{"type", "InternalIP"},
                 {"address", "192.0.2." + std::to_string(dice_.below(3) + 100)}}}}}}};
  }

  test::Dice dice_;
  std::map<std::pair<std::string, std::string>, Told> objects_;
};

// What a file says, with all positions that are not the same by themselves.
std::string words_of(const policy::ParsedFile& file) {
  std::string words = file.name;

  for (const policy::Problem& problem : file.problems) words += "; " + to_string(problem);
  for (size_t i = 0; i < file.documents.size(); i++) {
    const auto* tenant = std::get_if<policy::Tenant>(&file.documents[i]);

    if (!tenant) continue;
    words += fmt::format("; {} {} {}", tenant->name, tenant->tier, tenant->at.line);
    for (const policy::Prefix& range : tenant->addresses) words += " " + to_string(range);
    for (const auto& cgroup : tenant->cgroups) words += " " + to_string(cgroup);
    for (const auto* places : {&file.places[i].cgroups, &file.places[i].addresses})
      for (const policy::EntryPlace& one : *places)
        words += fmt::format(" {}:{}:{}:{}", one.line, one.column, one.member, one.entry);
    for (const auto* rules : {&tenant->ingress, &tenant->egress})
      for (const policy::Rule& rule : rules->value_or(std::vector<policy::Rule>()))
        for (const policy::PeerSelector& peer : rule.peers)
          words += fmt::format(" {} {}:{}", peer.tenant, peer.at.line, peer.at.column);
  }
  return words;
}

std::map<std::string, std::string> texts(const Rendered& rendered) {
  std::map<std::string, std::string> all;

  for (const Document& document : rendered.documents) {
    EXPECT_TRUE(all.empty() || all.rbegin()->first < document.name) << "not in order";
    EXPECT_EQ(words_of(policy::parse_file(document.name, *document.text)),
              words_of(*document.file));
    all[document.name] = *document.text;
  }
  return all;
}

class ClusterMemoryTest : public testing::TestWithParam<bool> {};

TEST_P(ClusterMemoryTest, SaysWhatAFreshOneSays) {
  ClusterOptions options{.node = "n0",
                         .cgroup_root = "/kubepods",
                         .service_ranges = {"10.96.0.0/16"},
                         .infrastructure_namespaces = {"space-4"},
                         .deny_unassigned = GetParam()};

  for (uint64_t seed = 0; seed < 20; seed++) {
    Crowd crowd(seed);
    Cluster kept(options);
    size_t changes = seed % 4 + 1;  // between two renderings

    for (int step = 0; step < 100; step++) {
      for (size_t i = 0; i < changes; i++) crowd.change(kept);

      Cluster fresh(options);
      std::string why = fmt::format("seed {}, step {}", seed, step);

      crowd.tell(fresh);

      const Rendered& now = kept.render();
      const Rendered& right = fresh.render();

      ASSERT_EQ(texts(right), texts(now)) << why;
      ASSERT_TRUE(right.tenants == now.tenants) << why;
      ASSERT_EQ(right.peers, now.peers) << why;
      ASSERT_EQ(fresh.conflicts(), kept.conflicts()) << why;
      ASSERT_EQ(fresh.refused("Tenant"), kept.refused("Tenant")) << why;
      ASSERT_EQ(fresh.refused("Tier"), kept.refused("Tier")) << why;
      ASSERT_FALSE(kept.changed()) << why;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DenyUnassigned, ClusterMemoryTest, testing::Bool());

}  // namespace
}  // namespace partywall::kubernetes

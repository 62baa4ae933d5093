// tests/unit/cluster_test.cc: who claims which pod, and what the documents say of it.
#include "agent/source/kubernetes/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/policy/verdict.h"

namespace partywall::kubernetes {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

Json read(const char* text) { return Json::parse(text); }

class ClusterTest : public testing::Test {
 protected:
  ClusterTest() {
    put("Node", R"({"metadata": {"name": "n1", "uid": "u1"},
      "spec": {"podCIDR": "10.1.1.0/24", "podCIDRs": ["10.1.1.0/24"]},
      "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"},
                               {"type": "Hostname", "address": "n1"}]}})");
    put("Tier", R"({"metadata": {"name": "gold"}, "spec": {}})");
    tenant("acme", 1, R"({"tier": "gold", "members": [
      {"namespaces": {"matchLabels": {"tenant": "acme"}}}]})");
    tenant("beta", 2, R"({"tier": "gold", "members": [{"namespaces": {"names": ["beta"]}}],
      "network": {"egress": [{"to": [{"tenant": "acme"}], "ports": [{"port": 8080}]}]}})");
    space("shop", R"({"tenant": "acme"})");
    space("beta", "{}");
    space("other", "{}");
    space("kube-system", "{}");
  }

  static ClusterOptions options() {
    return {.node = "n1",
            .cgroup_root = "/kubepods",
            .pod_ranges = {"10.1.0.0/16"},
            .service_ranges = {"10.96.0.0/16"},
            .infrastructure_namespaces = {"kube-system"},
            .offers = {"53/UDP"},
            .reaches = {},
            .lane = {{{}, "api", "other/kubernetes"}}};
  }
  void put(const char* kind, const char* text) { cluster_.put(kind, read(text)); }
  void tenant(const std::string& name, int age, const char* spec, int generation = 1) {
    cluster_.put("Tenant",
                 {{"metadata",
                   {{"name", name},
                    {"generation", generation},
                    {"creationTimestamp", fmt::format("2026-01-0{}T00:00:00Z", age)}}},
                  {"spec", read(spec)}});
  }
  void space(const std::string& name, const char* labels) {
    cluster_.put("Namespace", {{"metadata", {{"name", name}, {"labels", read(labels)}}}});
  }
  // More fields as a patch.
  void pod(const std::string& space, const std::string& name, const std::string& address,
           const char* patch = "{}") {
    Json object = {{"metadata",
                    {{"namespace", space},
                     {"name", name},
                     {"uid", "a-" + name},
                     {"creationTimestamp", "2026-02-01T00:00:00Z"}}},
                   {"spec", Json::object()},
                   {"status",
                    {{"phase", "Running"},
                     {"qosClass", "BestEffort"},
                     {"podIP", address},
                     {"podIPs", {{{"ip", address}}}}}}};

    object.merge_patch(read(patch));
    cluster_.put("Pod", object);
  }
  void tenant_node(const std::string& tenant, const std::string& node, const Json& addresses) {
    cluster_.put("TenantNode", {{"metadata", {{"name", tenant + "." + node}}},
                                {"tenant", tenant},
                                {"node", node},
                                {"addresses", addresses}});
  }

  policy::Policy policy() {
    std::vector<std::shared_ptr<const policy::ParsedFile>> files;

    rendered_ = cluster_.render();
    for (const Document& document : rendered_.documents) files.push_back(document.file);

    auto parsed = policy::assemble(files, {}, root_);

    for (const auto& problem : parsed.problems) ADD_FAILURE() << to_string(problem);
    return std::move(parsed.policy);
  }
  std::vector<std::string> cgroups(const std::string& tenant) {
    std::vector<std::string> texts;
    policy::Policy now = policy();

    if (!now.tenants.contains(tenant)) return {"no such tenant"};
    for (const auto& one : now.tenants.at(tenant).cgroups) texts.push_back(to_string(one));
    return texts;
  }
  std::vector<std::string> addresses(const std::string& tenant) {
    std::vector<std::string> texts;

    policy::Policy now = policy();

    if (!now.tenants.contains(tenant)) return {"no such tenant"};
    for (const auto& one : now.tenants.at(tenant).addresses) texts.push_back(to_string(one));
    return texts;
  }
  // The reason for which a tenant may or may not open TCP to an address.
  abi::reason asks(const std::string& tenant, const char* address, uint16_t port) {
    policy::Flow flow;
    policy::Policy now = policy();

    flow.tenant = tenant;
    flow.peer = policy::parse_address(address).value();
    flow.peer_port = port;
    flow.local_port = 40000;
    return judge(now, flow).reason;
  }

  // All documents of two renderings are the same objects, but for the one of that name.
  static void expect_other(const Rendered& first, const Rendered& second, const char* name) {
    ASSERT_EQ(first.documents.size(), second.documents.size());
    for (size_t i = 0; i < first.documents.size(); i++)
      EXPECT_EQ(first.documents[i].name != name,
                first.documents[i].file == second.documents[i].file)
          << first.documents[i].name;
  }

  std::string root_ = "/kubepods";
  Rendered rendered_;
  Cluster cluster_{options()};
};

TEST_F(ClusterTest, APodIsItsNamespacesTenants) {
  pod("shop", "web", "10.1.1.2");
  pod("other", "x", "10.1.1.3");
  pod("kube-system", "dns", "10.1.1.4");

  EXPECT_THAT(cgroups("acme"), ElementsAre("/kubepods/besteffort/poda-web"));
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_THAT(addresses("unassigned"), ElementsAre("10.1.1.3/32"));
  EXPECT_THAT(addresses("infrastructure"), ElementsAre("10.1.1.4/32"));
}

TEST_F(ClusterTest, APodOfANamespaceThatIsNotKnownIsNobodys) {
  pod("new", "web", "10.1.1.2");
  for (const char* tenant : {"acme", "beta", "unassigned", "infrastructure"})
    EXPECT_THAT(cgroups(tenant), IsEmpty()) << tenant;
  space("new", "{}");
  EXPECT_THAT(cgroups("unassigned"), ElementsAre("/kubepods/besteffort/poda-web"));
}

TEST_F(ClusterTest, CgroupsAsTheKubeletNamesThem) {
  Pod pod{.cgroup_uid = "a-b", .qos = "Guaranteed"};

  EXPECT_EQ("/kubepods/poda-b", cgroup_of(pod, "/kubepods"));
  EXPECT_EQ("/kubepods.slice/kubepods-poda_b.slice", cgroup_of(pod, "/kubepods.slice"));
  pod.qos = "Burstable";
  EXPECT_EQ("/kubepods/burstable/poda-b", cgroup_of(pod, "/kubepods"));
  EXPECT_EQ(
      "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
      "kubelet-kubepods-burstable-poda_b.slice",
      cgroup_of(pod, "/kubelet.slice/kubelet-kubepods.slice"));
}

TEST_F(ClusterTest, AStaticPodIsKnownByItsHash) {
  pod("shop", "web", "10.1.1.2",
      R"({"metadata": {"annotations": {"kubernetes.io/config.mirror": "h",
                                       "kubernetes.io/config.hash": "h"}}})");
  EXPECT_THAT(cgroups("acme"), ElementsAre("/kubepods/besteffort/podh"));
}

TEST_F(ClusterTest, OnTheNodesNetworkItHasNoAddress) {
  pod("shop", "web", "192.0.2.1", R"({"spec": {"hostNetwork": true}})");
  EXPECT_THAT(cgroups("acme"), ElementsAre("/kubepods/besteffort/poda-web"));
  EXPECT_THAT(addresses("acme"), IsEmpty());
}

TEST_F(ClusterTest, AnAddressThatIsUsedAgainIsTheNewerPods) {
  pod("shop", "old", "10.1.1.2");
  pod("beta", "fresh", "10.1.1.2",
      R"({"metadata": {"creationTimestamp": "2026-02-02T00:00:00Z"}})");
  EXPECT_THAT(addresses("acme"), IsEmpty());
  EXPECT_THAT(addresses("beta"), ElementsAre("10.1.1.2/32"));
  // One that leaves has less right to it than one that stays.
  pod("beta", "fresh", "10.1.1.2",
      R"({"metadata": {"creationTimestamp": "2026-02-02T00:00:00Z", "deletionTimestamp": "x"}})");
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_THAT(addresses("beta"), IsEmpty());
  pod("beta", "fresh", "10.1.1.2", R"({"status": {"phase": "Succeeded"}})");
  EXPECT_THAT(cgroups("beta"), IsEmpty());
}

TEST_F(ClusterTest, ANamespaceMovesToAnotherTenantWithItsPods) {
  pod("shop", "web", "10.1.1.2");
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  space("shop", "{}");
  EXPECT_THAT(addresses("acme"), IsEmpty());
  EXPECT_THAT(addresses("unassigned"), ElementsAre("10.1.1.2/32"));
}

TEST_F(ClusterTest, TheOlderOfTwoTenantsKeepsAPodAndBothAreTold) {
  tenant("late", 3, R"({"tier": "gold", "members": [{"namespaces": {"names": ["shop"]}}]})");
  pod("shop", "web", "10.1.1.2");
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_THAT(addresses("late"), IsEmpty());
  EXPECT_THAT(rendered_.tenants["acme"].conflicts, ElementsAre("late"));
  EXPECT_THAT(rendered_.tenants["late"].conflicts, ElementsAre("acme"));
  EXPECT_THAT(cluster_.conflicts()["late"], ElementsAre("acme"));
  EXPECT_FALSE(cluster_.conflicts().contains("beta"));
}

TEST_F(ClusterTest, LabelsOfPodsChooseAmongThem) {
  tenant("part", 1, R"({"tier": "gold", "members": [
    {"namespaces": {"names": ["other"]}, "pods": {"matchLabels": {"app": "web"}}}]})");
  pod("other", "web", "10.1.1.2", R"({"metadata": {"labels": {"app": "web", "x": "y"}}})");
  pod("other", "db", "10.1.1.3", R"({"metadata": {"labels": {"app": "db"}}})");
  EXPECT_THAT(addresses("part"), ElementsAre("10.1.1.2/32"));
  EXPECT_THAT(addresses("unassigned"), ElementsAre("10.1.1.3/32"));
}

TEST_F(ClusterTest, ATenantThatTurnsBadStaysWhatItWas) {
  pod("shop", "web", "10.1.1.2");
  tenant("acme", 1, R"({"tier": "gold", "members": [{"namespaces": {}}]})", 2);
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_TRUE(rendered_.tenants["acme"].accepted);
  EXPECT_THAT(rendered_.tenants["acme"].message, HasSubstr("names no namespace"));
}

TEST_F(ClusterTest, PodsOfATenantThatWasNeverGoodAreNobodys) {
  tenant("bad", 0, R"({"tier": "none", "members": [{"namespaces": {"names": ["other"]}}]})");
  pod("other", "web", "10.1.1.2");
  EXPECT_THAT(addresses("unassigned"), IsEmpty());
  EXPECT_THAT(addresses("bad"), ElementsAre("no such tenant"));
  EXPECT_FALSE(rendered_.tenants["bad"].accepted);
  EXPECT_THAT(rendered_.tenants["bad"].message, HasSubstr("no usable tier none"));
  // With its tier it is good.
  put("Tier", R"({"metadata": {"name": "none"}, "spec": {}})");
  EXPECT_THAT(addresses("bad"), ElementsAre("10.1.1.2/32"));
}

TEST_F(ClusterTest, BuiltInNamesAreTaken) {
  tenant("unassigned", 0, R"({"tier": "gold"})");
  policy();
  EXPECT_THAT(cluster_.refused("Tenant")["unassigned"], HasSubstr("is built in"));
}

TEST_F(ClusterTest, ATierThatIsGoneStaysWhileTenantsAreOfIt) {
  pod("shop", "a", "10.1.1.2");
  policy();
  cluster_.gone("Tier", "gold");
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_TRUE(policy().tiers.contains("gold"));
  EXPECT_THAT(cluster_.refused("Tenant")["acme"], HasSubstr("tier gold is gone"));
  EXPECT_FALSE(cluster_.refused("Tier").contains("gold"));
  // Nobody's any more, it is forgotten: who comes later does not get it.
  cluster_.gone("Tenant", "acme");
  cluster_.gone("Tenant", "beta");
  EXPECT_FALSE(policy().tiers.contains("gold"));
  tenant("acme", 1, R"({"tier": "gold"})", 2);
  policy();
  EXPECT_FALSE(rendered_.tenants.at("acme").accepted);
  put("Tier", R"({"metadata": {"name": "gold"}, "spec": {}})");
  policy();
  EXPECT_TRUE(rendered_.tenants.at("acme").accepted);
  EXPECT_EQ("", cluster_.refused("Tenant")["acme"]);
}

// A Tenant became bad, and a Tier went away, while no agent ran.
TEST_F(ClusterTest, WhatAnEarlierAgentCouldUseStays) {
  pod("shop", "a", "10.1.1.2");
  policy();

  std::vector<std::string> last{"no document",
                                R"({"kind": "Tenant", "metadata": {"name": "x"}})"};

  for (const Document& document : rendered_.documents) last.push_back(*document.text);

  auto succeed = [&](const std::vector<std::string>& documents) {
    cluster_ = Cluster(options());
    cluster_.remember(documents);
    space("shop", R"({"tenant": "acme"})");
    tenant("acme", 1, R"({"tier": "gold", "members": [{"cgroup": "nonsense"}]})", 2);
    pod("shop", "a", "10.1.1.2");
  };

  succeed({});
  EXPECT_THAT(addresses("acme"), ElementsAre("no such tenant")) << "control";
  succeed(last);
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.1.2/32"));
  EXPECT_THAT(cluster_.refused("Tenant")["acme"], HasSubstr("cgroup"));
  EXPECT_FALSE(rendered_.tenants.contains("beta")) << "it is gone";
  EXPECT_TRUE(policy().tiers.contains("gold"));
  // What comes later does not get what was there before.
  tenant("beta", 2, R"({"tier": "gold", "members": [{"cgroup": "nonsense"}]})");
  policy();
  EXPECT_FALSE(rendered_.tenants.at("beta").accepted);
}

TEST_F(ClusterTest, OnlyThoseThatOurTenantsNameMatter) {
  pod("beta", "x", "10.1.1.2");
  policy();
  ASSERT_TRUE(rendered_.peers);
  EXPECT_THAT(*rendered_.peers, UnorderedElementsAre("acme", "beta", "infrastructure"));
  tenant("beta", 2, R"({"tier": "gold", "members": [{"namespaces": {"names": ["beta"]}}],
    "network": {"ingress": [{"from": [{"tenant": "unassigned"}]}]}})",
         2);
  policy();
  EXPECT_FALSE(rendered_.peers) << "only who knows everybody knows who is nobody";
}

TEST_F(ClusterTest, WhatOtherNodesHold) {
  tenant_node("acme", "n2", {"10.1.2.2", "10.1.2.3"});
  tenant_node("acme", "n1", {"10.1.1.9"});  // an old word of our own
  tenant_node("beta", "n2", {"10.1.2.3"});
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.2.2/32")) << "two hold 10.1.2.3: nobody's";
  EXPECT_THAT(addresses("beta"), IsEmpty());
  // Nor does another node say who has an address on this one.
  pod("beta", "x", "10.1.2.2");
  EXPECT_THAT(addresses("acme"), IsEmpty());
  EXPECT_THAT(addresses("beta"), ElementsAre("10.1.2.2/32"));
}

// An API server before 1.32 takes any text, and none knows what no tenant can own.
TEST_F(ClusterTest, WhatNoTenantCanHaveOfAnotherNodeIsLeftOutAlone) {
  tenant_node("acme", "n2",
              {"10.1.2.2", "nonsense", "10.1.2.0/24", "127.0.0.1", "0.0.0.1", "fe80::1", "::1",
               "ff02::1", "::ffff:10.1.2.9", "FD00::0:2", "fd00::2", 7, nullptr});

  Json infrastructure = read(R"({"metadata": {"name": "infrastructure.n2"},
    "tenant": "infrastructure", "node": "n2",
    "nodeAddresses": ["192.0.2.2", "node-2", "192.0.2.0/24"],
    "podCIDRs": ["10.1.2.0/24", "10.1.2.1/24", "what"]})");

  cluster_.put("TenantNode", infrastructure);
  EXPECT_THAT(addresses("acme"), ElementsAre("10.1.2.2/32", "fd00::2/128"));
  for (const Document& document : rendered_.documents)
    EXPECT_THAT(document.file->problems, IsEmpty()) << document.name;
  EXPECT_THAT(read_tenant_node(infrastructure).node_addresses, ElementsAre("192.0.2.2"));
  EXPECT_THAT(read_tenant_node(infrastructure).pod_ranges, ElementsAre("10.1.2.0/24"));
}

// Two tenants in one namespace, told apart by labels of pods: a Service is of whose pods it
// selects.
TEST_F(ClusterTest, AServiceIsOfTheTenantWhosePodsItSelects) {
  space("mixed", "{}");
  for (const char* side : {"a", "b"}) {
    tenant(side, 3,
           fmt::format(R"({{"tier": "gold", "members": [
      {{"namespaces": {{"names": ["mixed"]}}, "pods": {{"matchLabels": {{"side": "{}"}}}}}}]}})",
                       side)
               .c_str());
    pod("mixed", side, fmt::format("10.1.1.{}", *side),
        fmt::format(R"({{"metadata": {{"labels": {{"side": "{}", "role": "server"}}}}}})", side)
            .c_str());
  }
  put("Service", R"({"metadata": {"namespace": "mixed", "name": "of-b"},
    "spec": {"clusterIP": "10.96.0.6", "selector": {"side": "b", "role": "server"},
      "ports": [{"port": 80, "targetPort": 8080}]}})");
  put("Service", R"({"metadata": {"namespace": "mixed", "name": "of-both"},
    "spec": {"clusterIP": "10.96.0.7", "selector": {"role": "server"},
      "ports": [{"port": 80, "targetPort": 8080}]}})");
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, asks("b", "10.96.0.6", 80));
  EXPECT_EQ(abi::REASON_DENY_TENANT, asks("a", "10.96.0.6", 80));
  EXPECT_EQ(abi::REASON_DENY_TENANT, asks("a", "10.96.0.7", 80)) << "it is nobody's";
}

TEST_F(ClusterTest, AServiceIsReachedByWhoMayReachItsTarget) {
  tenant("acme", 1, R"({"tier": "gold", "members": [
      {"namespaces": {"matchLabels": {"tenant": "acme"}}}],
    "network": {"ingress": [{"from": [{"tenant": "beta"}], "ports": [{"port": 8080}]}]}})",
         2);
  put("Service", R"({"metadata": {"namespace": "shop", "name": "web"},
    "spec": {"clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "externalIPs": ["198.51.100.7"],
      "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080, "protocol": "TCP"},
                {"port": 81, "targetPort": 9090, "nodePort": 30081, "protocol": "TCP"}]}})");
  put("Service", R"({"metadata": {"namespace": "other", "name": "kubernetes"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443, "targetPort": "https"}]}})");

  for (const char* address : {"10.96.0.5", "198.51.100.7"}) {
    EXPECT_EQ(abi::REASON_ALLOW_TENANT_RULE, asks("beta", address, 80)) << address;
    EXPECT_EQ(abi::REASON_DENY_TENANT_PORT, asks("beta", address, 81)) << address;
    EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, asks("acme", address, 81)) << address;
    EXPECT_EQ(abi::REASON_DENY_TENANT, asks("unassigned", address, 80)) << address;
  }
  EXPECT_EQ(abi::REASON_ALLOW_WORLD, asks("beta", "192.0.2.1", 30080));
  EXPECT_EQ(abi::REASON_DENY_WORLD_PORT, asks("beta", "192.0.2.1", 30081));
  EXPECT_EQ(abi::REASON_DENY_WORLD_PORT, asks("beta", "192.0.2.1", 10250));
  EXPECT_EQ(abi::REASON_ALLOW_WORLD, asks("acme", "192.0.2.1", 30081));
  EXPECT_EQ(abi::REASON_ALLOW_INFRASTRUCTURE, asks("beta", "10.96.0.1", 443));
  EXPECT_EQ(abi::REASON_DENY_TENANT, asks("beta", "10.96.7.7", 80)) << "no service there";
  EXPECT_EQ(abi::REASON_DENY_TENANT, asks("beta", "10.1.7.7", 80)) << "a pod of whoever";
  EXPECT_EQ(abi::REASON_ALLOW_WORLD, asks("acme", "203.0.113.9", 80));
}

TEST_F(ClusterTest, WhatTheNodeHasInThePodRangeIsTheNodes) {
  pod("shop", "web", "10.1.1.2");
  EXPECT_EQ(abi::REASON_DENY_TENANT, asks("acme", "10.1.1.1", 80)) << "a pod of whoever";
  cluster_.put_own_addresses({"10.1.1.1", "192.0.2.1"});
  EXPECT_TRUE(cluster_.changed());
  EXPECT_EQ(abi::REASON_DENY_WORLD, asks("acme", "10.1.1.1", 80));
  EXPECT_EQ(abi::REASON_ALLOW_WORLD, asks("unassigned", "10.1.1.1", 80));

  // It is no workload's source, but for one on the node's network.
  policy::Flow flow;
  policy::Policy now = policy();

  flow.tenant = "acme";
  flow.local = policy::parse_address("10.1.1.1").value();
  flow.peer = policy::parse_address("10.1.1.2").value();
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, judge(now, flow).reason);
}

TEST_F(ClusterTest, NothingIsMadeAgainThatDidNotChange) {
  pod("shop", "web", "10.1.1.2");
  EXPECT_TRUE(cluster_.changed());

  Rendered first = cluster_.render();

  EXPECT_FALSE(cluster_.changed());
  pod("shop", "web", "10.1.1.2", R"({"status": {"startTime": "x"}})");
  EXPECT_FALSE(cluster_.changed()) << "nothing that matters here";
  pod("beta", "x", "10.1.1.3");
  EXPECT_TRUE(cluster_.changed());

  Rendered second = cluster_.render();

  expect_other(first, second, "tenant-beta.yaml");
  tenant_node("acme", "n2", {"10.1.2.2"});
  EXPECT_TRUE(cluster_.changed());
  expect_other(second, cluster_.render(), "tenant-acme.yaml");
}

}  // namespace
}  // namespace partywall::kubernetes

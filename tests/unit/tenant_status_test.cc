// tests/unit/tenant_status_test.cc: what statuses say, and that they are written only where
// they differ.
#include "agent/source/kubernetes/tenant_status.h"

#include <gmock/gmock.h>

#include "agent/source/kubernetes/conditions.h"
#include "agent/source/kubernetes/status_writer.h"
#include "tests/unit/fake_objects.h"
#include "tests/unit/loop_client.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;

json tenant(int generation, const std::string& tier = "gold") {
  return {{"metadata", {{"name", "acme"}, {"generation", generation}}},
          {"spec", {{"tier", tier}}}};
}

json tenant_node(const std::string& tenant, const std::string& node, int generation, int pods,
                 json conditions) {
  return {{"tenant", tenant},
          {"node", node},
          {"pods", pods},
          {"observedGeneration", generation},
          {"conditions", std::move(conditions)}};
}

json realised(bool holds, const std::string& reason = "X", const std::string& message = "") {
  return condition("Realised", holds, reason, message);
}

const json& of_type(const json& status, const std::string& type) {
  for (const json& one : status["conditions"])
    if (one["type"] == type) return one;
  throw std::out_of_range(type);
}

ObjectsByName statuses(const ObjectsByName& tenants, const ObjectsByName& tenant_nodes,
                       const std::set<std::string>& nodes,
                       const std::map<std::string, Judgement>& judgements) {
  std::map<std::string, NodeReport> reports;

  for (const auto& [name, object] : tenant_nodes) reports[name] = read_report(object);
  return tenant_statuses(tenants, reports, nodes, judgements);
}

TEST(TenantStatusTest, CountsNodesAndPods) {
  auto all = statuses(
      {{"acme", tenant(3)}, {"beta", tenant(1)}},
      {{"acme.n1", tenant_node("acme", "n1", 3, 2, {realised(true)})},
       {"acme.n2", tenant_node("acme", "n2", 2, 5, {realised(true)})},
       {"acme.n3", tenant_node("acme", "n3", 3, 1, {realised(false, "NoMap", "map is full")})},
       {"acme.n4", tenant_node("acme", "n4", 3, 1, json::array())},
       {"acme.gone", tenant_node("acme", "gone", 3, 9, {realised(true)})},
       {"none.n1", tenant_node("none", "n1", 3, 9, {realised(true)})}},
      {"n1", "n2", "n3", "n4"}, {});

  ASSERT_EQ(2u, all.size());

  const json& acme = all["acme"];

  EXPECT_EQ(3, acme["observedGeneration"]);
  EXPECT_EQ("1/4", acme["summary"]);
  EXPECT_EQ(4, acme["nodesTotal"]);
  EXPECT_EQ(1, acme["nodesRealised"]);
  EXPECT_EQ(9, acme["pods"]);
  EXPECT_EQ((json{{{"node", "n2"},
                   {"reason", "OldGeneration"},
                   {"message", "enforces generation 2, not 3"}},
                  {{"node", "n3"}, {"reason", "NoMap"}, {"message", "map is full"}},
                  {{"node", "n4"}, {"reason", "Unknown"}, {"message", ""}}}),
            acme["lagging"]);
  EXPECT_EQ("False", of_type(acme, "Realised")["status"]);
  EXPECT_EQ("NodesLag", of_type(acme, "Realised")["reason"]);
  EXPECT_EQ("True", of_type(acme, "Accepted")["status"]);
  EXPECT_EQ(3, of_type(acme, "Accepted")["observedGeneration"]);
  EXPECT_EQ("False", of_type(acme, "Conflict")["status"]);
  EXPECT_EQ("False", of_type(acme, "Degraded")["status"]);

  EXPECT_EQ("0/0", all["beta"]["summary"]);
  EXPECT_EQ("True", of_type(all["beta"], "Realised")["status"]);
  EXPECT_EQ("NoPods", of_type(all["beta"], "Realised")["reason"]);
  EXPECT_EQ(json::array(), all["beta"]["lagging"]);
}

TEST(TenantStatusTest, AllNodes) {
  auto all =
      statuses({{"acme", tenant(3)}},
               {{"acme.n1", tenant_node("acme", "n1", 3, 2, {realised(true)})}}, {"n1"}, {});

  EXPECT_EQ("True", of_type(all["acme"], "Realised")["status"]);
  EXPECT_EQ("1 of 1 nodes enforce it", of_type(all["acme"], "Realised")["message"]);
}

TEST(TenantStatusTest, SaysWhatTheAgentFound) {
  auto all = statuses({{"acme", tenant(3)}, {"beta", tenant(1)}}, {}, {},
                      {{"acme", {.refused = "spec.tier: there is no tier 'x'"}},
                       {"beta", {.conflict = "namespace a: tenant acme keeps it"}}});

  EXPECT_EQ("False", of_type(all["acme"], "Accepted")["status"]);
  EXPECT_EQ("spec.tier: there is no tier 'x'", of_type(all["acme"], "Accepted")["message"]);
  EXPECT_EQ("NotAccepted", of_type(all["acme"], "Realised")["reason"]);
  EXPECT_EQ("True", of_type(all["beta"], "Accepted")["status"]);
  EXPECT_EQ("True", of_type(all["beta"], "Conflict")["status"]);
}

TEST(TenantStatusTest, NamesNotMoreThanTwentyNodes) {
  ObjectsByName nodes;
  std::set<std::string> names;

  for (int i = 100; i < 150; ++i) {
    std::string name = fmt::format("n{}", i);

    names.insert(name);
    nodes[name] = tenant_node("acme", name, 3, 1,
                              {realised(false), condition("Degraded", true, "R", "bad")});
  }

  json acme = statuses({{"acme", tenant(3)}}, nodes, names, {})["acme"];

  EXPECT_EQ("0/50", acme["summary"]);
  EXPECT_EQ(20u, acme["lagging"].size());
  EXPECT_EQ("n100", acme["lagging"][0]["node"]);
  EXPECT_EQ("True", of_type(acme, "Degraded")["status"]);
  EXPECT_THAT(of_type(acme, "Degraded")["message"].get<std::string>(),
              HasSubstr("n119: bad; and 30 more"));
}

TEST(TenantStatusTest, ObjectsOfAnyShapeAreNoHarm) {
  auto all = statuses(
      {{"acme", json()}, {"beta", {{"metadata", 1}}}},
      {{"a", json()},
       {"b", {{"tenant", 1}}},
       {"c", {{"tenant", "acme"}, {"node", "n1"}, {"pods", "x"}, {"conditions", {1, "x"}}}}},
      {"n1"}, {});

  EXPECT_EQ("0/1", all["acme"]["summary"]);
  EXPECT_EQ("0/0", all["beta"]["summary"]);
}

TEST(TierStatusTest, CountsTenants) {
  auto all = tier_statuses({{"gold", {{"metadata", {{"generation", 2}}}}}, {"free", json()}},
                           {{"a", tenant(1)}, {"b", tenant(1)}, {"c", tenant(1, "none")}},
                           {{"free", {.refused = "no"}}});

  EXPECT_EQ(2, all["gold"]["tenants"]);
  EXPECT_EQ(2, all["gold"]["observedGeneration"]);
  EXPECT_EQ("True", of_type(all["gold"], "Accepted")["status"]);
  EXPECT_EQ(0, all["free"]["tenants"]);
  EXPECT_EQ("False", of_type(all["free"], "Accepted")["status"]);
}

TEST(ConditionsTest, TimesAreThoseOfTheAPI) {
  WallTime time{std::chrono::seconds(1'769'860'805) + 42us};

  EXPECT_EQ("2026-01-31T12:00:05Z", rfc3339(time));
  EXPECT_EQ("2026-01-31T12:00:05.000042Z", rfc3339_micros(time));
  EXPECT_EQ(
      1024u,
      condition("T", true, "R", std::string(5000, 'x'))["message"].get<std::string>().size());
}

class StatusWriterTest : public test::LoopTest {
 protected:
  StatusWriterTest() {
    auto made = ApiClient::make(*loop_, {.server = api_.url()});

    EXPECT_TRUE(made);
    client_ = std::move(*made);
    writer_ = std::make_unique<StatusWriter>(
        *client_, "tenants",
        WriteLimits{
            .coalesce = 5ms, .spacing = 200ms, .backoff_least = 5ms, .backoff_most = 20ms});
  }
  void write(int pods) {
    writer_->write({{"acme", status(pods)}, {"gone", status(1)}}, api_.objects);
  }
  static json status(int pods) {
    return {{"pods", pods}, {"conditions", {condition("Accepted", true, "Valid", "")}}};
  }
  void settle() {
    EXPECT_TRUE(serve_until([&] { return writer_->pending() == 0; }));
  }

  test::FakeObjects api_{*loop_, "/apis/partywall.dev/v1alpha1/tenants"};
  std::unique_ptr<ApiClient> client_;
  std::unique_ptr<StatusWriter> writer_;
};

TEST_F(StatusWriterTest, WritesWhatDiffersAndOnlyThat) {
  api_.put("acme", {{"spec", {{"tier", "gold"}}}});
  write(1);
  settle();
  EXPECT_EQ(1, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ("gold", api_.objects["acme"]["spec"]["tier"]);
  EXPECT_EQ(1u, api_.requests().size());
  EXPECT_EQ("/apis/partywall.dev/v1alpha1/tenants/acme/status", api_.requests()[0].target);
  EXPECT_EQ("application/merge-patch+json", api_.requests()[0].header("Content-Type"));

  write(1);
  settle();
  EXPECT_EQ(1u, api_.requests().size());

  auto begin = std::chrono::steady_clock::now();

  for (int pods = 2; pods <= 9; ++pods) write(pods);
  settle();
  EXPECT_EQ(9, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ(2u, api_.requests().size());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 150ms) << "not so often";

  // Somebody else wrote it.
  json other = api_.objects["acme"];

  other["status"]["pods"] = 40;
  api_.put("acme", other);
  write(9);
  settle();
  EXPECT_EQ(9, api_.objects["acme"]["status"]["pods"]);
}

TEST_F(StatusWriterTest, FailuresAreTriedAgainAndWhatIsGoneIsNot) {
  int failures = 3;

  api_.put("acme", {{"spec", 1}});
  api_.instead = [&](const test::FakeApi::Request& request) {
    if (failures == 0) return false;
    --failures;
    request.from->reply(500, "{}");
    return true;
  };
  write(1);
  settle();
  EXPECT_EQ(1, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ(3u, writer_->facts().errors.at("status"));

  auto seen = api_.objects;

  api_.objects.clear();
  writer_->write({{"acme", status(2)}}, seen);
  settle();
  EXPECT_TRUE(api_.objects.empty());
}

TEST_F(StatusWriterTest, NumbersWaitForTheirTurnAndWordsDoNot) {
  writer_ = std::make_unique<StatusWriter>(*client_, "tenants",
                                           WriteLimits{.coalesce = 1ms, .spacing = 1ms},
                                           NumberLimits{.per_second = 0, .at_once = 1});

  auto status_of = [](int pods, bool good) {
    return json{{"pods", pods},
                {"observedGeneration", 1},
                {"lagging", json::array()},
                {"conditions", {condition("Accepted", good, good ? "Valid" : "Invalid", "")}}};
  };
  auto pods_of = [this](const char* name) { return api_.objects[name]["status"]["pods"]; };

  for (const char* name : {"a", "b"}) api_.put(name, {{"spec", 1}});
  // A first status is not one of numbers.
  EXPECT_FALSE(
      writer_->write({{"a", status_of(1, true)}, {"b", status_of(1, true)}}, api_.objects));
  settle();
  EXPECT_EQ((std::pair<json, json>(1, 1)), std::pair(pods_of("a"), pods_of("b")));

  EXPECT_TRUE(
      writer_->write({{"a", status_of(2, true)}, {"b", status_of(2, true)}}, api_.objects));
  settle();
  EXPECT_EQ((std::pair<json, json>(2, 1)), std::pair(pods_of("a"), pods_of("b")));

  EXPECT_FALSE(
      writer_->write({{"a", status_of(2, true)}, {"b", status_of(3, false)}}, api_.objects));
  settle();
  EXPECT_EQ((std::pair<json, json>(2, 3)), std::pair(pods_of("a"), pods_of("b")));
}

TEST_F(StatusWriterTest, StopsWhenSomebodyElseLeads) {
  api_.put("acme", {{"spec", 1}});
  write(1);
  writer_->stop();
  for (int i = 0; i < 100; ++i) event_base_loop(loop_->base(), EVLOOP_ONCE);
  EXPECT_TRUE(api_.requests().empty());
  write(1);
  settle();
  EXPECT_EQ(1u, api_.requests().size());
}

}  // namespace
}  // namespace partywall::kubernetes

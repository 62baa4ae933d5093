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

json tenant_node(int generation, int pods, json conditions) {
  return {{"pods", pods},
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

// Of a Tenant of generation 3, by its TenantNodes.
json status(const std::map<std::string, json>& tenant_nodes, const Judgement& judgement = {}) {
  std::map<std::string, NodeReport> reports;

  for (const auto& [node, object] : tenant_nodes) reports[node] = read_report(object);
  return tenant_status(3, reports, judgement);
}

TEST(TenantStatusTest, CountsNodesAndPods) {
  json acme = status({{"n1", tenant_node(3, 2, {realised(true)})},
                      {"n2", tenant_node(2, 5, {realised(true)})},
                      {"n3", tenant_node(3, 1, {realised(false, "NoMap", "map is full")})},
                      {"n4", tenant_node(3, 1, json::array())}});

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
}

TEST(TenantStatusTest, NoNodes) {
  json acme = status({});

  EXPECT_EQ("0/0", acme["summary"]);
  EXPECT_EQ("True", of_type(acme, "Realised")["status"]);
  EXPECT_EQ("NoPods", of_type(acme, "Realised")["reason"]);
  EXPECT_EQ(json::array(), acme["lagging"]);
}

TEST(TenantStatusTest, AllNodes) {
  json acme = status({{"n1", tenant_node(3, 2, {realised(true)})}});

  EXPECT_EQ("True", of_type(acme, "Realised")["status"]);
  EXPECT_EQ("1 of 1 nodes enforce it", of_type(acme, "Realised")["message"]);
}

TEST(TenantStatusTest, SaysWhatTheAgentFound) {
  json acme = status({}, {.refused = "spec.tier: there is no tier 'x'"});
  json beta = status({}, {.conflict = "namespace a: tenant acme keeps it"});

  EXPECT_EQ("False", of_type(acme, "Accepted")["status"]);
  EXPECT_EQ("spec.tier: there is no tier 'x'", of_type(acme, "Accepted")["message"]);
  EXPECT_EQ("NotAccepted", of_type(acme, "Realised")["reason"]);
  EXPECT_EQ("True", of_type(beta, "Accepted")["status"]);
  EXPECT_EQ("True", of_type(beta, "Conflict")["status"]);
}

TEST(TenantStatusTest, NamesNotMoreThanTwentyNodes) {
  std::map<std::string, json> nodes;

  for (int i = 100; i < 150; ++i)
    nodes[fmt::format("n{}", i)] =
        tenant_node(3, 1, {realised(false), condition("Degraded", true, "R", "bad")});

  json acme = status(nodes);

  EXPECT_EQ("0/50", acme["summary"]);
  EXPECT_EQ(20u, acme["lagging"].size());
  EXPECT_EQ("n100", acme["lagging"][0]["node"]);
  EXPECT_EQ("True", of_type(acme, "Degraded")["status"]);
  EXPECT_THAT(of_type(acme, "Degraded")["message"].get<std::string>(),
              HasSubstr("n119: bad; and 30 more"));
}

TEST(TenantStatusTest, ReportsOfAnyShapeAreNoHarm) {
  json acme = status({{"a", json()}, {"b", {{"pods", "x"}, {"conditions", {1, "x"}}}}});

  EXPECT_EQ("0/2", acme["summary"]);
  EXPECT_EQ(0, acme["pods"]);
}

TEST(TierStatusTest, CountsTenants) {
  json gold = tier_status(2, 7, {});
  json free = tier_status(1, 0, {.refused = "no"});

  EXPECT_EQ(7, gold["tenants"]);
  EXPECT_EQ(2, gold["observedGeneration"]);
  EXPECT_EQ("True", of_type(gold, "Accepted")["status"]);
  EXPECT_EQ("False", of_type(free, "Accepted")["status"]);
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
  bool write(std::map<std::string, json> statuses) {
    for (const auto& [name, object] : api_.objects) writer_->see(object);
    return writer_->write(std::move(statuses));
  }
  void write_pods(int pods) { write({{"acme", status(pods)}, {"never-seen", status(1)}}); }
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
  write_pods(1);
  settle();
  EXPECT_EQ(1, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ("gold", api_.objects["acme"]["spec"]["tier"]);
  EXPECT_EQ(1u, api_.requests().size());
  EXPECT_EQ("/apis/partywall.dev/v1alpha1/tenants/acme/status", api_.requests()[0].target);
  EXPECT_EQ("application/merge-patch+json", api_.requests()[0].header("Content-Type"));

  write_pods(1);
  settle();
  EXPECT_EQ(1u, api_.requests().size());

  auto begin = std::chrono::steady_clock::now();

  for (int pods = 2; pods <= 9; ++pods) write_pods(pods);
  settle();
  EXPECT_EQ(9, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ(2u, api_.requests().size());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 150ms) << "not so often";

  // Somebody else wrote it.
  json other = api_.objects["acme"];

  other["status"]["pods"] = 40;
  api_.put("acme", other);
  write_pods(9);
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
  write_pods(1);
  settle();
  EXPECT_EQ(1, api_.objects["acme"]["status"]["pods"]);
  EXPECT_EQ(3u, writer_->facts().errors.at("status"));

  api_.objects.clear();
  write_pods(2);
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
  EXPECT_FALSE(write({{"a", status_of(1, true)}, {"b", status_of(1, true)}}));
  settle();
  EXPECT_EQ((std::pair<json, json>(1, 1)), std::pair(pods_of("a"), pods_of("b")));

  EXPECT_TRUE(write({{"a", status_of(2, true)}, {"b", status_of(2, true)}}));
  settle();
  EXPECT_EQ((std::pair<json, json>(2, 1)), std::pair(pods_of("a"), pods_of("b")));

  // Who is not named waits on.
  EXPECT_TRUE(write({}));
  EXPECT_FALSE(write({{"b", status_of(3, false)}}));
  settle();
  EXPECT_EQ((std::pair<json, json>(2, 3)), std::pair(pods_of("a"), pods_of("b")));
}

// While a status is being written, the object becomes what it was before.
TEST_F(StatusWriterTest, TakesBackWhatIsUnderWay) {
  api_.put("acme", {{"spec", 1}});
  write_pods(1);
  settle();
  write_pods(2);
  ASSERT_TRUE(serve_until([&] { return api_.requests().size() == 2; }));
  // Nothing has been seen of it yet.
  writer_->write({{"acme", status(1)}});
  settle();
  EXPECT_EQ(1, api_.objects["acme"]["status"]["pods"]);
}

TEST_F(StatusWriterTest, DoesNotWriteWhatTheServerDropsForEver) {
  api_.put("acme", {{"spec", 1}});
  api_.instead = [&](const test::FakeApi::Request& request) {
    json object = api_.objects["acme"];

    object["status"] = {{"pods", 1}};
    api_.put("acme", object);
    request.from->reply(200, api_.objects["acme"].dump());
    return true;
  };
  for (int i = 0; i < 3; ++i) {
    write_pods(1);
    settle();
  }
  EXPECT_EQ(1u, api_.requests().size());
}

TEST_F(StatusWriterTest, WritesNothingOnceItIsGone) {
  api_.put("acme", {{"spec", 1}});
  write_pods(1);
  writer_.reset();
  for (int i = 0; i < 100; ++i) event_base_loop(loop_->base(), EVLOOP_ONCE);
  EXPECT_TRUE(api_.requests().empty());
}

}  // namespace
}  // namespace partywall::kubernetes

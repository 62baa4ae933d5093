// tests/unit/tenant_node_publisher_test.cc: a node's TenantNodes become what the agent wants,
// whoever writes them in between.
#include "agent/source/kubernetes/tenant_node_publisher.h"

#include <gmock/gmock.h>

#include "agent/source/kubernetes/names.h"
#include "tests/unit/fake_objects.h"
#include "tests/unit/loop_client.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::FakeApi;
using testing::ElementsAre;
using testing::HasSubstr;

json fields(int pods, bool realised = true) {
  return {{"addresses", {"10.0.0.1"}},
          {"pods", pods},
          {"conditions",
           {{{"type", "Realised"},
             {"status", realised ? "True" : "False"},
             {"reason", "X"},
             {"message", ""}}}}};
}

class TenantNodePublisherTest : public test::LoopTest {
 protected:
  void start(std::chrono::milliseconds list_again = 1h) {
    auto made = ApiClient::make(*loop_, {.server = api_.url()});

    ASSERT_TRUE(made);
    client_ = std::move(*made);
    publisher_ = std::make_unique<TenantNodePublisher>(
        *client_, TenantNodePublisher::Node{"n1", "node-uid"},
        WriteLimits{.coalesce = 20ms,
                    .spacing = 5ms,
                    .in_flight = 2,
                    .backoff_least = 5ms,
                    .backoff_most = 20ms},
        list_again);
  }
  void settle() {
    EXPECT_TRUE(serve_until([&] { return publisher_->settled(); }))
        << publisher_->facts().last_error;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;

    for (const auto& [name, object] : api_.objects) all.push_back(name);
    return all;
  }

  test::FakeObjects api_{*loop_, "/apis/partywall.dev/v1alpha1/tenantnodes"};
  std::unique_ptr<ApiClient> client_;
  std::unique_ptr<TenantNodePublisher> publisher_;
};

TEST_F(TenantNodePublisherTest, CreatesReplacesAndDeletes) {
  start();
  publisher_->publish({{"acme", fields(1)}, {"beta", fields(2)}});
  settle();
  EXPECT_THAT(names(), ElementsAre("acme.n1", "beta.n1"));

  json acme = api_.objects["acme.n1"];

  EXPECT_EQ(kApiVersion, acme["apiVersion"]);
  EXPECT_EQ("TenantNode", acme["kind"]);
  EXPECT_EQ("acme", acme["tenant"]);
  EXPECT_EQ("n1", acme["node"]);
  EXPECT_EQ(1, acme["pods"]);
  EXPECT_EQ("acme", acme["metadata"]["labels"]["partywall.dev/tenant"]);
  EXPECT_EQ("n1", acme["metadata"]["labels"]["partywall.dev/node"]);
  EXPECT_EQ("node-uid", acme["metadata"]["ownerReferences"][0]["uid"]);
  EXPECT_EQ(20u, acme["conditions"][0]["lastTransitionTime"].get<std::string>().size());
  EXPECT_THAT(api_.requests()[0].target, HasSubstr("labelSelector=partywall.dev%2Fnode%3Dn1"));

  publisher_->publish({{"acme", fields(7)}});
  settle();
  EXPECT_THAT(names(), ElementsAre("acme.n1"));
  EXPECT_EQ(7, api_.objects["acme.n1"]["pods"]);
  EXPECT_EQ(2u, api_.count("POST"));
  EXPECT_EQ(1u, api_.count("PUT"));
  EXPECT_EQ(1u, api_.count("DELETE"));
}

TEST_F(TenantNodePublisherTest, WhatIsAsItShouldBeIsNotWritten) {
  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  // Another agent of this node, after a restart.
  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  EXPECT_EQ(1u, api_.count("POST"));
  EXPECT_EQ(0u, api_.count("PUT"));
}

TEST_F(TenantNodePublisherTest, DeletesNothingBeforeItIsToldWhatIsWanted) {
  api_.put("old.n1", {{"tenant", "old"}, {"node", "n1"}});
  start();
  EXPECT_TRUE(serve_until([&] { return api_.count("GET") == 1; }));
  for (int i = 0; i < 100; ++i) event_base_loop(loop_->base(), EVLOOP_ONCE);
  EXPECT_EQ(1u, api_.requests().size());
  publisher_->publish({});
  settle();
  EXPECT_TRUE(api_.objects.empty());
}

TEST_F(TenantNodePublisherTest, ChangesInAShortTimeAreOneWriting) {
  start();
  for (int pods = 1; pods <= 50; ++pods) publisher_->publish({{"acme", fields(pods)}});
  settle();
  for (int pods = 51; pods <= 100; ++pods) publisher_->publish({{"acme", fields(pods)}});
  settle();
  EXPECT_EQ(100, api_.objects["acme.n1"]["pods"]);
  EXPECT_EQ(1u, api_.count("POST"));
  EXPECT_EQ(1u, api_.count("PUT"));
}

TEST_F(TenantNodePublisherTest, AConflictIsReadAndWrittenAgain) {
  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  api_.put("acme.n1", api_.objects["acme.n1"]);  // somebody touched it
  publisher_->publish({{"acme", fields(2)}});
  settle();
  EXPECT_EQ(2, api_.objects["acme.n1"]["pods"]);
  EXPECT_EQ(2u, api_.count("PUT"));

  // Deleted and made again by somebody.
  api_.objects.erase("acme.n1");
  api_.put("acme.n1", {{"pods", 40}});
  publisher_->publish({});
  settle();
  EXPECT_TRUE(api_.objects.empty());

  // Made by somebody before us.
  api_.put("beta.n1", {{"pods", 40}});
  publisher_->publish({{"beta", fields(3)}});
  settle();
  EXPECT_EQ(3, api_.objects["beta.n1"]["pods"]);
  // Deleted by somebody before our change.
  api_.objects.clear();
  publisher_->publish({{"beta", fields(4)}});
  settle();
  EXPECT_EQ(4, api_.objects["beta.n1"]["pods"]);
  EXPECT_TRUE(publisher_->facts().errors.empty());
}

TEST_F(TenantNodePublisherTest, WhatSomebodyElseDidIsFoundLater) {
  start(50ms);
  publisher_->publish({{"acme", fields(1)}});
  settle();
  api_.put("acme.n1", {{"pods", 40}});
  api_.put("strange.n1", {{"pods", 1}});
  EXPECT_TRUE(serve_until([&] {
    return names() == std::vector<std::string>{"acme.n1"} &&
           api_.objects["acme.n1"]["pods"] == 1;
  }));
}

TEST_F(TenantNodePublisherTest, FailuresAreTriedAgain) {
  int failures = 6;

  api_.instead = [&](const FakeApi::Request& request) {
    if (failures == 0) return false;
    --failures;
    if (failures % 2) {
      request.from->reply(failures % 3 ? 500 : 429, "{}");
    } else {
      request.from->send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
      request.from->close_after_sending();
    }
    return true;
  };
  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  EXPECT_EQ(0, failures);
  EXPECT_EQ(1, api_.objects["acme.n1"]["pods"]);

  failures = 3;
  publisher_->publish({{"acme", fields(2)}});
  settle();
  EXPECT_EQ(2, api_.objects["acme.n1"]["pods"]);
  EXPECT_FALSE(publisher_->facts().errors.empty());
  EXPECT_EQ("", publisher_->facts().last_error);
}

TEST_F(TenantNodePublisherTest, AnAnswerThatWasLostIsLookedUp) {
  bool lost = false;

  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();
  api_.instead = [&](const FakeApi::Request& request) {
    if (lost || request.method != "PUT") return false;
    lost = true;
    api_.put("acme.n1", json::parse(request.body));
    request.from->send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{");
    request.from->close_after_sending();
    return true;
  };
  publisher_->publish({{"acme", fields(2)}});
  settle();
  EXPECT_TRUE(lost);
  EXPECT_EQ(2, api_.objects["acme.n1"]["pods"]);
  EXPECT_EQ(1u, api_.count("PUT"));
}

TEST_F(TenantNodePublisherTest, NotMoreThanItsNumberAtOnce) {
  std::vector<FakeApi::Request> waiting;
  std::map<std::string, json> many;

  start();
  for (int i = 0; i < 10; ++i) many[fmt::format("t{}", i)] = fields(i);
  publisher_->publish({});
  settle();
  api_.instead = [&](const FakeApi::Request& request) {
    waiting.push_back(request);
    return true;
  };
  publisher_->publish(many);
  EXPECT_TRUE(serve_until([&] { return waiting.size() == 2; }));
  for (int i = 0; i < 100; ++i) event_base_loop(loop_->base(), EVLOOP_ONCE);
  EXPECT_EQ(2u, waiting.size());
  api_.instead = [](const auto&) { return false; };
  for (const FakeApi::Request& one : waiting) one.from->reply(500, "{}");
  settle();
  EXPECT_EQ(10u, api_.objects.size());
}

TEST_F(TenantNodePublisherTest, AServerThatDropsAFieldIsNotWrittenToForEver) {
  start();
  api_.instead = [&](const FakeApi::Request& request) {
    if (request.method != "POST") return false;

    json object = json::parse(request.body);

    object.erase("pods");
    api_.put("acme.n1", object);
    request.from->reply(201, api_.objects["acme.n1"].dump());
    return true;
  };
  for (int i = 0; i < 3; ++i) {
    publisher_->publish({{"acme", fields(1)}});
    settle();
  }
  EXPECT_EQ(1u, api_.count("POST"));
  EXPECT_EQ(0u, api_.count("PUT"));
}

TEST_F(TenantNodePublisherTest, AConditionsTimeIsThatOfItsLastChange) {
  start();
  publisher_->publish({{"acme", fields(1)}});
  settle();

  json old = api_.objects["acme.n1"];

  old["conditions"][0]["lastTransitionTime"] = "2020-01-01T00:00:00Z";
  api_.put("acme.n1", old);
  start();
  publisher_->publish({{"acme", fields(2)}});
  settle();
  EXPECT_EQ("2020-01-01T00:00:00Z",
            api_.objects["acme.n1"]["conditions"][0]["lastTransitionTime"]);
  publisher_->publish({{"acme", fields(2, false)}});
  settle();
  EXPECT_NE("2020-01-01T00:00:00Z",
            api_.objects["acme.n1"]["conditions"][0]["lastTransitionTime"]);
}

TEST(NamesTest, AreThoseOfTheObjects) {
  std::string long_name(60, 'a');

  EXPECT_EQ("acme.node-1", tenant_node_name("acme", "node-1"));
  EXPECT_EQ("node-1", node_label("node-1"));
  EXPECT_EQ(long_name + "bcd", node_label(long_name + "bcd"));
  // printf aaa...bcde | sha256sum
  EXPECT_EQ(std::string(52, 'a') + "-82b8fb1a0c", node_label(long_name + "bcde"));
  EXPECT_EQ(63u, node_label(std::string(253, 'n')).size());
}

}  // namespace
}  // namespace partywall::kubernetes

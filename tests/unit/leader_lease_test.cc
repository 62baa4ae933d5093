// tests/unit/leader_lease_test.cc: never two leaders, and soon another one.
#include "agent/source/kubernetes/leader_lease.h"

#include <gmock/gmock.h>

#include "tests/unit/fake_objects.h"
#include "tests/unit/loop_client.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::FakeApi;

constexpr LeaseTimes kTimes{.duration = 3000ms, .renew = 100ms, .look = 150ms};

class LeaderLeaseTest : public test::LoopTest {
 protected:
  LeaderLeaseTest() {
    auto made = ApiClient::make(*loop_, {.server = api_.url()});

    EXPECT_TRUE(made);
    client_ = std::move(*made);
  }

  std::unique_ptr<LeaderLease> agent(const std::string& name) {
    return std::make_unique<LeaderLease>(
        *client_, "partywall", "aggregator", name,
        [this, name](bool leads) { log_.push_back(name + (leads ? " leads" : " does not")); },
        kTimes);
  }
  json& spec() { return api_.objects["aggregator"]["spec"]; }
  void wait(std::chrono::milliseconds time) {
    auto end = std::chrono::steady_clock::now() + time;

    EXPECT_TRUE(serve_until([&] { return std::chrono::steady_clock::now() >= end; }));
  }

  test::FakeObjects api_{*loop_, "/apis/coordination.k8s.io/v1/namespaces/partywall/leases"};
  std::unique_ptr<ApiClient> client_;
  std::vector<std::string> log_;
};

TEST_F(LeaderLeaseTest, TheFirstOneLeadsAndRenews) {
  auto first = agent("a");

  ASSERT_TRUE(serve_until([&] { return first->leads(); }));
  EXPECT_EQ("a", spec()["holderIdentity"]);
  EXPECT_EQ(3, spec()["leaseDurationSeconds"]);
  EXPECT_EQ(0, spec()["leaseTransitions"]);
  EXPECT_EQ(27u, spec()["renewTime"].get<std::string>().size()) << spec();

  json before = spec();
  auto second = agent("b");

  wait(3500ms);
  EXPECT_TRUE(first->leads());
  EXPECT_FALSE(second->leads());
  EXPECT_NE(before["renewTime"], spec()["renewTime"]);
  EXPECT_EQ(before["acquireTime"], spec()["acquireTime"]);
  EXPECT_EQ(std::vector<std::string>{"a leads"}, log_);
}

TEST_F(LeaderLeaseTest, IsGivenUpAtOnce) {
  auto first = agent("a");

  ASSERT_TRUE(serve_until([&] { return first->leads(); }));

  auto second = agent("b");
  bool given_up = false;

  first->give_up([&] { given_up = true; });
  EXPECT_FALSE(first->leads());
  ASSERT_TRUE(serve_until([&] { return given_up; }));
  EXPECT_EQ("", spec()["holderIdentity"]);

  auto begin = std::chrono::steady_clock::now();

  ASSERT_TRUE(serve_until([&] { return second->leads(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kTimes.duration) << "it need not wait";
  EXPECT_EQ("b", spec()["holderIdentity"]);
  EXPECT_EQ((std::vector<std::string>{"a leads", "a does not", "b leads"}), log_);

  second->give_up([] {});
  agent("c")->give_up([&] { given_up = false; });
  EXPECT_FALSE(given_up) << "who does not lead has nothing to give up";
}

TEST_F(LeaderLeaseTest, IsTakenFromWhoIsGoneAndNotBefore) {
  api_.put("aggregator", {{"spec",
                           {{"holderIdentity", "gone"},
                            {"leaseDurationSeconds", 1},
                            {"leaseTransitions", 4},
                            // By this clock it was over long ago; but whose clock is right?
                            {"renewTime", "2020-01-01T00:00:00.000000Z"}}}});

  auto begin = std::chrono::steady_clock::now();
  auto second = agent("b");

  ASSERT_TRUE(serve_until([&] { return second->leads(); }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_EQ(5, spec()["leaseTransitions"]);
}

TEST_F(LeaderLeaseTest, WhoCannotRenewDoesNotLeadAnyMore) {
  auto first = agent("a");

  ASSERT_TRUE(serve_until([&] { return first->leads(); }));
  api_.instead = [](const FakeApi::Request& request) {
    request.from->reply(500, "{}");
    return true;
  };

  auto begin = std::chrono::steady_clock::now();

  ASSERT_TRUE(serve_until([&] { return !first->leads(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kTimes.duration);
  EXPECT_TRUE(serve_until([&] { return !first->last_error().empty(); }));
  api_.instead = [](const auto&) { return false; };
  ASSERT_TRUE(serve_until([&] { return first->leads(); })) << "and may again";
  EXPECT_EQ("", first->last_error());
}

TEST_F(LeaderLeaseTest, WhoLosesTheRaceDoesNotLead) {
  auto first = agent("a");

  ASSERT_TRUE(serve_until([&] { return first->leads(); }));
  // Somebody took it, for whatever reason.
  api_.put("aggregator",
           {{"spec", {{"holderIdentity", "other"}, {"leaseDurationSeconds", 3600}}}});
  ASSERT_TRUE(serve_until([&] { return !first->leads(); }));
  wait(500ms);
  EXPECT_FALSE(first->leads());
  EXPECT_EQ("other", spec()["holderIdentity"]);
}

}  // namespace
}  // namespace partywall::kubernetes

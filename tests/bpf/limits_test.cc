// tests/bpf/limits_test.cc: rates, audit mode and generations, packet by packet.
#include <chrono>

#include "maps/typed_map.h"
#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

constexpr const char* kA = "10.78.1.1";
constexpr const char* kB = "10.78.1.2";

std::string policy_with(const std::string& limits, const std::string& mode = "enforce") {
  return fmt::format(R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {{name: gold}}
spec: {{limits: {{{}}}}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: a}}
spec:
  tier: gold
  mode: {}
  members: [{{cgroup: $ROOT/a, addresses: [10.78.1.0/24]}}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: b}}
spec:
  tier: gold
  members: [{{cgroup: $ROOT/b, addresses: [10.78.2.0/24]}}]
)",
                     limits, mode);
}

class LimitsTest : public World {
 protected:
  void start(const std::string& limits, const std::string& mode = "enforce") {
    policy(policy_with(limits, mode));
    make_cgroup("a");
    enter("a");
  }

  // Sends packets of 1028 bytes until one is refused; how many passed, in seconds_.
  int burst(bool tcp = false) {
    auto begin = std::chrono::steady_clock::now();

    for (int passed = 0; passed < 10'000; passed++) {
      Outcome outcome = egress(tcp ? Packet::tcp(kA, 1, kB, 2).payload(988)
                                   : Packet::udp(kA, 1, kB, 2).payload(1000));
      last_ = outcome;
      seconds_ =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      if (outcome.reason >= abi::REASON_FIRST_DENY) return passed;
      if (outcome.verdict == 3) slowed_++;
    }
    return 10'000;
  }

  Outcome last_;
  double seconds_ = 0;
  int slowed_ = 0;
};

TEST_F(LimitsTest, NoLimitNoRefusal) {
  start("");
  EXPECT_EQ(10'000, burst());
}

TEST_F(LimitsTest, RefusesOnceTheBurstIsSpent) {
  start("egress: {ceiling: 80kbit, burst: 100Ki}");  // 10,000 bytes a second

  int passed = burst();

  // 102,400 bytes are there at once, a last packet may go into debt, some are earned meanwhile.
  EXPECT_GE(passed, 99);
  EXPECT_LE(passed, 101 + 10 * seconds_);
  EXPECT_EQ(abi::REASON_LIMIT_BYTES, last_.reason);
  EXPECT_EQ(2, last_.verdict);  // dropped, and the sender is told to slow down
  // The other direction has its own rate.
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, ingress(Packet::udp(kB, 2, kA, 1)).reason);
}

TEST_F(LimitsTest, TcpIsSlowedBeforeItIsDropped) {
  start("egress: {ceiling: 80kbit, burst: 100Ki}");
  burst(true);
  EXPECT_GT(slowed_, 20);
  EXPECT_EQ(2, last_.verdict);
}

TEST_F(LimitsTest, IngressIsDropped) {
  start("ingress: {ceiling: 80kbit, burst: 2Ki}");

  Outcome outcome;

  for (int i = 0; i < 10 && outcome.reason != abi::REASON_LIMIT_BYTES; i++)
    outcome = ingress(Packet::udp(kB, 2, kA, 1).payload(1000));
  EXPECT_EQ(abi::REASON_LIMIT_BYTES, outcome.reason);
  EXPECT_EQ(0, outcome.verdict);
}

TEST_F(LimitsTest, PacketsHaveTheirOwnRate) {
  start("packetsPerSecond: 100");

  int passed = burst();

  EXPECT_GE(passed, 32);
  EXPECT_LE(passed, 34 + 100 * seconds_);
  EXPECT_EQ(abi::REASON_LIMIT_PACKETS, last_.reason);
}

TEST_F(LimitsTest, OneTenantsBurstIsNotAnothers) {
  start("egress: {ceiling: 80kbit, burst: 16Ki}");
  burst();
  make_cgroup("b");
  enter("b");
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT,
            egress(Packet::udp("10.78.2.1", 1, "10.78.2.2", 2).payload(1000)).reason);
}

TEST_F(LimitsTest, WhatPassedWithoutALimitIsNoDebt) {
  start("");
  for (int i = 0; i < 1000; i++)
    EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT,
              egress(Packet::udp(kA, 1, kB, 2).payload(1000)).reason);
  policy(policy_with("egress: {ceiling: 80kbit, burst: 100Ki}"));

  int passed = burst();

  EXPECT_GE(passed, 95);
  EXPECT_LE(passed, 115);
  // Lifted again, it is as if it had never been there.
  policy(policy_with(""));
  EXPECT_EQ(10'000, burst());
}

// As when a softirq sends while another packet of the tenant is being counted on its CPU.
TEST_F(LimitsTest, ALatecomerIsCountedAndCharged) {
  start("egress: {ceiling: 80kbit, burst: 100Ki}");

  auto rows = MappedArray<abi::tenant_counters>::open(pins_, "counters");

  ASSERT_TRUE(rows);
  for (abi::tenant_counters& row : rows->rows()) row.taken = 1;
  for (int i = 0; i < 10; i++) {
    Outcome outcome = egress(Packet::udp(kA, 1, kB, 2).payload(1000));

    EXPECT_EQ(1, outcome.verdict);
    EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, outcome.reason);
    EXPECT_EQ(1028u, outcome.bytes);
  }
  EXPECT_LE(burst(), 100);  // the burst is one, whichever row it was counted in
  EXPECT_EQ(abi::REASON_LIMIT_BYTES, last_.reason);

  auto latecomers = rows->rows().last(kMaxTenants);

  EXPECT_GE(latecomers[number("a")].cell[0][abi::counter_cell(0, 0, 0)].packets, 90u);
}

TEST_F(LimitsTest, AuditCountsAndLetsPass) {
  start("egress: {ceiling: 80kbit, burst: 4Ki}", "audit");

  Outcome outcome;

  for (int i = 0; i < 20 && !outcome.would; i++)
    outcome = egress(Packet::udp(kA, 1, kB, 2).payload(1000));
  EXPECT_TRUE(outcome.would);
  EXPECT_EQ(abi::REASON_LIMIT_BYTES, outcome.reason);
  EXPECT_EQ(1, outcome.verdict);

  Outcome floor = egress(Packet::syn(kA, 1, "10.78.2.1", 80));

  EXPECT_TRUE(floor.would);
  EXPECT_EQ(abi::REASON_DENY_TENANT, floor.reason);
  EXPECT_EQ(1, floor.verdict);
  ASSERT_FALSE(events().empty());
}

TEST_F(LimitsTest, AChildInheritsWithoutTheAgent) {
  start("");
  make_cgroup("a/child");
  enter("a/child");
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, egress(Packet::udp(kA, 1, kB, 2)).reason);
}

TEST_F(LimitsTest, ATenantThatIsGoneIsDenied) {
  start("");
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, egress(Packet::udp(kA, 1, kB, 2)).reason);

  std::string text = policy_with("");

  policy(text.substr(0, text.find("kind: Tenant") - 39));
  EXPECT_EQ(abi::REASON_DENY_UNKNOWN_CGROUP, egress(Packet::udp(kA, 1, kB, 2)).reason);
  policy(text);
  EXPECT_EQ(abi::REASON_ALLOW_SAME_TENANT, egress(Packet::udp(kA, 1, kB, 2)).reason);
}

}  // namespace
}  // namespace partywall::test

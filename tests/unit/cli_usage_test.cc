// tests/unit/cli_usage_test.cc: counters are summed over CPUs, by class and by reason; rates
// and limits follow.
#include <gtest/gtest.h>

#include <vector>

#include "tools/cli/rates.h"
#include "tools/cli/top_frame.h"
#include "tools/cli/usage_json.h"
#include "tools/cli/usage_sum.h"

namespace partywall::cli {
namespace {

constexpr uint32_t kMaxTenants = 4;
constexpr uint32_t kCpus = 2;

class CliUsage : public testing::Test {
 protected:
  std::vector<abi::tenant_counters> rows_{kMaxTenants * kCpus};

  abi::traffic& cell(uint32_t cpu, uint32_t tenant, unsigned direction, unsigned reason,
                     unsigned peer, bool would = false) {
    return rows_[cpu * kMaxTenants + tenant]
        .cell[direction][abi::counter_cell(reason, peer, would)];
  }
};

TEST_F(CliUsage, SumsOneTenantOverAllCpus) {
  cell(0, 2, 0, abi::REASON_ALLOW_WORLD, abi::CLASS_WORLD) = {100, 1};
  cell(1, 2, 0, abi::REASON_ALLOW_WORLD_REPLY, abi::CLASS_WORLD) = {50, 2};
  cell(1, 3, 0, abi::REASON_ALLOW_WORLD, abi::CLASS_WORLD) = {7777, 7};  // somebody else's
  rows_[2].connections_opened[0] = 3;
  rows_[kMaxTenants + 2].connections_opened[0] = 4;

  TenantUsage usage = sum_counters(rows_, kMaxTenants, 2);

  EXPECT_EQ((Sum{150, 3}), usage.direction[0].passed[abi::CLASS_WORLD]);
  EXPECT_EQ((Sum{150, 3}), usage.direction[0].passed_total());
  EXPECT_EQ((Sum{}), usage.direction[1].passed_total());
  EXPECT_EQ(7u, usage.direction[0].connections);
}

TEST_F(CliUsage, DenialsAndLimitsAreNotTraffic) {
  cell(0, 1, 1, abi::REASON_DENY_TENANT, abi::CLASS_OTHER_TENANT) = {60, 1};
  cell(0, 1, 1, abi::REASON_LIMIT_BYTES, abi::CLASS_WORLD) = {1500, 1};
  cell(1, 1, 1, abi::REASON_LIMIT_BYTES, abi::CLASS_SAME_TENANT) = {3000, 2};
  rows_[1].calls_denied[abi::REASON_DENY_TENANT] = 5;

  TenantUsage usage = sum_counters(rows_, kMaxTenants, 1);

  EXPECT_EQ((Sum{}), usage.direction[1].passed_total());
  EXPECT_EQ((Sum{60, 1}), usage.direction[1].denied());
  EXPECT_EQ((Sum{4500, 3}), usage.direction[1].limited());
  EXPECT_EQ(5u, usage.calls_denied_total());
}

TEST_F(CliUsage, WhatAuditLetPassIsTrafficAndIsToldAgain) {
  cell(0, 1, 0, abi::REASON_DENY_WORLD, abi::CLASS_WORLD, true) = {40, 1};
  cell(0, 1, 0, abi::REASON_LIMIT_PACKETS, abi::CLASS_SAME_TENANT, true) = {60, 1};

  TenantUsage usage = sum_counters(rows_, kMaxTenants, 1);

  EXPECT_EQ((Sum{40, 1}), usage.direction[0].passed[abi::CLASS_WORLD]);
  EXPECT_EQ((Sum{60, 1}), usage.direction[0].passed[abi::CLASS_SAME_TENANT]);
  EXPECT_EQ((Sum{100, 2}), usage.direction[0].would_refuse_total());
  EXPECT_EQ((Sum{}), usage.direction[0].denied());
}

// Whatever cell a packet was counted in, it is found, and once.
TEST_F(CliUsage, NoCellIsLostOrCountedTwice) {
  abi::tenant_counters& row = rows_[1];

  for (abi::traffic& traffic : row.cell[0]) traffic = {1, 1};
  size_t marks = abi::REASON_FIRST_DENY;  // one after the cell of each reason that allows

  TenantUsage usage = sum_counters(rows_, kMaxTenants, 1);
  Sum total = usage.direction[0].passed_total();

  for (const Sum& sum : usage.direction[0].refused) total += sum;
  EXPECT_EQ(std::size(row.cell[0]) - marks, total.packets);
}

TEST_F(CliUsage, RowsThatAreNotThereCountAsNothing) {
  EXPECT_EQ((Sum{}), sum_counters({}, kMaxTenants, 1).direction[0].passed_total());
  EXPECT_EQ((Sum{}), sum_counters(rows_, 0, 1).direction[0].passed_total());
}

TEST_F(CliUsage, JsonNamesEveryClassAndOnlyCountedReasons) {
  cell(0, 1, 0, abi::REASON_DENY_TENANT, abi::CLASS_OTHER_TENANT) = {60, 1};

  Json data = usage_json(sum_counters(rows_, kMaxTenants, 1));

  EXPECT_EQ(size_t{abi::CLASS_COUNT}, data["egress"]["passed"].size());
  EXPECT_EQ(1u, data["egress"]["refused"].size());
  EXPECT_EQ(60, data["egress"]["refused"]["tenant_floor"]["bytes"]);
}

TEST(CliRates, ComeFromTheDifferenceOfTwoReadings) {
  TenantUsage before, after;

  before.direction[0].passed[abi::CLASS_WORLD] = {1000, 10};
  after.direction[0].passed[abi::CLASS_WORLD] = {2000, 30};
  after.direction[1].refused[abi::REASON_DENY_TENANT] = {60, 1};
  after.calls_denied[abi::REASON_DENY_TENANT] = 4;

  Rates rates = rates_between(after, before, 0.5);

  EXPECT_DOUBLE_EQ(16000, rates.bits[0]);
  EXPECT_DOUBLE_EQ(40, rates.packets[0]);
  EXPECT_DOUBLE_EQ(10, rates.denied);
  EXPECT_DOUBLE_EQ(0, rates_between(after, before, 0).bits[0]);
}

// A tenant number with a new owner starts again from 0: no rate of 2^64.
TEST(CliRates, SurviveCountersThatBeganAgain) {
  TenantUsage before, after;

  before.direction[0].passed[abi::CLASS_WORLD] = {1000, 10};
  after.direction[0].passed[abi::CLASS_WORLD] = {125, 1};
  EXPECT_DOUBLE_EQ(1000, rates_between(after, before, 1).bits[0]);
}

TEST(CliRates, ALimitIsUsedByRateAndByBurst) {
  abi::tenant_policy policy{};
  abi::tenant_meters meters{};
  Rates rates;

  policy.bytes[0] = {.per_second = 1000, .burst_ns = 100};
  meters.direction[0].bytes_paid_until_ns = 5050;
  rates.bits[0] = 4000;

  auto use = limit_use(policy, meters, rates, abi::DIRECTION_EGRESS, false, 5000);

  ASSERT_TRUE(use);
  EXPECT_DOUBLE_EQ(0.5, use->rate_share);
  EXPECT_DOUBLE_EQ(0.5, use->burst_share);
  EXPECT_DOUBLE_EQ(
      0, limit_use(policy, meters, rates, abi::DIRECTION_EGRESS, false, 9000)->burst_share);
  EXPECT_FALSE(limit_use(policy, meters, rates, abi::DIRECTION_INGRESS, false, 5000));
}

TopRow row(const char* name, double out, double denied) {
  TopRow made{.name = name};

  made.rates.bits[0] = out;
  made.rates.denied = denied;
  return made;
}

TEST(CliTop, SortsByTheColumnAskedFor) {
  std::vector<TopRow> rows = {row("b", 10, 0), row("a", 20, 1), row("c", 20, 9)};

  sort_rows(rows, "out");
  EXPECT_EQ("a", rows[0].name);  // ties by name
  sort_rows(rows, "denied");
  EXPECT_EQ("c", rows[0].name);
  sort_rows(rows, "name");
  EXPECT_EQ("a", rows[0].name);
}

TEST(CliTop, IsCutToTheWindow) {
  std::vector<TopRow> rows = {row("a", 35'100'000, 3), row("b", 0, 0), row("c", 0, 0)};
  std::string frame = top_frame(rows, 3, 20, true);

  EXPECT_EQ(3, std::count(frame.begin(), frame.end(), '\n'));
  EXPECT_EQ("TENANT  OUT BIT/S\na           35.1M\nb               0\n",
            top_frame(rows, 3, 17, false));
  EXPECT_NE(std::string::npos, top_frame(rows, 0, 0, false).find("\nc "));
}

}  // namespace
}  // namespace partywall::cli

// tests/unit/counter_rows_test.cc: a tenant's rows, one for each CPU, as one sum. No I/O.
#include "maps/counter_rows.h"

#include <gtest/gtest.h>

#include <vector>

namespace partywall {
namespace {

constexpr uint32_t kMaxTenants = 5;
constexpr uint32_t kCpus = 3;

class CounterRowsTest : public testing::Test {
 protected:
  abi::tenant_counters& row(uint32_t cpu, uint32_t tenant) {
    return rows_[size_t{cpu} * kMaxTenants + tenant];
  }
  abi::tenant_counters sum(uint32_t tenant) { return sum_rows(rows_, kMaxTenants, tenant); }

  std::vector<abi::tenant_counters> rows_{kCpus * kMaxTenants};
};

TEST_F(CounterRowsTest, EveryFieldOverAllCpusAndOfNobodyElse) {
  for (uint32_t cpu = 0; cpu < kCpus; cpu++)
    for (uint32_t tenant = 0; tenant < kMaxTenants; tenant++) {
      abi::tenant_counters& one = row(cpu, tenant);
      uint64_t amount = tenant == 2 ? 1 + cpu : 1'000'000;  // 1 + 2 + 3 = 6

      for (auto& direction : one.cell)
        for (abi::traffic& cell : direction) cell = {.bytes = 10 * amount, .packets = amount};
      for (auto& opened : one.connections_opened) opened = 100 * amount;
      for (auto& calls : one.calls_denied) calls = 200 * amount;
      for (auto& calls : one.calls_would_deny) calls = 300 * amount;
      one.events_sent = 400 * amount;
      one.events_throttled = 500 * amount;
      one.events_dropped = 600 * amount;
    }
  abi::tenant_counters all = sum(2);

  for (const auto& direction : all.cell)
    for (const abi::traffic& cell : direction) {
      EXPECT_EQ(60u, cell.bytes);
      EXPECT_EQ(6u, cell.packets);
    }
  for (auto opened : all.connections_opened) EXPECT_EQ(600u, opened);
  for (auto calls : all.calls_denied) EXPECT_EQ(1200u, calls);
  for (auto calls : all.calls_would_deny) EXPECT_EQ(1800u, calls);
  EXPECT_EQ(2400u, all.events_sent);
  EXPECT_EQ(3000u, all.events_throttled);
  EXPECT_EQ(3600u, all.events_dropped);
}

TEST_F(CounterRowsTest, LargeCountsAreExact) {
  row(0, 1).events_sent = uint64_t{1} << 63;
  row(1, 1).events_sent = (uint64_t{1} << 62) + 1;
  row(2, 1).events_sent = 2;
  EXPECT_EQ((uint64_t{3} << 62) + 3, sum(1).events_sent);
}

TEST_F(CounterRowsTest, RowsThatAreNotThereAreZero) {
  row(0, 4).events_sent = 1;
  row(1, 4).events_sent = 2;
  row(2, 4).events_sent = 4;
  EXPECT_EQ(7u, sum(4).events_sent);
  rows_.pop_back();
  EXPECT_EQ(3u, sum(4).events_sent);
  EXPECT_EQ(0u, sum_rows({}, kMaxTenants, 4).events_sent);
  EXPECT_EQ(0u, sum_rows(rows_, kMaxTenants, 4000).events_sent);
}

// Of maps that were made and not filled in yet: nothing, and an end.
TEST_F(CounterRowsTest, NoTenantsAtAll) {
  row(0, 0).events_sent = 1;
  EXPECT_EQ(0u, sum_rows(rows_, 0, 0).events_sent);
}

}  // namespace
}  // namespace partywall

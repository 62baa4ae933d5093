// tests/unit/self_metrics_test.cc: the agent's own metrics as text. Reads what /proc says of
// this process.
#include "agent/observe/self_metrics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <ctime>
#include <map>
#include <regex>
#include <sstream>

#include "agent/version.h"

namespace partywall::observe {
namespace {

using testing::HasSubstr;
using testing::Not;

// Series -> value, of a page in the text format. Fails on a line that is none of it, on a
// series without HELP and TYPE before it, and on one that is there twice.
std::map<std::string, double> parse(const std::string& page) {
  const std::regex kComment("# (HELP|TYPE) ([a-z_]+) .+");
  const std::regex kSeries(R"(([a-z_]+)((\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})?) (\S+))");
  std::map<std::string, double> series;
  std::string help;
  std::string type;
  std::istringstream lines(page);

  EXPECT_TRUE(page.empty() || page.back() == '\n');
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;

    if (std::regex_match(line, found, kComment)) {
      (found[1] == "HELP" ? help : type) = found[2];
      continue;
    }
    if (!std::regex_match(line, found, kSeries)) {
      ADD_FAILURE() << "no line of the text format: " << line;
      continue;
    }
    std::string name =
        std::regex_replace(found[1].str(), std::regex("_(bucket|sum|count)$"), "");

    EXPECT_EQ(name, help) << line;
    EXPECT_EQ(name, type) << line;

    auto [at, fresh] = series.emplace(found[1].str() + found[2].str(), std::stod(found[5]));

    EXPECT_TRUE(fresh) << "twice: " << line;
  }
  return series;
}

TEST(SelfMetrics, WhatIsThereFromTheStart) {
  SelfMetrics metrics;
  auto series = parse(metrics.text());
  auto now = static_cast<double>(time(nullptr));

  EXPECT_EQ(1, series.at(fmt::format("partywall_build_info{{version=\"{}\"}}", kVersion)));
  EXPECT_NEAR(now, series.at("process_start_time_seconds"), 5);
  EXPECT_GT(series.at("process_cpu_seconds_total"), 0);
  EXPECT_GT(series.at("process_resident_memory_bytes"), 1 << 20);
  EXPECT_EQ(0, series.at("partywall_policy_apply_seconds_count"));
}

TEST(SelfMetrics, WhatHasNoValueIsAbsent) {
  SelfMetrics metrics;

  EXPECT_THAT(metrics.text(), Not(HasSubstr("partywall_policy_generation")));
  metrics.set(Metric::kPolicyGeneration, 0);
  EXPECT_EQ(0, parse(metrics.text()).at("partywall_policy_generation"));
}

TEST(SelfMetrics, TenantsMetricsAreNotHere) {
  SelfMetrics metrics;
  std::string text = metrics.text();

  for (size_t i = 0; i < static_cast<size_t>(Metric::kBuildInfo); i++)
    EXPECT_THAT(text, Not(HasSubstr(kMetrics.at(i).name)));
}

TEST(SelfMetrics, GaugesSetCountersAddHistogramsObserve) {
  SelfMetrics metrics;

  metrics.set(Metric::kTenants, 5, {{"mode", "audit"}});
  metrics.set(Metric::kTenants, 3, {{"mode", "audit"}});
  metrics.set(Metric::kTenants, 9, {{"mode", "enforce"}});
  metrics.add(Metric::kPolicyReads, 1, {{"result", "applied"}});
  metrics.add(Metric::kPolicyReads, 2, {{"result", "applied"}});
  metrics.observe(Metric::kPolicyApplySeconds, 0.003);
  metrics.observe(Metric::kPolicyApplySeconds, 20);
  auto series = parse(metrics.text());

  EXPECT_EQ(3, series.at("partywall_tenants{mode=\"audit\"}"));
  EXPECT_EQ(9, series.at("partywall_tenants{mode=\"enforce\"}"));
  EXPECT_EQ(3, series.at("partywall_policy_reads_total{result=\"applied\"}"));
  EXPECT_EQ(0, series.at("partywall_policy_apply_seconds_bucket{le=\"0.0025\"}"));
  EXPECT_EQ(1, series.at("partywall_policy_apply_seconds_bucket{le=\"0.005\"}"));
  EXPECT_EQ(1, series.at("partywall_policy_apply_seconds_bucket{le=\"10\"}"));
  EXPECT_EQ(2, series.at("partywall_policy_apply_seconds_bucket{le=\"+Inf\"}"));
  EXPECT_EQ(2, series.at("partywall_policy_apply_seconds_count"));
  EXPECT_DOUBLE_EQ(20.003, series.at("partywall_policy_apply_seconds_sum"));
}

TEST(SelfMetrics, FollowedCountersNeverGoDown) {
  SelfMetrics metrics;
  auto value = [&] {
    return parse(metrics.text()).at("partywall_losses_total{kind=\"udp_peer\"}");
  };

  for (auto [total, expected] : {std::pair{0, 0}, {7, 7}, {7, 7}, {3, 7}, {8, 8}, {0, 8}}) {
    metrics.follow(Metric::kLosses, total, {{"kind", "udp_peer"}});
    EXPECT_EQ(expected, value()) << "after " << total;
  }
}

TEST(SelfMetrics, CpuTimeCountsUp) {
  SelfMetrics metrics;
  double before = parse(metrics.text()).at("process_cpu_seconds_total");
  std::clock_t start = std::clock();

  while (std::clock() - start < CLOCKS_PER_SEC / 50) metrics.add(Metric::kPolicyReads);
  EXPECT_GE(parse(metrics.text()).at("process_cpu_seconds_total"), before + 0.015);
}

}  // namespace
}  // namespace partywall::observe

// tests/unit/metrics_test.cc: the metrics' names follow the conventions, and docs/metrics.md
// has them all. Reads that page.
#include "agent/observe/metrics.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

namespace partywall::observe {
namespace {

using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string read_source(const std::string& path) {
  const char* root = std::getenv("PARTYWALL_SOURCE");
  std::ifstream file(std::string(root ? root : ".") + "/" + path);

  EXPECT_TRUE(file) << path << " cannot be read: set PARTYWALL_SOURCE";
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> labels_of(const MetricDecl& metric) {
  std::vector<std::string> labels;
  std::istringstream text(metric.labels);

  for (std::string label; std::getline(text >> std::ws, label, ',');) labels.push_back(label);
  return labels;
}

TEST(Metrics, NamesAreSnakeCaseWithOnePrefix) {
  const std::regex kSnakeCase("[a-z]+(_[a-z]+)*");

  for (const MetricDecl& metric : kMetrics) {
    std::string name = metric.name;

    EXPECT_TRUE(std::regex_match(name, kSnakeCase)) << name;
    // process_* are every program's, under these very names.
    EXPECT_THAT(name, AnyOf(StartsWith("partywall_"), "process_cpu_seconds_total",
                            "process_resident_memory_bytes", "process_start_time_seconds"));
    EXPECT_EQ(std::string::npos, name.find("partywall", 1)) << name;
  }
}

TEST(Metrics, OnlyCountersEndInTotal) {
  for (const MetricDecl& metric : kMetrics)
    EXPECT_EQ(metric.type == MetricType::kCounter, std::string(metric.name).ends_with("_total"))
        << metric.name;
}

TEST(Metrics, SuffixesOfSeriesAreNobodysName) {
  for (const MetricDecl& metric : kMetrics)
    for (const char* suffix : {"_count", "_sum", "_bucket", "_created"})
      EXPECT_THAT(metric.name, Not(EndsWith(suffix)));
}

TEST(Metrics, UnitsAreBaseUnits) {
  for (const MetricDecl& metric : kMetrics) {
    for (const char* unit : {"_ms", "_milliseconds", "_us", "_ns", "_kb", "_mb", "_kib",
                             "_bits", "_percent", "_minutes"})
      EXPECT_THAT(std::string(metric.name) + "_", Not(HasSubstr(fmt::format("{}_", unit))));
    EXPECT_TRUE(metric.type != MetricType::kHistogram ||
                std::string(metric.name).ends_with("_seconds"))
        << metric.name;
  }
}

TEST(Metrics, NamesAreUnique) {
  std::set<std::string> names;

  for (const MetricDecl& metric : kMetrics)
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
}

TEST(Metrics, LabelsAreWordsAndTheTenantIsTheFirst) {
  const std::regex kLabel("[a-z][a-z0-9_]*");

  for (const MetricDecl& metric : kMetrics) {
    std::vector<std::string> labels = labels_of(metric);
    std::set<std::string> unique(labels.begin(), labels.end());

    EXPECT_EQ(labels.size(), unique.size()) << metric.name;
    for (const std::string& label : labels) {
      EXPECT_TRUE(std::regex_match(label, kLabel)) << metric.name << ": " << label;
      EXPECT_THAT(label, Not(AnyOf("le", "quantile", "job", "instance"))) << metric.name;
    }
    EXPECT_TRUE(!unique.contains("tenant") || labels.front() == "tenant") << metric.name;
  }
}

TEST(Metrics, EachSaysWhatItMeans) {
  for (const MetricDecl& metric : kMetrics) {
    std::string help = metric.help;

    EXPECT_GT(help.size(), 15u) << metric.name;
    EXPECT_THAT(help, EndsWith(".")) << metric.name;
    // One line, in the text format and in a table.
    EXPECT_EQ(std::string::npos, help.find_first_of("\n\\|")) << metric.name;
    EXPECT_THAT(help, Not(HasSubstr("  "))) << metric.name;
  }
}

TEST(Metrics, TheDeclarationIsFoundByItsConstant) {
  EXPECT_STREQ("partywall_traffic_bytes_total", decl(Metric::kTrafficBytes).name);
  EXPECT_STREQ("process_start_time_seconds", decl(Metric::kStartTime).name);
  EXPECT_STREQ("counter", to_string(MetricType::kCounter));
  EXPECT_STREQ("gauge", to_string(MetricType::kGauge));
  EXPECT_STREQ("histogram", to_string(MetricType::kHistogram));
}

// Control: the page that is compared below names each of them.
TEST(Metrics, ThePageHasARowForEach) {
  std::string page = metrics_page();

  for (const MetricDecl& metric : kMetrics)
    EXPECT_THAT(page,
                HasSubstr(fmt::format("| `{}` | {} | ", metric.name, to_string(metric.type))));
}

TEST(Metrics, TheReferenceIsWhatThisAgentHas) {
  const std::string kBegin = "<!-- partywalld --print-metrics -->\n";
  const std::string kEnd = "<!-- end -->\n";
  std::string page = read_source("docs/metrics.md");
  size_t begin = page.find(kBegin);
  size_t end = page.find(kEnd);

  ASSERT_NE(std::string::npos, begin);
  ASSERT_NE(std::string::npos, end);
  begin += kBegin.size();
  EXPECT_EQ(fmt::format("\n{}\n", metrics_page()), page.substr(begin, end - begin))
      << "put the output of partywalld --print-metrics between the marks of docs/metrics.md";
}

// What the page says in its examples is what there is.
TEST(Metrics, TheReferenceNamesNoOtherMetric) {
  const std::regex kName(R"(\b(partywall|process)_[a-z_]+\b)");
  const std::regex kSuffix("_(bucket|sum|count)$");
  std::string page = read_source("docs/metrics.md");
  std::set<std::string> names;
  size_t seen = 0;

  for (const MetricDecl& metric : kMetrics) names.insert(metric.name);
  for (std::sregex_iterator found(page.begin(), page.end(), kName), none; found != none;
       ++found, ++seen) {
    std::string name = found->str();

    EXPECT_TRUE(names.contains(name) || names.contains(std::regex_replace(name, kSuffix, "")))
        << name;
  }
  EXPECT_GT(seen, kMetrics.size()) << "there are examples";
}

}  // namespace
}  // namespace partywall::observe

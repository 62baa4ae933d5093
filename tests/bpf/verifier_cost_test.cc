// tests/bpf/verifier_cost_test.cc: what each program costs this kernel's verifier, against the
// limit and against tests/vm/verifier_cost.tsv. PARTYWALL_VERIFIER_COST names a file to write
// it to.
#include <bpf/bpf.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "agent/kernel/objects.h"

namespace partywall::test {
namespace {

constexpr uint32_t kLimit = 100'000;
constexpr double kMostGrowth = 1.20;
constexpr const char* kRefresh = "tools/test-kernels --refresh-cost";

// Of a kernel: "object/program" -> instructions that the verifier walked through.
using Costs = std::map<std::string, uint32_t>;

// "6.1" of "6.1.0-50-amd64".
std::string kernel_series() {
  utsname name{};

  uname(&name);

  std::string release = name.release;

  return release.substr(0, release.find_first_not_of("0123456789", release.find('.') + 1));
}

// Series -> costs, as the file has them: a row per program, a column per series.
std::map<std::string, Costs> baseline() {
  std::ifstream file(std::string(std::getenv("PARTYWALL_SOURCE")) +
                     "/tests/vm/verifier_cost.tsv");
  std::map<std::string, Costs> all;
  std::string line, word;
  std::vector<std::string> series;

  std::getline(file, line);
  for (std::istringstream words(line); words >> word;) series.push_back(word);
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string program;
    uint32_t cost = 0;

    words >> program;
    for (size_t i = 1; i < series.size() && words >> cost; i++) all[series[i]][program] = cost;
  }
  return all;
}

// The costs to compare this kernel with: its own, or the highest of all when it has none.
Costs known_costs(const std::string& series) {
  auto all = baseline();

  if (auto found = all.find(series); found != all.end()) return found->second;

  Costs highest;

  for (const auto& [other, costs] : all)
    for (const auto& [program, cost] : costs)
      highest[program] = std::max(highest[program], cost);
  return highest;
}

void measure(const kernel::ObjectSpec& spec, Costs& costs) {
  auto object = kernel::load_object(spec, "", {});
  bpf_program* program = nullptr;

  ASSERT_TRUE(object) << object.error().message();
  bpf_object__for_each_program(program, object->get()) {
    bpf_prog_info info{};
    __u32 size = sizeof(info);

    if (bpf_program__fd(program) < 0) continue;
    ASSERT_EQ(0, bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size));
    costs[fmt::format("{}/{}", spec.name, bpf_program__name(program))] = info.verified_insns;
  }
}

// For tools/test-kernels --refresh-cost.
void write_down(const std::string& path, const std::string& series, const Costs& costs) {
  std::ofstream file(path);

  for (const auto& [program, cost] : costs)
    file << series << '\t' << program << '\t' << cost << '\n';
  EXPECT_TRUE(file.flush()) << path;
}

TEST(VerifierCostTest, NoProgramCostsMoreThanItDid) {
  std::string series = kernel_series();
  Costs costs, known = known_costs(series);

  for (const auto& spec : kernel::object_specs()) ASSERT_NO_FATAL_FAILURE(measure(spec, costs));
  if (const char* path = std::getenv("PARTYWALL_VERIFIER_COST"))
    write_down(path, series, costs);
  for (const auto& [program, cost] : costs) {
    fmt::print("{} {} {}\n", series, program, cost);
    EXPECT_GT(cost, 0u) << program;
    EXPECT_LE(cost, kLimit) << program;
    EXPECT_TRUE(known.contains(program)) << program << " is not in the table: " << kRefresh;
    EXPECT_LE(cost, known[program] * kMostGrowth)
        << program << " cost " << known[program] << "; make it cheaper, or: " << kRefresh;
  }
}

}  // namespace
}  // namespace partywall::test

// tools/cli/doctor_report.cc: findings in words. Pure.
#include "tools/cli/doctor_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/cli/quantity.h"
#include "tools/cli/session.h"
#include "tools/cli/table.h"

namespace partywall::cli {
namespace {

const char* word_of(Health health) {
  return health == Health::kOk ? "ok" : health == Health::kWarn ? "warn" : "FAIL";
}

std::string colored_word(Health health, bool colored) {
  return paint(word_of(health),
               health == Health::kOk     ? Color::kGreen
               : health == Health::kWarn ? Color::kYellow
                                         : Color::kRed,
               colored);
}

}  // namespace

int exit_of(const std::vector<Finding>& findings) {
  Health worst = Health::kOk;

  for (const Finding& finding : findings) worst = std::max(worst, finding.health);
  return worst == Health::kOk ? kExitOk : worst == Health::kWarn ? kExitRefused : kExitBroken;
}

std::string report_text(const std::vector<Finding>& findings, bool colored) {
  Table table({{"RESULT"}, {"CHECK"}, {"FOUND"}});
  std::string advice;

  for (const Finding& finding : findings) {
    table.add({colored_word(finding.health, colored), finding.check, finding.detail});
    if (finding.health == Health::kOk || finding.next.empty()) continue;

    std::string line = fmt::format("  {}: {}\n", finding.check, finding.next);

    if (advice.find(line) == std::string::npos) advice += line;
  }
  size_t warnings = 0, failures = 0;

  for (const Finding& finding : findings) {
    warnings += finding.health == Health::kWarn;
    failures += finding.health == Health::kFail;
  }
  std::string text = table.render();

  if (!advice.empty()) text += "\nWhat to do\n" + advice;
  return text + fmt::format("\n{} checks: {} ok, {} warn, {} FAIL\n", findings.size(),
                            findings.size() - warnings - failures, warnings, failures);
}

Json report_json(const std::vector<Finding>& findings) {
  Json data = Json::array();

  for (const Finding& finding : findings) {
    Json one = {{"result", word_of(finding.health)},
                {"check", finding.check},
                {"found", finding.detail}};

    if (!finding.next.empty()) one["next"] = finding.next;
    data.push_back(std::move(one));
  }
  return data;
}

Finding pressure_finding(const std::string& map, uint64_t used, uint64_t capacity) {
  double share = capacity ? static_cast<double>(used) / static_cast<double>(capacity) : 0;
  Finding finding{
      .check = "map " + map,
      .detail = fmt::format("{} of {} entries ({})", used, capacity, human_share(share))};

  if (share >= 1) {
    finding.health = Health::kFail;
    finding.next = "it is full, and what does not fit is denied; use fewer rules or cgroups";
  } else if (share > 0.8) {
    finding.health = Health::kWarn;
    finding.next = "it is nearly full; what does not fit will be denied";
  }
  return finding;
}

}  // namespace partywall::cli

// tools/cli/doctor_report.h: findings of `doctor`, their table and the exit code. Pure.
#ifndef PARTYWALL_TOOLS_CLI_DOCTOR_REPORT_H
#define PARTYWALL_TOOLS_CLI_DOCTOR_REPORT_H

#include <string>
#include <vector>

#include "tools/cli/output.h"

namespace partywall::cli {

enum class Health { kOk, kWarn, kFail };

struct Finding {
  Health health = Health::kOk;
  std::string check;   // "program packet_egress"
  std::string detail;  // what was found
  std::string next;    // what to do; empty when ok
};

// 0 = all ok, 1 = something warns, 2 = something fails.
int exit_of(const std::vector<Finding>& findings);

// A table, then one line of advice for each finding that is not ok.
std::string report_text(const std::vector<Finding>& findings, bool colored);
Json report_json(const std::vector<Finding>& findings);

// From used and capacity: warn above 80 %, fail when full.
Finding pressure_finding(const std::string& map, uint64_t used, uint64_t capacity);

}  // namespace partywall::cli

#endif

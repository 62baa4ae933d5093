// tools/cli/agent_findings.h: what `doctor` makes of the agent's status. Pure.
#ifndef PARTYWALL_TOOLS_CLI_AGENT_FINDINGS_H
#define PARTYWALL_TOOLS_CLI_AGENT_FINDINGS_H

#include <vector>

#include "tools/cli/doctor_report.h"

namespace partywall::cli {

// Findings about the policy folder as the agent last read it.
std::vector<Finding> agent_findings(const Json& status);

}  // namespace partywall::cli

#endif

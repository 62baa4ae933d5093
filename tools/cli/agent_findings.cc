// tools/cli/agent_findings.cc: reads the status object of the control socket. Pure.
#include "tools/cli/agent_findings.h"

#include <fmt/format.h>

namespace partywall::cli {

std::vector<Finding> agent_findings(const Json& status) {
  const Json* from = &status;

  if (auto policy = status.find("policy"); policy != status.end() && policy->is_object())
    from = &*policy;

  auto problems = from->find("problems");

  if (problems == from->end() || !problems->is_array() || problems->empty())
    return {{.check = "policy folder", .detail = "accepted"}};

  const Json& first = problems->front();

  return {{Health::kWarn, "policy folder",
           fmt::format("{} problems, the first: {}", problems->size(),
                       first.is_string() ? first.get<std::string>() : first.dump()),
           "the last good policy stays in force; correct the files (partywall check)"}};
}

}  // namespace partywall::cli

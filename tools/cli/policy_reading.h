// tools/cli/policy_reading.h: the policy of a folder, or the one in force. Reads files only.
#ifndef PARTYWALL_TOOLS_CLI_POLICY_READING_H
#define PARTYWALL_TOOLS_CLI_POLICY_READING_H

#include <string>

#include "agent/policy/parse.h"
#include "maps/result.h"
#include "tools/cli/session.h"

namespace partywall::cli {

// Every document of a file, or of a folder's *.yaml and *.yml, with the infrastructure lane of
// an agent configuration (empty path: none). `managed_root`: empty = not checked. What is wrong
// with the documents is in `problems`; fails when a file cannot be read.
Result<policy::ParsedPolicy> read_policy(const std::string& path, const std::string& config,
                                         const std::string& managed_root);

// The policy that the agent put into force last, from the copies in its state folder, which are
// called by the names of the files that they are copies of; the agent need not run.
Result<policy::ParsedPolicy> read_policy_in_force(const Session& session);

}  // namespace partywall::cli

#endif

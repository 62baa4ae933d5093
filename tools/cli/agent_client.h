// tools/cli/agent_client.h: asks the running agent over its Unix socket. One request, JSON
// lines back.
#ifndef PARTYWALL_TOOLS_CLI_AGENT_CLIENT_H
#define PARTYWALL_TOOLS_CLI_AGENT_CLIENT_H

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "maps/result.h"
#include "tools/cli/session.h"

namespace partywall::cli {

// Hands each line of the answer to `on_line` until it says false or the agent closes.
// `patience` bounds the wait for each line; 0 = for ever. Fails with ECONNREFUSED or ENOENT
// when no agent listens, and with the agent's own words when it answers {"error": ...}.
Result<void> ask_agent(const std::string& socket_path, const Json& request,
                       std::chrono::milliseconds patience,
                       const std::function<bool(const std::string&)>& on_line);

// The agent's status, or nothing when it is not running; then says so on stderr, in one line.
std::optional<Json> agent_status(const Session& session);

}  // namespace partywall::cli

#endif

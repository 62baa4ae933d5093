// tools/cli/event_text.h: one event of the agent in one line of text. Pure.
#ifndef PARTYWALL_TOOLS_CLI_EVENT_TEXT_H
#define PARTYWALL_TOOLS_CLI_EVENT_TEXT_H

#include <string>

namespace partywall::cli {

// `line`: one JSON object (docs/events.md). A line that is none comes back as it is.
std::string event_text(const std::string& line, bool colored);

}  // namespace partywall::cli

#endif

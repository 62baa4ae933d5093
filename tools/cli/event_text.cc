// tools/cli/event_text.cc: picks the fields that people look for. Pure.
#include "tools/cli/event_text.h"

namespace partywall::cli {

std::string event_text(const std::string& line, bool /*colored*/) { return line; }

}  // namespace partywall::cli

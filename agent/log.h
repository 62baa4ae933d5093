// agent/log.h: where log lines go and what they look like. Log with spdlog::info() and its
// like.
#ifndef PARTYWALL_AGENT_LOG_H
#define PARTYWALL_AGENT_LOG_H

#include <string>

namespace partywall {

// To standard error. `format`: text (coloured on a terminal) or json, one object a line with
// time, level and message. `level`: debug, info, warn or error.
void set_up_log(const std::string& format, const std::string& level);

}  // namespace partywall

#endif

// agent/observe/event_json.h: one event of the kernel as one JSON object (docs/events.md).
// Pure.
#ifndef PARTYWALL_AGENT_OBSERVE_EVENT_JSON_H
#define PARTYWALL_AGENT_OBSERVE_EVENT_JSON_H

#include <cstdint>
#include <functional>
#include <string>

#include "maps/abi/events.h"

namespace partywall::observe {

inline constexpr int kEventSchemaVersion = 1;

// What an event's numbers stand for.
struct EventContext {
  std::string node;
  int64_t realtime_offset_ns = 0;                    // CLOCK_REALTIME less CLOCK_MONOTONIC
  std::function<std::string(uint32_t)> tenant_name;  // "" = nobody has that number
};

// Without a line feed at the end.
std::string event_json(const abi::verdict_event& event, const EventContext& context);

}  // namespace partywall::observe

#endif

// agent/source/kubernetes/conditions.h: the conditions of a status, and since when they hold.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_CONDITIONS_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_CONDITIONS_H

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace partywall::kubernetes {

using WallTime = std::chrono::system_clock::time_point;

std::string rfc3339(WallTime time);         // "2026-01-31T12:00:00Z"
std::string rfc3339_micros(WallTime time);  // "2026-01-31T12:00:00.000000Z"

// {type, status: True|False, reason, message}. The message is cut to what the API takes.
nlohmann::json condition(const std::string& type, bool holds, const std::string& reason,
                         const std::string& message);

// `wanted` with lastTransitionTime in each of its "conditions": that of `there`'s condition of
// the same type and status, `now` where there is none.
nlohmann::json with_times(nlohmann::json wanted, const nlohmann::json& there, WallTime now);

}  // namespace partywall::kubernetes

#endif

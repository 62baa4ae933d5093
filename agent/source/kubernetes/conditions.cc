// agent/source/kubernetes/conditions.cc: times and conditions as the API writes them.
#include "agent/source/kubernetes/conditions.h"

#include <fmt/format.h>
#include <time.h>

#include "agent/source/kubernetes/json_fields.h"

namespace partywall::kubernetes {
namespace {

using nlohmann::json;

constexpr size_t kMaxMessageBytes = 1024;

std::string seconds_of(WallTime time) {
  time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(
          std::chrono::floor<std::chrono::seconds>(time)));
  tm parts{};

  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

std::string time_of(const json& wanted, const json& there, const std::string& now) {
  const json* before = find(there, {"conditions"});

  if (!before || !before->is_array()) return now;
  for (const json& one : *before) {
    const std::string& since = text_at(one, {"lastTransitionTime"});

    if (text_at(one, {"type"}) == text_at(wanted, {"type"}) && !since.empty() &&
        text_at(one, {"status"}) == text_at(wanted, {"status"}))
      return since;
  }
  return now;
}

}  // namespace

std::string rfc3339(WallTime time) { return seconds_of(time) + "Z"; }

std::string rfc3339_micros(WallTime time) {
  auto micros = std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch();

  return fmt::format("{}.{:06}Z", seconds_of(time), micros.count() % 1'000'000);
}

json condition(const std::string& type, bool holds, const std::string& reason,
               const std::string& message) {
  return {{"type", type},
          {"status", holds ? "True" : "False"},
          {"reason", reason},
          {"message", message.size() <= kMaxMessageBytes
                          ? message
                          : message.substr(0, kMaxMessageBytes - 3) + "..."}};
}

json with_times(json wanted, const json& there, WallTime now) {
  if (auto list = wanted.find("conditions"); list != wanted.end() && list->is_array())
    for (json& one : *list) one["lastTransitionTime"] = time_of(one, there, rfc3339(now));
  return wanted;
}

}  // namespace partywall::kubernetes

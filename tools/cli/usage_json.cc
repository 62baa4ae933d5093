// tools/cli/usage_json.cc: arrays by number -> objects by name. Pure.
#include "tools/cli/usage_json.h"

#include "maps/words.h"

namespace partywall::cli {
namespace {

Json sum_json(const Sum& sum) { return {{"bytes", sum.bytes}, {"packets", sum.packets}}; }

Json reasons_json(const std::array<Sum, abi::REASON_COUNT>& sums) {
  Json data = Json::object();

  for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++)
    if (sums[reason] != Sum{}) data[kReasons[reason].label] = sum_json(sums[reason]);
  return data;
}

Json calls_json(const std::array<uint64_t, abi::REASON_COUNT>& calls) {
  Json data = Json::object();

  for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++)
    if (calls[reason]) data[kReasons[reason].label] = calls[reason];
  return data;
}

}  // namespace

Json usage_json(const TenantUsage& usage) {
  Json data = Json::object();

  for (unsigned d = 0; d < abi::DIRECTION_COUNT; d++) {
    const DirectionUsage& direction = usage.direction[d];
    Json passed = Json::object();

    for (unsigned peer = 0; peer < abi::CLASS_COUNT; peer++)
      passed[kClasses[peer].label] = sum_json(direction.passed[peer]);
    data[kDirections[d]] = {{"passed", passed},
                            {"refused", reasons_json(direction.refused)},
                            {"would_refuse", reasons_json(direction.would_refuse)},
                            {"connections", direction.connections}};
  }
  data["calls_denied"] = calls_json(usage.calls_denied);
  data["calls_would_deny"] = calls_json(usage.calls_would_deny);
  data["events"] = {{"sent", usage.events_sent},
                    {"throttled", usage.events_throttled},
                    {"dropped", usage.events_dropped}};
  return data;
}

}  // namespace partywall::cli

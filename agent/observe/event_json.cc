// agent/observe/event_json.cc: fields in the order in which people read them.
#include "agent/observe/event_json.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "maps/abi/endpoints.h"
#include "maps/words.h"

namespace partywall::observe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, abi::HOOK_COUNT> kHooks = {{
#define X(name, label) label,
    PARTYWALL_HOOKS(X)
#undef X
}};

// RFC 3339 with nanoseconds, UTC.
std::string time_text(int64_t unix_ns) {
  auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
  tm utc{};
  char text[32];

  gmtime_r(&seconds, &utc);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:09}Z", text, unix_ns % 1'000'000'000);
}

std::string protocol_text(unsigned protocol) {
  switch (protocol) {
    case IPPROTO_TCP:
      return "TCP";
    case IPPROTO_UDP:
      return "UDP";
    case IPPROTO_ICMP:
      return "ICMP";
    case IPPROTO_ICMPV6:
      return "ICMPv6";
    default:
      return std::to_string(protocol);
  }
}

Json address_json(uint8_t family, const uint8_t* bytes) {
  static constexpr uint8_t kNone[16] = {};
  char text[INET6_ADDRSTRLEN];

  if (std::memcmp(bytes, kNone, sizeof(kNone)) == 0) return nullptr;
  if (!inet_ntop(family == AF_INET6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text)))
    return nullptr;
  return text;
}

template <size_t N>
std::string text_of(const char (&text)[N]) {
  return std::string(text, strnlen(text, N));
}

}  // namespace

std::string event_json(const abi::verdict_event& event, const EventContext& context) {
  bool icmp = event.protocol == IPPROTO_ICMP || event.protocol == IPPROTO_ICMPV6;
  bool is_tenant = event.peer != PEER_WORLD && event.peer <= PEER_TENANT_MAX;
  std::string peer_tenant = is_tenant ? context.tenant_name(event.peer) : "";
  std::string tenant = event.tenant ? context.tenant_name(event.tenant) : "";
  auto word = [](const auto& words, size_t at) { return at < words.size() ? words[at] : "?"; };
  auto port = [&](uint16_t number) { return icmp || number == 0 ? Json() : Json(number); };
  Json json = {
      {"schema_version", kEventSchemaVersion},
      {"time", time_text(static_cast<int64_t>(event.time_ns) + context.realtime_offset_ns)},
      {"node", context.node},
      {"tenant", tenant.empty() ? Json() : Json(tenant)},
      {"verdict", event.would ? "would_deny" : "deny"},
      {"reason", event.reason < kReasons.size() ? kReasons[event.reason].label : "?"},
      {"class", event.peer_class < kClasses.size() ? kClasses[event.peer_class].label : "?"},
      {"hook", word(kHooks, event.hook)},
      {"direction", word(kDirections, event.direction)},
      {"protocol", protocol_text(event.protocol)},
      {"local_address", address_json(event.family, event.local_address)},
      {"local_port", port(event.local_port)},
      {"peer_address", address_json(event.family, event.peer_address)},
      {"peer_port", port(event.peer_port)},
      {"peer_tenant", peer_tenant.empty() ? Json() : Json(peer_tenant)}};

  if (icmp) {
    // The programs carry an ICMP header as a source and a target port: whose is whose turns
    // with the direction.
    bool egress = event.direction == abi::DIRECTION_EGRESS;

    json["icmp_type"] = egress ? event.local_port : event.peer_port;
    json["icmp_code"] = egress ? event.peer_port : event.local_port;
  }
  json["cgroup_id"] = event.cgroup_id;
  if (event.wire_bytes) json["wire_bytes"] = event.wire_bytes;
  if (event.pid) {
    json["pid"] = event.pid;
    json["command"] = text_of(event.command);
  }
  json["lost_total"] = event.lost_total;
  // A command's name may be any bytes.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace partywall::observe

// agent/observe/event_view.cc: takes out of an event what another tenant owns.
#include "agent/observe/event_view.h"

#include <nlohmann/json.hpp>

namespace partywall::observe {
namespace {

// Of Kubernetes: no policy may give these names to anybody.
bool is_built_in(const std::string& tenant) {
  return tenant == "infrastructure" || tenant == "unassigned";
}

}  // namespace

std::string own_event(const std::string& line, const std::string& tenant) {
  using Json = nlohmann::ordered_json;
  Json event = Json::parse(line, nullptr, false);

  if (!event.is_object() || event.value("tenant", Json()) != tenant) return "";

  Json& peer = event["peer_tenant"];

  if (peer.is_string() && peer != tenant && !is_built_in(peer.get<std::string>()))
    peer = nullptr;
  return event.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace partywall::observe

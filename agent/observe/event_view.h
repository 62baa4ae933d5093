// agent/observe/event_view.h: an event as the tenant that it is about may read it. Pure.
#ifndef PARTYWALL_AGENT_OBSERVE_EVENT_VIEW_H
#define PARTYWALL_AGENT_OBSERVE_EVENT_VIEW_H

#include <string>

namespace partywall::observe {

// A line of event_json(), for its own tenant: `peer_tenant` is null unless the peer is the
// tenant itself or one of the built-in tenants. Which addresses are whose is no tenant's to
// know; that the peer is another tenant's is in `class`. Empty when the line is no event of
// `tenant`.
std::string own_event(const std::string& line, const std::string& tenant);

}  // namespace partywall::observe

#endif

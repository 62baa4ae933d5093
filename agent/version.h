// agent/version.h: the version, as CMakeLists.txt says it.
#ifndef PARTYWALL_AGENT_VERSION_H
#define PARTYWALL_AGENT_VERSION_H

namespace partywall {

inline constexpr const char* kVersion = PARTYWALL_VERSION;

}  // namespace partywall

#endif

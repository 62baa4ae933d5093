// agent/policy/limits_schema.h: reads `limits` of a tier or a tenant. Pure.
#ifndef PARTYWALL_AGENT_POLICY_LIMITS_SCHEMA_H
#define PARTYWALL_AGENT_POLICY_LIMITS_SCHEMA_H

#include "agent/policy/fields.h"

namespace partywall::policy {

// What is wrong is noted, and that limit left out.
Limits read_limits(Notes& notes, const YamlNode& node, const std::string& path);

}  // namespace partywall::policy

#endif

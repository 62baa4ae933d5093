// agent/policy/rules_schema.h: reads rules, their peers and their ports. Pure.
#ifndef PARTYWALL_AGENT_POLICY_RULES_SCHEMA_H
#define PARTYWALL_AGENT_POLICY_RULES_SCHEMA_H

#include "agent/policy/fields.h"

namespace partywall::policy {

// A list of rules; `peers` is what its peers are called: "from" or "to". A rule that names
// `tenant` itself is a problem. What is wrong is noted and left out.
std::vector<Rule> read_rules(Notes& notes, const YamlNode& node, const std::string& path,
                             std::string_view peers, std::string_view tenant);

std::vector<PortRange> read_ports(Notes& notes, const YamlNode& node, const std::string& path);

// One address or range in CIDR form.
std::optional<Prefix> read_prefix(Notes& notes, const YamlNode& node, const std::string& path);

}  // namespace partywall::policy

#endif

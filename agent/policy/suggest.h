// agent/policy/suggest.h: what somebody meant who wrote a name that there is not. Pure.
#ifndef PARTYWALL_AGENT_POLICY_SUGGEST_H
#define PARTYWALL_AGENT_POLICY_SUGGEST_H

#include <string>
#include <string_view>
#include <vector>

namespace partywall::policy {

// ", did you mean X?" for the name nearest to `written`, or "" when none is near.
std::string did_you_mean(std::string_view written, const std::vector<std::string_view>& names);

}  // namespace partywall::policy

#endif

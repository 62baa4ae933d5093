// tools/cli/explain_text.h: an explanation in words: verdict, rule, what is missing, limits.
// Pure.
#ifndef PARTYWALL_TOOLS_CLI_EXPLAIN_TEXT_H
#define PARTYWALL_TOOLS_CLI_EXPLAIN_TEXT_H

#include <string>
#include <vector>

#include "agent/policy/policy.h"
#include "tools/cli/explain_flow.h"
#include "tools/cli/output.h"

namespace partywall::cli {

// "acme.yaml:12:5"; "built in" for what stands in no file.
std::string place(const policy::Position& at);

// One thing to write so that the flow passes: into which list of which document, and what.
struct Missing {
  policy::Position at;  // the document, or the rule that lacks a port
  std::string field;    // "tenant acme, spec.network.egress"
  std::string add;      // YAML, one line
  bool operator==(const Missing& other) const {
    return field == other.field && add == other.add;
  }
};
std::vector<Missing> missing_for(const policy::Policy& policy, const Explanation& flow);

// A limit that packets of the flow are charged to.
struct LimitLine {
  std::string tenant;
  abi::direction direction = abi::DIRECTION_EGRESS;
  bool packets = false;
  policy::RateLimit rate;
  std::string from;  // "tier gold (tiers.yaml:6:5)", "tenant (acme.yaml:9:5)"
};
std::vector<LimitLine> limits_on(const policy::Policy& policy, const Explanation& flow);
// All four limits of one tenant, those that it has.
std::vector<LimitLine> limits_of(const policy::Policy& policy, const policy::Tenant& tenant);
// "200.0 Mbit/s", "200.0k packets/s"; and the burst.
std::string rate_text(const LimitLine& limit);
std::string burst_text(const LimitLine& limit);

std::string explain_text(const policy::Policy& policy, const Explanation& flow, bool colored);
Json explain_json(const policy::Policy& policy, const Explanation& flow);

}  // namespace partywall::cli

#endif

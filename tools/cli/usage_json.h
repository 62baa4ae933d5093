// tools/cli/usage_json.h: usage as JSON: every class, every reason that was counted. Pure.
#ifndef PARTYWALL_TOOLS_CLI_USAGE_JSON_H
#define PARTYWALL_TOOLS_CLI_USAGE_JSON_H

#include "tools/cli/output.h"
#include "tools/cli/usage_sum.h"

namespace partywall::cli {

// {"egress": {"passed": {class: {bytes, packets}}, "refused": {reason: ...}, "would_refuse":
// ..., "connections": n}, "ingress": ..., "calls_denied": {reason: n}, ..., "events": {...}}.
// Classes are all there; reasons only when they were counted.
Json usage_json(const TenantUsage& usage);

}  // namespace partywall::cli

#endif

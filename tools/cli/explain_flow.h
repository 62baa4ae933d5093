// tools/cli/explain_flow.h: one question of `explain`, put to the reference verdict for every
// side of the flow. Pure.
#ifndef PARTYWALL_TOOLS_CLI_EXPLAIN_FLOW_H
#define PARTYWALL_TOOLS_CLI_EXPLAIN_FLOW_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/policy/policy.h"
#include "agent/policy/verdict.h"
#include "maps/result.h"

namespace partywall::cli {

struct Question {
  std::string from;  // a tenant, an address, "world", or "host"
  std::string to;
  policy::Protocol protocol = policy::Protocol::kTcp;
  std::optional<uint16_t> port;  // absent: which ports are open
};

// One end of the flow, resolved.
struct End {
  std::string name;                        // as people would say it: "acme", "acme (10.1.0.9)"
  std::string tenant;                      // who owns it; empty = no tenant
  std::optional<policy::Address> address;  // absent: the tenant declares none of that family
  bool host = false;                       // a process outside the managed root, over loopback
};

// What one tenant's side says about packets of the flow.
struct Side {
  std::string tenant;
  abi::direction direction = abi::DIRECTION_EGRESS;
  bool reply = false;  // packets that answer the flow, not those that open it
  policy::Verdict verdict;

  bool passes() const { return verdict.allow || verdict.audit; }
};

struct Explanation {
  Question question;
  End from;
  End to;
  bool loopback = false;    // judged as within one network namespace
  std::vector<Side> sides;  // in the order in which packets meet them; empty: nobody judges
  // Without a port in the question: the ports (first..last) on which the flow passes, and the
  // one that `sides` is about.
  std::vector<std::pair<uint16_t, uint16_t>> open_ports;
  uint16_t port = 0;
  std::vector<std::string> notes;  // what was assumed

  bool passes() const;   // both ways, audit mode included
  bool audited() const;  // it passes because of audit mode only
};

// Fails when an end is no tenant, no address and no known word, and when both ends are the same
// address family's strangers (IPv4 to IPv6).
Result<Explanation> explain_flow(const policy::Policy& policy, const Question& question);

}  // namespace partywall::cli

#endif

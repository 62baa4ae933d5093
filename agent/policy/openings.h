// agent/policy/openings.h: who may open flows to whom, on the way from rules to map rows.
// Plain data.
#ifndef PARTYWALL_AGENT_POLICY_OPENINGS_H
#define PARTYWALL_AGENT_POLICY_OPENINGS_H

#include <cstdint>

#include "agent/policy/port_table.h"

namespace partywall::policy {

// What the rules of one of the two say about flows that `from` opens to `to`. Tenants' numbers.
struct Opening {
  uint16_t from;
  uint16_t to;
  PortTable::Id allowed;
  uint64_t key() const { return uint64_t{from} << 16 | to; }
};

// A row of the map pairs.
struct PairIds {
  uint64_t key;  // tenant << 32 | peer
  PortTable::Id out;
  PortTable::Id in;
};

}  // namespace partywall::policy

#endif

// agent/kernel/flow_tables.h: one table of flows for each tenant that has a workload here.
#ifndef PARTYWALL_AGENT_KERNEL_FLOW_TABLES_H
#define PARTYWALL_AGENT_KERNEL_FLOW_TABLES_H

#include <cstdint>
#include <map>
#include <string>

#include "maps/fd.h"
#include "maps/result.h"

namespace partywall::kernel {

// Only writer of the map flow_tables (abi/flows.h). Tables are pinned, so that a restarted
// agent can give a tenant a larger one without losing its flows. One thread.
class FlowTables {
 public:
  // Takes over the tables that are pinned.
  static Result<FlowTables> open(std::string pin_root);

  // Gives a tenant a table for `flows` flows. A smaller one is replaced and its flows go with
  // it; of a larger one, those that fit. Fails when the kernel has no memory.
  Result<void> need(uint16_t tenant, uint32_t flows);

  // Takes a tenant's table away: the number is somebody else's now, or nobody's.
  Result<void> drop(uint16_t tenant);

  size_t size() const { return tables_.size(); }
  // Kernel memory of all tables.
  uint64_t bytes() const;

 private:
  struct Table {
    Fd fd;
    uint32_t buckets = 0;
  };

  std::string pin(uint16_t tenant) const;

  std::string pin_root_;
  Fd outer_;
  std::map<uint16_t, Table> tables_;
};

}  // namespace partywall::kernel

#endif

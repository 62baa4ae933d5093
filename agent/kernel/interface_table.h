// agent/kernel/interface_table.h: the rows of the map interfaces, as a table by ifindex. No
// system calls.
#ifndef PARTYWALL_AGENT_KERNEL_INTERFACE_TABLE_H
#define PARTYWALL_AGENT_KERNEL_INTERFACE_TABLE_H

#include <cstdint>
#include <span>

#include "maps/abi/interfaces.h"
#include "maps/result.h"

namespace partywall::kernel {

// The programs read and bind rows meanwhile: a row is filled in before its ifindex is, and
// emptied the other way round. Only writer of everything but what binding writes.
class InterfaceTable {
 public:
  InterfaceTable() = default;
  // `rows`: INTERFACE_SLOTS of them, the memory of the map.
  explicit InterfaceTable(std::span<abi::interface> rows) : rows_(rows) {}

  // The row of an interface; null when it has none.
  abi::interface* find(uint32_t ifindex) const;

  // Makes the row of an interface that has none: bound to nobody. Fails when its slots are
  // taken.
  Result<abi::interface*> add(uint32_t ifindex, uint32_t flags);

  void remove(uint32_t ifindex);

  // Gives an interface to a tenant by name on one side of the policy; TENANT_NONE = nobody.
  static void give(abi::interface& row, uint32_t side, uint16_t tenant);

 private:
  std::span<abi::interface> rows_;
};

}  // namespace partywall::kernel

#endif

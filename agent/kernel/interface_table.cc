// agent/kernel/interface_table.cc: finds, makes and empties rows in place.
#include "agent/kernel/interface_table.h"

#include <atomic>

namespace partywall::kernel {

abi::interface* InterfaceTable::find(uint32_t ifindex) const {
  for (uint32_t i = 0; i < INTERFACE_PROBES; i++)
    if (abi::interface& row = rows_[(ifindex + i) % INTERFACE_SLOTS]; row.ifindex == ifindex)
      return &row;
  return nullptr;
}

Result<abi::interface*> InterfaceTable::add(uint32_t ifindex, uint32_t flags) {
  for (uint32_t i = 0; i < INTERFACE_PROBES; i++) {
    abi::interface& row = rows_[(ifindex + i) % INTERFACE_SLOTS];

    if (row.ifindex != 0) continue;
    row = abi::interface { .flags = flags };
    std::atomic_ref(row.ifindex).store(ifindex, std::memory_order_release);
    return &row;
  }
  return fail("map interfaces: no room for interface {}: {} others have its slots", ifindex,
              INTERFACE_PROBES);
}

void InterfaceTable::remove(uint32_t ifindex) {
  abi::interface* row = find(ifindex);

  if (!row) return;
  std::atomic_ref(row->ifindex).store(0, std::memory_order_release);
  *row = abi::interface {};
}

void InterfaceTable::give(abi::interface& row, uint32_t side, uint16_t tenant) {
  std::atomic_ref(row.tenant[side]).store(tenant, std::memory_order_release);
}

}  // namespace partywall::kernel

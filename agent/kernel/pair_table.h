// agent/kernel/pair_table.h: one side of the maps pair_slots and pairs, as one table. The side
// must not be in force.
#ifndef PARTYWALL_AGENT_KERNEL_PAIR_TABLE_H
#define PARTYWALL_AGENT_KERNEL_PAIR_TABLE_H

#include <cstdint>
#include <span>

#include "maps/abi/endpoints.h"
#include "maps/abi/pairs.h"
#include "maps/typed_map.h"

namespace partywall::kernel {

using PairMap = TypedMap<abi::pair_key, abi::pair>;

// A pair lives in its slot, or in the hash when another pair had the slot first; never in both.
class PairTable {
 public:
  // `slots`: the memory of all sides.
  PairTable(std::span<abi::pair_slot> slots, PairMap& overflow, uint32_t side)
      : slots_(slots.subspan(size_t{side} * PAIR_SLOTS, PAIR_SLOTS)),
        overflow_(overflow),
        side_(side) {}

  // Adds or replaces. Fails when the hash is full (E2BIG).
  Result<void> put(uint16_t tenant, uint32_t peer, const abi::pair& pair);

  // Removing what is not there is no failure.
  Result<void> remove(uint16_t tenant, uint32_t peer);

  // Removes everything, whoever wrote it.
  Result<void> clear();

 private:
  abi::pair_key key(uint16_t tenant, uint32_t peer) const {
    return {.tenant = tenant | side_ << PAIR_SIDE_SHIFT, .peer = peer};
  }

  std::span<abi::pair_slot> slots_;
  PairMap& overflow_;
  uint32_t side_;
};

}  // namespace partywall::kernel

#endif

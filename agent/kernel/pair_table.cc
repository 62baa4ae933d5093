// agent/kernel/pair_table.cc: which pair has the slot and which ones are chained behind it.
#include "agent/kernel/pair_table.h"

#include <algorithm>

namespace partywall::kernel {

Result<void> PairTable::put(uint16_t tenant, uint32_t peer, const abi::pair& pair) {
  abi::pair_slot& slot = slots_[abi::pair_slot_of(tenant, peer)];
  bool mine = slot.peer == peer && slot.tenant == tenant;

  if (slot.peer != PEER_WORLD && !mine) {
    slot.chained = 1;
    return overflow_.put(key(tenant, peer), pair);
  }
  // The slot may have become free after the pair went into the hash.
  if (slot.chained && !mine)
    if (auto removed = overflow_.remove(key(tenant, peer)); !removed) return removed;
  slot.peer = peer;
  slot.tenant = tenant;
  slot.pair = pair;
  return {};
}

Result<void> PairTable::remove(uint16_t tenant, uint32_t peer) {
  abi::pair_slot& slot = slots_[abi::pair_slot_of(tenant, peer)];

  if (slot.peer == peer && slot.tenant == tenant) {
    slot = {.peer = PEER_WORLD, .tenant = 0, .chained = slot.chained, .pair = {}};
    return {};
  }
  return slot.chained ? overflow_.remove(key(tenant, peer)) : Result<void>{};
}

Result<void> PairTable::clear() {
  auto chained = overflow_.entries();

  if (!chained) return std::move(chained.error());
  for (const auto& [key, pair] : *chained)
    if (key.tenant >> PAIR_SIDE_SHIFT == side_)
      if (auto removed = overflow_.remove(key); !removed) return removed;
  std::ranges::fill(slots_, abi::pair_slot{});
  return {};
}

}  // namespace partywall::kernel

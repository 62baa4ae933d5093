// agent/policy/name_index.h: finds a name in a list that stands elsewhere. Pure.
#ifndef PARTYWALL_AGENT_POLICY_NAME_INDEX_H
#define PARTYWALL_AGENT_POLICY_NAME_INDEX_H

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace partywall::policy {

// Which place of a list has a name: a table of hashes and places, eight bytes each. `hash_at`
// and `name_at` give those of a place; the list must stay as it was built from.
class NameIndex {
 public:
  NameIndex() = default;

  // For `count` places. Of equal names the first is found.
  template <typename HashAt>
  NameIndex(size_t count, HashAt hash_at) : slots_(std::bit_ceil(count * 2 + 1)) {
    for (uint32_t place = 0; place < count; place++) {
      uint32_t hash = hash_at(place);
      size_t at = hash & (slots_.size() - 1);

      while (slots_[at].used) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {hash >> 1, true, place};
    }
  }

  static uint32_t hash_of(std::string_view name) {
    return static_cast<uint32_t>(std::hash<std::string_view>()(name));
  }

  template <typename NameAt>
  std::optional<uint32_t> find(std::string_view name, NameAt name_at) const {
    if (slots_.empty()) return std::nullopt;

    uint32_t hash = hash_of(name);

    for (size_t at = hash & (slots_.size() - 1); slots_[at].used;
         at = (at + 1) & (slots_.size() - 1))
      if (slots_[at].hash == hash >> 1 && name_at(slots_[at].place) == name)
        return slots_[at].place;
    return std::nullopt;
  }

 private:
  struct Slot {
    uint32_t hash : 31;
    uint32_t used : 1;
    uint32_t place;
  };

  std::vector<Slot> slots_;  // a power of two, more than half of them empty
};

}  // namespace partywall::policy

#endif

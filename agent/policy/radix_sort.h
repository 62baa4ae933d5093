// agent/policy/radix_sort.h: sorts by numbers, some times faster than std::sort. Pure.
#ifndef PARTYWALL_AGENT_POLICY_RADIX_SORT_H
#define PARTYWALL_AGENT_POLICY_RADIX_SORT_H

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace partywall::policy {

struct SortKey {
  uint64_t start = 0;
  uint32_t place = 0;
};

// By `start`; equal ones stay in their order.
void sort_keys(std::vector<SortKey>& keys);

// The first eight bytes of a text, as a number in the order of texts.
uint64_t start_of(std::string_view text);

// Sorts by start(item), a uint64_t, and where that is equal by less(a, b), which `start` must
// not contradict. Equal ones stay in their order.
template <typename T, typename Start, typename Less>
void sort_by_start(std::vector<T>& items, Start start, Less less) {
  std::vector<SortKey> keys;
  std::vector<T> sorted;

  keys.reserve(items.size());
  for (const T& item : items) keys.push_back({start(item), static_cast<uint32_t>(keys.size())});
  sort_keys(keys);
  for (auto from = keys.begin(); from != keys.end();) {
    auto to = from + 1;

    while (to != keys.end() && to->start == from->start) ++to;
    if (to - from > 1)
      std::sort(from, to, [&](const SortKey& a, const SortKey& b) {
        if (less(items[a.place], items[b.place])) return true;
        return !less(items[b.place], items[a.place]) && a.place < b.place;
      });
    from = to;
  }
  sorted.reserve(items.size());
  for (const SortKey& key : keys) sorted.push_back(std::move(items[key.place]));
  items = std::move(sorted);
}

template <typename T, typename Start>
void sort_by_start(std::vector<T>& items, Start start) {
  sort_by_start(items, start, [](const T&, const T&) { return false; });
}

}  // namespace partywall::policy

#endif

// agent/policy/flat_map.h: a sorted vector that is read like a std::map: small, and walked in
// line. Pure.
#ifndef PARTYWALL_AGENT_POLICY_FLAT_MAP_H
#define PARTYWALL_AGENT_POLICY_FLAT_MAP_H

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

namespace partywall::policy {

// Made once, in order; then only read. No key stands twice.
template <typename Key, typename Value>
class FlatMap {
 public:
  using value_type = std::pair<Key, Value>;
  using const_iterator = typename std::vector<value_type>::const_iterator;

  FlatMap() = default;
  // Of entries in any order; of those with the same key the first one counts.
  explicit FlatMap(std::vector<value_type> entries) : entries_(std::move(entries)) {
    auto by_key = [](const value_type& a, const value_type& b) { return a.first < b.first; };

    auto same_key = [](const value_type& a, const value_type& b) { return a.first == b.first; };

    std::stable_sort(entries_.begin(), entries_.end(), by_key);
    entries_.erase(std::unique(entries_.begin(), entries_.end(), same_key), entries_.end());
  }

  FlatMap(std::initializer_list<value_type> entries)
      : FlatMap(std::vector<value_type>(entries)) {}

  void reserve(size_t count) { entries_.reserve(count); }
  // `key` comes after all that are there.
  void append(Key key, Value value) {
    assert(entries_.empty() || entries_.back().first < key);
    entries_.emplace_back(std::move(key), std::move(value));
  }

  const_iterator begin() const { return entries_.begin(); }
  const_iterator end() const { return entries_.end(); }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }

  template <typename K>
  const_iterator lower_bound(const K& key) const {
    return std::partition_point(begin(), end(),
                                [&](const value_type& entry) { return entry.first < key; });
  }
  template <typename K>
  const_iterator find(const K& key) const {
    auto at = lower_bound(key);

    return at != end() && !(key < at->first) ? at : end();
  }
  template <typename K>
  bool contains(const K& key) const {
    return find(key) != end();
  }
  // The key must be there.
  template <typename K>
  const Value& at(const K& key) const {
    return entries_.at(static_cast<size_t>(find(key) - begin())).second;
  }
  // The key must be there.
  template <typename K>
  void replace(const K& key, Value value) {
    entries_.at(static_cast<size_t>(find(key) - begin())).second = std::move(value);
  }
  bool operator==(const FlatMap&) const = default;

 private:
  std::vector<value_type> entries_;
};

}  // namespace partywall::policy

#endif

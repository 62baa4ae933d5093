// agent/policy/by_name.h: things with a name, shared between policies, in the order of their
// names. Plain data.
#ifndef PARTYWALL_AGENT_POLICY_BY_NAME_H
#define PARTYWALL_AGENT_POLICY_BY_NAME_H

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/name_index.h"

namespace partywall::policy {

// Read like a std::map from name to T. What is in it never changes and is shared: a copy costs
// a pointer for each item, and a policy holds most of the tenants of the policy before it.
template <typename T>
class ByName {
 public:
  using Item = std::shared_ptr<const T>;
  struct Entry {
    const std::string& first;
    const T& second;
    const Entry* operator->() const { return this; }
  };

  class Iterator {
   public:
    explicit Iterator(const Item* at) : at_(at) {}
    Entry operator*() const { return {(*at_)->name, **at_}; }
    Entry operator->() const { return **this; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const Item* at_;
  };

  ByName() = default;
  // `items` in the order of their names, no name twice; `hashes` are NameIndex's.
  ByName(std::vector<Item> items, const std::vector<uint32_t>& hashes)
      : items_(std::move(items)),
        index_(items_.size(), [&](uint32_t place) { return hashes[place]; }) {}

  // Adds one, or replaces the one of that name. For few: the others move.
  void add(T item) {
    auto at = std::ranges::lower_bound(items_, item.name, {},
                                       [](const Item& other) { return other->name; });
    auto added = std::make_shared<const T>(std::move(item));

    if (at != items_.end() && (*at)->name == added->name)
      *at = std::move(added);
    else
      items_.insert(at, std::move(added));
    index_ = NameIndex(items_.size(), [this](uint32_t place) {
      return NameIndex::hash_of(items_[place]->name);
    });
  }

  Iterator begin() const { return Iterator(items_.data()); }
  Iterator end() const { return Iterator(items_.data() + items_.size()); }
  size_t size() const { return items_.size(); }
  bool empty() const { return items_.empty(); }

  // Where the item of that name stands in the order.
  std::optional<uint32_t> place_of(std::string_view name) const {
    return index_.find(name, NameAt{items_});
  }
  const T& operator[](size_t place) const { return *items_[place]; }
  Iterator find(std::string_view name) const {
    auto place = place_of(name);

    return place ? Iterator(&items_[*place]) : end();
  }
  bool contains(std::string_view name) const { return place_of(name).has_value(); }
  // There must be one.
  const T& at(std::string_view name) const {
    return *items_.at(place_of(name).value_or(static_cast<uint32_t>(size())));
  }

 private:
  struct NameAt {
    const std::vector<Item>& items;
    std::string_view operator()(size_t place) const { return items[place]->name; }
  };

  std::vector<Item> items_;
  NameIndex index_;
};

}  // namespace partywall::policy

#endif

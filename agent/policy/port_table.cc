// agent/policy/port_table.cc: arithmetic on sets of ports. Pure.
#include "agent/policy/port_table.h"

#include <algorithm>

namespace partywall::policy {
namespace {

using Ranges = std::vector<std::pair<uint16_t, uint16_t>>;

constexpr std::pair<uint16_t, uint16_t> kEveryPort{0, 65535};

// Sorted, disjoint, and with no two that touch.
void merge(Ranges& ranges) {
  std::ranges::sort(ranges);

  size_t kept = 0;

  for (size_t i = 0; i < ranges.size(); i++) {
    if (kept > 0 && ranges[i].first <= uint32_t{ranges[kept - 1].second} + 1)
      ranges[kept - 1].second = std::max(ranges[kept - 1].second, ranges[i].second);
    else
      ranges[kept++] = ranges[i];
  }
  ranges.resize(kept);
}

void settle(Ranges& ranges, uint32_t bit, uint32_t& bits) {
  merge(ranges);
  if (ranges.size() == 1 && ranges[0] == kEveryPort) bits |= bit;
  if (bits & bit) ranges.clear();
}

void make_canonical(Allowed& allowed) {
  settle(allowed.ports.tcp, DECIDE_TCP, allowed.bits);
  settle(allowed.ports.udp, DECIDE_UDP, allowed.bits);
}

void append(Ranges& to, const Ranges& from) { to.insert(to.end(), from.begin(), from.end()); }

Ranges common(const Ranges& a, const Ranges& b) {
  Ranges shared;

  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    uint16_t first = std::max(a[i].first, b[j].first);
    uint16_t last = std::min(a[i].second, b[j].second);

    if (first <= last) shared.emplace_back(first, last);
    if (a[i].second < b[j].second)
      i++;
    else
      j++;
  }
  return shared;
}

Ranges all_of(const Ranges& ranges, uint32_t whole) {
  return whole ? Ranges{kEveryPort} : ranges;
}

uint64_t key_of(PortTable::Id a, PortTable::Id b) {
  return uint64_t{std::min(a, b)} << 32 | std::max(a, b);
}

}  // namespace

PortTable::PortTable() {
  intern({});
  intern({.bits = DECIDE_ALL, .ports = {}});
}

PortTable::Id PortTable::intern(Allowed allowed) {
  auto [entry, is_new] = ids_.emplace(std::move(allowed), static_cast<Id>(allowed_.size()));

  if (is_new) allowed_.push_back(&entry->first);
  return entry->second;
}

PortTable::Id PortTable::of(const std::optional<std::vector<PortRange>>& ports) {
  if (!ports) return kEverything;

  // Nearly every list is one range: that one is looked up without building a set.
  Id* known = nullptr;

  if (ports->size() == 1) {
    const PortRange& only = ports->front();
    uint64_t key =
        static_cast<uint64_t>(only.protocol) << 32 | uint32_t{only.first} << 16 | only.last;

    // Tenants of one template name the same ports one after the other.
    if (last_range_ && last_range_->first == key) return last_range_->second;

    auto [entry, is_new] = single_ranges_.emplace(key, kNothing);

    last_range_ = &*entry;
    if (!is_new) return entry->second;
    known = &entry->second;
  }
  Allowed allowed;

  for (const PortRange& range : *ports) {
    if (range.protocol == Protocol::kIcmp)
      allowed.bits |= DECIDE_ICMP;
    else if (range.protocol == Protocol::kTunnel)
      allowed.bits |= DECIDE_TUNNEL;
    else
      (range.protocol == Protocol::kTcp ? allowed.ports.tcp : allowed.ports.udp)
          .emplace_back(range.first, range.last);
  }
  make_canonical(allowed);

  Id id = intern(std::move(allowed));

  if (known) *known = id;
  return id;
}

PortTable::Id PortTable::unite(Id a, Id b) {
  if (a == b || b == kNothing) return a;
  if (a == kNothing) return b;

  auto [entry, is_new] = unions_.emplace(key_of(a, b), kNothing);

  if (is_new) {
    Allowed both = *allowed_[a];

    both.bits |= allowed_[b]->bits;
    append(both.ports.tcp, allowed_[b]->ports.tcp);
    append(both.ports.udp, allowed_[b]->ports.udp);
    make_canonical(both);
    entry->second = intern(std::move(both));
  }
  return entry->second;
}

PortTable::Id PortTable::intersect(Id a, Id b) {
  if (a == b || a == kNothing) return a;
  if (b == kNothing) return b;

  auto [entry, is_new] = intersections_.emplace(key_of(a, b), kNothing);

  if (is_new) {
    const Allowed& one = *allowed_[a];
    const Allowed& other = *allowed_[b];
    Allowed both{.bits = one.bits & other.bits, .ports = {}};

    both.ports.tcp = common(all_of(one.ports.tcp, one.bits & DECIDE_TCP),
                            all_of(other.ports.tcp, other.bits & DECIDE_TCP));
    both.ports.udp = common(all_of(one.ports.udp, one.bits & DECIDE_UDP),
                            all_of(other.ports.udp, other.bits & DECIDE_UDP));
    make_canonical(both);
    entry->second = intern(std::move(both));
  }
  return entry->second;
}

}  // namespace partywall::policy

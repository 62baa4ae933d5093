// agent/policy/port_table.h: sets of allowed protocols and ports, each with a small number, so
// that union and intersection are computed once. Pure.
#ifndef PARTYWALL_AGENT_POLICY_PORT_TABLE_H
#define PARTYWALL_AGENT_POLICY_PORT_TABLE_H

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "agent/policy/image.h"
#include "agent/policy/policy.h"

namespace partywall::policy {

// What may pass: whole protocols (DECIDE_*), and ports of the others. Canonical: a protocol
// that is allowed on every port has its bit and no ports.
struct Allowed {
  uint32_t bits = 0;
  PortSet ports;
  auto operator<=>(const Allowed&) const = default;
};

class PortTable {
 public:
  using Id = uint32_t;
  static constexpr Id kNothing = 0;
  static constexpr Id kEverything = 1;

  PortTable();

  Id of(const std::optional<std::vector<PortRange>>& ports);
  Id unite(Id a, Id b);
  Id intersect(Id a, Id b);

  const Allowed& operator[](Id id) const { return *allowed_[id]; }
  size_t size() const { return allowed_.size(); }

 private:
  Id intern(Allowed allowed);

  std::map<Allowed, Id> ids_;
  std::vector<const Allowed*> allowed_;  // into ids_
  std::unordered_map<uint64_t, Id> single_ranges_;
  std::pair<const uint64_t, Id>* last_range_ = nullptr;  // of those, the last one asked for
  std::unordered_map<uint64_t, Id> unions_;
  std::unordered_map<uint64_t, Id> intersections_;
};

}  // namespace partywall::policy

#endif

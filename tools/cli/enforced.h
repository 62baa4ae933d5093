// tools/cli/enforced.h: what the kernel enforces and counts right now, read from the pinned
// maps. Writes nothing; works whether or not the agent runs.
#ifndef PARTYWALL_TOOLS_CLI_ENFORCED_H
#define PARTYWALL_TOOLS_CLI_ENFORCED_H

#include <cstdint>
#include <string>
#include <vector>

#include "maps/abi/control.h"
#include "maps/abi/counters.h"
#include "maps/abi/members.h"
#include "maps/abi/tenants.h"
#include "maps/result.h"
#include "maps/typed_map.h"
#include "tools/cli/usage_sum.h"

namespace partywall::cli {

inline constexpr const char* kUnattributed = "(unattributed)";

// A tenant that the maps know by number.
struct TenantRow {
  uint32_t number = 0;
  std::string name;  // kUnattributed for row 0
  bool in_use =
      false;  // part of the policy in force; false: removed, its counters are still there
  bool audit = false;
};

class Enforced {
 public:
  // Fails when nothing is pinned, and when another schema's maps are.
  static Result<Enforced> open(const std::string& pin_root);

  const abi::control& control() const { return control_[0]; }
  const abi::health& health() const { return health_[0]; }

  // By name; with `unattributed`, row 0 comes last.
  std::vector<TenantRow> tenants(bool unattributed) const;
  Result<TenantRow> tenant(const std::string& name) const;

  abi::tenant_policy policy(uint32_t tenant) const;
  abi::tenant_meters meters(uint32_t tenant) const { return meters_[tenant]; }
  TenantUsage usage(uint32_t tenant) const;

  // The tenant that the kernel has for a cgroup; TENANT_NONE when it has none.
  uint16_t member(uint64_t cgroup_id) const;

 private:
  MappedArray<const abi::control> control_;
  MappedArray<const abi::health> health_;
  MappedArray<const abi::tenant_policy> policies_;
  MappedArray<const abi::tenant_name> names_;
  MappedArray<const abi::tenant_meters> meters_;
  MappedArray<const abi::tenant_counters> counters_;
  TypedMap<uint32_t, abi::member> members_;
  TypedMap<uint64_t, abi::member> overflow_;
};

// How full one map is. `used` = entries, where the kernel can be asked cheaply.
struct MapPressure {
  std::string name;
  uint64_t used = 0;
  uint64_t capacity = 0;
};
// The maps that can fill up. Walks the keys of each.
Result<std::vector<MapPressure>> map_pressure(const std::string& pin_root);

}  // namespace partywall::cli

#endif

// agent/observe/tenant_series.h: the per-tenant part of /metrics, read from the pinned maps at
// scrape time. Writes to no map.
#ifndef PARTYWALL_AGENT_OBSERVE_TENANT_SERIES_H
#define PARTYWALL_AGENT_OBSERVE_TENANT_SERIES_H

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/observe/metrics.h"
#include "maps/abi/control.h"
#include "maps/abi/counters.h"
#include "maps/abi/tenants.h"
#include "maps/result.h"
#include "maps/typed_map.h"

namespace partywall::observe {

inline constexpr auto kTenantFamilies = static_cast<size_t>(Metric::kTenantInfo) + 1;
inline constexpr const char* kUnattributed = "(unattributed)";

// What the maps do not say of a tenant.
struct TenantLabels {
  std::string name;
  std::string tier;
  bool audit = false;
  bool operator==(const TenantLabels&) const = default;
};

// With 10,000 tenants a scrape is some ten thousand lines, so these families are written as
// text straight away; a test holds that text against prometheus-cpp's own serializer.
//
// Series: an idle tenant has its traffic as 0 and its limits; one with traffic has besides
// whatever is not 0, and the most usual verdicts as 0, so that their first increase is seen.
class TenantSeries {
 public:
  static Result<TenantSeries> open(std::string_view pin_root);

  // The tenants of the policy in force. Call it with each new generation.
  void set_policy(std::vector<TenantLabels> tenants);

  // All families of Metric::kTrafficBytes .. kTenantInfo in the text format, appended to
  // `page`. Fails when the map syscalls cannot be read; the page then has everything else.
  Result<void> append(std::string& page);
  // The same with the series of one tenant and of nobody else: the tenant's name is in each,
  // and no label of any names another. Nothing when nobody in force has that name.
  Result<void> append_one(std::string& page, std::string_view tenant) const;
  // Whether a tenant of the policy in force, as set_policy() was told, has that name.
  bool has(std::string_view tenant) const { return info_.contains(tenant); }

 private:
  // The rest of a series' name for one cell of the counters: ',direction="egress",...} '.
  struct Cell {
    unsigned direction;
    unsigned cell;
    bool usual;  // also shown as 0
    std::string labels;
  };
  // The text of each family, while it is collected.
  using Families = std::vector<std::string>;

  TenantSeries();
  void append_limits(Families& families, std::string_view name, uint32_t tenant) const;
  void append_counters(Families& families, std::string_view name, uint32_t tenant) const;
  void append_burst(Families& families, std::string_view name, uint32_t tenant) const;
  // Of all tenants, or of the one whose name is `only`.
  Result<void> append_syscalls(Families& families, const std::string* only) const;
  static void join(const Families& families, std::string& page);
  bool is_limited(uint32_t tenant) const;
  const abi::tenant_policy& policy(uint32_t tenant) const;
  std::string name(uint32_t tenant) const;

  std::string pin_root_;
  MappedArray<const abi::control> control_;
  MappedArray<const abi::tenant_policy> policies_;
  MappedArray<const abi::tenant_name> names_;
  MappedArray<const abi::tenant_meters> meters_;
  MappedArray<const abi::tenant_counters> counters_;
  std::vector<Cell> cells_;
  std::array<size_t, kTenantFamilies> lengths_{};  // of the families, in the last page
  std::vector<TenantLabels> tenants_;
  // kTenantInfo by name, made of them.
  std::map<std::string, std::string, std::less<>> info_;
};

}  // namespace partywall::observe

#endif

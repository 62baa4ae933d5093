// tools/cli/enforced.cc: opens and reads pinned maps. Writes nothing.
#include "tools/cli/enforced.h"

#include <algorithm>
#include <cerrno>

#include "maps/abi/endpoints.h"
#include "maps/abi/pairs.h"

namespace partywall::cli {
namespace {

template <typename Row>
Result<void> open_into(MappedArray<Row>& target, const std::string& pin_root,
                       const char* name) {
  auto opened = MappedArray<Row>::open(pin_root, name);

  if (!opened) return std::move(opened.error());
  target = std::move(*opened);
  return {};
}

uint64_t count_keys(int map_fd, uint32_t key_bytes) {
  std::vector<char> key(key_bytes);
  uint64_t count = 0;

  for (void* previous = nullptr; bpf_map_get_next_key(map_fd, previous, key.data()) == 0;
       previous = key.data())
    count++;
  return count;
}

}  // namespace

Result<Enforced> Enforced::open(const std::string& pin_root) {
  Enforced enforced;

  if (auto opened = open_into(enforced.control_, pin_root, "control"); !opened) {
    Error error = std::move(opened.error());

    if (error.errno_value() == ENOENT)
      return Error(fmt::format("read pinned maps: {}: nothing is installed there; start "
                               "partywalld, or name its folder with --bpffs",
                               pin_root),
                   ENOENT);
    if (error.errno_value() == EPERM || error.errno_value() == EACCES)
      return Error(fmt::format("{}; run it as root", error.message()), error.errno_value());
    return error;
  }
  if (uint32_t schema = enforced.control().schema; schema != PARTYWALL_SCHEMA)
    return fail(
        "read pinned maps: {}: schema {}, this version reads {}; use the partywall of the "
        "agent that runs here",
        pin_root, schema, PARTYWALL_SCHEMA);
  for (auto opened : {open_into(enforced.health_, pin_root, "health"),
                      open_into(enforced.policies_, pin_root, "tenants"),
                      open_into(enforced.names_, pin_root, "tenant_names"),
                      open_into(enforced.meters_, pin_root, "meters"),
                      open_into(enforced.counters_, pin_root, "counters")})
    if (!opened) return std::move(opened.error());

  auto members = TypedMap<uint32_t, abi::member>::open(pin_root, "members", Access::kRead);
  auto overflow =
      TypedMap<uint64_t, abi::member>::open(pin_root, "members_overflow", Access::kRead);

  if (!members) return std::move(members.error());
  if (!overflow) return std::move(overflow.error());
  enforced.members_ = std::move(*members);
  enforced.overflow_ = std::move(*overflow);
  return enforced;
}

std::vector<TenantRow> Enforced::tenants(bool unattributed) const {
  std::vector<TenantRow> rows;

  for (uint32_t number = 1; number < names_.rows().size(); number++) {
    const char* name = names_[number].name;

    if (!name[0]) continue;

    uint32_t flags = policy(number).flags;

    rows.push_back({.number = number,
                    .name = std::string(name, strnlen(name, TENANT_NAME_MAX)),
                    .in_use = (flags & TENANT_IN_USE) != 0,
                    .audit = (flags & TENANT_AUDIT) != 0});
  }
  std::ranges::sort(rows, {}, &TenantRow::name);
  if (unattributed)
    rows.push_back({.number = TENANT_NONE, .name = kUnattributed, .in_use = true});
  return rows;
}

Result<TenantRow> Enforced::tenant(const std::string& name) const {
  for (TenantRow& row : tenants(true))
    if (row.name == name) return std::move(row);
  return fail("show tenant: {}: the kernel knows no tenant of that name; see partywall tenants",
              name);
}

abi::tenant_policy Enforced::policy(uint32_t tenant) const {
  size_t row = size_t{control().side} * control().max_tenants + tenant;

  return row < policies_.rows().size() ? policies_[row] : abi::tenant_policy{};
}

TenantUsage Enforced::usage(uint32_t tenant) const {
  return sum_counters(counters_.rows(), control().max_tenants, tenant);
}

uint16_t Enforced::member(uint64_t cgroup_id) const {
  uint32_t side = control().side & 1;

  if (auto slot = members_.get(static_cast<uint32_t>(cgroup_id % MEMBER_SLOTS)); slot) {
    if (slot->cgroup_id == cgroup_id) return slot->tenant[side];
    if (!slot->chained) return TENANT_NONE;
  }
  auto chained = overflow_.get(cgroup_id);

  return chained ? chained->tenant[side] : TENANT_NONE;
}

Result<std::vector<MapPressure>> map_pressure(const std::string& pin_root) {
  std::vector<MapPressure> all;

  for (const char* name :
       {"anchors", "members_overflow", "endpoints6", "pairs", "port_pages", "syscalls"}) {
    auto fd = open_map(pin_root, name, Access::kRead);

    if (!fd) {
      if (fd.error().errno_value() == ENOENT) continue;  // syscalls may be switched off
      return std::move(fd.error());
    }
    bpf_map_info info{};
    __u32 size = sizeof(info);

    if (bpf_obj_get_info_by_fd(fd->get(), &info, &size))
      return fail_errno(errno, "ask about map {}", name);
    all.push_back({name, count_keys(fd->get(), info.key_size), info.max_entries});
  }
  // Most pairs live in slots; all of them count against what the policy may hold.
  auto slots = MappedArray<const abi::pair_slot>::open(pin_root, "pair_slots");

  if (!slots) return std::move(slots.error());
  for (MapPressure& map : all)
    if (map.name == "pairs")
      map.used += static_cast<uint64_t>(std::ranges::count_if(
          slots->rows(), [](const abi::pair_slot& slot) { return slot.peer != PEER_WORLD; }));
  return all;
}

}  // namespace partywall::cli

// agent/kernel/flow_tables.cc: makes, moves and pins inner maps.
#include "agent/kernel/flow_tables.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <vector>

#include "maps/abi/flows.h"
#include "maps/pins.h"

namespace partywall::kernel {
namespace {

Result<Fd> make_table(uint32_t buckets) {
  LIBBPF_OPTS(bpf_map_create_opts, options);
  options.map_flags = BPF_F_INNER_MAP;

  Fd fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "flow_table", sizeof(uint32_t),
                       sizeof(abi::flow_bucket), buckets, &options));

  if (!fd) return fail_errno(errno, "make a flow table of {} buckets", buckets);
  return fd;
}

// Copies what is not empty. A flow's place depends on the size: it goes to the bucket of the
// larger table that its own number ends like, of which one is the right one.
Result<void> move_flows(int from, uint32_t from_buckets, int to, uint32_t to_buckets) {
  uint32_t copies = to_buckets > from_buckets ? to_buckets / from_buckets : 1;

  for (uint32_t bucket = 0; bucket < from_buckets; bucket++) {
    abi::flow_bucket flows{};

    if (bpf_map_lookup_elem(from, &bucket, &flows))
      return fail_errno(errno, "read a flow table");

    bool empty = true;

    for (const abi::flow_entry& entry : flows.entry) empty &= entry.remote == 0;
    if (empty) continue;
    for (uint32_t copy = 0; copy < copies; copy++) {
      uint32_t place = (bucket + copy * from_buckets) & (to_buckets - 1);

      if (bpf_map_update_elem(to, &place, &flows, BPF_ANY))
        return fail_errno(errno, "write a flow table");
    }
  }
  return {};
}

}  // namespace

std::string FlowTables::pin(uint16_t tenant) const {
  return fmt::format("{}/flows/{}", pin_root_, tenant);
}

Result<FlowTables> FlowTables::open(std::string pin_root) {
  FlowTables all;
  auto outer = open_map(pin_root, "flow_tables", Access::kReadWrite);

  if (!outer) return std::move(outer.error());
  all.outer_ = std::move(*outer);
  all.pin_root_ = std::move(pin_root);

  std::string folder = all.pin_root_ + "/flows";

  if (mkdir(folder.c_str(), 0700) && errno != EEXIST)
    return fail_errno(errno, "make {}", folder);

  std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), closedir);

  while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
    std::string_view name = entry->d_name;
    uint16_t tenant = 0;

    if (std::from_chars(name.data(), name.data() + name.size(), tenant).ec != std::errc{})
      continue;

    Fd fd(bpf_obj_get(all.pin(tenant).c_str()));
    bpf_map_info info{};
    __u32 size = sizeof(info);

    if (fd && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0)
      all.tables_[tenant] = {std::move(fd), info.max_entries};
  }
  return all;
}

Result<void> FlowTables::need(uint16_t tenant, uint32_t flows) {
  uint32_t buckets = abi::flow_buckets(flows);
  uint32_t row = tenant;
  auto found = tables_.find(tenant);

  if (found != tables_.end() && found->second.buckets == buckets) return {};

  auto fd = make_table(buckets);

  if (!fd) return std::move(fd.error());
  if (found != tables_.end())
    if (auto moved =
            move_flows(found->second.fd.get(), found->second.buckets, fd->get(), buckets);
        !moved)
      return moved;

  int value = fd->get();

  if (bpf_map_update_elem(outer_.get(), &row, &value, BPF_ANY))
    return fail_errno(errno, "give tenant {} its flow table", tenant);
  unlink(pin(tenant).c_str());
  if (bpf_obj_pin(fd->get(), pin(tenant).c_str()))
    return fail_errno(errno, "pin {}", pin(tenant));
  tables_[tenant] = {std::move(*fd), buckets};
  return {};
}

Result<void> FlowTables::drop(uint16_t tenant) {
  uint32_t row = tenant;

  if (!tables_.contains(tenant)) return {};
  if (bpf_map_delete_elem(outer_.get(), &row) && errno != ENOENT)
    return fail_errno(errno, "take the flow table of tenant {}", tenant);
  unlink(pin(tenant).c_str());
  tables_.erase(tenant);
  return {};
}

uint64_t FlowTables::bytes() const {
  uint64_t total = 0;

  for (const auto& [tenant, table] : tables_) total += table.buckets * sizeof(abi::flow_bucket);
  return total;
}

}  // namespace partywall::kernel

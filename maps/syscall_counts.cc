// maps/syscall_counts.cc: slots from memory, the per-CPU hash in batches, added up by key.
#include "maps/syscall_counts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "maps/pins.h"
#include "maps/typed_map.h"

namespace partywall {
namespace {

using Counts = std::vector<SyscallCount>;

Result<void> read_slots(std::string_view pin_root, Counts& all) {
  auto slots = MappedArray<const abi::syscall_slot>::open(pin_root, "syscall_slots");

  if (!slots) return std::move(slots.error());
  for (const abi::syscall_slot& slot : slots->rows())
    if (slot.key.tenant) all.push_back({slot.key, slot.calls});
  return {};
}

Result<void> read_hash(std::string_view pin_root, Counts& all) {
  constexpr __u32 kBatch = 4096;
  auto map = open_map(pin_root, "syscalls", Access::kRead);

  if (!map) return std::move(map.error());

  auto cpus = static_cast<size_t>(libbpf_num_possible_cpus());
  std::vector<abi::syscall_key> keys(kBatch);
  std::vector<uint64_t> values(kBatch * cpus);
  __u32 next = 0;  // where the next batch begins, as the kernel says
  bool first = true;

  for (;;) {
    __u32 count = kBatch;
    int error = bpf_map_lookup_batch(map->get(), first ? nullptr : &next, &next, keys.data(),
                                     values.data(), &count, nullptr);

    if (error && errno != ENOENT) return fail_errno(errno, "read map syscalls");
    for (__u32 i = 0; i < count; i++) {
      SyscallCount one{keys[i], 0};

      for (size_t cpu = 0; cpu < cpus; cpu++) one.calls += values[i * cpus + cpu];
      all.push_back(one);
    }
    if (error) return {};  // ENOENT: that was the last batch
    first = false;
  }
}

auto order(const SyscallCount& count) {
  return std::tuple(count.key.tenant, count.key.abi, count.key.number);
}

}  // namespace

Result<Counts> read_syscall_counts(std::string_view pin_root) {
  Counts all;

  for (auto read : {read_slots, read_hash})
    if (auto done = read(pin_root, all); !done && done.error().errno_value() != ENOENT)
      return std::move(done.error());
  std::ranges::sort(all, {}, order);

  size_t kept = 0;

  for (const SyscallCount& one : all) {
    if (kept > 0 && order(all[kept - 1]) == order(one))
      all[kept - 1].calls += one.calls;
    else
      all[kept++] = one;
  }
  all.resize(kept);
  return all;
}

}  // namespace partywall

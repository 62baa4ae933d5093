// maps/syscall_counts.cc: batched lookups in a per-CPU hash.
#include "maps/syscall_counts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>

#include "maps/pins.h"

namespace partywall {

Result<std::vector<SyscallCount>> read_syscall_counts(std::string_view pin_root) {
  constexpr __u32 kBatch = 4096;
  std::vector<SyscallCount> all;
  auto map = open_map(pin_root, "syscalls", Access::kRead);

  if (!map) {
    if (map.error().errno_value() == ENOENT) return all;
    return std::move(map.error());
  }

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
    if (error) return all;  // ENOENT: that was the last batch
    first = false;
  }
}

}  // namespace partywall

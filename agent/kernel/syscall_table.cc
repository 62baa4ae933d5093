// agent/kernel/syscall_table.cc: empties slots and removes keys of the hash.
#include "agent/kernel/syscall_table.h"

#include <atomic>
#include <cerrno>

#include "maps/syscall_counts.h"
#include "maps/typed_map.h"

namespace partywall::kernel {

Result<void> forget_syscalls(std::string_view pin_root, const std::vector<bool>& gone) {
  auto is_gone = [&](const abi::syscall_key& key) {
    return key.tenant < gone.size() && gone[key.tenant];
  };
  auto slots = MappedArray<abi::syscall_slot>::open(pin_root, "syscall_slots");

  if (!slots) {
    if (slots.error().errno_value() == ENOENT) return {};
    return std::move(slots.error());
  }
  for (abi::syscall_slot& slot : slots->rows()) {
    if (!is_gone(slot.key)) continue;
    slot.calls = 0;
    std::atomic_thread_fence(std::memory_order_release);
    slot.key = {};  // last: from here on it belongs to whoever comes first
  }

  auto counts = read_syscall_counts(pin_root);
  auto hash = open_map(pin_root, "syscalls", Access::kReadWrite);

  if (!counts) return std::move(counts.error());
  if (!hash) return std::move(hash.error());
  for (const SyscallCount& count : *counts)
    if (is_gone(count.key) && bpf_map_delete_elem(hash->get(), &count.key) && errno != ENOENT)
      return fail_errno(errno, "delete from map syscalls");
  return {};
}

}  // namespace partywall::kernel

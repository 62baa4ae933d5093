// maps/syscall_counts.h: reads the maps syscall_slots and syscalls, summed over the CPUs.
// Writes nothing.
#ifndef PARTYWALL_MAPS_SYSCALL_COUNTS_H
#define PARTYWALL_MAPS_SYSCALL_COUNTS_H

#include <cstdint>
#include <string_view>
#include <vector>

#include "maps/abi/counters.h"
#include "maps/result.h"

namespace partywall {

struct SyscallCount {
  abi::syscall_key key;
  uint64_t calls = 0;
};

// Every (tenant, convention, number) that was counted, once, by tenant. Nothing when system
// calls were never counted here. Keys that come meanwhile may or may not be seen.
Result<std::vector<SyscallCount>> read_syscall_counts(std::string_view pin_root);

}  // namespace partywall

#endif

// agent/kernel/syscall_table.h: takes system call counts of tenants that are gone out of the
// maps.
#ifndef PARTYWALL_AGENT_KERNEL_SYSCALL_TABLE_H
#define PARTYWALL_AGENT_KERNEL_SYSCALL_TABLE_H

#include <string_view>
#include <vector>

#include "maps/result.h"

namespace partywall::kernel {

// Removes what was counted for tenants whose number is set in `gone`. No program may know such
// a number any more. Does nothing when system calls were never counted here.
Result<void> forget_syscalls(std::string_view pin_root, const std::vector<bool>& gone);

}  // namespace partywall::kernel

#endif

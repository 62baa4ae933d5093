// agent/observe/syscall_names.h: the names of system calls on this architecture. Pure.
#ifndef PARTYWALL_AGENT_OBSERVE_SYSCALL_NAMES_H
#define PARTYWALL_AGENT_OBSERVE_SYSCALL_NAMES_H

#include <cstdint>

#include "maps/abi/counters.h"

namespace partywall::observe {

inline constexpr const char* kUnknownSyscall = "unknown";

// "openat"; kUnknownSyscall for numbers that the kernel's headers do not name, so that a tenant
// that makes up numbers makes no new series.
const char* syscall_name(uint16_t convention, uint32_t number);

// "native", "compat", "x32"
const char* convention_name(uint16_t convention);

}  // namespace partywall::observe

#endif

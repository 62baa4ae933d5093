// maps/abi/counters.h: what each tenant used and what it was refused. Plain C.
#ifndef PARTYWALL_MAPS_ABI_COUNTERS_H
#define PARTYWALL_MAPS_ABI_COUNTERS_H

#include "maps/abi/layout.h"
#include "maps/abi/reasons.h"

ABI_BEGIN

struct traffic {
  __u64 bytes;    // wire bytes, network header and up: len + (segments - 1) * headers
  __u64 packets;  // segments
};
ABI_SIZE(struct traffic, 16);

// Every judged packet is counted in exactly one cell. A reason has one cell, but for the
// limits, which have one for each class. Cells of the second kind ("would") count what audit
// mode let pass. The cell of a reason that allows is followed by a mark: how far its bytes and
// packets may count up before this CPU has to pay for more (tenants.h, meters). The two share a
// cache line, and no packet writes the mark, so no packet's debit can be lost.
#define CELL_FIRST_DENY (2 * REASON_FIRST_DENY)
#define CELL_LIMITS (CELL_FIRST_DENY + REASON_FIRST_LIMIT - REASON_FIRST_DENY)
#define CELL_ENFORCED_COUNT (CELL_LIMITS + (REASON_COUNT - REASON_FIRST_LIMIT) * CLASS_COUNT)
#define CELL_COUNT (CELL_ENFORCED_COUNT + CELL_ENFORCED_COUNT - CELL_FIRST_DENY)

// The cell of a packet. `would`: the tenant is in audit mode and the reason denies.
ABI_INLINE __u32 counter_cell(__u32 reason, __u32 peer_class, __u32 would) {
  if (reason < REASON_FIRST_DENY) return 2 * reason;

  __u32 cell = reason < REASON_FIRST_LIMIT
                   ? CELL_FIRST_DENY + reason - REASON_FIRST_DENY
                   : CELL_LIMITS + (reason - REASON_FIRST_LIMIT) * CLASS_COUNT + peer_class;

  return would ? CELL_ENFORCED_COUNT + cell - CELL_FIRST_DENY : cell;
}

// Map counters: array, mmapable; row = cpu * control.max_tenants + tenant. Sum over the CPUs,
// and over one more "CPU" behind the last: the rows of latecomers (bpf/lib/count.h), which all
// CPUs share. Row TENANT_NONE is the traffic of cgroups below the managed root that no tenant
// claims. Written by bpf/lib/count.h. Read by agent/observe and tools/.
struct tenant_counters {
  __u64 taken;  // 1 while a packet on its way out is being counted here
  __u64 reserved[3];
  struct traffic cell[DIRECTION_COUNT][CELL_COUNT];
  __u64 connections_opened[DIRECTION_COUNT];  // TCP: egress = connect() let through, ingress =
                                              // accepted
  __u64 calls_denied[REASON_COUNT];           // connect, sendmsg, bind answered with EPERM
  __u64 calls_would_deny[REASON_COUNT];
  __u64 events_sent;
  __u64 events_throttled;  // lost to the tenant's own event budget
  __u64 events_dropped;    // lost because the ring was full
  __u64 padding;           // whole cache lines: CPUs do not share one
};
ABI_SIZE(struct tenant_counters, 3200);
ABI_AT(struct tenant_counters, cell, 32);  // a cell and its mark in one cache line

// Maps syscall_slots and syscalls: (tenant, abi, number) -> calls; a key's count is the sum
// over both. syscall_slots: array, mmapable; row = cpu * SYSCALL_SLOTS + syscall_slot_of(). A
// slot belongs to the first key that this CPU counts there, all others go to the per-CPU hash
// syscalls. Written by bpf/syscalls.bpf.c; agent/kernel/syscall_table takes out what belongs to
// tenants that are gone. Read by maps/syscall_counts.
enum syscall_abi { SYSCALL_NATIVE, SYSCALL_COMPAT, SYSCALL_X32, SYSCALL_ABI_COUNT };
#define SYSCALL_SLOTS 32768u
#define SYSCALL_MAX 131072
#define SYSCALL_NUMBERS \
  1024u  // no kernel has as many; all above are one key, so that no tenant
         // can fill the table with numbers that do not exist

struct syscall_key {
  __u16 tenant;
  __u16 abi;  // enum syscall_abi
  __u32 number;
};
ABI_SIZE(struct syscall_key, 8);

struct syscall_slot {
  struct syscall_key key;  // tenant 0 = empty slot
  __u64 calls;
};
ABI_SIZE(struct syscall_slot, 16);

ABI_INLINE __u32 syscall_slot_of(__u32 tenant, __u32 abi, __u32 number) {
  return (__u32)(((__u64)number << 32 | abi << 16 | tenant) * 0x9e3779b97f4a7c15ull >> 49);
}
ABI_ASSERT(SYSCALL_SLOTS == 1u << (64 - 49), "syscall_slot_of gives another number of slots");

ABI_END

#endif

// bpf/syscalls.bpf.c: counts system calls per tenant, calling convention and number. Counts
// only: io_uring does its work without system calls, so this is no security boundary.

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/member.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __type(value, struct syscall_slot);
} syscall_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, SYSCALL_MAX);
  __type(key, struct syscall_key);
  __type(value, __u64);
} syscalls SEC(".maps");

#define X32_BIT 0x40000000u
#define STATUS_COMPAT 0x2u  // TS_COMPAT: int 0x80 from a 64-bit process has 32-bit numbers, too

static __always_inline __u16 calling_convention(long number) {
  if (number & X32_BIT) return SYSCALL_X32;
#ifdef __TARGET_ARCH_x86
  struct task_struct* task = bpf_get_current_task_btf();

  if (task->thread_info.status & STATUS_COMPAT) return SYSCALL_COMPAT;
#endif
  return SYSCALL_NATIVE;
}

// For a key whose slot belongs to another one.
static __noinline int count_in_hash(__u16 tenant, __u16 abi, __u32 number) {
  struct syscall_key key = {.tenant = tenant, .abi = abi, .number = number};
  __u64* calls = bpf_map_lookup_elem(&syscalls, &key);
  __u64 first = 1;

  if (!calls) {
    if (!bpf_map_update_elem(&syscalls, &key, &first, BPF_NOEXIST)) return 0;
    // Another CPU made the row in between, or the table is full.
    calls = bpf_map_lookup_elem(&syscalls, &key);
  }
  if (calls) {
    *calls += 1;
    return 0;
  }
  struct health* health_counters = health_row();

  if (health_counters) __sync_fetch_and_add(&health_counters->syscalls_lost_total, 1);
  return 0;
}

// Nothing here is atomic: the tracepoint runs with preemption off, and no interrupt makes
// system calls, so a CPU counts one call at a time.
SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs* registers, long number) {
  const struct control* row = control_row();
  __u32 tenant = row ? tenant_of(bpf_get_current_cgroup_id(), row->side) : TENANT_NONE;

  if (tenant == TENANT_NONE) return 0;

  __u16 abi = calling_convention(number);
  __u32 plain_number = (__u32)number & ~X32_BIT;

  if (plain_number > SYSCALL_NUMBERS) plain_number = SYSCALL_NUMBERS;

  __u32 at =
      bpf_get_smp_processor_id() * SYSCALL_SLOTS + syscall_slot_of(tenant, abi, plain_number);
  struct syscall_slot* slot = bpf_map_lookup_elem(&syscall_slots, &at);

  if (!slot) return 0;  // there are slots for every CPU
  if (slot->key.tenant == tenant && slot->key.abi == abi && slot->key.number == plain_number) {
    slot->calls += 1;
    return 0;
  }
  if (slot->key.tenant != TENANT_NONE) return count_in_hash(tenant, abi, plain_number);
  slot->calls = 1;
  slot->key = (struct syscall_key){.tenant = tenant, .abi = abi, .number = plain_number};
  return 0;
}

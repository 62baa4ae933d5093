// bpf/syscalls.bpf.c: counts system calls per tenant, calling convention and number. Counts
// only: io_uring does its work without system calls, so this is no security boundary.

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/member.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs* registers, long number) {
  const struct control* row = control_row();
  __u32 tenant = row ? tenant_of(bpf_get_current_cgroup_id(), row->side) : TENANT_NONE;

  if (tenant == TENANT_NONE) return 0;

  struct syscall_key key = {
      .tenant = tenant,
      .abi = calling_convention(number),
      .number = (__u32)number & ~X32_BIT,
  };
  __u64* calls = bpf_map_lookup_elem(&syscalls, &key);

  if (calls) {
    *calls += 1;  // no softirq makes system calls, and a task counts on one CPU
    return 0;
  }
  __u64 first = 1;

  if (bpf_map_update_elem(&syscalls, &key, &first, BPF_NOEXIST)) {
    // Another CPU made the row in between, or the table is full.
    calls = bpf_map_lookup_elem(&syscalls, &key);
    if (calls) {
      *calls += 1;
    } else {
      struct health* health_counters = health_row();

      if (health_counters) __sync_fetch_and_add(&health_counters->syscalls_lost_total, 1);
    }
  }
  return 0;
}

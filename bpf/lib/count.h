// bpf/lib/count.h: the tenant's counters on this CPU. No verdicts.
#ifndef PARTYWALL_BPF_LIB_COUNT_H
#define PARTYWALL_BPF_LIB_COUNT_H

#include "bpf/lib/maps.h"

// What a packet is counted as.
struct cost {
  __u64 bytes;  // wire bytes
  __u64 packets;
};

// Rows of counters.
static __always_inline __u32 row_of_this_cpu(const struct control* control, __u32 tenant) {
  return bpf_get_smp_processor_id() * control->max_tenants + tenant;
}

static __always_inline __u32 row_of_latecomers(const struct control* control, __u32 tenant) {
  return control->cpus * control->max_tenants + tenant;
}

// This CPU's counters of a tenant; NULL only if the map were smaller than the agent said.
static __always_inline struct tenant_counters* counters_of(const struct control* control,
                                                           __u32 tenant) {
  __u32 row = row_of_this_cpu(control, tenant);

  return bpf_map_lookup_elem(&counters, &row);
}

// A CPU's row is written by that CPU only; but on egress a softirq, or a task that preempts
// this one, may judge a packet of the same tenant in the midst of this one's count. So a row is
// taken, and whoever finds it taken counts in the row of latecomers, with atomic adds: every
// packet is counted, and nearly always for one locked operation where two adds would be two.
// On ingress softirqs are off and do not nest: whoever counts there counts alone.
static __always_inline int take(struct tenant_counters* row) {
  return !__sync_lock_test_and_set(&row->taken, 1);
}

static __always_inline void give_back(struct tenant_counters* row) {
  asm volatile("" ::: "memory");
  *(volatile __u64*)&row->taken = 0;  // same CPU: nothing to order but the compiler
}

// `alone`: nobody else can write this cell meanwhile.
static __always_inline void count_traffic(struct traffic* traffic, const struct cost* cost,
                                          int alone) {
  if (alone) {
    traffic->bytes += cost->bytes;
    traffic->packets += cost->packets;
  } else {
    __sync_fetch_and_add(&traffic->bytes, cost->bytes);
    __sync_fetch_and_add(&traffic->packets, cost->packets);
  }
}

static __always_inline void count_call(struct tenant_counters* row, __u32 reason, __u32 would) {
  if (!row || reason >= REASON_COUNT) return;
  __sync_fetch_and_add(would ? &row->calls_would_deny[reason] : &row->calls_denied[reason], 1);
}

#endif

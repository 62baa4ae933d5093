// bpf/lib/count.h: the tenant's counters on this CPU. No verdicts.
#ifndef PARTYWALL_BPF_LIB_COUNT_H
#define PARTYWALL_BPF_LIB_COUNT_H

#include "bpf/lib/maps.h"
#include "bpf/lib/meter.h"

// This CPU's counters of a tenant; NULL only if the map were smaller than the agent said.
static __always_inline struct tenant_counters* counters_of(const struct control* control,
                                                           __u32 tenant) {
  __u32 row = bpf_get_smp_processor_id() * control->max_tenants + tenant;

  return bpf_map_lookup_elem(&counters, &row);
}

// Only this CPU writes here. On egress a softirq, or a task that preempts this one, may judge a
// packet of the same tenant between load and store, so the adds are atomic: no packet goes
// uncounted. On ingress softirqs are off and do not nest: whoever counts here counts alone.
static __always_inline void count_traffic(struct traffic* traffic, const struct cost* cost,
                                          __u32 direction) {
  if (direction == DIRECTION_INGRESS) {
    traffic->bytes += cost->bytes;
    traffic->packets += cost->packets;
    return;
  }
  __sync_fetch_and_add(&traffic->bytes, cost->bytes);
  __sync_fetch_and_add(&traffic->packets, cost->packets);
}

static __always_inline void count_call(struct tenant_counters* row, __u32 reason, __u32 would) {
  if (!row || reason >= REASON_COUNT) return;
  __sync_fetch_and_add(would ? &row->calls_would_deny[reason] : &row->calls_denied[reason], 1);
}

#endif

// bpf/lib/event.h: tells user space about a denial, within the tenant's own budget of events.
#ifndef PARTYWALL_BPF_LIB_EVENT_H
#define PARTYWALL_BPF_LIB_EVENT_H

#include "bpf/lib/count.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/meter.h"

// An event to be filled in, or NULL: over budget, or the ring is full. Both are counted.
static __always_inline struct verdict_event* reserve_event(__u32 tenant,
                                                           struct tenant_counters* row) {
  struct tenant_meters* meter = bpf_map_lookup_elem(&meters, &tenant);

  if (!meter || !row) return NULL;
  if (pay(&meter->events_paid_until_ns, EVENT_PER_SECOND,
          EVENT_BURST * NS_PER_SECOND / EVENT_PER_SECOND, 1,
          bpf_ktime_get_ns()) == CHARGE_OVER) {
    __sync_fetch_and_add(&row->events_throttled, 1);
    return NULL;
  }
  struct verdict_event* event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

  if (!event) {
    __sync_fetch_and_add(&row->events_dropped, 1);
    return NULL;
  }
  __sync_fetch_and_add(&row->events_sent, 1);
  __builtin_memset(event, 0, sizeof(*event));
  event->time_ns = bpf_ktime_get_ns();
  event->lost_total = row->events_throttled + row->events_dropped;
  event->tenant = tenant;
  return event;
}

static __always_inline void fill_event(struct verdict_event* event, const struct flow* flow,
                                       enum reason reason, enum peer_class peer_class,
                                       __u32 hook, __u32 would) {
  event->peer = flow->peer;
  event->protocol = flow->protocol;
  event->local_port = flow->local_port;
  event->peer_port = flow->peer_port;
  event->reason = reason;
  event->peer_class = peer_class;
  event->hook = hook;
  event->direction = flow->direction;
  event->would = would;
  event->family = flow->family;
}

#endif

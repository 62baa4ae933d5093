// bpf/lib/denial.h: counts and tells a packet that was refused. Out of line: it is rare.
#ifndef PARTYWALL_BPF_LIB_DENIAL_H
#define PARTYWALL_BPF_LIB_DENIAL_H

#include "bpf/lib/count.h"
#include "bpf/lib/event.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/packet.h"

// What is to be counted and told of a packet with a reason that denies.
struct denial {
  struct cost cost;
  __u32 peer;
  __u16 tenant;
  __u16 ethertype;  // network order
  __u8 network;     // where the network header begins
  __u8 reason;
  __u8 peer_class;
  __u8 hook;
  __u8 direction;
  __u8 would;
};

// What the headers say of a flow.
static __always_inline void set_ports(struct flow* flow, const struct packet* packet) {
  int egress = flow->direction == DIRECTION_EGRESS;

  flow->local_port = egress ? packet->source_port : packet->target_port;
  flow->peer_port = egress ? packet->target_port : packet->source_port;
  flow->family = packet->family;
  flow->protocol = packet->protocol;
  flow->protocol_bit = packet->protocol_bit;
  flow->opens = packet->opens && packet->protocol_bit != DECIDE_UDP;
}

static __noinline int report(struct __sk_buff* skb, const struct denial* denial,
                             struct tenant_counters* counters) {
  struct verdict_event* event = reserve_event(denial->tenant, counters);

  if (!event) return 0;

  int egress = denial->direction == DIRECTION_EGRESS;
  struct packet packet = {.network = denial->network};

  parse(skb, denial->ethertype, &packet);

  struct flow flow = {.peer = denial->peer, .direction = denial->direction};

  set_ports(&flow, &packet);
  fill_event(event, &flow, denial->reason, denial->peer_class, denial->hook, denial->would);
  event->cgroup_id = bpf_skb_cgroup_id(skb);
  event->wire_bytes = denial->cost.bytes;
  __builtin_memcpy(event->local_address, egress ? &packet.source : &packet.target, 16);
  __builtin_memcpy(event->peer_address, egress ? &packet.target : &packet.source, 16);
  bpf_ringbuf_submit(event, 0);
  return 0;
}

__noinline int count_denial(struct __sk_buff* skb, const struct denial* denial) {
  const struct control* control = control_row();

  if (!control || !denial) return 0;

  struct tenant_counters* counters = counters_of(control, denial->tenant);
  __u32 cell = counter_cell(denial->reason, denial->peer_class, denial->would);

  if (!counters || cell >= CELL_COUNT) return 0;
  count_traffic(&counters->cell[denial->direction & 1][cell], &denial->cost, 0);
  report(skb, denial, counters);
  return 0;
}

#endif

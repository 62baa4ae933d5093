// bpf/packets.bpf.c: every packet of the managed root's sockets, in and out: verdict, limits,
// counters. The authority of the cgroup plane. Never looks at the process that happens to run.
#include "bpf/lib/count.h"
#include "bpf/lib/event.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/member.h"
#include "bpf/lib/meter.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define LOOPBACK_IFINDEX 1  // in every network namespace

// Who sent a loopback packet: its address says nothing there. Written over whatever the
// sender's own programs left, read at the receiving socket. skb->priority, because nothing on
// the loopback path uses it and a mark would steer the receiver's firewall rules.
#define STAMP 0x50570000u
#define STAMP_MASK 0xffff0000u

// What cgroup_skb programs may return; the last two on egress only.
enum { DROP = 0, PASS = 1, DROP_SLOW_DOWN = 2, PASS_SLOW_DOWN = 3 };

// The peer of a packet, with whatever can be said before the rules are asked.
static __always_inline enum reason find_peer(struct __sk_buff* skb, const struct packet* packet,
                                             const struct tenant_policy* policy,
                                             struct flow* flow) {
  int egress = flow->direction == DIRECTION_EGRESS;

  if (skb->ifindex == LOOPBACK_IFINDEX) {
    if (egress) {
      skb->priority = STAMP | flow->tenant;
      return REASON_ALLOW_LOOPBACK;
    }
    if ((skb->priority & STAMP_MASK) != STAMP) return REASON_ALLOW_HOST_PROCESS;
    flow->peer = skb->priority & ~STAMP_MASK;
    return judge(flow, policy);
  }
  if (egress && !owns_source(flow->side, flow->tenant, policy, packet->family, &packet->source))
    return REASON_DENY_SOURCE;
  // A group is an endpoint like any other; who speaks to it is the sender's own affair.
  flow->peer_address = egress || packet->multicast ? &packet->target : &packet->source;
  flow->peer = peer_of(flow->side, packet->family, flow->peer_address);
  return judge(flow, policy);
}

static __noinline void report(struct __sk_buff* skb, const struct packet* packet,
                              const struct flow* flow, __u32 verdict, __u64 wire_bytes) {
  const struct control* control = control_row();

  if (!control) return;

  struct verdict_event* event = reserve_event(flow->tenant, counters_of(control, flow->tenant));

  if (!event) return;

  int egress = flow->direction == DIRECTION_EGRESS;

  fill_event(event, flow, verdict & 0xff, verdict >> 8 & 0xff, flow->direction,
             verdict >> 16 & 1);
  event->cgroup_id = bpf_skb_cgroup_id(skb);
  event->wire_bytes = wire_bytes;
  __builtin_memcpy(event->local_address, egress ? &packet->source : &packet->target, 16);
  __builtin_memcpy(event->peer_address, egress ? &packet->target : &packet->source, 16);
  bpf_ringbuf_submit(event, 0);
}

static __always_inline int judge_packet(struct __sk_buff* skb, __u32 direction) {
  const struct control* control = control_row();

  if (!control) return DROP;

  __u32 side = *(volatile __u32*)&control->side & 1;
  __u32 tenant = tenant_of(bpf_skb_cgroup_id(skb), side);
  __u32 policy_row = side * control->max_tenants + tenant;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct tenant_counters* counters = counters_of(control, tenant);

  if (!counters) return DROP;  // there is a row for every tenant number and CPU

  struct packet packet = {};
  enum reason reason = parse(skb, &packet);
  struct flow flow = {
      .peer_address = &packet.source,
      .socket = skb->sk,
      .side = side,
      .tenant = tenant,
      .local_port = direction == DIRECTION_EGRESS ? packet.source_port : packet.target_port,
      .peer_port = direction == DIRECTION_EGRESS ? packet.target_port : packet.source_port,
      .family = packet.family,
      .protocol = packet.protocol,
      .protocol_bit = packet.protocol_bit,
      .direction = direction,
      .opens = packet.opens && packet.protocol_bit != DECIDE_UDP,
  };

  if (!policy || tenant == TENANT_NONE || !(policy->flags & TENANT_IN_USE))
    reason = REASON_DENY_UNKNOWN_CGROUP;
  else if (reason < REASON_FIRST_DENY)
    reason = find_peer(skb, &packet, policy, &flow);

  __u64 segments = skb->gso_segs > 1 ? skb->gso_segs : 1;
  struct cost cost = {.bytes = skb->len + (segments - 1) * packet.header_bytes,
                      .packets = segments};
  __u32 peer_class = class_of(reason);
  int verdict = reason < REASON_FIRST_DENY ? PASS : DROP;

  if (verdict == PASS) {
    enum charge charge =
        charge_packet(policy, &counters->cell[direction][counter_cell(reason, 0, 0)], &cost,
                      tenant, direction, &reason);

    if (direction == DIRECTION_EGRESS && packet.protocol == IPPROTO_TCP)
      verdict = charge == CHARGE_OVER   ? DROP_SLOW_DOWN
                : charge == CHARGE_NEAR ? PASS_SLOW_DOWN
                                        : PASS;
    else if (charge == CHARGE_OVER)
      verdict = direction == DIRECTION_EGRESS ? DROP_SLOW_DOWN : DROP;
  }
  __u32 would = reason >= REASON_FIRST_DENY && tenant && policy && policy->flags & TENANT_AUDIT;
  __u32 cell = counter_cell(reason, peer_class, would);

  if (cell < CELL_COUNT) count_traffic(&counters->cell[direction][cell], &cost);
  if (reason >= REASON_FIRST_DENY)
    report(skb, &packet, &flow, reason | peer_class << 8 | would << 16, cost.bytes);
  if (would) return PASS;
  // The last packet of a handshake is the only one but a SYN that a listening socket is handed.
  if (direction == DIRECTION_INGRESS && packet.protocol == IPPROTO_TCP && verdict == PASS &&
      !packet.opens && skb->sk && skb->sk->state == BPF_TCP_LISTEN)
    __sync_fetch_and_add(&counters->connections_opened[DIRECTION_INGRESS], 1);
  return verdict;
}

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff* skb) { return judge_packet(skb, DIRECTION_EGRESS); }

SEC("cgroup_skb/ingress")
int packet_ingress(struct __sk_buff* skb) { return judge_packet(skb, DIRECTION_INGRESS); }

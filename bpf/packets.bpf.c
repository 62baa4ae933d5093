// bpf/packets.bpf.c: every packet of the managed root's sockets, in and out: verdict, limits,
// counters. The authority of the cgroup plane. Never looks at the process that happens to run.
//
// What a packet costs is above all how much code it runs through that the kernel's TCP has
// pushed out of the instruction cache meanwhile. So judge_packet() is compiled twice: in line
// for the ordinary IPv4 packet, with everything else folded away, and out of line for the rest;
// what is rare is out of line in both.
#include "bpf/lib/count.h"
#include "bpf/lib/event.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/member.h"
#include "bpf/lib/meter.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"
#include "bpf/lib/police.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define LOOPBACK_IFINDEX 1  // in every network namespace

// Who sent a loopback packet: its address says nothing there. Written over whatever the
// sender's own programs left, read at the receiving socket. skb->priority, because nothing on
// the loopback path uses it and a mark would steer the receiver's firewall rules.
#define STAMP 0x50570000u
#define STAMP_MASK 0xffff0000u

// What cgroup_skb programs may return; the last two on egress only.
enum { DROP = 0, PASS = 1, DROP_SLOW_DOWN = 2, PASS_SLOW_DOWN = 3 };

// What is to be counted and told of a packet with a reason that denies.
struct denial {
  __u64 bytes;
  __u32 packets;
  __u32 peer;
  __u16 tenant;
  __u8 reason;
  __u8 peer_class;
  __u8 direction;
  __u8 would;
};
#define DENIAL 4  // beside a verdict: there is one

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

// Sets the peer of a packet, or says what can be said without knowing it.
static __always_inline enum reason find_peer(struct __sk_buff* skb, __u8 family,
                                             const struct packet* packet,
                                             const struct tenant_policy* policy,
                                             struct flow* flow) {
  int egress = flow->direction == DIRECTION_EGRESS;

  if (unlikely(skb->ifindex == LOOPBACK_IFINDEX)) {
    if (egress) {
      skb->priority = STAMP | flow->tenant;
      return REASON_ALLOW_LOOPBACK;
    }
    if ((skb->priority & STAMP_MASK) != STAMP) return REASON_ALLOW_HOST_PROCESS;
    flow->peer = skb->priority & ~STAMP_MASK;
    return REASON_ALLOW_SAME_TENANT;
  }
  if (egress && !owns_source(flow->side, flow->tenant, policy, family, &packet->source))
    return REASON_DENY_SOURCE;
  // A group is an endpoint like any other; who speaks to it is the sender's own affair.
  if (egress || unlikely(packet->multicast))
    flow->peer_address = packet->target;
  else
    flow->peer_address = packet->source;
  flow->peer = peer_of(flow->side, family, &flow->peer_address);
  return REASON_ALLOW_SAME_TENANT;
}

// What a sender is told about a packet that has used up its rate, or nearly so.
static __always_inline int slow_down(enum charge charge, __u32 direction, __u8 protocol) {
  if (direction == DIRECTION_INGRESS) return charge == CHARGE_OVER ? DROP : PASS;
  if (charge == CHARGE_OVER) return DROP_SLOW_DOWN;
  return charge == CHARGE_NEAR && protocol == IPPROTO_TCP ? PASS_SLOW_DOWN : PASS;
}

int judge_any(struct __sk_buff* skb, __u32 direction, struct denial* denial);

// The verdict, and DENIAL when `denial` has been filled in. `reason` is what the headers say:
// REASON_ALLOW_SAME_TENANT for nothing bad. `plain` is a constant: whether the packet is one
// that parse_plain4() has taken.
static __always_inline int judge_packet(struct __sk_buff* skb, __u32 direction, int plain,
                                        struct packet* packet, enum reason reason,
                                        struct denial* denial) {
  const struct control* control = control_row();

  if (unlikely(!control)) return DROP;

  __u32 side = *(volatile __u32*)&control->side & 1;
  __u32 tenant = tenant_of(bpf_skb_cgroup_id(skb), side);
  __u32 policy_row = side * control->max_tenants + tenant;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  __u32 counter_row = row_of_this_cpu(control, tenant);
  struct tenant_counters* counted = bpf_map_lookup_elem(&counters, &counter_row);

  if (unlikely(!policy || !counted)) return DROP;  // there are rows for every tenant number

  struct flow flow = {.side = side, .tenant = tenant, .direction = direction};

  if (unlikely(!(policy->flags & TENANT_IN_USE))) reason = REASON_DENY_UNKNOWN_CGROUP;
  if (likely(reason < REASON_FIRST_DENY))
    reason = find_peer(skb, plain ? AF_INET : packet->family, packet, policy, &flow);
  if (reason == REASON_ALLOW_SAME_TENANT && flow.peer != tenant) {
    // The lane is rare, and needs the flow in memory.
    if (plain && unlikely(flow.peer & PEER_INFRASTRUCTURE))
      return judge_any(skb, direction, denial);
    if (plain) parse_plain4_ports(skb, packet);
    set_ports(&flow, packet);
    if (packet->protocol_bit == DECIDE_UDP) flow.socket = skb->sk;
    if (!plain && flow.peer & PEER_INFRASTRUCTURE && is_in_lane(&flow))
      reason = REASON_ALLOW_INFRASTRUCTURE;
    else
      reason = judge(&flow, policy);
  }
  __u64 segments = skb->gso_segs;
  struct cost cost = {.bytes = skb->len, .packets = 1};

  if (unlikely(segments > 1)) {
    __u32 header_bytes = plain ? plain4_header_bytes(skb) : packet->header_bytes;

    cost.packets = segments;
    cost.bytes += (segments - 1) * header_bytes;
  }
  enum reason refused = reason;
  int verdict = DROP;

  if (likely(reason < REASON_FIRST_DENY)) {
    int alone = direction == DIRECTION_INGRESS || take(counted);

    if (unlikely(!alone)) {
      counter_row = row_of_latecomers(control, tenant);
      counted = bpf_map_lookup_elem(&counters, &counter_row);
      if (!counted) return DROP;
    }
    __u32 cell = counter_cell(reason, 0, 0);
    struct traffic* traffic = &counted->cell[direction & 1][cell];
    enum charge charge = CHARGE_PAID;

    if (direction == DIRECTION_INGRESS && packet->protocol == IPPROTO_TCP && is_policed(policy))
      charge = police(skb, packet->transport, policy, traffic, &cost, tenant, charge, &limit);
    verdict = PASS;
    if (is_beyond_mark(policy, traffic, &cost, direction)) {
      int paid = pay_packet(tenant, (__u64)policy_row << 32 | counter_row,
                            cell << 1 | direction, cost.bytes, cost.packets);

      charge = paid & ((1 << PAID_REASON_SHIFT) - 1);
      refused = paid >> PAID_REASON_SHIFT;
      verdict = slow_down(charge, direction, packet->protocol);
    }
    if (likely(charge != CHARGE_OVER)) count_traffic(traffic, &cost, alone);
    if (direction == DIRECTION_EGRESS && alone) give_back(counted);
    if (likely(charge != CHARGE_OVER)) {
      // The last packet of a handshake is the only one but a SYN that a listening socket is
      // handed.
      if (direction == DIRECTION_INGRESS && packet->protocol == IPPROTO_TCP && skb->sk &&
          unlikely(skb->sk->state == BPF_TCP_LISTEN) &&
          !(plain ? plain4_opens(skb) : packet->opens))
        __sync_fetch_and_add(&counted->connections_opened[DIRECTION_INGRESS], 1);
      return verdict;
    }
  }
  denial->bytes = cost.bytes;
  denial->packets = cost.packets;
  denial->peer = flow.peer;
  denial->tenant = tenant;
  denial->reason = refused;
  denial->peer_class = class_of(reason);
  denial->direction = direction;
  denial->would = tenant != TENANT_NONE && policy->flags & TENANT_AUDIT;
  return (denial->would ? PASS : verdict) | DENIAL;
}

// Any packet. Out of line for the verifier as well (not static): it walks through it once.
__noinline int judge_any(struct __sk_buff* skb, __u32 direction, struct denial* denial) {
  if (!denial) return DROP;

  struct packet packet = {};
  enum reason reason = parse(skb, &packet);

  return judge_packet(skb, direction & 1, 0, &packet, reason, denial);
}

static __noinline int report(struct __sk_buff* skb, const struct denial* denial,
                             struct tenant_counters* counters) {
  struct verdict_event* event = reserve_event(denial->tenant, counters);

  if (!event) return 0;

  int egress = denial->direction == DIRECTION_EGRESS;
  struct packet packet = {};

  parse(skb, &packet);

  struct flow flow = {.peer = denial->peer, .direction = denial->direction};

  set_ports(&flow, &packet);
  fill_event(event, &flow, denial->reason, denial->peer_class, denial->direction,
             denial->would);
  event->cgroup_id = bpf_skb_cgroup_id(skb);
  event->wire_bytes = denial->bytes;
  __builtin_memcpy(event->local_address, egress ? &packet.source : &packet.target, 16);
  __builtin_memcpy(event->peer_address, egress ? &packet.target : &packet.source, 16);
  bpf_ringbuf_submit(event, 0);
  return 0;
}

__noinline int count_and_report(struct __sk_buff* skb, const struct denial* denial) {
  const struct control* control = control_row();

  if (!control || !denial) return 0;

  struct tenant_counters* counters = counters_of(control, denial->tenant);
  __u32 cell = counter_cell(denial->reason, denial->peer_class, denial->would);
  struct cost cost = {.bytes = denial->bytes, .packets = denial->packets};

  if (!counters || cell >= CELL_COUNT) return 0;
  count_traffic(&counters->cell[denial->direction & 1][cell], &cost, 0);
  report(skb, denial, counters);
  return 0;
}

static __always_inline int judge_skb(struct __sk_buff* skb, __u32 direction) {
  struct denial denial;
  struct packet packet = {};
  int verdict;

  if (likely(parse_plain4(skb, &packet)))
    verdict = judge_packet(skb, direction, 1, &packet, REASON_ALLOW_SAME_TENANT, &denial);
  else
    verdict = judge_any(skb, direction, &denial);
  if (unlikely(verdict & DENIAL)) count_and_report(skb, &denial);
  return verdict & (direction == DIRECTION_EGRESS ? 3 : 1);
}

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff* skb) { return judge_skb(skb, DIRECTION_EGRESS); }

SEC("cgroup_skb/ingress")
int packet_ingress(struct __sk_buff* skb) { return judge_skb(skb, DIRECTION_INGRESS); }

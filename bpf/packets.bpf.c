// bpf/packets.bpf.c: every packet of the managed root's sockets, in and out: verdict, limits,
// counters. The authority of the cgroup plane. Never looks at the process that happens to run.
//
// What a packet costs is above all how much code it runs through that the kernel's TCP has
// pushed out of the instruction cache meanwhile. So judge_packet() is compiled twice: in line
// for the ordinary IPv4 packet, with everything else folded away, and out of line for the rest;
// and what is rare is out of line in both.
#include "bpf/lib/charge.h"
#include "bpf/lib/denial.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/member.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"
#include "bpf/lib/replies.h"
#include "bpf/lib/stamp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define LOOPBACK_IFINDEX 1  // in every network namespace

// Who sent a loopback packet: its address says nothing there. Written over whatever the
// sender's own programs left, read at the receiving socket. skb->priority, because nothing on
// the loopback path uses it and a mark would steer the receiver's firewall rules.
#define STAMP 0x50570000u
#define STAMP_MASK 0xffff0000u

// What cgroup_skb programs may return; the last two on egress only.
enum { DROP = 0, PASS = 1, DROP_SLOW_DOWN = 2, PASS_SLOW_DOWN = 3 };

// Map refusals: see maps/abi/sockets.h.
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct refusal);
} refusals SEC(".maps");

static __noinline enum police police_tcp(struct __sk_buff* skb, const struct purchase* purchase,
                                         int over) {
  struct bpf_sock* socket = skb->sk;

  if (!socket) return POLICE_AS_CHARGED;
  socket = bpf_sk_fullsock(socket);
  if (!socket || socket->state == BPF_TCP_LISTEN) return POLICE_AS_CHARGED;

  struct refusal* refusal = bpf_sk_storage_get(&refusals, socket, NULL, 0);

  if (!over && !(refusal && refusal->refusing)) return POLICE_AS_CHARGED;

  struct segment segment;

  if (!read_segment(skb, purchase->tcp_at, &segment)) return POLICE_AS_CHARGED;
  if (segment.begin == segment.end)  // acknowledges only
    return over ? POLICE_ON_ACCOUNT : POLICE_AS_CHARGED;
  if (!refusal) {
    struct refusal fresh = {.end = segment.begin,
                            .last_us = bpf_ktime_get_ns() / 1000 - REMEMBER_US};

    refusal = bpf_sk_storage_get(&refusals, socket, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
    if (!refusal) return POLICE_AS_CHARGED;
  }
  return police_segment(refusal, &segment, over);
}

#define NOT_PLAIN REASON_COUNT  // no reason: judge_any() is to be asked

// Sets the peer of a packet, or says what can be said without knowing it.
static __always_inline enum reason find_peer(struct __sk_buff* skb, int plain, __u8 family,
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
  if (egress && !owns_source(flow->side, flow->tenant, policy, family, &packet->source)) {
    if (plain) return NOT_PLAIN;
    if (!is_node(policy, flow->side, family, &packet->source)) return REASON_DENY_SOURCE;
  }
  // A group is an endpoint like any other; who speaks to it is the sender's own affair.
  if (egress || unlikely(packet->multicast))
    flow->peer_address = packet->target;
  else
    flow->peer_address = packet->source;
  flow->peer = peer_of(flow->side, family, &flow->peer_address);
  return REASON_ALLOW_SAME_TENANT;
}

// The verdict on a packet whose headers can be read. `plain` is a constant: whether
// parse_plain4() has taken it.
static __always_inline enum reason judge_packet(struct __sk_buff* skb, int plain,
                                                struct packet* packet,
                                                const struct tenant_policy* policy,
                                                struct flow* flow) {
  enum reason reason =
      find_peer(skb, plain, plain ? AF_INET : packet->family, packet, policy, flow);

  if (reason != REASON_ALLOW_SAME_TENANT || flow->peer == flow->tenant) return reason;
  // The lane needs the flow in memory, and is rare.
  if (plain && unlikely(flow->peer & PEER_INFRASTRUCTURE)) return NOT_PLAIN;
  if (plain) parse_plain4_ports(skb, 0, packet);
  set_ports(flow, packet);
  if (packet->protocol_bit == DECIDE_UDP) flow->socket = skb->sk;
  if (!plain && flow->peer & PEER_INFRASTRUCTURE && is_in_lane(flow))
    return REASON_ALLOW_INFRASTRUCTURE;
  return judge(flow, policy);
}

// What judge_any() finds out besides the verdict.
struct finding {
  __u32 peer;
  __u32 tcp_at;  // where the TCP header begins; 0 = not TCP
};

// The verdict on any packet of any tenant. On its own for the verifier as well (not static): it
// walks through it once.
__noinline int judge_any(struct __sk_buff* skb, __u32 policy_row, __u32 tenant_and_direction,
                         struct finding* finding) {
  const struct control* control = control_row();
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);

  if (!control || !policy || !finding) return REASON_DENY_UNKNOWN_CGROUP;

  struct packet packet = {};
  struct flow flow = {.side = policy_row >= control->max_tenants,
                      .tenant = tenant_and_direction >> 1,
                      .direction = tenant_and_direction & 1};
  enum reason reason = parse(skb, skb->protocol, &packet);

  // Kernels fragment after egress and reassemble before ingress: a fragment here is hand-made.
  if (packet.fragment) reason = REASON_DENY_FRAGMENT;
  if (!(policy->flags & TENANT_IN_USE)) reason = REASON_DENY_UNKNOWN_CGROUP;
  if (reason < REASON_FIRST_DENY) reason = judge_packet(skb, 0, &packet, policy, &flow);
  finding->peer = flow.peer;
  finding->tcp_at = packet.protocol == IPPROTO_TCP ? packet.transport : 0;
  return reason;
}

// Of a packet that stands for several segments, or that a listening socket is handed.
static __noinline __u32 header_bytes(struct __sk_buff* skb) {
  struct packet packet = {};

  parse(skb, skb->protocol, &packet);
  return packet.header_bytes;
}

static __noinline int opens(struct __sk_buff* skb) {
  struct packet packet = {};

  parse(skb, skb->protocol, &packet);
  return packet.opens;
}

// Whether a TCP packet makes a connection that somebody accepts: the last packet of a handshake
// is the only one but a SYN that a listening socket is handed.
static __always_inline int is_accepted(struct __sk_buff* skb) {
  return skb->sk && unlikely(skb->sk->state == BPF_TCP_LISTEN) && !opens(skb);
}

// Only connections are still to be counted.
static __always_inline int accept_from_edge(struct __sk_buff* skb,
                                            const struct control* control, __u32 tenant) {
  if (skb->sk && unlikely(skb->sk->state == BPF_TCP_LISTEN) && !opens(skb)) {
    struct tenant_counters* counted = counters_of(control, tenant);

    if (counted) __sync_fetch_and_add(&counted->connections_opened[DIRECTION_INGRESS], 1);
  }
  return PASS;
}

// What a sender is told about a packet that has used up its rate, or nearly so.
static __always_inline int slow_down(enum charge charge, __u32 direction, int is_tcp) {
  if (direction == DIRECTION_INGRESS) return charge == CHARGE_OVER ? DROP : PASS;
  if (charge == CHARGE_OVER) return DROP_SLOW_DOWN;
  return charge == CHARGE_NEAR && is_tcp ? PASS_SLOW_DOWN : PASS;
}

static __always_inline int handle(struct __sk_buff* skb, __u32 direction) {
  const struct control* control = control_row();

  if (unlikely(!control)) return DROP;

  __u32 side = *(volatile __u32*)&control->side & 1;
  __u32 tenant = tenant_of(bpf_skb_cgroup_id(skb), side);

  // The edge has judged, charged and counted it for this very tenant (bpf/lib/stamp.h).
  if (direction == DIRECTION_INGRESS && skb->tc_index == edge_stamp(control, tenant) &&
      likely(skb->ifindex != LOOPBACK_IFINDEX && tenant != TENANT_NONE))
    return accept_from_edge(skb, control, tenant);

  __u32 policy_row = side * control->max_tenants + tenant;
  __u32 counter_row = row_of_this_cpu(control, tenant);
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct tenant_counters* counted = bpf_map_lookup_elem(&counters, &counter_row);

  if (unlikely(!policy || !counted)) return DROP;  // there are rows for every tenant number

  struct packet packet = {};
  struct flow flow = {.side = side, .tenant = tenant, .direction = direction};
  enum reason reason = NOT_PLAIN;

  if (likely(parse_plain4(skb, 0, &packet) && policy->flags & TENANT_IN_USE))
    reason = judge_packet(skb, 1, &packet, policy, &flow);

  __u32 peer = flow.peer;
  __u32 tcp_at = packet.protocol == IPPROTO_TCP ? sizeof(struct iphdr) : 0;

  if (unlikely(reason == NOT_PLAIN)) {
    struct finding finding = {};

    reason = judge_any(skb, policy_row, tenant << 1 | direction, &finding);
    peer = finding.peer;
    tcp_at = finding.tcp_at;
  }
  __u32 segments = skb->gso_segs;
  struct cost cost = {.bytes = skb->len, .packets = 1};

  if (unlikely(segments > 1)) {
    cost.packets = segments;
    cost.bytes += (__u64)(segments - 1) * header_bytes(skb);
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

    // The verifier forgets the bound of a 32-bit value that was compared and then spilled.
    barrier_var(cell);
    if (unlikely(cell >= CELL_COUNT)) return DROP;

    struct traffic* traffic = &counted->cell[direction][cell];
    enum charge charge = CHARGE_PAID;

    verdict = PASS;
    if (unlikely(is_beyond_mark(policy, traffic, &cost, direction))) {
      struct purchase purchase = {.cost = cost,
                                  .policy_row = policy_row,
                                  .counter_row = counter_row,
                                  .tenant = tenant,
                                  .cell = cell,
                                  .tcp_at = tcp_at,
                                  .direction = direction};
      int paid = pay_packet(skb, &purchase);

      charge = paid & ((1 << PAID_REASON_SHIFT) - 1);
      refused = paid >> PAID_REASON_SHIFT;
      verdict = slow_down(charge, direction, tcp_at != 0);
    }
    if (likely(charge != CHARGE_OVER)) count_traffic(traffic, &cost, alone);
    if (direction == DIRECTION_EGRESS && alone) give_back(counted);
    if (likely(charge != CHARGE_OVER)) {
      if (direction == DIRECTION_INGRESS && tcp_at && unlikely(is_accepted(skb)))
        __sync_fetch_and_add(&counted->connections_opened[DIRECTION_INGRESS], 1);
      return verdict;
    }
  }
  struct denial denial = {
      .cost = cost,
      .peer = peer,
      .tenant = tenant,
      .ethertype = skb->protocol,
      .reason = refused,
      .peer_class = class_of(reason),
      .hook = direction,  // the first two hooks
      .direction = direction,
      .would = tenant != TENANT_NONE && policy->flags & TENANT_AUDIT,
  };

  count_denial(skb, &denial);
  return denial.would ? PASS : verdict;
}

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff* skb) { return handle(skb, DIRECTION_EGRESS); }

SEC("cgroup_skb/ingress")
int packet_ingress(struct __sk_buff* skb) { return handle(skb, DIRECTION_INGRESS); }

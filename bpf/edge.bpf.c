// bpf/edge.bpf.c: every frame at the host end of a workload's interface: the authority of the
// edge plane. It sees what no socket hook sees: AF_PACKET, tunnels, what a workload forwards,
// and the kernel's own answers. Whose frame it is, the interface says.
//
// The workload's egress comes in here, its ingress goes out here. A packet of a tenant's own
// socket was charged and counted as it left the socket (packets.bpf.c) and is only judged
// again; all else is charged and counted here.
#include "bpf/lib/charge.h"
#include "bpf/lib/denial.h"
#include "bpf/lib/flows.h"
#include "bpf/lib/interface.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/link.h"
#include "bpf/lib/member.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"
#include "bpf/lib/quoted.h"
#include "bpf/lib/stamp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// What tc programs may return: others on the interface are asked next, or nobody is.
enum { NEXT = -1, DROP = 2 };

#define LINK_HEADER 14u
#define VLAN_TAG 4u
#define ETH_IP 0x0800
#define ETH_IP6 0x86dd
#define ETH_ARP 0x0806
#define ETH_VLAN 0x8100
#define ETH_QINQ 0x88a8
#define AF_PACKET 17

// What is known of a frame before its packet is judged, and what judging it finds out.
struct frame {
  __u32 interface;
  __u32 policy_row;
  __u32 peer;  // found
  __u16 tenant;
  __u16 ethertype;  // network order
  __u16 tcp_at;     // found: where the TCP header begins; 0 = not TCP
  __u8 side;
  __u8 direction;
  __u8 network;  // where the network header begins
  __u8 flags;    // INTERFACE_*
  __u8 bound;    // 0 = nobody is known to own the interface
};

// All that a packet says of its flow.
static __always_inline void set_flow(struct flow* flow, const struct packet* packet) {
  int egress = flow->direction == DIRECTION_EGRESS;

  set_ports(flow, packet);
  flow->own_address = egress ? packet->source : packet->target;
  flow->peer_address = egress ? packet->target : packet->source;
  flow->tcp_flags = packet->tcp_flags;
  flow->fragment = packet->fragment;
  flow->datagram = packet->datagram;
  flow->echo = packet->echo;
  if (packet->protocol_bit == DECIDE_TUNNEL) flow->opens = 0;  // either end may begin
}

// The flow of a TCP packet on its way in, read again: parse() would not fit on the stack below
// pay_packet(). Returns 0 when something is out of reach.
static __always_inline int read_flow(struct __sk_buff* skb, const struct purchase* purchase,
                                     struct flow* flow) {
  __u8 version;  // behind a VLAN tag skb->protocol does not say it

  if (bpf_skb_load_bytes(skb, purchase->network, &version, sizeof(version))) return 0;

  int v4 = version >> 4 == 4;
  __u32 size = v4 ? 4 : 16;
  __u32 at = purchase->network + (v4 ? __builtin_offsetof(struct iphdr, saddr)
                                     : __builtin_offsetof(struct ipv6hdr, saddr));
  __u16 ports[2];

  __builtin_memset(flow, 0, sizeof(*flow));
  flow->tenant = purchase->tenant;
  flow->direction = DIRECTION_COUNT;  // of one that is not known: nobody says who opened it
  flow->interface = skb->ifindex;
  flow->family = v4 ? AF_INET : AF_INET6;
  flow->protocol = IPPROTO_TCP;
  flow->protocol_bit = DECIDE_TCP;
  if (bpf_skb_load_bytes(skb, at, &flow->peer_address, size) ||
      bpf_skb_load_bytes(skb, at + size, &flow->own_address, size) ||
      bpf_skb_load_bytes(skb, purchase->tcp_at, ports, sizeof(ports)))
    return 0;
  flow->peer_port = bpf_ntohs(ports[0]);
  flow->local_port = bpf_ntohs(ports[1]);
  return 1;
}

static __noinline enum police police_tcp(struct __sk_buff* skb, const struct purchase* purchase,
                                         int over) {
  struct flow* flow = spare_flow(SPARE_POLICED);
  struct segment segment;

  if (!flow || !read_flow(skb, purchase, flow) ||
      !read_segment(skb, purchase->tcp_at, &segment))
    return POLICE_AS_CHARGED;
  if (segment.begin == segment.end)  // opens or acknowledges only
    return over ? POLICE_ON_ACCOUNT : POLICE_AS_CHARGED;

  struct flow_entry* entry = find_flow(flow, over ? FLOW_OPENING : -1);

  // Without a place to remember it, single segments are refused; that holds the rate as well.
  if (!entry || (!over && !entry->refusing)) return over ? POLICE_REFUSE : POLICE_AS_CHARGED;

  struct refusal refusal = {
      .last_us = entry->refused_us, .end = entry->refused_end, .refusing = entry->refusing};

  if (!refusal.last_us) {
    refusal.end = segment.begin;
    refusal.last_us = bpf_ktime_get_ns() / 1000 - REMEMBER_US;
  }

  enum police what = police_segment(&refusal, &segment, over);

  entry->refused_us = refusal.last_us | 1;  // 0 = never
  entry->refused_end = refusal.end;
  entry->refusing = refusal.refusing;
  return what;
}

static __always_inline __u32 marked_tenant(const struct __sk_buff* skb,
                                           const struct control* control) {
  __u32 mask = control->mark_mask;

  return mask ? (skb->mark & mask) / (mask & -mask) : TENANT_NONE;
}

static __always_inline void mark(struct __sk_buff* skb, const struct control* control,
                                 __u32 tenant) {
  __u32 mask = control->mark_mask;

  skb->mark = (skb->mark & ~mask) | (tenant * (mask & -mask) & mask);
}

// Whether a socket of this network namespace sent the packet: the host's own, it was not
// forwarded here.
static __always_inline int is_from_here(const struct __sk_buff* skb) {
  return !skb->ingress_ifindex && skb->sk;
}

static __always_inline int is_below_root(struct __sk_buff* skb, const struct control* control) {
  return bpf_skb_ancestor_cgroup_id(skb, control->root_level) == control->root_cgroup_id;
}

// The verdict on a packet that a process of the host sends to the workload.
__noinline int judge_host_process(const struct flow* flow) {
  if (!flow) return REASON_DENY_UNBOUND;

  int asks =
      flow->opens || (flow->protocol_bit == DECIDE_UDP && flow->fragment != LATER_FRAGMENT);

  // Its answer is let pass even if the workload may not open a flow to there.
  if (asks) {
    struct flow_entry* entry = find_flow(flow, FLOW_HOST);

    if (entry) {
      entry->state = FLOW_HOST;
      entry->opened_by = DIRECTION_INGRESS;
      see(entry);
    }
  }
  return REASON_ALLOW_HOST_PROCESS;
}

__noinline int answers_host_process(const struct flow* flow) {
  if (!flow || flow->opens || flow->fragment == LATER_FRAGMENT || !has_number(flow)) return 0;

  struct flow_entry* entry = find_flow(flow, -1);

  if (!entry || entry->state != FLOW_HOST) return 0;
  if (flow->protocol_bit != DECIDE_TCP && is_over(entry, flow_clock())) return 0;
  see(entry);
  return 1;
}

// A later fragment: as the first one of its datagram.
static __always_inline enum reason judge_later_fragment(const struct flow* flow) {
  if (flow->peer == flow->tenant) return REASON_ALLOW_SAME_TENANT;
  if (!is_noted_fragment(flow)) return REASON_DENY_FRAGMENT;
  if (flow->peer & PEER_INFRASTRUCTURE) return REASON_ALLOW_INFRASTRUCTURE;
  return flow->peer != PEER_WORLD && flow->peer <= PEER_TENANT_MAX ? REASON_ALLOW_TENANT_RULE
                                                                   : REASON_ALLOW_WORLD;
}

// The verdict on a flow whose peer is known.
__noinline int judge_flow(const struct flow* flow) {
  if (!flow) return REASON_DENY_UNBOUND;
  if (flow->fragment == LATER_FRAGMENT) return judge_later_fragment(flow);
  if (flow->peer & PEER_INFRASTRUCTURE && is_in_lane(flow)) return REASON_ALLOW_INFRASTRUCTURE;

  const struct tenant_policy* policy = policy_of(flow);

  return policy ? judge(flow, policy) : REASON_DENY_UNBOUND;
}

// The verdict on a packet whose source was rewritten on this node: the mark says who sent it,
// the address whom it answers.
static __always_inline enum reason judge_rewritten(struct flow* flow, __u32 sender) {
  __u8 recall = flow->recall;
  int node = flow->peer & PEER_NODE;
  enum reason reason;

  flow->recall = RECALL_STRICT | RECALL_NOTHING;
  reason = judge_flow(flow);
  if (reason < REASON_FIRST_DENY && answers_flow(flow)) return reason;
  flow->peer = sender;
  flow->recall = recall | RECALL_STRICT;
  reason = judge_flow(flow);
  // Its answer goes to the node. When there is no room for it, that answer is refused.
  if (node && reason < REASON_FIRST_DENY) note_flow(flow);
  return reason;
}

static __always_inline enum reason judge_sender(struct __sk_buff* skb,
                                                const struct control* control,
                                                struct flow* flow, int multicast) {
  __u32 sender = marked_tenant(skb, control);

  if (is_from_here(skb)) {
    sender = tenant_of(bpf_skb_cgroup_id(skb), flow->side);
    if (sender == TENANT_NONE && !is_below_root(skb, control)) return judge_host_process(flow);
    if (sender == TENANT_NONE) return REASON_DENY_UNKNOWN_CGROUP;
  }
  if (sender && sender != flow->peer && !multicast) return judge_rewritten(flow, sender);
  return judge_flow(flow);
}

// The verdict on any frame. On its own for the verifier as well (not static): it walks through
// it once.
__noinline int judge_frame(struct __sk_buff* skb, struct frame* frame) {
  const struct control* control = control_row();

  if (!control || !frame) return REASON_DENY_UNBOUND;

  __u32 policy_row = frame->policy_row;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct packet* packet = spare_packet(SPARE_JUDGED);
  struct flow* flow = spare_flow(SPARE_JUDGED);

  if (!policy || !flow || !packet) return REASON_DENY_UNBOUND;
  packet->network = frame->network;
  flow->side = frame->side & 1;
  flow->tenant = frame->bound ? frame->tenant : TENANT_NONE;
  flow->direction = frame->direction & 1;
  flow->interface = frame->interface;
  flow->recall = frame->flags & INTERFACE_STRICT ? RECALL_STRICT : 0;
  flow->peer = PEER_WORLD;

  int egress = flow->direction == DIRECTION_EGRESS;

  if (!egress) flow->peer = marked_tenant(skb, control);
  int unmarked = !egress && !flow->peer && skb->ingress_ifindex;

  if (unmarked && !is_from_known_interface(skb)) return REASON_DENY_UNBOUND;
  if (frame->ethertype == bpf_htons(ETH_ARP)) return judge_arp(skb, packet->network, flow);
  if (frame->ethertype != bpf_htons(ETH_IP) && frame->ethertype != bpf_htons(ETH_IP6))
    return REASON_DENY_FRAME;

  enum reason reason = parse(skb, frame->ethertype, packet);

  if (reason >= REASON_FIRST_DENY) return reason;
  if (packet->protocol == IPPROTO_TCP && packet->fragment != LATER_FRAGMENT)
    frame->tcp_at = packet->transport;
  set_flow(flow, packet);
  reason = judge_link(skb, packet, flow);
  if (reason != NOT_LINK) return reason;
  if (!frame->bound || (unmarked && !may_be_unmarked(skb, control->mark_mask)))
    return REASON_DENY_UNBOUND;
  if (!(policy->flags & TENANT_IN_USE)) return REASON_DENY_UNKNOWN_CGROUP;
  if (egress && !owns_source(flow->side, flow->tenant, policy, packet->family, &packet->source))
    return REASON_DENY_SOURCE;
  if (!egress && !packet->multicast &&
      is_others(flow->side, flow->tenant, policy, packet->family, &packet->target))
    return REASON_DENY_INTERFACE;
  if (!egress && packet->multicast) flow->peer_address = packet->target;
  flow->peer = peer_of(flow->side, packet->family, &flow->peer_address);
  frame->peer = flow->peer;
  if (is_icmp_error(packet)) {
    reason = judge_quoted(skb, flow, packet->transport);
    if (reason < REASON_FIRST_DENY) return reason;
  }
  if (egress) {
    reason = judge_flow(flow);
    if (reason >= REASON_FIRST_DENY && answers_host_process(flow))
      reason = REASON_ALLOW_HOST_PROCESS;
  } else {
    reason = judge_sender(skb, control, flow, packet->multicast);
    frame->peer = flow->peer;
  }
  if (packet->fragment == FIRST_FRAGMENT && reason < REASON_FIRST_DENY &&
      reason != REASON_ALLOW_SAME_TENANT && !note_fragments(flow))
    return REASON_DENY_FLOWS_FULL;
  return reason;
}

#define NOT_PLAIN REASON_COUNT  // no reason: judge_frame() is to be asked

// The verdict on the ordinary packet, in line: IPv4, TCP or UDP, between addresses that nobody
// has rewritten. Anything else is NOT_PLAIN.
static __always_inline enum reason judge_plain(struct __sk_buff* skb,
                                               const struct control* control,
                                               struct frame* frame,
                                               const struct tenant_policy* policy) {
  int egress = frame->direction == DIRECTION_EGRESS;
  struct packet packet = {};

  if (!parse_plain4(skb, LINK_HEADER, &packet)) return NOT_PLAIN;

  // It may be DHCP, which is a word about the link, also within a tenant.
  if (packet.protocol == IPPROTO_UDP) {
    parse_plain4_ports(skb, LINK_HEADER, &packet);
    if (unlikely(packet.target_port < 69 && packet.target_port > 66)) return NOT_PLAIN;
  }

  struct flow flow = {.side = frame->side,
                      .tenant = frame->tenant,
                      .direction = frame->direction,
                      .interface = frame->interface,
                      .recall = frame->flags & INTERFACE_STRICT ? RECALL_STRICT : 0};

  if (egress && !owns_source(flow.side, flow.tenant, policy, AF_INET, &packet.source))
    return REASON_DENY_SOURCE;
  flow.peer = peer_of(flow.side, AF_INET, egress ? &packet.target : &packet.source);
  if (!egress) {
    __u32 sender = marked_tenant(skb, control);

    if (unlikely(!skb->ingress_ifindex || (sender && sender != flow.peer))) return NOT_PLAIN;
    if (unlikely(!sender && !may_be_unmarked(skb, control->mark_mask))) return NOT_PLAIN;
    if (unlikely(is_others(flow.side, flow.tenant, policy, AF_INET, &packet.target)))
      return REASON_DENY_INTERFACE;
  }
  frame->peer = flow.peer;
  frame->tcp_at = packet.protocol == IPPROTO_TCP ? LINK_HEADER + sizeof(struct iphdr) : 0;
  if (flow.peer == flow.tenant) return REASON_ALLOW_SAME_TENANT;
  if (unlikely(flow.peer & PEER_INFRASTRUCTURE)) return NOT_PLAIN;
  if (packet.protocol == IPPROTO_TCP) parse_plain4_ports(skb, LINK_HEADER, &packet);
  set_flow(&flow, &packet);

  enum reason reason = judge(&flow, policy);

  // A host process may be waiting for it.
  return reason >= REASON_FIRST_DENY && egress ? NOT_PLAIN : reason;
}

// Where the packet begins behind link header and VLAN tags, and what it is.
static __noinline int find_packet(struct __sk_buff* skb, struct frame* frame) {
  __u16 type = skb->protocol;
  __u32 at = frame->flags & INTERFACE_NO_LINK ? 0 : LINK_HEADER;

#pragma unroll
  for (int i = 0; i < 2; i++) {
    if (type != bpf_htons(ETH_VLAN) && type != bpf_htons(ETH_QINQ)) break;
    if (bpf_skb_load_bytes(skb, at + 2, &type, sizeof(type))) break;
    at += VLAN_TAG;
  }
  frame->network = at;
  frame->ethertype = type;
  return 0;
}

// Whether the frame's link address is the workload's: on its way out the source, on its way in
// the target, if that is no group. Learns it from the first frame of a bound interface.
static __always_inline int is_own_frame(struct __sk_buff* skb, struct interface* interface,
                                        __u32 direction) {
  const __u8* frame = (const __u8*)(long)skb->data;
  const __u8* end = (const __u8*)(long)skb->data_end;
  int egress = direction == DIRECTION_EGRESS;

  if (unlikely(interface->flags & INTERFACE_NO_LINK)) return 1;
  if (unlikely(frame + LINK_HEADER > end)) return 0;

  const __u8* address = egress ? frame + 6 : frame;

  if (unlikely(!(interface->flags & INTERFACE_HAS_MAC))) {
    __u64 mac = 0;

    if (!egress) return 1;
    __builtin_memcpy(&mac, address, 6);
    return claim_link_address(interface, mac);
  }
  if (likely(*(const __u32*)address == *(const __u32*)interface->mac &&
             *(const __u16*)(address + 4) == *(const __u16*)(interface->mac + 4)))
    return 1;
  return !egress && address[0] & 1;
}

// Whether the sender's socket was charged for the packet already, as it left the socket: those
// of inet sockets in a tenant's cgroup are, unless they are not the packet's own (tunnels).
static __always_inline int is_charged(const struct __sk_buff* skb, __u32 sender) {
  struct bpf_sock* socket = skb->sk;

  return sender != TENANT_NONE && socket &&
         (socket->family == AF_INET || socket->family == AF_INET6);
}

// Of a packet that stands for several segments.
static __noinline __u32 header_bytes(struct __sk_buff* skb, const struct frame* frame) {
  struct packet packet = {.network = frame->network};

  parse(skb, frame->ethertype, &packet);
  return packet.header_bytes;
}

// Whose the interface is. Sets frame.tenant and frame.bound.
static __always_inline void find_tenant(struct __sk_buff* skb, const struct control* control,
                                        struct interface* interface, struct frame* frame) {
  __u32 tenant = tenant_of_interface(interface, frame->side);

  if (unlikely(tenant == TENANT_NONE) && frame->direction == DIRECTION_EGRESS)
    tenant = bind_interface(skb, control, interface, frame->side);
  frame->tenant = tenant;
  frame->bound = tenant != TENANT_NONE;
}

// A workload that only listens binds its interface with its first answer. What comes before is
// judged for the tenant that owns the address it is sent to: the host's own routes say that it
// lives here.
static __noinline void find_owner_of_target(struct __sk_buff* skb, struct frame* frame) {
  struct packet packet = {.network = frame->network};

  if (parse(skb, frame->ethertype, &packet) >= REASON_FIRST_DENY) return;

  __u32 owner = peer_of(frame->side, packet.family, &packet.target);

  if (owner == PEER_WORLD || owner > PEER_TENANT_MAX) return;
  frame->tenant = owner;
  frame->bound = 1;
}

static __always_inline int handle(struct __sk_buff* skb, __u32 direction) {
  const struct control* control = control_row();
  __u32 index = skb->ifindex;
  struct interface* interface = interface_at(index);

  if (unlikely(!control)) return DROP;
  if (unlikely(!interface)) return NEXT;  // no workload's

  struct frame frame = {.interface = index,
                        .side = *(volatile __u32*)&control->side & 1,
                        .direction = direction,
                        .flags = interface->flags,
                        .network = LINK_HEADER,
                        .ethertype = skb->protocol};
  __u32 sender = TENANT_NONE;
  enum reason reason = NOT_PLAIN;

  find_tenant(skb, control, interface, &frame);
  if (unlikely(frame.flags & INTERFACE_NO_LINK || skb->protocol == bpf_htons(ETH_VLAN) ||
               skb->protocol == bpf_htons(ETH_QINQ)))
    find_packet(skb, &frame);
  if (unlikely(!frame.bound) && direction == DIRECTION_INGRESS)
    find_owner_of_target(skb, &frame);
  if (direction == DIRECTION_EGRESS) sender = tenant_of(bpf_skb_cgroup_id(skb), frame.side);
  frame.policy_row = frame.side * control->max_tenants + frame.tenant;

  __u32 policy_row = frame.policy_row;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);

  if (unlikely(!policy)) return DROP;  // there are rows for every tenant number
  if (unlikely(frame.bound && !is_own_frame(skb, interface, direction)))
    reason = REASON_DENY_LINK_ADDRESS;
  else if (unlikely(sender != TENANT_NONE && sender != frame.tenant))
    reason = REASON_DENY_INTERFACE;
  else if (likely(policy->flags & TENANT_IN_USE && frame.network == LINK_HEADER && frame.bound))
    reason = judge_plain(skb, control, &frame, policy);
  if (unlikely(reason == NOT_PLAIN)) reason = judge_frame(skb, &frame);

  int would = frame.tenant != TENANT_NONE && policy->flags & TENANT_AUDIT;

  // Charged and counted where it left its socket, also as one that audit mode lets pass: all
  // that is left to do is to let it pass.
  if (direction == DIRECTION_EGRESS) {
    mark(skb, control, frame.tenant);
    if (likely(is_charged(skb, sender)) &&
        likely(reason < REASON_FIRST_DENY || (would && !is_edge_reason(reason))))
      return NEXT;
  }

  __u32 segments = skb->gso_segs;
  struct cost cost = {.bytes = skb->len > frame.network ? skb->len - frame.network : 0,
                      .packets = 1};
  __u32 counter_row = row_of_this_cpu(control, frame.tenant);
  struct tenant_counters* counted = bpf_map_lookup_elem(&counters, &counter_row);
  enum reason refused = reason;

  if (unlikely(!counted)) return DROP;
  if (unlikely(segments > 1)) {
    cost.packets = segments;
    cost.bytes += (__u64)(segments - 1) * header_bytes(skb, &frame);
  }
  if (likely(reason < REASON_FIRST_DENY)) {
    int alone = direction == DIRECTION_INGRESS || take(counted);

    if (unlikely(!alone)) {
      counter_row = row_of_latecomers(control, frame.tenant);
      counted = bpf_map_lookup_elem(&counters, &counter_row);
      if (!counted) return DROP;
    }

    __u32 cell = counter_cell(reason, 0, 0);

    // 6.1 forgets the bound of a 32-bit value that was compared and then spilled.
    barrier_var(cell);
    if (unlikely(cell >= CELL_COUNT)) return DROP;

    struct traffic* traffic = &counted->cell[direction][cell];
    enum charge charge = CHARGE_PAID;

    if (unlikely(is_beyond_mark(policy, traffic, &cost, direction))) {
      struct purchase purchase = {.cost = cost,
                                  .policy_row = policy_row,
                                  .counter_row = counter_row,
                                  .tenant = frame.tenant,
                                  .cell = cell,
                                  .tcp_at = frame.tcp_at,
                                  .network = frame.network,
                                  .direction = direction};
      int paid = pay_packet(skb, &purchase);

      charge = paid & ((1 << PAID_REASON_SHIFT) - 1);
      refused = paid >> PAID_REASON_SHIFT;
    }
    if (likely(charge != CHARGE_OVER)) count_traffic(traffic, &cost, alone);
    if (direction == DIRECTION_EGRESS && alone) give_back(counted);
    if (likely(charge != CHARGE_OVER)) {
      if (direction == DIRECTION_INGRESS) skb->tc_index = edge_stamp(control, frame.tenant);
      return NEXT;
    }
  }

  struct denial denial = {
      .cost = cost,
      .peer = frame.peer,
      .tenant = frame.tenant,
      .ethertype = frame.ethertype,
      .network = frame.network,
      .reason = refused,
      .peer_class = class_of(reason),
      .hook = direction == DIRECTION_EGRESS ? HOOK_EDGE_EGRESS : HOOK_EDGE_INGRESS,
      .direction = direction,
      .would = would,
  };

  if (unlikely(!frame.bound)) {
    struct health* row = health_row();

    if (row) __sync_fetch_and_add(&row->unbound_total, 1);
  }
  count_denial(skb, &denial);
  if (!would) return DROP;
  if (direction == DIRECTION_INGRESS) skb->tc_index = edge_stamp(control, frame.tenant);
  return NEXT;
}

SEC("tc")
int edge_egress(struct __sk_buff* skb) { return handle(skb, DIRECTION_EGRESS); }

SEC("tc")
int edge_ingress(struct __sk_buff* skb) { return handle(skb, DIRECTION_INGRESS); }

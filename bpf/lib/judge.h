// bpf/lib/judge.h: the verdict on a flow between a tenant and a peer. Same order and same
// reasons as agent/policy/verdict.cc, which a test holds it against. Reads maps, never writes.
#ifndef PARTYWALL_BPF_LIB_JUDGE_H
#define PARTYWALL_BPF_LIB_JUDGE_H

#include "bpf/lib/maps.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"

struct flow {
  struct address peer_address;
  struct address own_address;  // tables only
  struct bpf_sock* socket;     // sockets only: whose UDP replies may be expected; NULL in calls
  __u32 side;
  __u32 tenant;
  __u32 peer;        // endpoints.h
  __u16 local_port;  // host order
  __u16 peer_port;
  __u8 family;
  __u8 protocol;      // IPPROTO_*
  __u8 protocol_bit;  // DECIDE_*
  __u8 direction;
  __u8 opens;  // it cannot be a reply
  // Tables only:
  __u8 recall;      // enum recall
  __u8 tcp_flags;   // TCP_*
  __u8 fragment;    // enum fragment
  __u16 echo;       // packet.h
  __u32 datagram;   // packet.h
  __u32 interface;  // ifindex
};

// Each plane remembers flows in its own way (replies.h: sockets; flows.h: tables).
//
// Whether the plane has to note the flow when its replies would otherwise be refused.
static __always_inline int needs_memory(const struct flow* flow);
// Notes it. Returns 0 when there is no room.
static __always_inline int remember_flow(const struct flow* flow);
// Whether the other end may have opened the flow that this is a packet of.
static __always_inline int is_reply(const struct flow* flow);

static __noinline int set_has_port(__u32 set, __u32 side, __u16 protocol, __u16 port) {
  struct port_page_key key = {
      .set = set | side << PAIR_SIDE_SHIFT,
      .protocol = protocol,
      .page = port / 64,
  };
  const __u64* ports = bpf_map_lookup_elem(&port_pages, &key);

  return ports && *ports >> (port % 64) & 1;
}

static __always_inline int allows(__u32 decision, const struct flow* flow, __u16 port) {
  if (unlikely(flow->protocol_bit == DECIDE_UDP) && is_tunnel_port(port))
    return decision & DECIDE_TUNNEL;
  if (decision & flow->protocol_bit) return 1;
  if (likely(decision & DECIDE_RANGE))
    return decision >> DECIDE_RANGE_SHIFT & flow->protocol_bit & (DECIDE_TCP | DECIDE_UDP) &&
           decision_has_port(decision, port);
  if (likely(!(decision >> DECIDE_SET_SHIFT)) ||
      flow->protocol_bit & (DECIDE_ICMP | DECIDE_TUNNEL))
    return 0;
  return set_has_port(decision >> DECIDE_SET_SHIFT, flow->side, flow->protocol, port);
}

enum answer { ANSWER_NO_RULE, ANSWER_OTHER_PORT, ANSWER_FULL, ANSWER_ALLOW, ANSWER_REPLY };

// Whether two decisions let the flow pass: as one that its sender may open, or as the reply to
// one that the other end may open.
static __always_inline enum answer decide_flow(const struct pair* decide,
                                               const struct flow* flow) {
  int egress = flow->direction == DIRECTION_EGRESS;
  __u32 forward = egress ? decide->out : decide->in;
  __u32 backward = egress ? decide->in : decide->out;
  __u16 forward_port = egress ? flow->peer_port : flow->local_port;
  __u16 backward_port = egress ? flow->local_port : flow->peer_port;

  if (allows(forward, flow, forward_port)) {
    if (needs_memory(flow) && !allows(backward, flow, backward_port) && !remember_flow(flow))
      return ANSWER_FULL;
    return ANSWER_ALLOW;
  }
  if (likely(allows(backward, flow, backward_port)) && likely(is_reply(flow)))
    return ANSWER_REPLY;
  return forward ? ANSWER_OTHER_PORT : ANSWER_NO_RULE;
}

static __noinline int chained_pair(__u32 side, __u32 tenant, __u32 peer, struct pair* decide) {
  struct pair_key key = {.tenant = tenant | side << PAIR_SIDE_SHIFT, .peer = peer};
  const struct pair* pair = bpf_map_lookup_elem(&pairs, &key);

  if (!pair) return 0;
  *decide = *pair;
  return 1;
}

// Sets the decisions for a tenant and a peer, if there are some. One load for nearly every
// pair.
static __always_inline int find_pair(__u32 side, __u32 tenant, __u32 peer,
                                     struct pair* decide) {
  __u32 row = side * PAIR_SLOTS + pair_slot_of(tenant, peer);
  const struct pair_slot* slot = bpf_map_lookup_elem(&pair_slots, &row);

  if (unlikely(!slot)) return 0;
  if (likely(slot->peer == peer && slot->tenant == tenant)) {
    *decide = slot->pair;
    return 1;
  }
  if (likely(!slot->chained)) return 0;

  struct pair found = {};
  int is_there = chained_pair(side, tenant, peer, &found);

  if (is_there) *decide = found;
  return is_there;
}

static __always_inline int is_tunnel_flow(const struct flow* flow) {
  if (flow->protocol_bit == DECIDE_TUNNEL) return 1;
  return flow->protocol_bit == DECIDE_UDP &&
         is_tunnel_port(flow->direction == DIRECTION_EGRESS ? flow->peer_port
                                                            : flow->local_port);
}

// Whether the infrastructure lane lets the flow pass, for a peer that is in it. Whoever is not
// let through is judged like any other.
static __noinline int is_in_lane(const struct flow* flow) {
  struct pair lane;

  return find_pair(flow->side, TENANT_NONE, flow->peer, &lane) &&
         decide_flow(&lane, flow) >= ANSWER_ALLOW;
}

// The verdict on a flow that the lane does not let pass.
static __always_inline enum reason judge(const struct flow* flow,
                                         const struct tenant_policy* policy) {
  if (flow->peer == flow->tenant) return REASON_ALLOW_SAME_TENANT;
  if (unlikely(!flow->protocol_bit)) return REASON_DENY_PROTOCOL;

  // A service is its tenant's; whoever may not reach it has no pair with it.
  int is_service = flow->peer & PEER_SERVICE;
  int is_tenant = is_service || (flow->peer != PEER_WORLD && flow->peer <= PEER_TENANT_MAX);
  struct pair decide;

  if (flow->peer == PEER_WORLD || !find_pair(flow->side, flow->tenant, flow->peer, &decide)) {
    int v4 = flow->family == AF_INET;

    if (is_tenant) return REASON_DENY_TENANT;
    if (flow->peer & PEER_MULTICAST) return REASON_DENY_MULTICAST;
    decide.out = v4 ? policy->world_out : policy->world6_out;
    decide.in = v4 ? policy->world_in : policy->world6_in;
  }
  // Services open nothing: who has an answer for that is their tenant.
  if (is_service && decide.in) return REASON_ALLOW_SAME_TENANT;

  enum answer result = decide_flow(&decide, flow);

  if (likely(result == ANSWER_ALLOW))
    return is_tenant ? REASON_ALLOW_TENANT_RULE : REASON_ALLOW_WORLD;
  if (likely(result == ANSWER_REPLY))
    return is_tenant ? REASON_ALLOW_TENANT_REPLY : REASON_ALLOW_WORLD_REPLY;
  if (result == ANSWER_FULL) return REASON_DENY_FLOWS_FULL;
  // Behind a node's address may stand whoever was let in from there: a workload on the node's
  // network, or one whose address was rewritten on the way.
  if (flow->peer & PEER_NODE && flow->direction == DIRECTION_EGRESS && is_reply(flow))
    return REASON_ALLOW_WORLD_REPLY;
  if (flow->peer & PEER_MULTICAST) return REASON_DENY_MULTICAST;
  if (result == ANSWER_OTHER_PORT && is_tunnel_flow(flow)) return REASON_DENY_TUNNEL;
  if (result == ANSWER_OTHER_PORT)
    return is_tenant ? REASON_DENY_TENANT_PORT : REASON_DENY_WORLD_PORT;
  return is_tenant ? REASON_DENY_TENANT : REASON_DENY_WORLD;
}

// What kind of peer a verdict was about. Reasons know; only a limit's peer must be asked.
static __always_inline enum peer_class class_of(enum reason reason) {
  switch (reason) {
#define X(name, label, peer_class, sentence) \
  case REASON_##name:                        \
    return CLASS_##peer_class;
    PARTYWALL_REASONS(X)
#undef X
    default:
      return CLASS_UNKNOWN;
  }
}

#endif

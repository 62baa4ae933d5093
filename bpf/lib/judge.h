// bpf/lib/judge.h: the verdict on a flow between a tenant and a peer. Same order and same
// reasons as agent/policy/verdict.cc, which a test holds it against. Reads maps, never writes.
#ifndef PARTYWALL_BPF_LIB_JUDGE_H
#define PARTYWALL_BPF_LIB_JUDGE_H

#include "bpf/lib/maps.h"
#include "bpf/lib/peer.h"
#include "bpf/lib/replies.h"

struct flow {
  const struct address* peer_address;
  struct bpf_sock* socket;  // whose UDP replies may be expected; NULL in calls
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
};

static __always_inline int allows(__u32 decision, const struct flow* flow, __u16 port) {
  if (decision & flow->protocol_bit) return 1;
  if (flow->protocol_bit == DECIDE_ICMP) return 0;
  if (decision & DECIDE_RANGE)
    return decision >> DECIDE_RANGE_SHIFT & flow->protocol_bit &&
           decision_has_port(decision, port);
  if (!(decision >> DECIDE_SET_SHIFT)) return 0;

  struct port_page_key key = {
      .set = decision >> DECIDE_SET_SHIFT | flow->side << PAIR_SIDE_SHIFT,
      .protocol = flow->protocol,
      .page = port / 64,
  };
  const __u64* ports = bpf_map_lookup_elem(&port_pages, &key);

  return ports && *ports >> (port % 64) & 1;
}

enum answer { ANSWER_NO_RULE, ANSWER_OTHER_PORT, ANSWER_ALLOW, ANSWER_REPLY };

// Whether two decisions let the flow pass: as one that its sender may open, or as the reply to
// one that the other end may open.
static __always_inline enum answer answer(const struct pair* decide, const struct flow* flow) {
  int egress = flow->direction == DIRECTION_EGRESS;
  __u32 forward = egress ? decide->out : decide->in;
  __u32 backward = egress ? decide->in : decide->out;
  __u16 forward_port = egress ? flow->peer_port : flow->local_port;
  __u16 backward_port = egress ? flow->local_port : flow->peer_port;

  if (allows(forward, flow, forward_port)) return ANSWER_ALLOW;
  if (backward && allows(backward, flow, backward_port)) {
    int reply = !flow->opens;

    if (!egress && flow->protocol_bit == DECIDE_UDP)
      reply = is_expected(flow->socket, flow->family, flow->peer_address, flow->peer_port);
    if (reply) return ANSWER_REPLY;
  }
  return forward ? ANSWER_OTHER_PORT : ANSWER_NO_RULE;
}

static __always_inline const struct pair* pair_of(__u32 side, __u32 tenant, __u32 peer) {
  struct pair_key key = {.tenant = tenant | side << PAIR_SIDE_SHIFT, .peer = peer};

  return bpf_map_lookup_elem(&pairs, &key);
}

// The answer, and for UDP a note of whom the tenant asked when the peer could not open the
// flow.
static __always_inline enum answer decide_flow(const struct pair* decide,
                                               const struct flow* flow) {
  enum answer result = answer(decide, flow);

  if (result == ANSWER_ALLOW && flow->direction == DIRECTION_EGRESS &&
      flow->protocol_bit == DECIDE_UDP && !allows(decide->in, flow, flow->local_port))
    expect_reply(flow->socket, flow->family, flow->peer_address, flow->peer_port);
  return result;
}

static __always_inline enum reason judge_tenant(const struct flow* flow) {
  const struct pair* decide = pair_of(flow->side, flow->tenant, flow->peer);

  if (!decide) return REASON_DENY_TENANT;
  switch (decide_flow(decide, flow)) {
    case ANSWER_ALLOW:
      return REASON_ALLOW_TENANT_RULE;
    case ANSWER_REPLY:
      return REASON_ALLOW_TENANT_REPLY;
    case ANSWER_OTHER_PORT:
      return REASON_DENY_TENANT_PORT;
    default:
      return REASON_DENY_TENANT;
  }
}

static __always_inline enum reason judge_world(const struct flow* flow,
                                               const struct tenant_policy* policy) {
  int v4 = flow->family == AF_INET;
  struct pair decide = {.out = v4 ? policy->world_out : policy->world6_out,
                        .in = v4 ? policy->world_in : policy->world6_in};

  if (flow->peer & PEER_INFRASTRUCTURE) {
    const struct pair* lane = pair_of(flow->side, TENANT_NONE, flow->peer);

    if (lane && decide_flow(lane, flow) >= ANSWER_ALLOW) return REASON_ALLOW_INFRASTRUCTURE;
  }
  if (flow->peer != PEER_WORLD) {
    const struct pair* own = pair_of(flow->side, flow->tenant, flow->peer);

    if (own)
      decide = *own;
    else if (flow->peer & PEER_MULTICAST)
      return REASON_DENY_MULTICAST;
  }
  enum answer result = decide_flow(&decide, flow);

  if (result == ANSWER_ALLOW) return REASON_ALLOW_WORLD;
  if (result == ANSWER_REPLY) return REASON_ALLOW_WORLD_REPLY;
  if (flow->peer & PEER_MULTICAST) return REASON_DENY_MULTICAST;
  return result == ANSWER_OTHER_PORT ? REASON_DENY_WORLD_PORT : REASON_DENY_WORLD;
}

static __always_inline enum reason judge(const struct flow* flow,
                                         const struct tenant_policy* policy) {
  if (flow->peer == flow->tenant) return REASON_ALLOW_SAME_TENANT;
  if (!flow->protocol_bit) return REASON_DENY_PROTOCOL;
  if (flow->peer != PEER_WORLD && flow->peer <= PEER_TENANT_MAX) return judge_tenant(flow);
  return judge_world(flow, policy);
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

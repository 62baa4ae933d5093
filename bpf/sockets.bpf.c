// bpf/sockets.bpf.c: connect, sendmsg and bind of the managed root's sockets: EPERM at once
// instead of a timeout. Judges the caller's tenant; the packets are judged again by their
// socket's (packets.bpf.c).
#include "bpf/lib/count.h"
#include "bpf/lib/event.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/member.h"
#include "bpf/lib/peer.h"
#include "bpf/lib/replies.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct listener);
} listeners SEC(".maps");

#define SOCK_STREAM 1
#define MPTCP 262

enum { REFUSE = 0, PROCEED = 1 };

struct call {
  struct address address;  // as the caller gave it; v4-mapped IPv6 has become IPv4
  __u8 family;
  __u8 hook;
  __u16 port;  // host order
};

static __always_inline int is_loopback(const struct call* call) {
  if (call->family == AF_INET)
    return (call->address.word[0] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
  return !call->address.word[0] && !call->address.word[1] && !call->address.word[2] &&
         call->address.word[3] == bpf_htonl(1);
}

static __always_inline int is_any(const struct call* call) {
  if (call->family == AF_INET) return !call->address.word[0];
  return !call->address.word[0] && !call->address.word[1] && !call->address.word[2] &&
         !call->address.word[3];
}

// The cgroup that bound a port here, in the caller's network namespace; 0 when nobody known
// did.
static __always_inline __u64 bound_by(struct bpf_sock_addr* context, const struct call* call,
                                      __u8 protocol_bit) {
  struct bpf_sock_tuple tuple = {};
  __u32 size = sizeof(tuple.ipv6);
  int any = is_any(call);

  if (call->family == AF_INET) {
    size = sizeof(tuple.ipv4);
    tuple.ipv4.daddr = any ? bpf_htonl(0x7f000001) : call->address.word[0];
    tuple.ipv4.dport = bpf_htons(call->port);
  } else {
    __builtin_memcpy(tuple.ipv6.daddr, &call->address, 16);
    if (any) tuple.ipv6.daddr[3] = bpf_htonl(1);
    tuple.ipv6.dport = bpf_htons(call->port);
  }
  struct bpf_sock* socket =
      protocol_bit == DECIDE_TCP
          ? bpf_skc_lookup_tcp(context, &tuple, size, BPF_F_CURRENT_NETNS, 0)
          : bpf_sk_lookup_udp(context, &tuple, size, BPF_F_CURRENT_NETNS, 0);

  if (!socket) return 0;

  struct listener* listener = bpf_sk_storage_get(&listeners, socket, NULL, 0);
  __u64 cgroup_id = listener ? listener->cgroup_id : 0;

  bpf_sk_release(socket);
  return cgroup_id;
}

static __always_inline __u8 protocol_bit_of(const struct bpf_sock_addr* context, __u8 family) {
  switch (context->protocol) {
    case IPPROTO_TCP:
    case MPTCP:
      return DECIDE_TCP;
    case IPPROTO_UDP:
      return DECIDE_UDP;
    case IPPROTO_ICMP:
      return family == AF_INET ? DECIDE_ICMP : 0;
    case IPPROTO_ICMPV6:
      return family == AF_INET6 ? DECIDE_ICMP : 0;
    default:
      return 0;
  }
}

static __noinline enum reason judge_flow(const struct flow* flow,
                                         const struct tenant_policy* policy) {
  if (flow->peer & PEER_INFRASTRUCTURE && is_in_lane(flow)) return REASON_ALLOW_INFRASTRUCTURE;
  return judge(flow, policy);
}

static __always_inline enum reason judge_target(struct bpf_sock_addr* context,
                                                const struct call* call, struct flow* flow,
                                                const struct tenant_policy* policy) {
  int ports = flow->protocol_bit & (DECIDE_TCP | DECIDE_UDP);
  int loopback = is_loopback(call) || is_any(call);

  flow->peer = loopback ? PEER_WORLD : peer_of(flow->side, call->family, &call->address);
  // An address that no tenant owns may be this very machine's, with a tenant listening on it.
  if (ports && (flow->peer == PEER_WORLD || flow->peer > PEER_TENANT_MAX)) {
    __u64 owner = bound_by(context, call, flow->protocol_bit);
    __u32 tenant = owner ? tenant_of(owner, flow->side) : TENANT_NONE;

    if (tenant != TENANT_NONE) {
      flow->peer = tenant;
      return judge_flow(flow, policy);
    }
  }
  if (loopback) return REASON_ALLOW_LOOPBACK;
  return judge_flow(flow, policy);
}

static __always_inline enum reason judge_bind(struct bpf_sock_addr* context,
                                              const struct call* call, struct flow* flow,
                                              const struct tenant_policy* policy) {
  if (!is_any(call) && !is_loopback(call) &&
      !owns_source(flow->side, flow->tenant, policy, call->family, &call->address) &&
      !is_node(policy, flow->side, call->family, &call->address))
    return REASON_DENY_SOURCE;
  if (call->port && flow->protocol_bit & (DECIDE_TCP | DECIDE_UDP)) {
    __u64 owner = bound_by(context, call, flow->protocol_bit);
    __u32 tenant = owner ? tenant_of(owner, flow->side) : TENANT_NONE;

    if (tenant != TENANT_NONE && tenant != flow->tenant) {
      flow->peer = tenant;
      return REASON_DENY_PORT_OWNED;
    }
  }
  return REASON_ALLOW_SAME_TENANT;
}

static __always_inline void report_call(const struct call* call, const struct flow* flow,
                                        enum reason reason, __u32 would, __u64 cgroup_id,
                                        struct tenant_counters* counters) {
  struct verdict_event* event = reserve_event(flow->tenant, counters);

  if (!event) return;
  fill_event(event, flow, reason, class_of(reason), call->hook, would);
  event->cgroup_id = cgroup_id;
  event->pid = bpf_get_current_pid_tgid() >> 32;
  bpf_get_current_comm(event->command, sizeof(event->command));
  __builtin_memcpy(call->hook == HOOK_BIND ? event->local_address : event->peer_address,
                   &call->address, 16);
  bpf_ringbuf_submit(event, 0);
}

static __always_inline int judge_call(struct bpf_sock_addr* context, const struct call* call) {
  const struct control* control = control_row();

  if (!control) return REFUSE;

  __u32 side = *(volatile __u32*)&control->side & 1;
  __u64 cgroup_id = bpf_get_current_cgroup_id();
  __u32 tenant = tenant_of(cgroup_id, side);
  __u32 policy_row = side * control->max_tenants + tenant;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct tenant_counters* counters = counters_of(control, tenant);
  struct flow flow = {
      .peer_address = call->address,
      .side = side,
      .tenant = tenant,
      .local_port = call->hook == HOOK_BIND ? call->port
                    : context->sk           ? context->sk->src_port
                                            : 0,
      .peer_port = call->hook == HOOK_BIND ? 0 : call->port,
      .family = call->family,
      .protocol = context->protocol == MPTCP ? IPPROTO_TCP : context->protocol,
      .protocol_bit = protocol_bit_of(context, call->family),
      .direction = DIRECTION_EGRESS,
  };
  enum reason reason;

  flow.opens = flow.protocol_bit != DECIDE_UDP;
  if (tenant == TENANT_NONE || !policy || !(policy->flags & TENANT_IN_USE)) {
    // A process from outside that was handed this socket: its packets are judged by the socket.
    if (bpf_get_current_ancestor_cgroup_id(control->root_level) != control->root_cgroup_id)
      return PROCEED;
    reason = REASON_DENY_UNKNOWN_CGROUP;
  } else if (call->hook == HOOK_BIND) {
    reason = judge_bind(context, call, &flow, policy);
  } else {
    reason = judge_target(context, call, &flow, policy);
  }
  __u32 would = reason >= REASON_FIRST_DENY && policy && policy->flags & TENANT_AUDIT;

  if (reason >= REASON_FIRST_DENY) {
    count_call(counters, reason, would);
    report_call(call, &flow, reason, would, cgroup_id, counters);
    if (!would) return REFUSE;
  }
  if (call->hook == HOOK_BIND && context->sk) {
    struct listener listener = {.cgroup_id = cgroup_id};

    bpf_sk_storage_get(&listeners, context->sk, &listener, BPF_SK_STORAGE_GET_F_CREATE);
  }
  if (call->hook == HOOK_CONNECT && context->type == SOCK_STREAM && counters)
    __sync_fetch_and_add(&counters->connections_opened[DIRECTION_EGRESS], 1);
  return PROCEED;
}

// The family is the hook's, not user_family: that may be AF_UNSPEC.
static __always_inline int call4(struct bpf_sock_addr* context, __u8 hook) {
  struct call call = {.family = AF_INET, .hook = hook, .port = bpf_ntohs(context->user_port)};

  call.address.word[0] = context->user_ip4;
  return judge_call(context, &call);
}

static __always_inline int call6(struct bpf_sock_addr* context, __u8 hook) {
  struct call call = {.family = AF_INET6, .hook = hook, .port = bpf_ntohs(context->user_port)};

  call.address.word[0] = context->user_ip6[0];
  call.address.word[1] = context->user_ip6[1];
  call.address.word[2] = context->user_ip6[2];
  call.address.word[3] = context->user_ip6[3];
  if (!call.address.word[0] && !call.address.word[1] &&
      call.address.word[2] == bpf_htonl(0xffff)) {
    call.family = AF_INET;
    call.address.word[0] = call.address.word[3];
    call.address.word[2] = call.address.word[3] = 0;
  }
  return judge_call(context, &call);
}

SEC("cgroup/connect4")
int call_connect4(struct bpf_sock_addr* context) { return call4(context, HOOK_CONNECT); }

SEC("cgroup/connect6")
int call_connect6(struct bpf_sock_addr* context) { return call6(context, HOOK_CONNECT); }

SEC("cgroup/sendmsg4")
int call_sendmsg4(struct bpf_sock_addr* context) { return call4(context, HOOK_SENDMSG); }

SEC("cgroup/sendmsg6")
int call_sendmsg6(struct bpf_sock_addr* context) { return call6(context, HOOK_SENDMSG); }

SEC("cgroup/bind4")
int call_bind4(struct bpf_sock_addr* context) { return call4(context, HOOK_BIND); }

SEC("cgroup/bind6")
int call_bind6(struct bpf_sock_addr* context) { return call6(context, HOOK_BIND); }

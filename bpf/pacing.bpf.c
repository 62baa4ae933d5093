// bpf/pacing.bpf.c: slows TCP senders down before their tenant's byte rate has to refuse their
// packets. Never decides whether a packet passes: the meter does (packets.bpf.c).
//
// A window cannot hold TCP to a rate where a round trip is short: two segments every 50 us are
// half a gigabit. And a packet that is refused on its way out is no loss to TCP: with nothing
// else under way it tries again after 200 ms. So the kernel paces each connection of a limited
// tenant (SO_MAX_PACING_RATE), and its pace follows the tenant's meter: it falls by an eighth
// while the tenant has paid far ahead, and rises by a step otherwise. That is how TCP finds a
// fair share by itself, with the meter's lead in place of losses.
#include "bpf/lib/maps.h"
#include "bpf/lib/member.h"
#include "bpf/lib/meter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SOL_SOCKET 1
#define SO_MAX_PACING_RATE 47
#define NO_PACE 0xffffffffu

#define TURN_NS 4000000ull    // a pace is looked at no more often
#define MOST_TURNS 8          // that one look may make up for
#define IDLE_NS 150000000ull  // so long without an answer: start over, more slowly
#define SUPER_PACKET_BYTES 65536u

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct pace);
} paces SEC(".maps");

struct sock_cgroup_data {
  struct cgroup* cgroup;
} KERNEL_TYPE;

struct sock {
  struct sock_cgroup_data sk_cgrp_data;
} KERNEL_TYPE;

static __always_inline const struct tenant_policy* policy_of(const struct control* control,
                                                             __u32 tenant) {
  __u32 row = (control->side & 1) * control->max_tenants + tenant;

  return bpf_map_lookup_elem(&tenants, &row);
}

static __always_inline void tell_kernel(struct bpf_sock_ops* context, __u32 bytes_per_second) {
  bpf_setsockopt(context, SOL_SOCKET, SO_MAX_PACING_RATE, &bytes_per_second,
                 sizeof(bytes_per_second));
}

// The pace after a look at the meter. `lead_ns`: how far ahead of now the tenant has paid.
// `since_ns` and `sent`: how long the last look was ago, and what this connection has got
// across since.
static __always_inline __u64 next_pace(const struct rate* rate, __u64 pace, __u64 lead_ns,
                                       __u64 since_ns, __u64 sent) {
  // Its own last super-packet is part of the lead and says nothing about the others.
  __u64 own_ns = (sent < SUPER_PACKET_BYTES ? sent : SUPER_PACKET_BYTES) * NS_PER_SECOND /
                 rate->per_second * 5 / 4;
  __u64 far_ns = rate->burst_ns / 2 > own_ns ? rate->burst_ns / 2 : own_ns;
  __u64 turns = since_ns / TURN_NS;

  if (since_ns > IDLE_NS + 2 * sent * NS_PER_SECOND / pace) return pace / 2;
  if (lead_ns > far_ns) return pace - pace / 8;
  if (lead_ns > own_ns) return pace + rate->per_second / 256;
  // Nobody else uses it.
  return pace + rate->per_second / 32 * (turns < MOST_TURNS ? turns : MOST_TURNS);
}

static __always_inline void adjust(struct bpf_sock_ops* context, struct pace* pace) {
  if (bpf_ktime_get_coarse_ns() - pace->looked_ns < TURN_NS) return;

  const struct control* control = control_row();
  __u32 tenant = control ? tenant_of(pace->cgroup_id, control->side) : TENANT_NONE;
  const struct tenant_policy* policy = control ? policy_of(control, tenant) : NULL;
  const struct tenant_meters* meter = bpf_map_lookup_elem(&meters, &tenant);

  if (!policy || !meter) return;
  if (!(policy->flags & TENANT_PACED)) {
    if (pace->bytes_per_second) tell_kernel(context, NO_PACE);
    pace->bytes_per_second = 0;
    return;
  }
  const struct rate* rate = &policy->bytes[DIRECTION_EGRESS];
  __u64 now = bpf_ktime_get_ns();
  __u64 paid_until = meter->direction[DIRECTION_EGRESS].bytes_paid_until_ns;
  __u64 sent = context->bytes_acked - pace->bytes_acked;
  __u64 since = now - pace->looked_ns;
  __u64 most = rate->per_second;
  __u64 wanted = most / 8;

  if (!most) return;
  if (pace->bytes_per_second)
    wanted = next_pace(rate, pace->bytes_per_second, paid_until > now ? paid_until - now : 0,
                       since, sent);
  if (wanted > most) wanted = most;
  if (wanted < most / 1024) wanted = most / 1024 + 1;
  if (wanted != pace->bytes_per_second) tell_kernel(context, wanted);
  pace->bytes_per_second = wanted;
  pace->bytes_acked = context->bytes_acked;
  pace->looked_ns = now;
}

static __always_inline void begin(struct bpf_sock_ops* context) {
  struct bpf_sock* socket = context->sk;

  if (!socket) return;

  const struct sock* kernel_socket = (const struct sock*)bpf_skc_to_tcp_sock(socket);
  const struct control* control = control_row();

  if (!kernel_socket || !control) return;

  struct pace fresh = {.cgroup_id = kernel_socket->sk_cgrp_data.cgroup->kn->id};
  const struct tenant_policy* policy =
      policy_of(control, tenant_of(fresh.cgroup_id, control->side));

  if (!policy || !(policy->flags & TENANT_PACED)) return;

  struct pace* pace = bpf_sk_storage_get(&paces, socket, &fresh, BPF_SK_STORAGE_GET_F_CREATE);

  if (!pace) return;  // no memory: the meter holds it to its rate all the same
  adjust(context, pace);
  bpf_sock_ops_cb_flags_set(context, context->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
}

SEC("sockops")
int tcp_pace(struct bpf_sock_ops* context) {
  if (context->op == BPF_SOCK_OPS_RTT_CB) {
    struct bpf_sock* socket = context->sk;
    struct pace* pace = socket ? bpf_sk_storage_get(&paces, socket, NULL, 0) : NULL;

    if (pace) adjust(context, pace);
  } else if (context->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ||
             context->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
    begin(context);
  }
  return 1;
}

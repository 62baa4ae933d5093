// bpf/lib/charge.h: charges a packet to its tenant's rates. Nearly always its CPU has paid
// already; the rest is out of line.
#ifndef PARTYWALL_BPF_LIB_CHARGE_H
#define PARTYWALL_BPF_LIB_CHARGE_H

#include "bpf/lib/count.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/meter.h"
#include "bpf/lib/police.h"

// A packet that goes beyond what its CPU has paid for.
struct purchase {
  struct cost cost;
  __u32 policy_row;
  __u32 counter_row;
  __u16 tenant;
  __u16 cell;
  __u16 tcp_at;  // where the TCP header begins; 0 = not TCP
  __u8 network;  // where the network header begins
  __u8 direction;
};

// What pay_packet() returns: a charge, and in the next byte the reason when it is CHARGE_OVER.
#define PAID_REASON_SHIFT 8

// Whether a packet goes beyond its CPU's mark. Nearly none does. The packet itself is charged
// by counting it in `traffic`, its cell.
static __always_inline int is_beyond_mark(const struct tenant_policy* policy,
                                          const struct traffic* traffic,
                                          const struct cost* cost, __u32 direction) {
  const struct traffic* mark = traffic + 1;
  __u32 flags = policy->flags;

  return (
      (flags & TENANT_LIMITS_BYTES(direction) && traffic->bytes + cost->bytes > mark->bytes) ||
      (flags & TENANT_LIMITS_PACKETS(direction) &&
       traffic->packets + cost->packets > mark->packets));
}

// Moves a mark so that `units` more may be counted, and `chunk` if that is more. What has
// passed beyond the mark is paid for as well: softirqs may have sent between another packet's
// look and its count. Far beyond it there was no limit, and no mark was kept.
static __always_inline enum charge move_mark(__u64* mark, __u64 counted, __u64 units,
                                             __u64 chunk, __u64* paid_until_ns,
                                             const struct rate* rate, __u64 now) {
  __u64 take = units > chunk ? units : chunk;
  __u64 seen = *(volatile __u64*)mark;
  __u64 debt = counted > seen ? counted - seen : 0;

  if (debt > take) {
    __sync_val_compare_and_swap(mark, seen, counted);
    debt = 0;
  }
  enum charge result = pay(paid_until_ns, rate->per_second, rate->burst_ns, take + debt, now);

  if (result != CHARGE_OVER) __sync_fetch_and_add(mark, take + debt);
  return result;
}

static __always_inline int pay_rates(const struct purchase* purchase,
                                     const struct tenant_policy* policy,
                                     const struct traffic* traffic, struct traffic* mark,
                                     struct meter* meter, __u64 now) {
  __u32 direction = purchase->direction & 1;
  const struct rate* bytes = &policy->bytes[direction];
  const struct rate* packets = &policy->packets[direction];
  // While the police refuses somebody it looks at every packet: nothing is paid ahead.
  int ahead = now - meter->refused_ns > LOOK_NS;
  enum charge result = CHARGE_PAID;

  if (policy->flags & TENANT_LIMITS_PACKETS(direction) &&
      traffic->packets + purchase->cost.packets > mark->packets) {
    result = move_mark(&mark->packets, traffic->packets, purchase->cost.packets,
                       ahead ? packets->chunk : 0, &meter->packets_paid_until_ns, packets, now);
    if (result == CHARGE_OVER) return CHARGE_OVER | REASON_LIMIT_PACKETS << PAID_REASON_SHIFT;
  }
  if (policy->flags & TENANT_LIMITS_BYTES(direction) &&
      traffic->bytes + purchase->cost.bytes > mark->bytes) {
    enum charge for_bytes =
        move_mark(&mark->bytes, traffic->bytes, purchase->cost.bytes, ahead ? bytes->chunk : 0,
                  &meter->bytes_paid_until_ns, bytes, now);

    if (for_bytes == CHARGE_OVER) return CHARGE_OVER | REASON_LIMIT_BYTES << PAID_REASON_SHIFT;
    if (for_bytes > result) result = for_bytes;
  }
  return result;
}

// Charges a packet that may pass although the meter is used up: the next ones wait for it.
// Returns whether it may; not when too much has passed on account already.
static __always_inline int pay_on_account(const struct purchase* purchase,
                                          const struct tenant_policy* policy,
                                          struct traffic* mark, struct meter* meter,
                                          __u64 now) {
  const struct rate* bytes = &policy->bytes[DIRECTION_INGRESS];
  const struct rate* packets = &policy->packets[DIRECTION_INGRESS];

  if (!bytes->per_second ||
      *(volatile __u64*)&meter->bytes_paid_until_ns > now + MOST_DEBT_BURSTS * bytes->burst_ns)
    return 0;
  __sync_fetch_and_add(&meter->bytes_paid_until_ns,
                       purchase->cost.bytes * NS_PER_SECOND / bytes->per_second);
  __sync_fetch_and_add(&mark->bytes, purchase->cost.bytes);
  if (packets->per_second) {
    __sync_fetch_and_add(&meter->packets_paid_until_ns,
                         purchase->cost.packets * NS_PER_SECOND / packets->per_second);
    __sync_fetch_and_add(&mark->packets, purchase->cost.packets);
  }
  return 1;
}

// Takes back what this CPU has paid ahead: else the next packets would pass without asking the
// police, and their sender would miss single segments instead of all.
static __always_inline void take_back(const struct traffic* traffic, struct traffic* mark,
                                      struct meter* meter, const struct rate* bytes) {
  __u64 ahead = mark->bytes > traffic->bytes ? mark->bytes - traffic->bytes : 0;

  if (!ahead || !bytes->per_second) return;
  __sync_fetch_and_sub(&mark->bytes, ahead);
  __sync_fetch_and_sub(&meter->bytes_paid_until_ns, ahead * NS_PER_SECOND / bytes->per_second);
}

// What is to become of a TCP packet on its way in. `over`: its tenant's meter is used up. Each
// plane keeps what it refused in its own way.
static __noinline enum police police_tcp(struct __sk_buff* skb, const struct purchase* purchase,
                                         int over);

// Pays out of the tenant's meters for a packet that goes beyond its mark, and asks the police.
// On its own for the verifier as well (not static). It finds all rows again: it is needed once
// in many packets, and what the others do not hand over stays in registers.
__noinline int pay_packet(struct __sk_buff* skb, const struct purchase* purchase) {
  if (!purchase) return CHARGE_PAID;

  __u32 policy_row = purchase->policy_row;
  __u32 counter_row = purchase->counter_row;
  __u32 tenant = purchase->tenant;
  __u32 direction = purchase->direction & 1;
  __u32 cell = purchase->cell;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct tenant_counters* counted = bpf_map_lookup_elem(&counters, &counter_row);
  struct tenant_meters* row = bpf_map_lookup_elem(&meters, &tenant);

  if (!policy || !counted || !row || cell >= CELL_FIRST_DENY - 1) return CHARGE_PAID;

  struct traffic* mark = &counted->cell[direction][cell + 1];
  struct meter* meter = &row->direction[direction];
  __u64 now = bpf_ktime_get_ns();
  int paid = pay_rates(purchase, policy, &counted->cell[direction][cell], mark, meter, now);

  if (direction == DIRECTION_EGRESS || !purchase->tcp_at || policy->flags & TENANT_AUDIT ||
      !(policy->flags & TENANT_LIMITS_BYTES(DIRECTION_INGRESS)))
    return paid;

  int over = (paid & 0xff) == CHARGE_OVER;

  switch (police_tcp(skb, purchase, over)) {
    case POLICE_ON_ACCOUNT:
      if (over && pay_on_account(purchase, policy, mark, meter, now)) return CHARGE_NEAR;
      return paid;
    case POLICE_REFUSE:
      meter->refused_ns = now;
      take_back(&counted->cell[direction][cell], mark, meter, &policy->bytes[direction]);
      return over ? paid : CHARGE_OVER | REASON_LIMIT_BYTES << PAID_REASON_SHIFT;
    default:
      return paid;
  }
}

#endif

// bpf/lib/meter.h: a rate with a burst as one word of state, shared by all CPUs.
#ifndef PARTYWALL_BPF_LIB_METER_H
#define PARTYWALL_BPF_LIB_METER_H

#include "bpf/lib/maps.h"

#define NS_PER_SECOND 1000000000ull

// What a charge says.
enum charge { CHARGE_PAID, CHARGE_NEAR, CHARGE_OVER };

// Pays for `units` out of a meter shared by all CPUs. A meter holds the time up to which its
// owner has paid; whoever is no further ahead of now than the burst may pay once more, so one
// packet may be larger than what is left (debt), and the long-run rate is exact. fetch_and_add
// loses no debit; a CPU that came too late takes its own back.
static __always_inline enum charge pay(__u64* paid_until_ns, __u64 per_second, __u64 burst_ns,
                                       __u64 units, __u64 now) {
  __u64 paid_until = *(volatile __u64*)paid_until_ns;

  if (paid_until > now + burst_ns) return CHARGE_OVER;
  // Time that nobody used is not saved up. Losing this race means that somebody else moved it.
  if (paid_until < now) __sync_val_compare_and_swap(paid_until_ns, paid_until, now);

  __u64 cost_ns = (units * NS_PER_SECOND + per_second - 1) / per_second;

  paid_until = __sync_fetch_and_add(paid_until_ns, cost_ns);
  if (paid_until > now + burst_ns) {
    __sync_fetch_and_sub(paid_until_ns, cost_ns);
    return CHARGE_OVER;
  }
  return paid_until > now + burst_ns / 2 ? CHARGE_NEAR : CHARGE_PAID;
}

#endif

// bpf/lib/meter.h: byte and packet rates. Spends what a CPU has paid for, pays for more when it
// runs out.
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
                                       __u64 units) {
  __u64 now = bpf_ktime_get_ns();
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

// Charges `units` to a rate: out of this CPU's credit when there is some, else out of the
// meter.
static __always_inline enum charge charge(__s64* credit, __u64* paid_until_ns,
                                          const struct rate* rate, __u64 units) {
  if (*credit >= (__s64)units) {
    *credit -= units;
    return CHARGE_PAID;
  }
  __u64 take = units > rate->chunk ? units : rate->chunk;
  enum charge result = pay(paid_until_ns, rate->per_second, rate->burst_ns, take);

  if (result != CHARGE_OVER) *credit += take - units;
  return result;
}

// Charges a packet to both rates of its direction. Sets *reason when one of them is used up.
static __always_inline enum charge charge_packet(const struct tenant_policy* policy,
                                                 __u32 tenant, __u32 direction, __u64 bytes,
                                                 __u64 packets, enum reason* reason) {
  const struct rate* byte_rate = &policy->bytes[direction & 1];
  const struct rate* packet_rate = &policy->packets[direction & 1];

  if (!byte_rate->per_second && !packet_rate->per_second) return CHARGE_PAID;

  struct credit* credit = bpf_map_lookup_elem(&credits, &tenant);
  struct tenant_meters* meters_row = bpf_map_lookup_elem(&meters, &tenant);

  if (!credit || !meters_row)
    return CHARGE_PAID;  // both maps have a row for every tenant number

  struct meter* meter = &meters_row->direction[direction & 1];
  enum charge result = CHARGE_PAID;

  if (packet_rate->per_second) {
    result = charge(&credit->packets[direction & 1], &meter->packets_paid_until_ns, packet_rate,
                    packets);
    if (result == CHARGE_OVER) {
      *reason = REASON_LIMIT_PACKETS;
      return result;
    }
  }
  if (byte_rate->per_second) {
    enum charge byte_result =
        charge(&credit->bytes[direction & 1], &meter->bytes_paid_until_ns, byte_rate, bytes);

    if (byte_result == CHARGE_OVER) *reason = REASON_LIMIT_BYTES;
    if (byte_result > result) result = byte_result;
  }
  return result;
}

#endif

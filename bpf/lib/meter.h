// bpf/lib/meter.h: byte and packet rates. A CPU pays for some traffic ahead, and for more when
// that is spent.
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

// What a packet costs.
struct cost {
  __u64 bytes;  // wire bytes
  __u64 packets;
};

// Moves a mark so that `units` more may be counted. What has passed beyond the mark is paid for
// as well: softirqs may have sent between another packet's look and its count. Far beyond it
// there was no limit, and no mark was kept.
static __always_inline enum charge move_mark(__u64* mark, __u64 counted, __u64 units,
                                             __u64* paid_until_ns, const struct rate* rate) {
  __u64 take = units > rate->chunk ? units : rate->chunk;
  __u64 seen = *(volatile __u64*)mark;
  __u64 debt = counted > seen ? counted - seen : 0;

  if (debt > take) {
    __sync_val_compare_and_swap(mark, seen, counted);
    debt = 0;
  }
  enum charge result = pay(paid_until_ns, rate->per_second, rate->burst_ns, take + debt);

  if (result != CHARGE_OVER) __sync_fetch_and_add(mark, take + debt);
  return result;
}

// What pay_packet() returns: a charge, and in the next byte the reason when it is CHARGE_OVER.
#define PAID_REASON_SHIFT 8

// Pays out of the tenant's meters for a packet that goes beyond its mark. On its own for the
// verifier as well (not static), and finds all rows again: it is needed once in many packets,
// and what the others do not hand over stays in registers. `cell_and_direction`: cell << 1 |
// direction; `rows`: row of tenants << 32 | row of counters.
__noinline int pay_packet(__u32 tenant, __u64 rows, __u32 cell_and_direction, __u64 bytes,
                          __u64 packets) {
  __u32 policy_row = rows >> 32;
  __u32 counter_row = (__u32)rows;
  __u32 direction = cell_and_direction & 1;
  __u32 cell = cell_and_direction >> 1;
  const struct tenant_policy* policy = bpf_map_lookup_elem(&tenants, &policy_row);
  struct tenant_counters* counted = bpf_map_lookup_elem(&counters, &counter_row);
  struct tenant_meters* row = bpf_map_lookup_elem(&meters, &tenant);

  if (!policy || !counted || !row || cell >= CELL_FIRST_DENY - 1) return CHARGE_PAID;

  const struct traffic* traffic = &counted->cell[direction][cell];
  struct traffic* mark = &counted->cell[direction][cell + 1];
  struct meter* meter = &row->direction[direction];
  enum charge result = CHARGE_PAID;

  if (policy->flags & TENANT_LIMITS_PACKETS(direction) &&
      traffic->packets + packets > mark->packets) {
    result = move_mark(&mark->packets, traffic->packets, packets, &meter->packets_paid_until_ns,
                       &policy->packets[direction]);
    if (result == CHARGE_OVER) return CHARGE_OVER | REASON_LIMIT_PACKETS << PAID_REASON_SHIFT;
  }
  if (policy->flags & TENANT_LIMITS_BYTES(direction) && traffic->bytes + bytes > mark->bytes) {
    enum charge for_bytes = move_mark(&mark->bytes, traffic->bytes, bytes,
                                      &meter->bytes_paid_until_ns, &policy->bytes[direction]);

    if (for_bytes == CHARGE_OVER) return CHARGE_OVER | REASON_LIMIT_BYTES << PAID_REASON_SHIFT;
    if (for_bytes > result) result = for_bytes;
  }
  return result;
}

// Whether a packet goes beyond what its CPU has paid for. Nearly none does. The packet itself
// is charged by counting it in `traffic`, its cell.
static __always_inline int is_beyond_mark(const struct tenant_policy* policy,
                                          const struct traffic* traffic,
                                          const struct cost* cost, __u32 direction) {
  const struct traffic* mark = traffic + 1;
  __u32 flags = policy->flags;

  return unlikely(
      (flags & TENANT_LIMITS_BYTES(direction) && traffic->bytes + cost->bytes > mark->bytes) ||
      (flags & TENANT_LIMITS_PACKETS(direction) &&
       traffic->packets + cost->packets > mark->packets));
}

#endif

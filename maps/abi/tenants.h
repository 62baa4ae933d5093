// maps/abi/tenants.h: what the datapath knows of each tenant: world rules, own addresses,
// limits. Plain C.
#ifndef PARTYWALL_MAPS_ABI_TENANTS_H
#define PARTYWALL_MAPS_ABI_TENANTS_H

#include "maps/abi/layout.h"
#include "maps/abi/reasons.h"

ABI_BEGIN

// A rate, ready to be charged. Units are bytes or packets, as the field that holds it says.
struct rate {
  __u64 per_second;  // 0 = unlimited (and no flag TENANT_LIMITS_*)
  __u64 burst_ns;    // how far ahead of its rate the tenant may run
  __u32 chunk;  // units that one CPU takes from the shared meter at a time; 0 = one packet's
                // worth
  __u32 reserved;
};
ABI_SIZE(struct rate, 24);

#define TENANT_IN_USE 1u      // the row belongs to a tenant of this side's policy
#define TENANT_AUDIT 2u       // decide, count and report, but let pass
#define TENANT_OWN_SOURCE 4u  // it declares addresses: nothing else may be its source
#define TENANT_LIMITS_BYTES(direction) (0x10u << (direction))    // bytes[direction] has a rate
#define TENANT_LIMITS_PACKETS(direction) (0x40u << (direction))  // packets[direction] has one
#define TENANT_PACED 0x100u  // it has an egress byte rate that a TCP connection can be paced to

// Map tenants: array, mmapable; row = side * control.max_tenants + tenant.
// Written by agent/kernel/reconcile (on the side that is not in force). Read by every program
// and tools/.
struct tenant_policy {
  // One cache line, all that most packets read:
  __u32 flags;
  __u32 world_out;   // decision (pairs.h) on flows that the tenant opens to the IPv4 world
  __u32 world_in;    // decision on flows that the IPv4 world opens to the tenant
  __u32 world6_out;  // the same two for IPv6: 0.0.0.0/0 in a rule says nothing about ::/0
  __u32 world6_in;
  __u32 home4;       // one of its IPv4 ranges in network order, checked before the tables;
  __u32 home4_mask;  // none: all ones under a mask of 0, which no address is
  __u32 flows;       // that it may have open at the edge (flows.h)
  __u64 home6[2];    // one of its IPv6 ranges, network order; none: the same
  __u64 home6_mask[2];

  struct rate bytes[DIRECTION_COUNT];
  struct rate packets[DIRECTION_COUNT];

  // The node's part of the pod ranges: pods whose address is not known yet are there. None: as
  // with home.
  __u64 local6[2];
  __u64 local6_mask[2];
  __u32 local4;
  __u32 local4_mask;
  __u32 pod_tenant;  // who has the addresses of such pods; TENANT_NONE: no cluster
  __u32 padding[13];
};
ABI_SIZE(struct tenant_policy, 256);
ABI_AT(struct tenant_policy, bytes, 64);

// Map tenant_names: array, mmapable; row = tenant. Keeps a tenant's number over restarts of the
// agent. Written by agent/kernel/reconcile. Read by tools/ and agent/observe.
#define TENANT_NAME_MAX 64

struct tenant_name {
  char name[TENANT_NAME_MAX];  // NUL terminated; empty = the number is free
};
ABI_SIZE(struct tenant_name, 64);

// Map meters: array, mmapable; row = tenant. Moved by fetch-and-add, so no debit is ever lost.
// Written by bpf/lib/meter.h. Read by tools/ and agent/observe.
// A meter is the time up to which its owner has paid: the further ahead of now, the less is
// left.
struct meter {
  __u64 bytes_paid_until_ns;  // CLOCK_MONOTONIC
  __u64 packets_paid_until_ns;
  __u64 refused_ns;  // when the police refused a packet last (bpf/lib/police.h)
  __u64 padding[5];  // a cache line each: two directions are two CPUs
};
ABI_SIZE(struct meter, 64);

struct tenant_meters {
  struct meter direction[DIRECTION_COUNT];
  __u64 events_paid_until_ns;  // the tenant's event budget (events.h)
  __u64 padding[7];
};
ABI_SIZE(struct tenant_meters, 192);

ABI_END

#endif

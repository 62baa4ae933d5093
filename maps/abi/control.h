// maps/abi/control.h: the switchboard, one row that says which half of the policy is in force.
// Plain C.
#ifndef PARTYWALL_MAPS_ABI_CONTROL_H
#define PARTYWALL_MAPS_ABI_CONTROL_H

#include "maps/abi/layout.h"

ABI_BEGIN

// Map control: array of one, mmapable.
// Written by agent/kernel/generation. Read by every program, and by tools/.
struct control {
  __u32 schema;      // PARTYWALL_SCHEMA
  __u32 side;        // 0 or 1: the half of the policy maps that is in force
  __u64 generation;  // counts up by one with every policy that takes effect; 0 = none yet
  __u64 enforced_at_unix_ns;  // when `generation` took effect, CLOCK_REALTIME
  __u64 root_cgroup_id;       // the managed root
  __u32 root_level;           // its depth below the cgroup2 root (0 = the root itself)
  __u32 max_tenants;          // rows per side of the map tenants, and per CPU of counters
  __u32 cpus;                 // possible CPUs: counters has rows for one more (counters.h)
  __u32 mark_mask;  // of skb->mark, where the edge says who sent a packet; 0 = it does not
  __u64 secret;     // random; keys the hashes of udp_peers and flow_tables, and edge stamps
};
ABI_SIZE(struct control, 56);
ABI_AT(struct control, side, 4);

// Map health: array of one, mmapable. What the programs could not do; every field only grows.
// Written by bpf/tenancy.bpf.c and bpf/lib (atomic adds). Read by agent/observe and tools/.
struct health {
  __u64 members_full_total;  // cgroups left unclassified (so denied) because the table was full
  __u64 changes_lost_total;  // cgroup changes that did not fit into the ring; agent rescans
  __u64 peers_full_total;    // UDP sockets whose reply state could not be allocated
  __u64 syscalls_lost_total;  // system calls not counted because the table was full
  __u64 unbound_total;  // packets of workload interfaces that nobody was bound to, all refused
};
ABI_SIZE(struct health, 40);

ABI_END

#endif

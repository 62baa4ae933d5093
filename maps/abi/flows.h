// maps/abi/flows.h: flows that a tenant's workloads have open, as the edge remembers them.
// Plain C.
#ifndef PARTYWALL_MAPS_ABI_FLOWS_H
#define PARTYWALL_MAPS_ABI_FLOWS_H

#include "maps/abi/layout.h"

ABI_BEGIN

// One flow whose replies would be refused if nobody remembered it, seen from the tenant.
// A fragmented datagram that was let pass is kept in the same way, with its number for ports.
//   IPv4  remote = peer's address << 32 | peer's port << 16 | own port, host order
//         local  = own address << 32 | interface << 8 | protocol
//   IPv6  two keyed hashes of the same
struct flow_entry {
  __u64 remote;  // 0 = empty
  __u64 local;
  __u32 seen;         // when last, in units of 2^30 ns of CLOCK_MONOTONIC
  __u32 refused_us;   // police (sockets.h): when a packet was refused last, wraps
  __u32 refused_end;  // police: sequence number behind the last byte that was refused
  __u8 refusing;      // police: 1 = until it pauses
  __u8 state;         // enum flow_state
  __u8 opened_by;     // enum direction: EGRESS = the tenant opened it; COUNT = not known
  __u8 protocol;      // IPPROTO_*
};
ABI_SIZE(struct flow_entry, 32);

// How far a flow is. Those from FLOW_OPEN on are established: nobody takes their place before
// they are over.
enum flow_state {
  FLOW_OPENING,    // not answered yet
  FLOW_ANSWERED,   // not TCP: one question and its answer, which may be all
  FLOW_CLOSED,     // TCP: both ends are done with it
  FLOW_FRAGMENTS,  // no flow: a datagram's
  FLOW_HOST,       // opened by a process of the host: answers to it pass whatever the rules
  FLOW_OPEN,
  FLOW_ASKED_LAST,     // TCP: the end that opened it has nothing more to say
  FLOW_ANSWERED_LAST,  // TCP: the other end has
};

// A flow lives in one of two buckets. Whoever is new takes the place of one that is over, else
// of the one that is silent the longest among those that are not established.
#define FLOW_WAYS 4

struct flow_bucket {
  struct flow_entry entry[FLOW_WAYS];
};
ABI_SIZE(struct flow_bucket, 128);

// How many buckets the table of a tenant has: a power of two, room for twice its flows.
ABI_INLINE __u32 flow_buckets(__u32 flows) {
  __u32 buckets = 1;

  while (buckets * FLOW_WAYS < 2 * flows) buckets *= 2;
  return buckets;
}

// Map flow_tables: array of maps; row = tenant, value = that tenant's own table: an array of
// flow_bucket, a power of two of them. So no tenant can push another's flows out. Absent: the
// tenant has no workload here, and none of its flows that need one pass.
// Tables are made by agent/kernel/flow_tables, with room for twice the flows that the tenant
// may have. Written and read by bpf/lib/flows.h.
#define FLOWS_DEFAULT 4096u
#define FLOWS_MAX 1048576u

ABI_END

#endif

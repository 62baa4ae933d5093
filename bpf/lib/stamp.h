// bpf/lib/stamp.h: how the edge tells the socket hooks that a packet was judged, charged and
// counted already, and for whom.
//
// skb->tc_index is what survives a veth: mark, priority and timestamp are cleared as a packet
// changes its network namespace. A workload with NET_ADMIN could write it, on packets that have
// passed the edge anyway; what it sends to itself over loopback is exempt.
#ifndef PARTYWALL_BPF_LIB_STAMP_H
#define PARTYWALL_BPF_LIB_STAMP_H

#include "maps/abi/control.h"

#define EDGE_STAMP_TENANTS 0x8000u  // tenant numbers that differ in a stamp

static __always_inline __u16 edge_stamp(const struct control* control, __u32 tenant) {
  return ((tenant ^ control->secret) & (EDGE_STAMP_TENANTS - 1)) | EDGE_STAMP_TENANTS;
}

#endif

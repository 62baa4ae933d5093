// maps/abi/pairs.h: what a tenant and a peer may say to each other. Plain C.
#ifndef PARTYWALL_MAPS_ABI_PAIRS_H
#define PARTYWALL_MAPS_ABI_PAIRS_H

#include "maps/abi/layout.h"

ABI_BEGIN

// A decision: which protocols are allowed on every port, and on which ports the rest.
//   bit 0..2   TCP, UDP, ICMP (both families) allowed whatever the port
//   bit 3      tunnels allowed: IP in IP, IPv6 in IP, GRE, ESP, and UDP to a port of a tunnel,
//              which no other bit and no set of ports allows
//   bit 4..5   TCP, UDP allowed on one range of ports: bit 16..31 is its first port,
//              bit 6..15 how many follow
// or, when neither bit 4 nor bit 5 is set,
//   bit 8..31  number of a port set (map port_pages); 0 = none
// 0 denies everything.
#define DECIDE_TCP 1u
#define DECIDE_UDP 2u
#define DECIDE_ICMP 4u
#define DECIDE_ALL 7u  // all but tunnels
#define DECIDE_TUNNEL 8u
#define DECIDE_RANGE_SHIFT 4  // DECIDE_TCP and DECIDE_UDP of the range
#define DECIDE_RANGE ((DECIDE_TCP | DECIDE_UDP) << DECIDE_RANGE_SHIFT)
#define DECIDE_MORE_SHIFT 6
#define DECIDE_MORE_MAX 0x3ffu
#define DECIDE_FIRST_SHIFT 16
#define DECIDE_SET_SHIFT 8

// UDP ports at which tunnels end: VXLAN (two), Geneve.
ABI_INLINE int is_tunnel_port(__u16 port) {
  return port == 4789 || port == 8472 || port == 6081;
}

// Whether the one range of a decision holds a port; DECIDE_RANGE says for which protocols.
ABI_INLINE int decision_has_port(__u32 decision, __u16 port) {
  return (__u16)(port - (decision >> DECIDE_FIRST_SHIFT)) <=
         (decision >> DECIDE_MORE_SHIFT & DECIDE_MORE_MAX);
}

// Maps pair_slots and pairs: (tenant, peer) -> who may open a flow to whom. Absent: two tenants
// do not talk; a zone is judged like the rest of the world (tenant_policy.world_*). Both words
// already hold the sender's egress AND the receiver's ingress rules. For an infrastructure zone
// the tenant is TENANT_NONE: the lane is the same for everyone.
//
// pair_slots: array; row = side * PAIR_SLOTS + pair_slot_of(). One load answers for nearly
// every pair. pairs: hash, for pairs whose slot was taken; it is asked only where the slot says
// that there are some. A slot stores the whole key: two pairs may share a slot, never a
// decision. Written by agent/kernel/pair_table (the side that is not in force). Read by
// bpf/lib/judge.h.
#define PAIR_SLOTS 131072u
#define PAIR_MAX 262144
#define PAIR_SIDE_SHIFT 31

struct pair {
  __u32 out;  // decision on flows that the tenant opens to the peer
  __u32 in;   // decision on flows that the peer opens to the tenant
};
ABI_SIZE(struct pair, 8);

struct pair_slot {
  __u32 peer;  // 0 = empty slot
  __u16 tenant;
  __u16 chained;  // 1 = some pair of this slot lives in the hash
  struct pair pair;
};
ABI_SIZE(struct pair_slot, 16);

struct pair_key {
  __u32 tenant;  // | side << PAIR_SIDE_SHIFT
  __u32 peer;
};
ABI_SIZE(struct pair_key, 8);

ABI_INLINE __u32 pair_slot_of(__u32 tenant, __u32 peer) {
  return (__u32)(((__u64)tenant << 32 | peer) * 0x9e3779b97f4a7c15ull >> 47);
}
ABI_ASSERT(PAIR_SLOTS == 1u << (64 - 47), "pair_slot_of gives another number of slots");

// Map port_pages: (port set, protocol, port / 64) -> bit (port % 64) = allowed. One lookup
// answers for any number of ports and ranges. Absent: none of the 64. Written by
// agent/kernel/reconcile (keys of the side that is not in force). Read by bpf/lib/judge.h.
#define PORT_PAGE_MAX 262144

struct port_page_key {
  __u32 set;       // | side << PAIR_SIDE_SHIFT
  __u16 protocol;  // IPPROTO_TCP or IPPROTO_UDP
  __u16 page;      // port / 64
};
ABI_SIZE(struct port_page_key, 8);

ABI_END

#endif

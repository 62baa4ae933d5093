// maps/abi/endpoints.h: address -> peer. Plain C.
#ifndef PARTYWALL_MAPS_ABI_ENDPOINTS_H
#define PARTYWALL_MAPS_ABI_ENDPOINTS_H

#include "maps/abi/layout.h"

ABI_BEGIN

// A peer is what an address means to a verdict:
//   0                the world: no tenant owns the address and no policy names its range
//   1 .. 65535       the tenant with that number
//   PEER_ZONE | n    a range of the world that some policy names (n counts from 0)
// Four more bits mark zones that are judged by rules of their own.
#define PEER_WORLD 0u
#define PEER_TENANT_MAX 0xffffu
#define PEER_ZONE 0x01000000u
#define PEER_INFRASTRUCTURE 0x02000000u  // with PEER_ZONE: the infrastructure lane
#define PEER_MULTICAST 0x04000000u       // with PEER_ZONE: multicast or broadcast
#define PEER_SERVICE \
  0x08000000u  // with PEER_ZONE: where services have addresses; who has none there is nobody
#define PEER_NODE 0x10000000u  // with PEER_ZONE: an address of a node of the cluster
#define PEER_ZONE_NUMBER 0x00ffffffu

// Map endpoints: IPv4, a trie of 16 + 8 + 8 bits in blocks of 256 words, mmapable. Three loads
// give the longest match, whatever the number of addresses. A side is ENDPOINT_BLOCKS blocks:
// the first 256 are the root (word = address >> 16), the rest are taken as ranges are refined.
// A word is a peer, or ENDPOINT_BLOCK | number of the next block (counted from the start of its
// side). Written by agent/kernel/endpoint_trie (on the side that is not in force). Read by
// bpf/lib/peer.h.
#define ENDPOINT_ROOT_BLOCKS 256u
#define ENDPOINT_BLOCKS 8192u
#define ENDPOINT_BLOCK 0x80000000u

struct endpoint_block {
  __u32 word[256];
};
ABI_SIZE(struct endpoint_block, 1024);

// Map endpoints6: IPv6, longest-prefix match; value: __u32 peer.
// Written by agent/kernel/reconcile (on the side that is not in force). Read by bpf/lib/peer.h.
#define ENDPOINT6_MAX 262144

struct endpoint6_key {
  __u32 prefix_bits;  // 32 + length of the prefix
  __u32 side;
  __u8 address[16];
};
ABI_SIZE(struct endpoint6_key, 24);
ABI_AT(struct endpoint6_key, address, 8);

ABI_END

#endif

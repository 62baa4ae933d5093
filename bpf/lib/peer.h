// bpf/lib/peer.h: address -> peer, by longest match. Reads the endpoint maps, never writes.
#ifndef PARTYWALL_BPF_LIB_PEER_H
#define PARTYWALL_BPF_LIB_PEER_H

#include "bpf/lib/address.h"
#include "bpf/lib/maps.h"

// One word of the trie; PEER_WORLD when the block is out of range, which no writer produces.
static __always_inline __u32 endpoint_word(__u32 side, __u32 block, __u32 word) {
  __u32 row = side * ENDPOINT_BLOCKS + (block & (ENDPOINT_BLOCKS - 1));
  const struct endpoint_block* endpoint = bpf_map_lookup_elem(&endpoints, &row);

  return likely(endpoint) ? endpoint->word[word & 255] : PEER_WORLD;
}

static __noinline __u32 peer_of4(__u32 side, __u32 address) {
  __u32 host = bpf_ntohl(address);
  __u32 word = endpoint_word(side, host >> 24, host >> 16);

  if (likely(word & ENDPOINT_BLOCK)) word = endpoint_word(side, word, host >> 8);
  if (likely(word & ENDPOINT_BLOCK)) word = endpoint_word(side, word, host);
  return word;
}

static __noinline __u32 peer_of6(__u32 side, const struct address* address) {
  struct endpoint6_key key = {.prefix_bits = 160, .side = side};

  __builtin_memcpy(key.address, address, 16);
  const __u32* peer = bpf_map_lookup_elem(&endpoints6, &key);

  return peer ? *peer : PEER_WORLD;
}

static __always_inline __u32 peer_of(__u32 side, __u8 family, const struct address* address) {
  return family == AF_INET ? peer_of4(side, address->word[0]) : peer_of6(side, address);
}

static __always_inline int is_home(const struct tenant_policy* policy, __u8 family,
                                   const struct address* address) {
  if (family == AF_INET) return (address->word[0] & policy->home4_mask) == policy->home4;

  const __u64* half = (const __u64*)address;

  return (half[0] & policy->home6_mask[0]) == policy->home6[0] &&
         (half[1] & policy->home6_mask[1]) == policy->home6[1];
}

// Whether an address, whose owner is known, is one of this node's pods that no tenant has: that
// of a pod which the API has not told of yet may be. Nobody takes it for anybody.
static __always_inline int is_untold_pod(const struct tenant_policy* policy, __u32 owner,
                                         __u8 family, const struct address* address) {
  if (likely(owner != policy->pod_tenant) || owner == PEER_WORLD) return 0;
  // By value: an address that is pointed to takes room on the stack of every caller.
  if (family == AF_INET) return (address->word[0] & policy->local4_mask) == policy->local4;

  const __u64* half = (const __u64*)address;

  return (half[0] & policy->local6_mask[0]) == policy->local6[0] &&
         (half[1] & policy->local6_mask[1]) == policy->local6[1];
}

// Whether an address is another tenant's.
static __always_inline int is_others(__u32 side, __u32 tenant,
                                     const struct tenant_policy* policy, __u8 family,
                                     const struct address* address) {
  if (likely(is_home(policy, family, address))) return 0;

  __u32 owner = peer_of(side, family, address);

  if (owner == tenant || owner == PEER_WORLD || owner > PEER_TENANT_MAX) return 0;
  return !is_untold_pod(policy, owner, family, address);
}

// Whether an address is the tenant's to send from. Its largest range answers without a lookup.
static __always_inline int owns_source(__u32 side, __u32 tenant,
                                       const struct tenant_policy* policy, __u8 family,
                                       const struct address* address) {
  if (likely(is_home(policy, family, address))) return 1;

  __u32 owner = peer_of(side, family, address);

  if (owner == tenant) return 1;
  if (policy->flags & TENANT_OWN_SOURCE) return is_untold_pod(policy, owner, family, address);
  return owner == PEER_WORLD || owner > PEER_TENANT_MAX;
}

// Whether an address is a node's: what its workloads without a network of their own send from.
static __noinline __attribute__((unused)) int is_node(const struct tenant_policy* policy,
                                                      __u32 side, __u8 family,
                                                      const struct address* address) {
  return policy->pod_tenant && peer_of(side, family, address) & PEER_NODE;
}

#endif

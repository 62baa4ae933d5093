// bpf/lib/interface.h: whose a workload's interface is. The first packet of a tenant's cgroup
// binds it: the sender's cgroup cannot be forged, addresses can.
#ifndef PARTYWALL_BPF_LIB_INTERFACE_H
#define PARTYWALL_BPF_LIB_INTERFACE_H

#include "bpf/lib/maps.h"
#include "bpf/lib/member.h"
#include "maps/abi/interfaces.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, INTERFACE_SLOTS);
  __type(key, __u32);
  __type(value, struct interface);
} interfaces SEC(".maps");

static __noinline struct interface* probe_interface(__u32 ifindex) {
  for (__u32 i = 1; i < INTERFACE_PROBES; i++) {
    __u32 row = (ifindex + i) % INTERFACE_SLOTS;
    struct interface* slot = bpf_map_lookup_elem(&interfaces, &row);

    if (slot && slot->ifindex == ifindex) return slot;
  }
  return NULL;
}

static __always_inline struct interface* interface_at(__u32 ifindex) {
  __u32 row = ifindex % INTERFACE_SLOTS;
  struct interface* slot = bpf_map_lookup_elem(&interfaces, &row);

  return likely(slot && slot->ifindex == ifindex) ? slot : probe_interface(ifindex);
}

// Whether somebody has looked at the interface that the packet came over. One that was made a
// moment ago is not known, so what it sends before it is attached reaches no workload.
static __always_inline int is_from_known_interface(const struct __sk_buff* skb) {
  return interface_at(skb->ingress_ifindex) != NULL;
}

// Whether a packet that has no mark may be let in. Where marks are on, all but words about the
// link are marked as they come from a workload: one that is not came before the programs were
// attached.
static __always_inline int may_be_unmarked(const struct __sk_buff* skb, __u32 mark_mask) {
  const struct interface* from = interface_at(skb->ingress_ifindex);

  return from && (!mark_mask || from->flags & INTERFACE_HOST);
}

// Map link_addresses: see maps/abi/interfaces.h.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, LINK_ADDRESS_MAX);
  __type(key, __u64);
  __type(value, __u32);
} link_addresses SEC(".maps");

static __always_inline int has_link_address(const struct interface* interface, __u64 mac) {
  __u64 known = 0;

  if (!(interface->flags & INTERFACE_HAS_MAC)) return 0;
  __builtin_memcpy(&known, interface->mac, 6);
  return known == mac;
}

// Gives an interface the link address of its first frame, if no other workload's has it: on a
// bridge whoever has a neighbour's gets what is meant for it. Returns whether it did.
static __noinline int claim_link_address(struct interface* interface, __u64 mac) {
  __u32 self = interface->ifindex;

  if (bpf_map_update_elem(&link_addresses, &mac, &self, BPF_NOEXIST)) {
    const __u32* holder = bpf_map_lookup_elem(&link_addresses, &mac);
    const struct interface* other = holder ? interface_at(*holder) : NULL;

    if (other && other != interface && has_link_address(other, mac)) return 0;
    bpf_map_update_elem(&link_addresses, &mac, &self, BPF_ANY);
  }
  __builtin_memcpy(interface->mac, &mac, 6);
  __sync_fetch_and_or(&interface->flags, INTERFACE_HAS_MAC);
  return 1;
}

#define ANCHOR_LEVELS 8  // how far below the managed root a claimed cgroup is looked for

// The tenant that an interface belongs to; TENANT_NONE when nobody is bound to it, or when the
// cgroup that was is no tenant's any more.
static __always_inline __u32 tenant_of_interface(const struct interface* interface,
                                                 __u32 side) {
  __u32 named = interface->tenant[side & 1];

  if (unlikely(named)) return named;
  return likely(interface->cgroup_id) ? tenant_of(interface->cgroup_id, side) : TENANT_NONE;
}

// The cgroup that the policy claims for `tenant` on the way to the sender's: it lives as long
// as the workload does, the sender's own may be gone before.
static __noinline __u64 claimed_cgroup(struct __sk_buff* skb, __u32 root_level, __u32 side,
                                       __u32 tenant) {
  __u64 claimed = bpf_skb_cgroup_id(skb);

  for (int i = 1; i <= ANCHOR_LEVELS; i++) {
    __u64 id = bpf_skb_ancestor_cgroup_id(skb, root_level + i);

    if (!id) break;

    const struct anchor* anchor = bpf_map_lookup_elem(&anchors, &id);

    if (anchor && anchor->tenant[side & 1] == tenant) claimed = id;
  }
  return claimed;
}

// Binds an interface to the sender of this packet. Returns the tenant, or TENANT_NONE.
static __noinline __u32 bind_interface(struct __sk_buff* skb, const struct control* control,
                                       struct interface* interface, __u32 side) {
  __u64 held = *(volatile __u64*)&interface->cgroup_id;
  __u32 tenant = tenant_of(bpf_skb_cgroup_id(skb), side);

  if (tenant == TENANT_NONE) return TENANT_NONE;

  __u64 claimed = claimed_cgroup(skb, control->root_level, side, tenant);

  __sync_val_compare_and_swap(&interface->cgroup_id, held, claimed);
  return tenant_of_interface(interface, side);  // whoever came first has it
}

#endif

// bpf/lib/member.h: cgroup id -> tenant, for the programs that ask. Never writes.
#ifndef PARTYWALL_BPF_LIB_MEMBER_H
#define PARTYWALL_BPF_LIB_MEMBER_H

#include "bpf/lib/maps.h"

// The row of a cgroup, or NULL when no tenant claims it. One load for nearly every cgroup; the
// hash is asked only where two living cgroups share a slot.
static __always_inline struct member* member_of(__u64 cgroup_id) {
  __u32 index = cgroup_id % MEMBER_SLOTS;
  struct member* slot = bpf_map_lookup_elem(&members, &index);

  if (unlikely(!slot)) return NULL;
  if (likely(slot->cgroup_id == cgroup_id)) return slot;
  if (!slot->chained) return NULL;
  return bpf_map_lookup_elem(&members_overflow, &cgroup_id);
}

// The tenant of a cgroup on one side of the policy; TENANT_NONE when nobody claims it.
static __always_inline __u32 tenant_of(__u64 cgroup_id, __u32 side) {
  const struct member* member = member_of(cgroup_id);

  return member ? member->tenant[side & 1] : TENANT_NONE;
}

#endif

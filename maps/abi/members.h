// maps/abi/members.h: which cgroup belongs to which tenant. Plain C.
#ifndef PARTYWALL_MAPS_ABI_MEMBERS_H
#define PARTYWALL_MAPS_ABI_MEMBERS_H

#include "maps/abi/layout.h"

ABI_BEGIN

#define TENANT_NONE \
  0  // no tenant; its counter row is the unattributed traffic of the managed root
#define MEMBER_SLOTS 65536
#define MEMBER_OVERFLOW 65536
#define ANCHOR_MAX 65536

// Map anchors: cgroup id -> the tenant that the policy puts at this very cgroup.
// Written by agent/kernel/membership. Read by bpf/tenancy.bpf.c.
struct anchor {
  __u16 tenant[PARTYWALL_SIDES];  // TENANT_NONE = no claim on this side: inherit
};
ABI_SIZE(struct anchor, 4);

// Map members: slot (id % MEMBER_SLOTS) -> the tenant of that cgroup, itself or by inheritance.
// Map members_overflow: cgroup id -> the same, for ids whose slot was taken.
// Written by bpf/tenancy.bpf.c only, always under the kernel's cgroup_mutex. Read by every
// program. The full id is stored and checked: two cgroups may share a slot, never a row.
struct member {
  __u64 cgroup_id;  // 0 = empty slot
  __u16 tenant[PARTYWALL_SIDES];
  __u32 chained;  // slots only: 1 = some id of this slot lives in the overflow
};
ABI_SIZE(struct member, 16);

// Ring changes: cgroups that were made or are gone below the managed root.
// Written by bpf/tenancy.bpf.c. Read by agent/kernel/membership.
enum cgroup_change_kind { CGROUP_MADE, CGROUP_GONE };
#define CGROUP_PATH_MAX 512

struct cgroup_change {
  __u64 cgroup_id;
  __u64 time_ns;  // CLOCK_MONOTONIC
  __u32 kind;     // enum cgroup_change_kind
  __u16 tenant;   // what it inherited on the active side
  __u16 reserved;
  char path[CGROUP_PATH_MAX];  // below the cgroup2 root, NUL terminated
};
ABI_SIZE(struct cgroup_change, 24 + CGROUP_PATH_MAX);

ABI_END

#endif

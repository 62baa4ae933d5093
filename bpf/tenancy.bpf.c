// bpf/tenancy.bpf.c: which cgroup belongs to whom. A cgroup inherits its parent's tenant as it
// is made, before any process can enter it, and keeps it until its last socket is gone.
//
// All three programs run under the kernel's cgroup_mutex, so they are the only writer of
// `members` and never meet each other: no lock, no race between a policy change and a new
// cgroup.

#include "bpf/lib/kernel.h"
#include "bpf/lib/maps.h"
#include "bpf/lib/member.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 19);
} changes SEC(".maps");

// Both tenants of a row, moved as one word: a packet sees the old pair or the new one.
static __always_inline __u32* tenants_word(__u16 tenant[PARTYWALL_SIDES]) {
  return (__u32*)tenant;
}

static __always_inline void member_remove(__u64 id) {
  __u32 index = id % MEMBER_SLOTS;
  struct member* slot = bpf_map_lookup_elem(&members, &index);

  if (slot && slot->cgroup_id == id)
    slot->cgroup_id = 0;
  else if (slot && slot->chained)
    bpf_map_delete_elem(&members_overflow, &id);
}

// Gives a cgroup its pair of tenants. A table that is full leaves it unknown, and so denied.
static __always_inline void member_put(__u64 id, __u32 word) {
  struct member* row = member_of(id);

  if (row) {
    *(volatile __u32*)tenants_word(row->tenant) = word;
    return;
  }
  __u32 index = id % MEMBER_SLOTS;
  struct member* slot = bpf_map_lookup_elem(&members, &index);

  if (!slot) return;
  if (slot->cgroup_id == 0) {
    *(volatile __u32*)tenants_word(slot->tenant) = word;
    __sync_lock_test_and_set(&slot->cgroup_id,
                             id);  // after the tenants: readers check the id first
    return;
  }
  struct member overflow = {.cgroup_id = id};

  *tenants_word(overflow.tenant) = word;
  slot->chained = 1;
  if (bpf_map_update_elem(&members_overflow, &id, &overflow, BPF_ANY)) {
    struct health* row_of_health = health_row();

    if (row_of_health) __sync_fetch_and_add(&row_of_health->members_full_total, 1);
  }
}

// What the parent passes on.
static __always_inline __u32 inherited(struct cgroup* cgroup) {
  struct cgroup_subsys_state* parent = cgroup->self.parent;

  if (!parent) return 0;

  struct member* member = member_of(parent->cgroup->kn->id);

  return member ? *tenants_word(member->tenant) : 0;
}

static __always_inline void tell(__u64 id, __u32 kind, const char* path) {
  struct cgroup_change* change = bpf_ringbuf_reserve(&changes, sizeof(*change), 0);

  if (!change) {
    struct health* row = health_row();

    if (row) __sync_fetch_and_add(&row->changes_lost_total, 1);
    return;
  }
  const struct control* row = control_row();

  change->cgroup_id = id;
  change->time_ns = bpf_ktime_get_ns();
  change->kind = kind;
  change->tenant = row ? tenant_of(id, row->side) : TENANT_NONE;
  change->reserved = 0;
  if (bpf_probe_read_kernel_str(change->path, sizeof(change->path), path) < 0)
    change->path[0] = 0;
  bpf_ringbuf_submit(change, 0);
}

// Version 2 is hierarchy 0; the others have ids of their own that mean nothing here.
static __always_inline int is_cgroup2(struct cgroup* cgroup) {
  return cgroup->root->hierarchy_id == 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup* cgroup, const char* path) {
  if (!is_cgroup2(cgroup)) return 0;

  __u64 id = cgroup->kn->id;
  __u32 word = inherited(cgroup);

  if (word) member_put(id, word);
  tell(id, CGROUP_MADE, path);
  return 0;
}

// Release, not rmdir: a socket that outlives its cgroup still belongs to the tenant.
SEC("tp_btf/cgroup_release")
int BPF_PROG(cgroup_gone, struct cgroup* cgroup, const char* path) {
  if (!is_cgroup2(cgroup)) return 0;

  __u64 id = cgroup->kn->id;

  tell(id, CGROUP_GONE, path);
  member_remove(id);
  return 0;
}

// Walks the managed root from the top down and gives each cgroup what its anchor says, else
// what its parent has. The agent runs it after it has changed anchors.
SEC("iter/cgroup")
int assign_members(struct bpf_iter__cgroup* context) {
  struct cgroup* cgroup = context->cgroup;

  if (!cgroup) return 0;

  __u64 id = cgroup->kn->id;
  __u32 parent = inherited(cgroup);
  struct anchor* anchor = bpf_map_lookup_elem(&anchors, &id);
  __u16 tenant[PARTYWALL_SIDES] = {parent & 0xffff, parent >> 16};

  if (anchor) {
    if (anchor->tenant[0]) tenant[0] = anchor->tenant[0];
    if (anchor->tenant[1]) tenant[1] = anchor->tenant[1];
  }
  __u32 word = tenant[0] | (__u32)tenant[1] << 16;

  if (word)
    member_put(id, word);
  else
    member_remove(id);
  return 0;
}

// bpf/lib/kernel.h: the few kernel types the programs touch; offsets are relocated at load
// (CO-RE). Only members that are used are declared. No functions.
#ifndef PARTYWALL_BPF_LIB_KERNEL_H
#define PARTYWALL_BPF_LIB_KERNEL_H

// In blocks of their own, so that nothing sorts them: the helpers need the types of bpf.h.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#include "maps/abi/layout.h"

// Which way nearly every packet goes: its code is laid out in one piece.
#ifndef likely
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#endif

#define KERNEL_TYPE __attribute__((preserve_access_index))

struct kernfs_node {
  __u64 id;
} KERNEL_TYPE;

struct cgroup_root {
  int hierarchy_id;
} KERNEL_TYPE;

struct cgroup;

struct cgroup_subsys_state {
  struct cgroup* cgroup;
  struct cgroup_subsys_state* parent;
} KERNEL_TYPE;

struct cgroup {
  struct cgroup_subsys_state self;
  struct kernfs_node* kn;
  struct cgroup_root* root;
} KERNEL_TYPE;

struct bpf_iter_meta;

struct bpf_iter__cgroup {
  struct bpf_iter_meta* meta;
  struct cgroup* cgroup;
} KERNEL_TYPE;

struct thread_info {
  __u32 status;  // x86 only
} KERNEL_TYPE;

struct task_struct {
  struct thread_info thread_info;
} KERNEL_TYPE;

#endif

// bpf/lib/maps.h: every map that more than one program shares. Contents: see maps/abi.
// All are pinned by the agent under their own name; sizes marked "set at load" follow its
// --max-tenants.
#ifndef PARTYWALL_BPF_LIB_MAPS_H
#define PARTYWALL_BPF_LIB_MAPS_H

#include "bpf/lib/kernel.h"
#include "maps/abi/control.h"
#include "maps/abi/counters.h"
#include "maps/abi/endpoints.h"
#include "maps/abi/events.h"
#include "maps/abi/members.h"
#include "maps/abi/pairs.h"
#include "maps/abi/sockets.h"
#include "maps/abi/tenants.h"

#define SET_AT_LOAD 1

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct control);
} control SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct health);
} health SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, ANCHOR_MAX);
  __type(key, __u64);
  __type(value, struct anchor);
} anchors SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MEMBER_SLOTS);
  __type(key, __u32);
  __type(value, struct member);
} members SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, MEMBER_OVERFLOW);
  __type(key, __u64);
  __type(value, struct member);
} members_overflow SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, PARTYWALL_SIDES* ENDPOINT_BLOCKS);
  __type(key, __u32);
  __type(value, struct endpoint_block);
} endpoints SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, ENDPOINT6_MAX);
  __type(key, struct endpoint6_key);
  __type(value, __u32);
} endpoints6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, PARTYWALL_SIDES* PAIR_SLOTS);
  __type(key, __u32);
  __type(value, struct pair_slot);
} pair_slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, PAIR_MAX);
  __type(key, struct pair_key);
  __type(value, struct pair);
} pairs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, PORT_PAGE_MAX);
  __type(key, struct port_page_key);
  __type(value, __u64);
} port_pages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __type(value, struct tenant_policy);
} tenants SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __type(value, struct tenant_name);
} tenant_names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __type(value, struct tenant_meters);
} meters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __type(value, struct tenant_counters);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, EVENT_RING_BYTES);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct udp_peers);
} udp_peers SEC(".maps");

static __always_inline struct health* health_row(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&health, &zero);
}

static __always_inline struct control* control_row(void) {
  __u32 zero = 0;

  return bpf_map_lookup_elem(&control, &zero);
}

#endif

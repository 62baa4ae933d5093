// bpf/lib/flows.h: the edge's memory of flows: one table for each tenant. No verdicts.
#ifndef PARTYWALL_BPF_LIB_FLOWS_H
#define PARTYWALL_BPF_LIB_FLOWS_H

#include "bpf/lib/address.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/maps.h"
#include "maps/abi/flows.h"

struct flow_table {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_INNER_MAP);  // each has a size of its own
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(struct flow_bucket));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, SET_AT_LOAD);
  __type(key, __u32);
  __array(values, struct flow_table);
} flow_tables SEC(".maps");

// The kernel's own, of which programs may read this.
struct bpf_map {
  __u32 max_entries;
} KERNEL_TYPE;

// What flow.recall says a question about a flow is for.
enum recall {
  RECALL_STRICT = 1,   // a TCP reply needs a flow as well
  RECALL_NOTHING = 2,  // only ask: remember nothing new
};

// What does not fit on the stack: a flow, and the packet that it was read from. tc programs do
// not nest on a CPU.
enum spare { SPARE_JUDGED, SPARE_QUOTED, SPARE_POLICED, SPARE_COUNT };

struct spare_flow {
  struct flow flow;
  struct packet packet;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SPARE_COUNT);
  __type(key, __u32);
  __type(value, struct spare_flow);
} spare_flows SEC(".maps");

static __always_inline struct flow* spare_flow(__u32 spare) {
  struct spare_flow* found = bpf_map_lookup_elem(&spare_flows, &spare);

  return found ? &found->flow : NULL;
}

// Zero.
static __always_inline struct packet* spare_packet(__u32 spare) {
  struct spare_flow* found = bpf_map_lookup_elem(&spare_flows, &spare);

  if (!found) return NULL;
  __builtin_memset(&found->packet, 0, sizeof(found->packet));
  return &found->packet;
}

// How long a flow is kept that is silent, in units of 2^30 ns (1.07 s). TCP connections are
// ended by their last packets; the others end by silence alone.
#define LIFE_BRIEF 60  // of what is not established
#define LIFE_OPEN_TCP 7200
#define LIFE_OPEN_UDP 180
#define LIFE_OPEN_OTHER 60
#define LIFE_HALF_CLOSED 600
#define BUSY 1ull  // flow_entry.remote while an entry is being written; no flow has it

struct flow_key {
  __u64 remote;
  __u64 local;
  __u64 hash;
  __u8 protocol;
};

static __always_inline __u32 flow_clock(void) { return bpf_ktime_get_coarse_ns() >> 30; }

static __always_inline __u64 mix(__u64 hash, __u64 word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 29;
}

static __always_inline __u64 mix_address(__u64 hash, const struct address* address) {
  hash = mix(hash, (__u64)address->word[0] << 32 | address->word[1]);
  return mix(hash, (__u64)address->word[2] << 32 | address->word[3]);
}

// `ports`: peer's << 16 | own. An IPv4 flow is its key; of an IPv6 flow the key is two keyed
// hashes, which nobody can aim at who does not know the secret.
static __always_inline void make_key(struct flow_key* key, const struct flow* flow, __u32 ports,
                                     __u64 secret) {
  __u64 place = (__u64)(flow->interface & 0xffffff) << 8 | flow->protocol;

  key->protocol = flow->protocol;
  if (flow->family == AF_INET) {
    key->remote = (__u64)bpf_ntohl(flow->peer_address.word[0]) << 32 | ports;
    key->local = (__u64)bpf_ntohl(flow->own_address.word[0]) << 32 | place;
  } else {
    key->remote = mix(mix_address(secret, &flow->peer_address), ports);
    key->local = mix(mix_address(mix(~secret, ports), &flow->own_address), place);
  }
  if (key->remote <= BUSY) key->remote = BUSY + 1;
  key->hash = mix(mix(secret, key->remote), key->local);
}

static __always_inline __u32 ports_of(const struct flow* flow) {
  // An echo and its reply have one number; that it is on both sides harms nobody.
  if (flow->protocol_bit == DECIDE_ICMP) return (__u32)flow->echo << 16 | flow->echo;
  return (__u32)flow->peer_port << 16 | flow->local_port;
}

static __always_inline __u32 life_of(const struct flow_entry* entry) {
  if (entry->state < FLOW_HOST) return LIFE_BRIEF;
  if (entry->state > FLOW_OPEN) return LIFE_HALF_CLOSED;
  if (entry->protocol == IPPROTO_TCP) return LIFE_OPEN_TCP;
  return entry->protocol == IPPROTO_UDP ? LIFE_OPEN_UDP : LIFE_OPEN_OTHER;
}

static __always_inline int is_over(const struct flow_entry* entry, __u32 now) {
  return now - entry->seen > life_of(entry);
}

static __noinline struct flow_entry* find_in(struct flow_bucket* bucket,
                                             const struct flow_key* key) {
#pragma unroll
  for (int i = 0; i < FLOW_WAYS; i++)
    if (bucket->entry[i].remote == key->remote && bucket->entry[i].local == key->local)
      return &bucket->entry[i];
  return NULL;
}

// How willingly an entry gives way to a new flow; 0 = not at all.
static __always_inline __u32 spareness(const struct flow_entry* entry, __u32 now) {
  __u32 silent = now - entry->seen;

  if (!entry->remote) return ~0u;
  if (entry->remote == BUSY) return 0;
  if (is_over(entry, now)) return ~0u - 1;
  return entry->state < FLOW_OPEN ? silent + 1 : 0;
}

// The entry of a bucket that can best be spared: how well, and in the lowest byte which one. On
// its own for the verifier (not static): it walks through every order of the entries.
__noinline __u64 best_in(const struct flow_bucket* bucket) {
  if (!bucket) return 0;

  __u32 now = flow_clock();
  __u64 best = 0;

#pragma unroll
  for (int i = 0; i < FLOW_WAYS; i++) {
    __u64 worth = (__u64)spareness(&bucket->entry[i], now) << 8 | i;

    if (worth > best) best = worth;
  }
  return best;
}

// Takes the entry that best_in() has found for a new flow; whoever loses the race has none.
static __noinline struct flow_entry* take_in(struct flow_bucket* bucket, __u64 best,
                                             const struct flow_key* key,
                                             __u32 state_and_direction) {
  struct flow_entry* entry = &bucket->entry[best & (FLOW_WAYS - 1)];
  __u64 held = *(volatile __u64*)&entry->remote;

  if (!(best >> 8) || held == BUSY ||
      __sync_val_compare_and_swap(&entry->remote, held, BUSY) != held)
    return NULL;
  entry->local = key->local;
  entry->seen = flow_clock();
  entry->refusing = 0;
  entry->refused_us = 0;
  entry->state = state_and_direction >> 2;
  entry->opened_by = state_and_direction & 3;
  entry->protocol = key->protocol;
  __sync_lock_test_and_set(&entry->remote, key->remote);  // after the rest
  return entry;
}

// Of a TCP connection that has ended at one end; `last`: FLOW_*_LAST of that end.
static __always_inline void end_flow(struct flow_entry* entry, __u8 tcp_flags, __u8 last) {
  int both = entry->state > FLOW_OPEN && entry->state != last;

  entry->state = tcp_flags & TCP_RST || both ? FLOW_CLOSED : last;
}

// The flow of that key; made in `state` when it is not there and `state` is not negative. NULL:
// not there, or no room, or no table.
static __noinline struct flow_entry* flow_at(__u32 tenant, const struct flow_key* key,
                                             int state, __u32 direction) {
  struct bpf_map* table = bpf_map_lookup_elem(&flow_tables, &tenant);

  if (!table) return NULL;

  __u32 mask = table->max_entries - 1;
  __u32 first = key->hash & mask;
  __u32 second = key->hash >> 32 & mask;
  struct flow_bucket* one = bpf_map_lookup_elem(table, &first);
  struct flow_bucket* other = bpf_map_lookup_elem(table, &second);

  if (!one || !other) return NULL;

  struct flow_entry* entry = find_in(one, key);

  if (!entry) entry = find_in(other, key);
  if (entry || state < 0) return entry;

  __u64 best_of_one = best_in(one);
  __u64 best_of_other = best_in(other);

  if (best_of_one >> 8 >= best_of_other >> 8)
    return take_in(one, best_of_one, key, state << 2 | direction);
  return take_in(other, best_of_other, key, state << 2 | direction);
}

static __always_inline struct flow_entry* find_flow(const struct flow* flow, int state) {
  const struct control* control = control_row();
  struct flow_key key;

  if (!control) return NULL;
  make_key(&key, flow, ports_of(flow), control->secret);
  return flow_at(flow->tenant, &key, state, flow->direction);
}

static __always_inline void see(struct flow_entry* entry) {
  __u32 now = flow_clock();

  if (entry->seen != now) entry->seen = now;
}

static __always_inline int needs_memory(const struct flow* flow) { return 1; }

// TCP is noted by the packet that opens it, and by its last ones; anything else by each packet.
// On its own for the verifier (not static), as is answers_flow().
__noinline int note_flow(const struct flow* flow) {
  if (!flow) return 0;

  // find_flow() once: its key fills the frame, and 6.1 counts frames in steps of 32 bytes.
  int is_tcp = flow->protocol_bit == DECIDE_TCP;
  int state = FLOW_OPENING;

  if (flow->recall & RECALL_NOTHING) {
    state = -1;
  } else if (!flow->opens) {
    if (is_tcp && !(flow->tcp_flags & (TCP_FIN | TCP_RST))) return 1;
    // What is no answer to anything and asks for none: ICMP errors and the like.
    if (flow->protocol_bit == DECIDE_ICMP) return 1;
    if (is_tcp) state = -1;
  }

  struct flow_entry* entry = find_flow(flow, state);

  // TCP that was there before the interface was attached is not known, and goes on.
  if (flow->recall & RECALL_NOTHING)
    return entry || (flow->protocol_bit == DECIDE_TCP && !(flow->recall & RECALL_STRICT));
  if (state < 0) {
    if (entry && entry->state != FLOW_CLOSED) end_flow(entry, flow->tcp_flags, FLOW_ASKED_LAST);
    return 1;
  }
  if (!entry) return 0;
  see(entry);
  entry->opened_by = flow->direction;
  if (flow->protocol_bit == DECIDE_TCP)
    entry->state = FLOW_OPENING;
  else if (entry->state == FLOW_ANSWERED)
    entry->state = FLOW_OPEN;
  return 1;
}

static __always_inline int remember_flow(const struct flow* flow) { return note_flow(flow); }

// An echo's reply is known by its number. An error has none: what it says in that place is up
// to its sender, and it must quote what it is about.
static __always_inline int has_number(const struct flow* flow) {
  __u16 type = flow->direction == DIRECTION_EGRESS ? flow->local_port : flow->peer_port;

  return flow->protocol_bit != DECIDE_ICMP || type == (flow->family == AF_INET ? 0 : 129);
}

__noinline int answers_flow(const struct flow* flow) {
  // A later fragment has no ports: it could only look like an answer to another flow.
  if (!flow || flow->opens || flow->fragment == LATER_FRAGMENT || !has_number(flow)) return 0;

  struct flow_entry* entry = find_flow(flow, -1);

  if (!entry) return flow->protocol_bit == DECIDE_TCP && !(flow->recall & RECALL_STRICT);
  if (entry->opened_by == flow->direction) return 0;
  if (flow->protocol_bit == DECIDE_TCP) {
    // A connection that is merely silent goes on, as long as nobody has taken its place.
    if (flow->tcp_flags & (TCP_FIN | TCP_RST) && entry->state != FLOW_CLOSED)
      end_flow(entry, flow->tcp_flags, FLOW_ANSWERED_LAST);
    else if (entry->state == FLOW_OPENING)
      entry->state = FLOW_OPEN;
  } else if (is_over(entry, flow_clock())) {
    return 0;
  } else if (entry->state == FLOW_OPENING) {
    entry->state = FLOW_ANSWERED;
  }
  see(entry);
  return 1;
}

static __always_inline int is_reply(const struct flow* flow) { return answers_flow(flow); }

// A datagram in fragments: the later ones have no ports and follow the verdict on the first.
static __always_inline struct flow_entry* fragments_of(const struct flow* flow, int state) {
  const struct control* control = control_row();
  struct flow_key key;

  if (!control) return NULL;
  make_key(&key, flow, flow->datagram, control->secret);
  key.local ^= 0xff;                                 // no flow has such a protocol
  key.remote ^= (__u64)(flow->direction & 1) << 16;  // a datagram goes one way
  return flow_at(flow->tenant, &key, state, flow->direction);
}

__noinline int note_fragments(const struct flow* flow) {
  if (!flow) return 0;

  struct flow_entry* entry = fragments_of(flow, FLOW_FRAGMENTS);

  if (entry) see(entry);
  return entry != NULL;
}

__noinline int is_noted_fragment(const struct flow* flow) {
  if (!flow) return 0;

  struct flow_entry* entry = fragments_of(flow, -1);

  return entry && entry->state == FLOW_FRAGMENTS && !is_over(entry, flow_clock());
}

#endif

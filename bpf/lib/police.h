// bpf/lib/police.h: carries a byte rate out on TCP that comes in, so that its sender slows down
// and does not stall.
//
// A sender that misses single segments sends them again at once, and over a short round trip
// does that at hundreds of Mbit/s however small its window; one that misses what it has sent
// again waits 200 ms. In between is the tail loss probe: when nothing of what is under way was
// acknowledged, a sender asks again after some milliseconds, and then sends only what was lost.
// So a connection over its tenant's rate is refused everything until it pauses; then what was
// refused passes when it comes again, on account: it is charged, and what is new waits until
// the account is even.
#ifndef PARTYWALL_BPF_LIB_POLICE_H
#define PARTYWALL_BPF_LIB_POLICE_H

#include <linux/tcp.h>

#include "bpf/lib/maps.h"

#define PAUSE_NS 1500000ull         // a tail loss probe comes after 2 ms or more
#define REMEMBER_NS 10000000000ull  // what was refused longer ago does not come again
#define MOST_DEBT_BURSTS 4          // paid ahead; beyond them nothing passes on account
#define LOOK_NS 10000000ull         // so long after a refusal every packet is looked at
#define TCP_LISTEN_STATE 10

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct refusal);
} refusals SEC(".maps");

enum police { POLICE_AS_CHARGED, POLICE_REFUSE, POLICE_ON_ACCOUNT };

// What is to become of a packet. `over`: its tenant's meter is used up.
static __noinline enum police police_tcp(struct __sk_buff* skb, __u32 transport, __u32 over) {
  struct bpf_sock* socket = skb->sk;

  if (!socket) return POLICE_AS_CHARGED;
  socket = bpf_sk_fullsock(socket);
  if (!socket || socket->state == TCP_LISTEN_STATE) return POLICE_AS_CHARGED;

  struct refusal* refusal = bpf_sk_storage_get(&refusals, socket, NULL, 0);

  if (!over && !(refusal && refusal->refusing)) return POLICE_AS_CHARGED;

  struct tcphdr tcp;

  if (bpf_skb_load_bytes(skb, transport, &tcp, sizeof(tcp))) return POLICE_AS_CHARGED;

  __u64 now = bpf_ktime_get_ns();
  __u32 begin = bpf_ntohl(tcp.seq);
  __u32 end = begin + skb->len - transport - tcp.doff * 4;

  if (begin == end) return over ? POLICE_ON_ACCOUNT : POLICE_AS_CHARGED;  // acknowledges only
  if (!refusal) {
    struct refusal fresh = {.end = begin};

    refusal = bpf_sk_storage_get(&refusals, socket, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
    if (!refusal) return POLICE_AS_CHARGED;
  }
  __u64 since = now - refusal->last_ns;

  if (refusal->refusing && since >= PAUSE_NS) {
    refusal->refusing = 0;
    return over ? POLICE_ON_ACCOUNT : POLICE_AS_CHARGED;
  }
  if (!refusal->refusing && since < REMEMBER_NS && (__s32)(begin - refusal->end) < 0)
    return POLICE_ON_ACCOUNT;
  if (since >= REMEMBER_NS || (__s32)(end - refusal->end) > 0) refusal->end = end;
  refusal->refusing = 1;
  refusal->last_ns = now;
  return POLICE_REFUSE;
}

#endif

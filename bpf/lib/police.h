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

#define PAUSE_US 1500u         // a tail loss probe comes after 2 ms or more
#define REMEMBER_US 10000000u  // what was refused longer ago does not come again
#define MOST_DEBT_BURSTS 4     // paid ahead; beyond them nothing passes on account
#define LOOK_NS 10000000ull    // so long after a refusal every packet is looked at

enum police { POLICE_AS_CHARGED, POLICE_REFUSE, POLICE_ON_ACCOUNT };

// What a TCP packet carries: sequence numbers of its first byte, and behind its last.
struct segment {
  __u32 begin;
  __u32 end;
};

// Returns 0 when the header is out of reach. `transport`: where the TCP header begins.
static __always_inline int read_segment(struct __sk_buff* skb, __u32 transport,
                                        struct segment* segment) {
  struct tcphdr tcp;

  if (bpf_skb_load_bytes(skb, transport, &tcp, sizeof(tcp))) return 0;
  segment->begin = bpf_ntohl(tcp.seq);
  segment->end = segment->begin + skb->len - transport - tcp.doff * 4;
  return 1;
}

// What is to become of a segment that carries something. `over`: its tenant's meter is used up.
static __always_inline enum police police_segment(struct refusal* refusal,
                                                  const struct segment* segment, int over) {
  __u32 now = bpf_ktime_get_ns() / 1000;
  __u32 since = now - refusal->last_us;

  if (refusal->refusing && since >= PAUSE_US) {
    refusal->refusing = 0;
    return over ? POLICE_ON_ACCOUNT : POLICE_AS_CHARGED;
  }
  if (!refusal->refusing && since < REMEMBER_US && (__s32)(segment->begin - refusal->end) < 0)
    return POLICE_ON_ACCOUNT;
  if (since >= REMEMBER_US || (__s32)(segment->end - refusal->end) > 0)
    refusal->end = segment->end;
  refusal->refusing = 1;
  refusal->last_us = now;
  return POLICE_REFUSE;
}

#endif

// bpf/lib/quoted.h: ICMP errors: they pass when the packet that they quote was one of a flow
// that may be. Whoever sends the error may be any router on the way.
#ifndef PARTYWALL_BPF_LIB_QUOTED_H
#define PARTYWALL_BPF_LIB_QUOTED_H

#include "bpf/lib/flows.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/link.h"
#include "bpf/lib/packet.h"

#define ICMP_HEADER 8

static __always_inline int is_icmp_error(const struct packet* packet) {
  if (likely(packet->protocol_bit != DECIDE_ICMP)) return 0;
  if (packet->family == AF_INET)
    return packet->source_port == 3 || packet->source_port == 11 || packet->source_port == 12;
  return packet->source_port >= 1 && packet->source_port <= 4;
}

// As much of a packet as an error quotes: addresses, protocol, ports.
static __always_inline int read_quoted(struct __sk_buff* skb, __u32 at, __u8 family,
                                       struct flow* flow) {
  int sent = flow->direction == DIRECTION_EGRESS;
  struct address* source = sent ? &flow->own_address : &flow->peer_address;
  struct address* target = sent ? &flow->peer_address : &flow->own_address;
  __u16 ports[2];

  flow->family = family;
  if (family == AF_INET) {
    struct iphdr ip;

    if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl != 5 ||
        ip.frag_off & bpf_htons(IPV4_OFFSET))
      return 0;
    source->word[0] = ip.saddr;
    target->word[0] = ip.daddr;
    flow->protocol = ip.protocol;
    at += sizeof(ip);
  } else {
    __u8 head[8];  // in parts: the whole header takes too much of the stack

    if (bpf_skb_load_bytes(skb, at, head, sizeof(head)) || head[0] >> 4 != 6 ||
        bpf_skb_load_bytes(skb, at + sizeof(head), source, sizeof(*source)) ||
        bpf_skb_load_bytes(skb, at + sizeof(head) + sizeof(*source), target, sizeof(*target)))
      return 0;
    flow->protocol = head[__builtin_offsetof(struct ipv6hdr, nexthdr)];
    at += sizeof(struct ipv6hdr);
  }
  if (flow->protocol == IPPROTO_TCP)
    flow->protocol_bit = DECIDE_TCP;
  else if (flow->protocol == IPPROTO_UDP)
    flow->protocol_bit = DECIDE_UDP;
  else
    return 0;
  if (bpf_skb_load_bytes(skb, at, ports, sizeof(ports))) return 0;
  flow->local_port = bpf_ntohs(ports[!sent]);
  flow->peer_port = bpf_ntohs(ports[sent]);
  return 1;
}

// The verdict on an error of `flow`'s direction by the packet it quotes, which went the other
// way. REASON_DENY_MALFORMED: it quotes nothing that speaks for it.
// `at`: where the ICMP header begins.
__noinline int judge_quoted(struct __sk_buff* skb, const struct flow* flow, __u32 at) {
  if (!flow) return REASON_DENY_MALFORMED;

  struct flow* back = spare_flow(SPARE_QUOTED);

  if (!back) return REASON_DENY_MALFORMED;
  __builtin_memset(back, 0, sizeof(*back));
  back->side = flow->side & 1;
  back->tenant = flow->tenant;
  back->direction = !flow->direction;
  back->interface = flow->interface;
  back->recall = flow->recall | RECALL_NOTHING;
  if (!read_quoted(skb, at + ICMP_HEADER, flow->family, back)) return REASON_DENY_MALFORMED;

  const struct tenant_policy* policy = policy_of(back);

  if (!policy ||
      !owns_source(back->side, back->tenant, policy, back->family, &back->own_address))
    return REASON_DENY_SOURCE;
  back->peer = peer_of(back->side, back->family, &back->peer_address);
  if (back->peer & PEER_INFRASTRUCTURE && is_in_lane(back)) return REASON_ALLOW_INFRASTRUCTURE;

  enum reason reason = judge(back, policy);

  if (reason >= REASON_FIRST_DENY) return reason;
  if (reason == REASON_ALLOW_SAME_TENANT) return reason;
  return back->peer != PEER_WORLD && back->peer <= PEER_TENANT_MAX ? REASON_ALLOW_TENANT_REPLY
                                                                   : REASON_ALLOW_WORLD_REPLY;
}

#endif

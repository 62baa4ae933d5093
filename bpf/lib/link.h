// bpf/lib/link.h: what a workload and its link say to each other: ARP, neighbour discovery,
// DHCP. A workload speaks for its own addresses only, and is no router and no DHCP server.
#ifndef PARTYWALL_BPF_LIB_LINK_H
#define PARTYWALL_BPF_LIB_LINK_H

#include "bpf/lib/judge.h"
#include "bpf/lib/packet.h"
#include "bpf/lib/peer.h"

struct arp {
  __u8 fixed[8];  // hardware, protocol, lengths, operation
  __u8 sender_mac[6];
  __u8 sender[4];
  __u8 target_mac[6];
  __u8 target[4];
};

#define NOT_LINK REASON_COUNT  // no reason: to be judged like any other packet

enum { MLD_QUERY = 130, MLD_REPORT = 131, MLD_DONE = 132, ROUTER_SOLICIT = 133 };
enum { ROUTER_ADVERT = 134, NEIGHBOR_SOLICIT = 135, NEIGHBOR_ADVERT = 136, REDIRECT = 137 };
enum { MLD2_REPORT = 143, ICMP4_REDIRECT = 5, ICMP4_ROUTER = 9 };

static __always_inline int is_unspecified(const struct address* address) {
  return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

static __always_inline int is_link_local6(const struct address* address) {
  return (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

// Whether a workload may say that an address is its own.
static __always_inline int may_claim(const struct flow* flow,
                                     const struct tenant_policy* policy, __u8 family,
                                     const struct address* address) {
  if (is_unspecified(address)) return 1;  // it asks whether somebody else has it
  if (family == AF_INET6 && is_link_local6(address)) return 1;
  return owns_source(flow->side, flow->tenant, policy, family, address);
}

// Whether words about the link may reach this workload: those of its own tenant, of tenants
// that it may talk to, and of what is no tenant. `sender`: an address, which is asked when the
// packet is not marked (flow.peer).
static __always_inline int may_hear(const struct flow* flow, __u8 family,
                                    const struct address* sender) {
  __u32 speaker = flow->peer ? flow->peer : peer_of(flow->side, family, sender);
  struct pair decide;

  if (speaker == flow->tenant || speaker == PEER_WORLD || speaker > PEER_TENANT_MAX) return 1;
  return find_pair(flow->side, flow->tenant, speaker, &decide) && (decide.out | decide.in);
}

static __always_inline const struct tenant_policy* policy_of(const struct flow* flow) {
  const struct control* control = control_row();
  __u32 row = control ? (flow->side & 1) * control->max_tenants + flow->tenant : 0;

  return bpf_map_lookup_elem(&tenants, &row);
}

// Of an interface that nobody is bound to (TENANT_NONE) no claims are checked but what no
// workload may say, and nothing else of it passes.
__noinline int judge_arp(struct __sk_buff* skb, __u32 network, const struct flow* flow) {
  struct arp arp;
  struct address sender = {};

  if (!flow) return REASON_DENY_MALFORMED;

  const struct tenant_policy* policy = policy_of(flow);

  if (bpf_skb_load_bytes(skb, network, &arp, sizeof(arp))) return REASON_DENY_MALFORMED;
  __builtin_memcpy(&sender, arp.sender, 4);
  if (flow->tenant == TENANT_NONE || !policy) return REASON_ALLOW_LINK;
  if (flow->direction == DIRECTION_EGRESS)
    return may_claim(flow, policy, AF_INET, &sender) ? REASON_ALLOW_LINK : REASON_DENY_NEIGHBOR;
  return may_hear(flow, AF_INET, &sender) ? REASON_ALLOW_LINK : REASON_DENY_TENANT;
}

static __always_inline int judge_neighbor(struct __sk_buff* skb, const struct packet* packet,
                                          const struct flow* flow,
                                          const struct tenant_policy* policy) {
  int egress = flow->direction == DIRECTION_EGRESS;
  struct address claimed;

  switch (packet->source_port) {  // the type
    case MLD_REPORT:
    case MLD_DONE:
    case MLD2_REPORT:
    case ROUTER_SOLICIT:
      return egress ? REASON_ALLOW_LINK : NOT_LINK;
    case MLD_QUERY:
    case ROUTER_ADVERT:
    case REDIRECT:
      if (egress) return REASON_DENY_NEIGHBOR;
      return is_link_local6(&packet->source) && may_hear(flow, AF_INET6, &packet->source)
                 ? REASON_ALLOW_LINK
                 : NOT_LINK;
    case NEIGHBOR_SOLICIT:
      claimed = packet->source;
      break;
    case NEIGHBOR_ADVERT:
      if (bpf_skb_load_bytes(skb, packet->transport + 8, &claimed, sizeof(claimed)))
        return REASON_DENY_MALFORMED;
      break;
    default:
      return NOT_LINK;
  }
  if (flow->tenant == TENANT_NONE) return REASON_ALLOW_LINK;
  if (egress)
    return may_claim(flow, policy, AF_INET6, &claimed) &&
                   may_claim(flow, policy, AF_INET6, &packet->source)
               ? REASON_ALLOW_LINK
               : REASON_DENY_NEIGHBOR;
  return may_hear(flow, AF_INET6, &packet->source) ? REASON_ALLOW_LINK : REASON_DENY_TENANT;
}

// Of a packet that is parsed. NOT_LINK: nothing to say about it.
__noinline int judge_link(struct __sk_buff* skb, const struct packet* packet,
                          const struct flow* flow) {
  if (!packet || !flow) return REASON_DENY_MALFORMED;

  const struct tenant_policy* policy = policy_of(flow);

  if (!policy) return REASON_DENY_MALFORMED;

  int egress = flow->direction == DIRECTION_EGRESS;
  int v4 = packet->family == AF_INET;

  if (packet->protocol_bit == DECIDE_ICMP) {
    if (!v4) return judge_neighbor(skb, packet, flow, policy);
    if (egress &&
        (packet->source_port == ICMP4_REDIRECT || packet->source_port == ICMP4_ROUTER))
      return REASON_DENY_NEIGHBOR;
    return NOT_LINK;
  }
  if (packet->protocol_bit != DECIDE_UDP) return NOT_LINK;

  __u16 client = v4 ? 68 : 546;
  __u16 server = v4 ? 67 : 547;

  if (egress && packet->source_port == server && packet->target_port == client)
    return REASON_DENY_NEIGHBOR;
  if (egress && packet->source_port == client && packet->target_port == server &&
      packet->multicast)
    return REASON_ALLOW_LINK;
  if (!egress && packet->source_port == server && packet->target_port == client &&
      may_hear(flow, packet->family, &packet->source))
    return REASON_ALLOW_LINK;
  return NOT_LINK;
}

#endif

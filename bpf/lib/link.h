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

#define ARP_BYTES_MAX 46  // padded to the shortest Ethernet frame
#define ND_BYTES_MAX 40   // a link address and a nonce
#define ND_HOP_LIMIT 255  // what a router has forwarded has less
#define MLD_HOP_LIMIT 1   // so that no router forwards it

static __always_inline int is_unspecified(const struct address* address) {
  return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

static __always_inline int is_link_local6(const struct address* address) {
  return (address->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

// An address that no router forwards to.
static __always_inline int is_of_link6(const struct address* address) {
  return is_link_local6(address) ||
         (address->word[0] & bpf_htonl(0xffff0000)) == bpf_htonl(0xff020000);
}

// Where a DHCP client finds its servers when it knows none.
static __always_inline int is_dhcp_servers(const struct packet* packet) {
  const __u32* word = packet->target.word;

  if (packet->family == AF_INET) return word[0] == 0xffffffff;
  return word[0] == bpf_htonl(0xff020000) && !(word[1] | word[2]) &&
         word[3] == bpf_htonl(0x00010002);
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
  if (skb->len > network + ARP_BYTES_MAX) return REASON_DENY_MALFORMED;  // it carries data
  __builtin_memcpy(&sender, arp.sender, 4);
  if (flow->tenant == TENANT_NONE || !policy) return REASON_ALLOW_LINK;
  if (flow->direction == DIRECTION_EGRESS)
    return may_claim(flow, policy, AF_INET, &sender) ? REASON_ALLOW_LINK : REASON_DENY_NEIGHBOR;
  return may_hear(flow, AF_INET, &sender) ? REASON_ALLOW_LINK : REASON_DENY_TENANT;
}

// Words about the link that are sent beyond it are no such words: they are judged like any
// other packet, or the world could be told anything in them.
static __always_inline int judge_neighbor(struct __sk_buff* skb, const struct packet* packet,
                                          const struct flow* flow,
                                          const struct tenant_policy* policy) {
  int egress = flow->direction == DIRECTION_EGRESS;
  int type = packet->source_port;
  __u8 hop_limit =
      type == MLD_QUERY || type == MLD_REPORT || type == MLD_DONE || type == MLD2_REPORT
          ? MLD_HOP_LIMIT
          : ND_HOP_LIMIT;
  struct address claimed;

  switch (type) {
    case MLD_REPORT:
    case MLD_DONE:
    case MLD2_REPORT:
    case ROUTER_SOLICIT:
      return egress && packet->hop_limit == hop_limit &&
                     (type == ROUTER_SOLICIT ? is_of_link6(&packet->target)
                                             : packet->multicast) &&
                     (flow->tenant == TENANT_NONE ||
                      may_claim(flow, policy, AF_INET6, &packet->source))
                 ? REASON_ALLOW_LINK
                 : NOT_LINK;
    case MLD_QUERY:
    case ROUTER_ADVERT:
    case REDIRECT:
      if (egress) return REASON_DENY_NEIGHBOR;
      return packet->hop_limit == hop_limit && is_link_local6(&packet->source) &&
                     may_hear(flow, AF_INET6, &packet->source)
                 ? REASON_ALLOW_LINK
                 : NOT_LINK;
    case NEIGHBOR_SOLICIT:
    case NEIGHBOR_ADVERT:
      // A neighbour's address may be one that is routed elsewhere: then no more than is needed.
      if (packet->hop_limit != hop_limit) return NOT_LINK;
      if (!is_of_link6(&packet->target) && skb->len > packet->transport + ND_BYTES_MAX)
        return NOT_LINK;
      break;
    default:
      return NOT_LINK;
  }
  if (type == NEIGHBOR_SOLICIT)
    claimed = packet->source;
  else if (bpf_skb_load_bytes(skb, packet->transport + 8, &claimed, sizeof(claimed)))
    return REASON_DENY_MALFORMED;
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
      is_dhcp_servers(packet) &&
      (flow->tenant == TENANT_NONE || may_claim(flow, policy, packet->family, &packet->source)))
    return REASON_ALLOW_LINK;
  if (!egress && packet->source_port == server && packet->target_port == client &&
      may_hear(flow, packet->family, &packet->source))
    return REASON_ALLOW_LINK;
  return NOT_LINK;
}

#endif

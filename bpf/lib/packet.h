// bpf/lib/packet.h: IPv4 and IPv6 headers -> struct packet. Refuses what hides its ports. No
// maps.
#ifndef PARTYWALL_BPF_LIB_PACKET_H
#define PARTYWALL_BPF_LIB_PACKET_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/lib/address.h"
#include "maps/abi/pairs.h"
#include "maps/abi/reasons.h"

#define MAX_EXTENSION_HEADERS 6
#define MAX_EXTENSION_BYTES 256
#define IPV4_FRAGMENT 0x3fff  // "more follow", or an offset
#define IPV4_OFFSET 0x1fff
#define IPV6_OFFSET 0xfff8
#define NETWORK_MAX 31  // behind a link header and two VLAN tags
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

// What is read of an ICMP or ICMPv6 header (linux/icmp.h pulls in libc).
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u16 echo;  // of an echo request or reply
};

enum fragment { WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT };

struct packet {
  struct address source;
  struct address target;
  __u8 family;         // AF_INET or AF_INET6
  __u8 protocol;       // IPPROTO_*
  __u8 protocol_bit;   // DECIDE_*; 0 = neither TCP, UDP, ICMP of this family nor a tunnel
  __u8 opens;          // TCP: SYN without ACK; ICMP: not a reply and not an error
  __u8 multicast;      // the target is a multicast or broadcast group
  __u8 fragment;       // enum fragment; a later one has no ports
  __u8 tcp_flags;      // TCP_*
  __u8 hop_limit;      // IPv6
  __u16 source_port;   // host order; ICMP: the type
  __u16 target_port;   // host order; ICMP: the code
  __u16 echo;          // ICMP: what pairs an echo with its reply; host order
  __u16 transport;     // where the transport header begins, from the start of the skb; 0 = none
  __u16 header_bytes;  // of network and transport: what every segment carries again
  __u16 network;       // set by the caller: where the network header begins
  __u32 datagram;      // a fragment's: what its datagram has in common; network order
};

// `size` bytes at `offset`, in place when they are in the linear part, else copied to `buffer`.
static __always_inline const void* header_at(struct __sk_buff* skb, __u32 offset, __u32 size,
                                             void* buffer) {
  const char* data = (const char*)(long)skb->data;
  const char* end = (const char*)(long)skb->data_end;

  if (data + offset + size <= end) return data + offset;
  return bpf_skb_load_bytes(skb, offset, buffer, size) ? NULL : buffer;
}

static __always_inline enum reason parse_tcp(const struct tcphdr* tcp, struct packet* packet) {
  if (unlikely(!tcp || tcp->doff < 5)) return REASON_DENY_MALFORMED;
  packet->protocol_bit = DECIDE_TCP;
  packet->source_port = bpf_ntohs(tcp->source);
  packet->target_port = bpf_ntohs(tcp->dest);
  packet->tcp_flags = ((const __u8*)tcp)[13];
  packet->opens = (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
  packet->header_bytes += tcp->doff * 4;
  return REASON_ALLOW_SAME_TENANT;
}

static __always_inline enum reason parse_udp(const struct udphdr* udp, struct packet* packet) {
  if (!udp) return REASON_DENY_MALFORMED;
  packet->protocol_bit = DECIDE_UDP;
  packet->source_port = bpf_ntohs(udp->source);
  packet->target_port = bpf_ntohs(udp->dest);
  packet->header_bytes += sizeof(*udp);
  return REASON_ALLOW_SAME_TENANT;
}

static __always_inline enum reason parse_icmp(const struct icmp_header* icmp,
                                              struct packet* packet) {
  if (!icmp) return REASON_DENY_MALFORMED;
  packet->protocol_bit = DECIDE_ICMP;
  packet->source_port = icmp->type;
  packet->target_port = icmp->code;
  packet->echo = bpf_ntohs(icmp->echo);
  packet->header_bytes += 8;
  // Replies and errors: IPv4 types 0, 3, 11 and 12; IPv6 129 and 1 to 4.
  if (packet->family == AF_INET)
    packet->opens = icmp->type != 0 && icmp->type != 3 && icmp->type != 11 && icmp->type != 12;
  else
    packet->opens = icmp->type != 129 && (icmp->type < 1 || icmp->type > 4);
  return REASON_ALLOW_SAME_TENANT;
}

static __always_inline int is_tunnel(__u8 protocol) {
  return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_GRE ||
         protocol == IPPROTO_ESP;
}

// `offset`: of the transport header, from the start of the skb.
static __always_inline enum reason parse_transport(struct __sk_buff* skb, __u32 offset,
                                                   struct packet* packet) {
  struct tcphdr buffer;  // TCP's fixed header is the largest of the three

  packet->opens = 1;
  packet->transport = offset;
  packet->header_bytes = offset - packet->network;
  if (packet->protocol == IPPROTO_TCP)
    return parse_tcp(header_at(skb, offset, sizeof(struct tcphdr), &buffer), packet);
  if (packet->protocol == IPPROTO_UDP)
    return parse_udp(header_at(skb, offset, sizeof(struct udphdr), &buffer), packet);
  if (packet->protocol == (packet->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
    return parse_icmp(header_at(skb, offset, 8, &buffer), packet);
  if (is_tunnel(packet->protocol)) packet->protocol_bit = DECIDE_TUNNEL;
  return REASON_ALLOW_SAME_TENANT;
}

// Of a fragment that does not begin its datagram. One that would write over the header that its
// first fragment was judged by is no fragment that a kernel makes.
static __always_inline enum reason parse_later(struct packet* packet, __u32 begins_at) {
  packet->fragment = LATER_FRAGMENT;
  if (packet->protocol == IPPROTO_TCP) packet->protocol_bit = DECIDE_TCP;
  if (packet->protocol == IPPROTO_UDP) packet->protocol_bit = DECIDE_UDP;
  if (packet->protocol == (packet->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
    packet->protocol_bit = DECIDE_ICMP;
  if (is_tunnel(packet->protocol)) packet->protocol_bit = DECIDE_TUNNEL;
  return begins_at < sizeof(struct tcphdr) && packet->protocol == IPPROTO_TCP
             ? REASON_DENY_FRAGMENT
             : REASON_ALLOW_SAME_TENANT;
}

static __always_inline int is_multicast4(__u32 address) {
  return (address & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || address == 0xffffffff;
}

static __always_inline enum reason parse4(struct __sk_buff* skb, __u32 network,
                                          struct packet* packet) {
  struct iphdr buffer;
  const struct iphdr* ip = header_at(skb, network, sizeof(*ip), &buffer);

  if (!ip || ip->version != 4 || ip->ihl < 5) return REASON_DENY_MALFORMED;
  packet->family = AF_INET;
  packet->protocol = ip->protocol;
  packet->source.word[0] = ip->saddr;
  packet->target.word[0] = ip->daddr;
  packet->multicast = is_multicast4(ip->daddr);
  packet->header_bytes = sizeof(*ip);
  if (ip->ihl > 5) return REASON_DENY_IP_OPTIONS;
  if (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) {
    packet->datagram = ip->id;
    packet->fragment = FIRST_FRAGMENT;
    if (ip->frag_off & bpf_htons(IPV4_OFFSET))
      return parse_later(packet, (bpf_ntohs(ip->frag_off) & IPV4_OFFSET) * 8);
  }
  return parse_transport(skb, network + sizeof(*ip), packet);
}

struct extension_header {
  __u8 next;
  __u8 length;  // in 8 bytes, the first 8 not counted; a fragment header has none
  __u16 offset;
  __u32 datagram;
};

static __always_inline enum reason parse6(struct __sk_buff* skb, __u32 network,
                                          struct packet* packet) {
  struct ipv6hdr buffer;
  const struct ipv6hdr* ip = header_at(skb, network, sizeof(*ip), &buffer);

  if (!ip || ip->version != 6) return REASON_DENY_MALFORMED;
  packet->family = AF_INET6;
  __builtin_memcpy(&packet->source, &ip->saddr, 16);
  __builtin_memcpy(&packet->target, &ip->daddr, 16);
  packet->multicast = ((const __u8*)&ip->daddr)[0] == 0xff;
  packet->hop_limit = ip->hop_limit;
  packet->header_bytes = sizeof(*ip);

  __u8 next = ip->nexthdr;
  __u32 offset = network + sizeof(*ip);
  struct extension_header extension;

#pragma unroll
  for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) break;
    if (bpf_skb_load_bytes(skb, offset, &extension, sizeof(extension)))
      return REASON_DENY_MALFORMED;
    next = extension.next;
    offset += (extension.length + 1) * 8;
    if (offset > network + sizeof(*ip) + MAX_EXTENSION_BYTES)
      return REASON_DENY_EXTENSION_HEADER;
  }
  if (next == IPPROTO_FRAGMENT) {
    packet->fragment = FIRST_FRAGMENT;
    if (bpf_skb_load_bytes(skb, offset, &extension, sizeof(extension)))
      return REASON_DENY_MALFORMED;
    next = extension.next;
    packet->datagram = extension.datagram;
    offset += sizeof(extension);
    if (extension.offset & bpf_htons(IPV6_OFFSET)) {
      packet->protocol = next;
      return parse_later(packet, bpf_ntohs(extension.offset) & IPV6_OFFSET);
    }
  }
  packet->protocol = next;
  if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING ||
      next == IPPROTO_FRAGMENT || next == IPPROTO_AH || next == IPPROTO_MH ||
      next == IPPROTO_NONE)
    return REASON_DENY_EXTENSION_HEADER;
  return parse_transport(skb, offset, packet);
}

// Fills `packet`, which must be zero but for `network`. Returns a DENY_* reason for what must
// not pass, else REASON_ALLOW_SAME_TENANT, which here means only "parsed". `ethertype`: in
// network order.
__noinline int parse(struct __sk_buff* skb, __u32 ethertype, struct packet* packet) {
  if (!packet) return REASON_DENY_MALFORMED;

  __u32 network = packet->network & NETWORK_MAX;

  if (ethertype == bpf_htons(0x0800)) return parse4(skb, network, packet);
  if (ethertype == bpf_htons(0x86dd)) return parse6(skb, network, packet);
  return REASON_DENY_MALFORMED;
}

// Most packets are of one kind: IPv4 without options, whole, to one receiver, TCP or UDP, with
// all headers in the linear part. Of these only what every verdict needs is read at first: the
// addresses and the protocol. Returns 0 for any other packet, and says nothing about it.
// `network`: a constant, where the network header begins.
static __always_inline int parse_plain4(struct __sk_buff* skb, __u32 network,
                                        struct packet* packet) {
  const struct iphdr* ip = (const struct iphdr*)((long)skb->data + network);
  const void* end = (const void*)(long)skb->data_end;
  const struct tcphdr* tcp = (const struct tcphdr*)(ip + 1);
  const struct udphdr* udp = (const struct udphdr*)(ip + 1);

  if (unlikely(skb->protocol != bpf_htons(0x0800) || (const void*)(udp + 1) > end)) return 0;
  if (unlikely(*(const __u8*)ip != 0x45 || ip->frag_off & bpf_htons(IPV4_FRAGMENT))) return 0;
  packet->family = AF_INET;
  packet->protocol = ip->protocol;
  packet->source.word[0] = ip->saddr;
  packet->target.word[0] = ip->daddr;
  if (unlikely(is_multicast4(ip->daddr))) return 0;
  if (unlikely(packet->protocol != IPPROTO_TCP)) return packet->protocol == IPPROTO_UDP;
  return likely((const void*)(tcp + 1) <= end && tcp->doff >= 5);
}

// The rest of such a packet.
static __always_inline void parse_plain4_ports(struct __sk_buff* skb, __u32 network,
                                               struct packet* packet) {
  const struct iphdr* ip = (const struct iphdr*)((long)skb->data + network);
  const void* end = (const void*)(long)skb->data_end;
  const struct tcphdr* tcp = (const struct tcphdr*)(ip + 1);
  const struct udphdr* udp = (const struct udphdr*)(ip + 1);

  packet->transport = network + sizeof(*ip);
  packet->header_bytes = sizeof(*ip);
  if (likely(packet->protocol == IPPROTO_TCP && (const void*)(tcp + 1) <= end))
    parse_tcp(tcp, packet);
  else if ((const void*)(udp + 1) <= end)
    parse_udp(udp, packet);
}

#endif

// bpf/lib/packet.h: IPv4 and IPv6 headers -> struct packet. Refuses what hides its ports. No
// maps.
#ifndef PARTYWALL_BPF_LIB_PACKET_H
#define PARTYWALL_BPF_LIB_PACKET_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "bpf/lib/kernel.h"
#include "maps/abi/pairs.h"
#include "maps/abi/reasons.h"

#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

#define MAX_EXTENSION_HEADERS 6
#define MAX_EXTENSION_BYTES 256

// All that is read of an ICMP or ICMPv6 header (linux/icmp.h pulls in libc).
struct icmp_header {
  __u8 type;
  __u8 code;
};

// Network order; IPv4 in the first word.
struct address {
  __u32 word[4];
};

struct packet {
  struct address source;
  struct address target;
  __u8 family;        // AF_INET or AF_INET6
  __u8 protocol;      // IPPROTO_*
  __u8 protocol_bit;  // DECIDE_*; 0 = neither TCP, UDP nor ICMP of this family
  __u8 opens;         // TCP: SYN without ACK; ICMP: not a reply and not an error
  __u16 source_port;  // host order; ICMP: the type
  __u16 target_port;  // host order; ICMP: the code
  __u8 tcp_flags;
  __u8 multicast;      // the target is a multicast or broadcast group
  __u16 header_bytes;  // of network and transport: what every segment carries again
};

// `size` bytes at `offset`, in place when they are in the linear part, else copied to `buffer`.
static __always_inline const void* header_at(struct __sk_buff* skb, __u32 offset, __u32 size,
                                             void* buffer) {
  const char* data = (const char*)(long)skb->data;
  const char* end = (const char*)(long)skb->data_end;

  if (data + offset + size <= end) return data + offset;
  return bpf_skb_load_bytes(skb, offset, buffer, size) ? NULL : buffer;
}

static __always_inline enum reason parse_transport(struct __sk_buff* skb, __u32 offset,
                                                   struct packet* packet) {
  // Big enough for each of the three: TCP's fixed header is the largest.
  struct tcphdr buffer;

  packet->protocol_bit = 0;
  packet->opens = 1;
  packet->header_bytes = offset;
  if (packet->protocol == IPPROTO_TCP) {
    const struct tcphdr* tcp = header_at(skb, offset, sizeof(*tcp), &buffer);

    if (!tcp || tcp->doff < 5) return REASON_DENY_MALFORMED;
    packet->protocol_bit = DECIDE_TCP;
    packet->source_port = bpf_ntohs(tcp->source);
    packet->target_port = bpf_ntohs(tcp->dest);
    packet->tcp_flags = ((const __u8*)tcp)[13];
    packet->opens = (packet->tcp_flags & 0x12) == 0x02;  // SYN, not ACK
    packet->header_bytes += tcp->doff * 4;
  } else if (packet->protocol == IPPROTO_UDP) {
    const struct udphdr* udp = header_at(skb, offset, sizeof(*udp), &buffer);

    if (!udp) return REASON_DENY_MALFORMED;
    packet->protocol_bit = DECIDE_UDP;
    packet->source_port = bpf_ntohs(udp->source);
    packet->target_port = bpf_ntohs(udp->dest);
    packet->header_bytes += sizeof(*udp);
  } else if (packet->protocol == (packet->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
    const struct icmp_header* icmp = header_at(skb, offset, 8, &buffer);

    if (!icmp) return REASON_DENY_MALFORMED;
    packet->protocol_bit = DECIDE_ICMP;
    packet->source_port = icmp->type;
    packet->target_port = icmp->code;
    packet->header_bytes += 8;
    // Echo reply, unreachable, time exceeded, parameter problem; in IPv6 the errors are 1 to 4.
    if (packet->family == AF_INET)
      packet->opens =
          icmp->type != 0 && icmp->type != 3 && icmp->type != 11 && icmp->type != 12;
    else
      packet->opens = icmp->type != 129 && (icmp->type < 1 || icmp->type > 4);
  }
  return REASON_ALLOW_SAME_TENANT;
}

static __always_inline enum reason parse4(struct __sk_buff* skb, struct packet* packet) {
  struct iphdr buffer;
  const struct iphdr* ip = header_at(skb, 0, sizeof(*ip), &buffer);

  if (!ip || ip->version != 4 || ip->ihl < 5) return REASON_DENY_MALFORMED;
  packet->family = AF_INET;
  packet->protocol = ip->protocol;
  packet->source.word[0] = ip->saddr;
  packet->target.word[0] = ip->daddr;
  packet->multicast = ((const __u8*)&ip->daddr)[0] >> 4 == 0xe || ip->daddr == 0xffffffff;
  if (ip->ihl > 5) return REASON_DENY_IP_OPTIONS;
  // Kernels fragment after egress and reassemble before ingress: a fragment here is hand-made.
  if (ip->frag_off & bpf_htons(0x3fff)) return REASON_DENY_FRAGMENT;
  return parse_transport(skb, sizeof(*ip), packet);
}

static __always_inline enum reason parse6(struct __sk_buff* skb, struct packet* packet) {
  struct ipv6hdr buffer;
  const struct ipv6hdr* ip = header_at(skb, 0, sizeof(*ip), &buffer);

  if (!ip || ip->version != 6) return REASON_DENY_MALFORMED;
  packet->family = AF_INET6;
  __builtin_memcpy(&packet->source, &ip->saddr, 16);
  __builtin_memcpy(&packet->target, &ip->daddr, 16);
  packet->multicast = ((const __u8*)&ip->daddr)[0] == 0xff;

  __u8 next = ip->nexthdr;
  __u32 offset = sizeof(*ip);

#pragma unroll
  for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS) break;

    struct {
      __u8 next;
      __u8 length;
    } extension;

    if (bpf_skb_load_bytes(skb, offset, &extension, sizeof(extension)))
      return REASON_DENY_MALFORMED;
    next = extension.next;
    offset += (extension.length + 1) * 8;
    if (offset > sizeof(*ip) + MAX_EXTENSION_BYTES) return REASON_DENY_EXTENSION_HEADER;
  }
  packet->protocol = next;
  if (next == IPPROTO_FRAGMENT) return REASON_DENY_FRAGMENT;
  if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING ||
      next == IPPROTO_AH || next == IPPROTO_MH || next == IPPROTO_NONE)
    return REASON_DENY_EXTENSION_HEADER;
  return parse_transport(skb, offset, packet);
}

// Fills `packet`. Returns a DENY_* reason for what must not pass, else
// REASON_ALLOW_SAME_TENANT, which here means only "parsed".
static __always_inline enum reason parse(struct __sk_buff* skb, struct packet* packet) {
  if (skb->protocol == bpf_htons(0x0800)) return parse4(skb, packet);
  if (skb->protocol == bpf_htons(0x86dd)) return parse6(skb, packet);
  return REASON_DENY_MALFORMED;
}

#endif

// bpf/lib/replies.h: the cgroup plane's memory of flows: whether a UDP packet answers something
// its socket has sent. Out of line: most flows may be opened from either end, or are TCP, which
// the kernel's own state of the connection answers for.
#ifndef PARTYWALL_BPF_LIB_REPLIES_H
#define PARTYWALL_BPF_LIB_REPLIES_H

#include "bpf/lib/address.h"
#include "bpf/lib/judge.h"
#include "bpf/lib/maps.h"

// A peer in one word: exact for IPv4, a keyed hash for IPv6.
static __always_inline __u64 udp_peer(__u8 family, const struct address* address, __u16 port) {
  if (family == AF_INET) return 1ull << 63 | (__u64)address->word[0] << 16 | port;

  const struct control* row = control_row();
  __u64 hash = row ? row->secret ^ port : port;

#pragma unroll
  for (int i = 0; i < 4; i++) {
    hash = (hash ^ address->word[i]) * 0x9e3779b97f4a7c15ull;
    hash ^= hash >> 29;
  }
  return hash | 1;
}

// A connected socket gets nothing but its peer's packets; the kernel has seen to that.
static __always_inline int is_connected(struct bpf_sock* socket) {
  return socket->dst_port != 0;
}

// Without branches, each of which the verifier would follow both ways: x - 1 & ~x has its
// highest bit set for 0 only.
static __always_inline int knows(const struct udp_peers* peers, __u64 peer) {
  __u64 known = 0;

  for (int i = 0; i < UDP_PEERS; i++) {
    __u64 difference = peers->peer[i] ^ peer;

    known |= (difference - 1) & ~difference;
  }
  return known >> 63;
}

// Notes that the socket has sent to a peer whose answer would otherwise be refused.
static __noinline int expect_reply(struct bpf_sock* socket, __u64 peer) {
  if (!socket || is_connected(socket)) return 0;

  struct udp_peers* peers =
      bpf_sk_storage_get(&udp_peers, socket, NULL, BPF_SK_STORAGE_GET_F_CREATE);

  if (!peers) {
    struct health* row = health_row();

    if (row) __sync_fetch_and_add(&row->peers_full_total, 1);
    return 0;
  }
  if (!knows(peers, peer))
    peers->peer[__sync_fetch_and_add(&peers->next, 1) % UDP_PEERS] = peer;
  return 0;
}

static __noinline int is_expected(struct bpf_sock* socket, __u64 peer) {
  if (!socket) return 0;
  if (is_connected(socket)) return 1;

  const struct udp_peers* peers = bpf_sk_storage_get(&udp_peers, socket, NULL, 0);

  return peers && knows(peers, peer);
}

static __always_inline int needs_memory(const struct flow* flow) {
  return unlikely(flow->direction == DIRECTION_EGRESS && flow->protocol_bit == DECIDE_UDP);
}

static __always_inline int remember_flow(const struct flow* flow) {
  expect_reply(flow->socket, udp_peer(flow->family, &flow->peer_address, flow->peer_port));
  return 1;  // a peer that was not noted is counted, and its answers are refused
}

static __always_inline int is_reply(const struct flow* flow) {
  if (unlikely(flow->direction == DIRECTION_INGRESS && flow->protocol_bit == DECIDE_UDP))
    return is_expected(flow->socket,
                       udp_peer(flow->family, &flow->peer_address, flow->peer_port));
  return !flow->opens;
}

#endif

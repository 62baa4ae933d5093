// maps/abi/sockets.h: what is remembered of single sockets; it lives and dies with them. Plain
// C.
#ifndef PARTYWALL_MAPS_ABI_SOCKETS_H
#define PARTYWALL_MAPS_ABI_SOCKETS_H

#include "maps/abi/layout.h"

ABI_BEGIN

// Map udp_peers: socket storage. Whom an unconnected UDP socket has sent to, so that their
// answers are replies. It is the tenant's own memory: nobody else can fill it or push anything
// out. Only sockets whose answers need it get one. The oldest peer gives way to the 33rd.
// Written and read by bpf/lib/replies.h only.
#define UDP_PEERS 32

struct udp_peers {
  __u32 next;  // counts up; slot = next % UDP_PEERS
  __u32 reserved;
  __u64 peer[UDP_PEERS];  // address and port in one word, 0 = empty
};
ABI_SIZE(struct udp_peers, 264);

// Map listeners: socket storage. The cgroup that bound a socket to a port, so that connect()
// over loopback can be answered at once and another tenant cannot share the port. Written and
// read by bpf/sockets.bpf.c only.
struct listener {
  __u64 cgroup_id;
};
ABI_SIZE(struct listener, 8);

// Map paces: socket storage. At what pace the kernel was told to send a TCP connection of a
// tenant with an egress rate. Written and read by bpf/pacing.bpf.c only.
struct pace {
  __u64 cgroup_id;         // of the socket
  __u64 bytes_per_second;  // 0 = not paced
  __u64 looked_ns;         // when, CLOCK_MONOTONIC
  __u64 bytes_acked;       // the connection's total then
};
ABI_SIZE(struct pace, 32);

// Map refusals: socket storage. A TCP connection that was over its tenant's ingress rate.
// Written and read by
// bpf/packets.bpf.c only.
struct refusal {
  __u32 last_us;   // when a packet was refused last, CLOCK_MONOTONIC, wraps after 71 minutes
  __u32 end;       // sequence number behind the last byte that was refused
  __u32 refusing;  // 1 = until it pauses
};
ABI_SIZE(struct refusal, 12);

ABI_END

#endif

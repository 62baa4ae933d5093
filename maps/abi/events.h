// maps/abi/events.h: one denied packet or call, as it leaves the kernel. Plain C.
#ifndef PARTYWALL_MAPS_ABI_EVENTS_H
#define PARTYWALL_MAPS_ABI_EVENTS_H

#include "maps/abi/layout.h"
#include "maps/abi/reasons.h"

ABI_BEGIN

// Each tenant may send EVENT_BURST events at once and EVENT_PER_SECOND in the long run; what is
// over is counted (tenant_counters.events_throttled), so a flood by one tenant never hides
// another's.
#define EVENT_PER_SECOND 50
#define EVENT_BURST 50
#define EVENT_RING_BYTES (1 << 20)

// Ring events. Written by bpf/lib/event.h. Read by agent/observe/event_reader.
struct verdict_event {
  __u64 time_ns;     // CLOCK_MONOTONIC
  __u64 cgroup_id;   // of the socket (packets) or of the caller (calls)
  __u64 lost_total;  // this CPU's events of this tenant lost so far
  __u32 peer;        // endpoints.h
  __u32 wire_bytes;  // 0 for calls
  __u16 tenant;
  __u16 protocol;    // IPPROTO_*
  __u16 local_port;  // host order; 0 when there is none. ICMP: the type stands for the sender's
  __u16 peer_port;   // port, the code for the receiver's
  __u8 reason;       // enum reason
  __u8 peer_class;   // enum peer_class
  __u8 hook;         // enum hook
  __u8 direction;    // enum direction
  __u8 would;        // 1 = audit mode, it passed
  __u8 family;       // AF_INET or AF_INET6
  __u8 reserved[2];
  __u8 local_address[16];  // IPv4 in the first four bytes
  __u8 peer_address[16];
  __u32 pid;         // thread group of the caller; 0 for packets
  char command[16];  // of the caller; empty for packets
  __u32 padding;
};
ABI_SIZE(struct verdict_event, 104);
ABI_AT(struct verdict_event, local_address, 48);

ABI_END

#endif

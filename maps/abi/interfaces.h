// maps/abi/interfaces.h: the network interfaces of the host, first of all the host ends of the
// workloads'. Plain C.
#ifndef PARTYWALL_MAPS_ABI_INTERFACES_H
#define PARTYWALL_MAPS_ABI_INTERFACES_H

#include "maps/abi/layout.h"

ABI_BEGIN

#define INTERFACE_STRICT 1u   // attached before its first packet: every reply needs a flow
#define INTERFACE_NO_LINK 2u  // frames have no link header (netkit in its L3 mode)
#define INTERFACE_HAS_MAC 4u  // `mac` is known
#define INTERFACE_HOST 8u     // no workload's: an uplink, a bridge, a tunnel of the host

// Map interfaces: array, mmapable; row = ifindex % INTERFACE_SLOTS, or one of the next
// INTERFACE_PROBES - 1 when that is taken. No row: nobody has looked at the interface yet, and
// what it sends reaches no workload.
// Rows are made, named and emptied by agent/kernel/interface_table, and bound by
// bpf/lib/interface.h.
#define INTERFACE_SLOTS 16384u
#define INTERFACE_PROBES 8u

struct interface {
  __u32 ifindex;  // 0 = empty
  __u32 flags;    // INTERFACE_*
  // The claimed cgroup (map anchors) that the first packet came from, which cannot be forged.
  // 0 = nobody yet. Sealed as long as that cgroup belongs to a tenant.
  __u64 cgroup_id;
  __u16 tenant[PARTYWALL_SIDES];  // whom the policy gives it to by name; TENANT_NONE = nobody
  __u8 mac[6];                    // of the workload's end, from its first frame
  __u8 reserved[6];
};
ABI_SIZE(struct interface, 32);
ABI_AT(struct interface, tenant, 16);  // moved as one word

// Map link_addresses: hash; a workload's link address (six bytes, then zeros) -> the ifindex
// that has it, which counts only as long as that row says so, too. Written and read by
// bpf/lib/interface.h.
#define LINK_ADDRESS_MAX 32768

ABI_END

#endif

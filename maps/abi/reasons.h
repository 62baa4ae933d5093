// maps/abi/reasons.h: why a packet or a socket call was allowed or denied, and what its peer
// was. Plain C.
//
// One enum for the program's verdict, the event's field, the metric's label and the CLI's
// sentence.
#ifndef PARTYWALL_MAPS_ABI_REASONS_H
#define PARTYWALL_MAPS_ABI_REASONS_H

#include "maps/abi/layout.h"

// X(name, metric label, sentence for people). Order is wire format: append, never renumber.
#define PARTYWALL_CLASSES(X)                                                     \
  X(SAME_TENANT, "same_tenant", "another workload of the same tenant")           \
  X(OTHER_TENANT, "other_tenant", "a workload of another tenant")                \
  X(WORLD, "world", "an address that no tenant owns")                            \
  X(INFRASTRUCTURE, "infrastructure", "the infrastructure lane")                 \
  X(LOOPBACK, "loopback", "this network namespace, judged where it is received") \
  X(UNKNOWN, "unknown", "not known, because the packet was refused before its peer was read")

// X(name, metric label, class, sentence for people). Order is wire format: append, never
// renumber. ALLOW_* first, DENY_* next, LIMIT_* last; a limit's class is its packet's, not its
// own.
#define PARTYWALL_REASONS(X)                                                                  \
  X(ALLOW_SAME_TENANT, "same_tenant", SAME_TENANT, "both ends belong to the same tenant")     \
  X(ALLOW_TENANT_RULE, "tenant_rule", OTHER_TENANT,                                           \
    "the sender's egress and the receiver's ingress rules both allow it")                     \
  X(ALLOW_TENANT_REPLY, "tenant_reply", OTHER_TENANT, "reply to a flow that the rules allow") \
  X(ALLOW_WORLD, "world", WORLD, "the tenant's rules or its tier's default allow it")         \
  X(ALLOW_WORLD_REPLY, "world_reply", WORLD, "reply to a flow that the rules allow")          \
  X(ALLOW_INFRASTRUCTURE, "infrastructure", INFRASTRUCTURE,                                   \
    "listed in the infrastructure lane")                                                      \
  X(ALLOW_HOST_PROCESS, "host_process", INFRASTRUCTURE,                                       \
    "sent over loopback by a process outside the managed root")                               \
  X(ALLOW_LOOPBACK, "loopback", LOOPBACK, "loopback: judged where it is received")            \
  X(ALLOW_LINK, "link", INFRASTRUCTURE,                                                       \
    "address resolution or configuration between a workload and its link")                    \
  X(DENY_UNKNOWN_CGROUP, "unknown_cgroup", UNKNOWN,                                           \
    "the cgroup is below the managed root and no tenant claims it")                           \
  X(DENY_TENANT, "tenant_floor", OTHER_TENANT, "no rule lets these two tenants talk")         \
  X(DENY_TENANT_PORT, "tenant_port", OTHER_TENANT,                                            \
    "rules let these two tenants talk, but not on this protocol and port")                    \
  X(DENY_WORLD, "world", WORLD, "no rule lets the tenant talk with this address")             \
  X(DENY_WORLD_PORT, "world_port", WORLD,                                                     \
    "rules let the tenant talk with this address, but not on this protocol and port")         \
  X(DENY_PROTOCOL, "protocol", UNKNOWN, "only TCP, UDP and ICMP may leave a tenant")          \
  X(DENY_SOURCE, "source_address", UNKNOWN, "the source address is not the tenant's own")     \
  X(DENY_MULTICAST, "multicast", WORLD, "no rule names this multicast or broadcast group")    \
  X(DENY_MALFORMED, "malformed", UNKNOWN, "the headers cannot be parsed")                     \
  X(DENY_IP_OPTIONS, "ip_options", UNKNOWN, "IPv4 options are refused")                       \
  X(DENY_FRAGMENT, "fragment", UNKNOWN, "a hand-made fragment hides its ports")               \
  X(DENY_EXTENSION_HEADER, "extension_header", UNKNOWN,                                       \
    "an IPv6 extension header that is refused, or too many of them")                          \
  X(DENY_PORT_OWNED, "port_owned", OTHER_TENANT,                                              \
    "another tenant already listens on this port in this network namespace")                  \
  X(DENY_TUNNEL, "tunnel", UNKNOWN, "a tunnel that no rule names")                            \
  X(DENY_UNBOUND, "unbound_interface", UNKNOWN, "nobody knows yet whose interface this is")   \
  X(DENY_INTERFACE, "interface_tenant", OTHER_TENANT,                                         \
    "the sender's cgroup belongs to another tenant than the interface")                       \
  X(DENY_LINK_ADDRESS, "link_address", UNKNOWN,                                               \
    "the frame is not from, or not for, the workload's link address")                         \
  X(DENY_NEIGHBOR, "neighbor", UNKNOWN,                                                       \
    "address resolution for another's address, or a router's or DHCP server's message")       \
  X(DENY_FRAME, "frame", UNKNOWN, "the frame is neither IPv4, IPv6 nor ARP")                  \
  X(DENY_FLOWS_FULL, "flow_table_full", UNKNOWN,                                              \
    "the tenant's table of flows has no room for another one")                                \
  X(LIMIT_BYTES, "limit_bytes", UNKNOWN, "the tenant's byte rate is used up")                 \
  X(LIMIT_PACKETS, "limit_packets", UNKNOWN, "the tenant's packet rate is used up")

ABI_BEGIN

enum peer_class {
#define X(name, label, sentence) CLASS_##name,
  PARTYWALL_CLASSES(X)
#undef X
      CLASS_COUNT
};

enum reason {
#define X(name, label, class, sentence) REASON_##name,
  PARTYWALL_REASONS(X)
#undef X
      REASON_COUNT,
  REASON_FIRST_DENY = REASON_DENY_UNKNOWN_CGROUP,
  REASON_FIRST_LIMIT = REASON_LIMIT_BYTES,
};

// Denials that only the edge can speak.
ABI_INLINE int is_edge_reason(__u32 reason) {
  return reason >= REASON_DENY_UNBOUND && reason <= REASON_DENY_FLOWS_FULL;
}

enum direction { DIRECTION_EGRESS, DIRECTION_INGRESS, DIRECTION_COUNT };

// X(name, label): where the verdict was spoken.
#define PARTYWALL_HOOKS(X)      \
  X(EGRESS, "egress")           \
  X(INGRESS, "ingress")         \
  X(CONNECT, "connect")         \
  X(SENDMSG, "sendmsg")         \
  X(BIND, "bind")               \
  X(EDGE_EGRESS, "edge_egress") \
  X(EDGE_INGRESS, "edge_ingress")

enum hook {
#define X(name, label) HOOK_##name,
  PARTYWALL_HOOKS(X)
#undef X
      HOOK_COUNT
};

ABI_END

#endif

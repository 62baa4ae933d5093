// agent/policy/verdict.h: the reference verdict: what a policy says about one packet, read
// straight from its rules. Pure; knows nothing of maps, so that it can be held against the BPF
// programs.
#ifndef PARTYWALL_AGENT_POLICY_VERDICT_H
#define PARTYWALL_AGENT_POLICY_VERDICT_H

#include <optional>
#include <string>

#include "agent/policy/policy.h"
#include "maps/abi/reasons.h"

namespace partywall::policy {

// One packet (or socket call) as the cgroup plane sees it, after its headers were parsed.
struct Flow {
  std::string tenant;  // owner of the local socket; empty = unclaimed cgroup
  abi::direction direction = abi::DIRECTION_EGRESS;
  std::optional<Address> local;  // source on egress; unset = do not check the source
  Address peer;                  // the other end; for multicast the group
  // Over loopback the peer is who stamped the packet, not its address. Ingress only.
  bool loopback = false;
  std::string loopback_tenant;  // with loopback: empty = a process outside the managed root
  uint8_t protocol = 6;         // IPPROTO_*
  uint16_t local_port = 0;      // host order; unused for ICMP
  uint16_t peer_port = 0;
  // Whether the packet itself would open a flow, so that "it is a reply" is no answer.
  // TCP: SYN without ACK. ICMP: a request. UDP: never on egress; on ingress, unless the socket
  // is connected to the peer or has sent to it before.
  bool opens = true;
};

struct Verdict {
  bool allow = false;  // what the rules say; audit mode does not change it
  bool audit = false;  // the tenant is in audit mode: a denial passes
  abi::reason reason = abi::REASON_DENY_UNKNOWN_CGROUP;
  abi::peer_class peer_class = abi::CLASS_UNKNOWN;
  std::string peer_tenant;  // who owns the peer; empty = nobody
  // The rule that allowed it, sender's and receiver's side; for a denial the tenant or list
  // that has no such rule. Null where a built-in (floor, tier default, same tenant) decided.
  const Rule* egress_rule = nullptr;
  const Rule* ingress_rule = nullptr;
  const Infrastructure* infrastructure = nullptr;
  std::string service;  // of a cluster, that the peer's address is of; "nodes": a node's
};

// Reasons and their order are the datapath's (bpf/lib/judge.h): own cgroup, protocol, source,
// same tenant, then tenants by both sides' rules, infrastructure, multicast, the world.
Verdict judge(const Policy& policy, const Flow& flow);

}  // namespace partywall::policy

#endif

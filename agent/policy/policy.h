// agent/policy/policy.h: what the operator asked for, parsed and validated. Plain data, no I/O.
#ifndef PARTYWALL_AGENT_POLICY_POLICY_H
#define PARTYWALL_AGENT_POLICY_POLICY_H

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/policy/by_name.h"
#include "agent/policy/cgroup_pattern.h"
#include "agent/policy/prefix.h"
#include "maps/abi/flows.h"
#include "maps/abi/reasons.h"

namespace partywall::policy {

// Where a thing was written. line and column count from 1; 0 = not from a file.
struct Position {
  std::string file;
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

// kTunnel: IP in IP, IPv6 in IP, GRE, ESP, and UDP to a port where tunnels end
// (maps/abi/pairs.h).
enum class Protocol { kTcp, kUdp, kIcmp, kTunnel };
enum class Mode { kEnforce, kAudit };
enum class WorldDefault { kAllow, kDeny };

// One entry of `ports`. kIcmp and kTunnel have no port. An absent port is every port: 0..65535.
struct PortRange {
  Protocol protocol = Protocol::kTcp;
  uint16_t first = 0;
  uint16_t last = 65535;
  bool operator==(const PortRange&) const = default;
};

// One entry of `from` or `to`: a tenant by name, or a range of the world.
// A range never matches an address that a tenant owns: other tenants are named, or not reached.
struct PeerSelector {
  Position at;
  std::string tenant;  // empty = a range
  std::optional<Prefix> cidr;
  std::vector<Prefix> except;  // each inside `cidr`
  bool operator==(const PeerSelector&) const = default;
};

// One rule. No peers = nobody; absent `ports` = TCP, UDP and ICMP on every port, but no
// tunnels; an empty list = none.
struct Rule {
  Position at;
  std::vector<PeerSelector> peers;
  std::optional<std::vector<PortRange>> ports;
  bool operator==(const Rule&) const = default;
};

// A byte or packet rate in one direction.
struct RateLimit {
  Position at;
  uint64_t per_second = 0;  // bytes or packets, never 0
  uint64_t burst = 0;       // bytes or packets
  bool operator==(const RateLimit&) const = default;
};

struct Limits {
  std::optional<RateLimit> bytes[abi::DIRECTION_COUNT];  // wire bytes, L3 and up
  std::optional<RateLimit> packets[abi::DIRECTION_COUNT];
  std::optional<uint32_t> flows;  // that may be open at the edge at the same time
  bool operator==(const Limits&) const = default;
};

struct Tier {
  std::string name;
  Position at;
  Limits limits;
  WorldDefault world_egress = WorldDefault::kAllow;  // when the tenant has no egress list
  WorldDefault world_ingress = WorldDefault::kDeny;  // when the tenant has no ingress list
  bool operator==(const Tier&) const = default;
};

using Labels = std::vector<std::pair<std::string, std::string>>;

// Pods of some namespaces, as members of a tenant (Kubernetes only).
struct PodSelector {
  std::vector<std::string> namespaces;  // by name; empty = whatever the name
  Labels namespace_labels;              // all of them; not empty when `namespaces` is
  Labels pod_labels;                    // all of them; empty = every pod
};

struct Tenant {
  std::string name;
  Position at;
  std::string tier;
  Mode mode = Mode::kEnforce;
  std::vector<CgroupPattern> cgroups;   // each with the whole subtree
  std::vector<std::string> interfaces;  // names on the host; * and ? stand for others
  std::vector<Prefix> addresses;        // canonical; no two tenants overlap
  std::vector<PodSelector> pods;
  Limits limits;  // its own; what holds with its tier's: limits_in_force()
  std::optional<std::vector<Rule>>
      ingress;  // absent: the tier's world default, no other tenant
  std::optional<std::vector<Rule>> egress;
};

// One entry of the infrastructure lane (agent configuration): what every tenant may reach,
// whatever its rules say. `cidr` must not overlap a tenant's addresses.
struct Infrastructure {
  Position at;
  std::string name;
  Prefix cidr;
  abi::direction direction = abi::DIRECTION_EGRESS;
  std::optional<std::vector<PortRange>> ports;
  bool operator==(const Infrastructure&) const = default;
};

// A range of addresses that a tenant owns.
struct OwnedAddresses {
  Prefix range;
  uint32_t tenant = 0;  // its place in Policy::tenants
  bool operator==(const OwnedAddresses&) const = default;
};

// In the order of names, so that the same content is the same order whatever files it stands
// in.
struct ClusterNetwork;

struct Policy {
  ByName<Tier> tiers;
  ByName<Tenant> tenants;
  std::vector<Infrastructure> infrastructure;
  std::vector<OwnedAddresses> addresses;          // of all tenants, in the order of ranges
  std::shared_ptr<const ClusterNetwork> network;  // null: no cluster
};

// The limits that hold for a tenant: its own, and its tier's where it has none. Null: no limit.
struct LimitsInForce {
  const RateLimit* bytes[abi::DIRECTION_COUNT];
  const RateLimit* packets[abi::DIRECTION_COUNT];
  uint32_t flows = FLOWS_DEFAULT;
};
LimitsInForce limits_in_force(const Policy& policy, const Tenant& tenant);

}  // namespace partywall::policy

#endif

// agent/observe/metrics.h: every metric of the agent: name, type, labels, meaning. No values.
#ifndef PARTYWALL_AGENT_OBSERVE_METRICS_H
#define PARTYWALL_AGENT_OBSERVE_METRICS_H

#include <array>
#include <string>

namespace partywall::observe {

enum class MetricType { kCounter, kGauge, kHistogram };

struct MetricDecl {
  const char* name;
  MetricType type;
  const char* labels;  // "tenant, direction"; "" = none
  const char* help;    // unit, meaning, source
};

// X(constant, name, type, labels, help). Per tenant first, then the agent's own.
#define PARTYWALL_METRICS(X)                                                                   \
  X(kTrafficBytes, "partywall_traffic_bytes_total", kCounter,                                  \
    "tenant, direction, class, reason, verdict",                                               \
    "Wire bytes judged, network header and up, by what the peer is and why. Verdict "          \
    "would_deny passed, because of audit mode. Tenant (unattributed) is the managed root's "   \
    "traffic that no tenant claims. From map counters.")                                       \
  X(kTrafficPackets, "partywall_traffic_packets_total", kCounter,                              \
    "tenant, direction, class, reason, verdict",                                               \
    "Packets judged, segments counted one by one. From map counters.")                         \
  X(kConnections, "partywall_connections_total", kCounter, "tenant, direction",                \
    "TCP connections: opened (egress: connect() was let through) and accepted (ingress). "     \
    "From "                                                                                    \
    "map counters.")                                                                           \
  X(kCallsDenied, "partywall_calls_denied_total", kCounter, "tenant, reason",                  \
    "connect(), sendmsg() and bind() answered with EPERM. From map counters.")                 \
  X(kCallsWouldDeny, "partywall_calls_would_deny_total", kCounter, "tenant, reason",           \
    "The same calls let through, because the tenant is in audit mode. From map counters.")     \
  X(kEvents, "partywall_events_total", kCounter, "tenant, outcome",                            \
    "Denials as events: sent, throttled (over the tenant's own budget) or dropped (the ring "  \
    "was full). Their sum is the number of denials. From map counters.")                       \
  X(kSyscalls, "partywall_syscalls_total", kCounter, "tenant, abi, syscall",                   \
    "System calls by calling convention and name. No security boundary: io_uring makes none. " \
    "From map syscalls.")                                                                      \
  X(kLimitBytes, "partywall_limit_bytes_per_second", kGauge, "tenant, direction",              \
    "Byte rate that the tenant is held to; no series when unlimited. From map tenants.")       \
  X(kLimitPackets, "partywall_limit_packets_per_second", kGauge, "tenant, direction",          \
    "Packet rate that the tenant is held to; no series when unlimited. From map tenants.")     \
  X(kBurstUsed, "partywall_limit_burst_used_ratio", kGauge, "tenant, direction, unit",         \
    "How much of the burst is used up right now: 0 = none, 1 = the next packet waits its "     \
    "turn. Tenants with traffic only. From map meters.")                                       \
  X(kTenantInfo, "partywall_tenant_info", kGauge, "tenant, tier, mode",                        \
    "1 for each tenant of the policy in force.")                                               \
  X(kBuildInfo, "partywall_build_info", kGauge, "version",                                     \
    "1; the version of the running agent.")                                                    \
  X(kPolicyGeneration, "partywall_policy_generation", kGauge, "",                              \
    "Number of the generation in force; counts up by one with every policy that takes "        \
    "effect. "                                                                                 \
    "From map control.")                                                                       \
  X(kPolicyValid, "partywall_policy_valid", kGauge, "",                                        \
    "1 when the policy folder is what is in force; 0 when it could not be taken and the last " \
    "good generation stays.")                                                                  \
  X(kPolicyProblems, "partywall_policy_problems", kGauge, "",                                  \
    "Problems of the policy folder at its last reading.")                                      \
  X(kPolicyApplied, "partywall_policy_applied_timestamp_seconds", kGauge, "",                  \
    "When the generation in force took effect, seconds since 1970. From map control.")         \
  X(kPolicyReads, "partywall_policy_reads_total", kCounter, "result",                          \
    "Readings of the policy folder: applied, unchanged or refused.")                           \
  X(kPolicyApplySeconds, "partywall_policy_apply_seconds", kHistogram, "",                     \
    "From noticing a change of the policy folder until the kernel enforces it.")               \
  X(kTenants, "partywall_tenants", kGauge, "mode", "Tenants of the policy in force.")          \
  X(kTenantsMax, "partywall_tenants_max", kGauge, "",                                          \
    "Tenants that the maps have room for (--max-tenants less one).")                           \
  X(kMapEntries, "partywall_map_entries", kGauge, "map", "Entries of a map in use.")           \
  X(kMapCapacity, "partywall_map_capacity", kGauge, "map", "Entries that there is room for.")  \
  X(kMapMemory, "partywall_map_memory_bytes", kGauge, "",                                      \
    "Kernel memory of all maps, as the kernel accounts it.")                                   \
  X(kAttached, "partywall_program_attached", kGauge, "program",                                \
    "1 when the program is really attached, asked of the kernel every two seconds.")           \
  X(kRepairs, "partywall_repairs_total", kCounter, "object",                                   \
    "Times that the agent found a program detached or a pin missing and put it back, by "      \
    "program or map.")                                                                         \
  X(kCgroups, "partywall_cgroups", kGauge, "state",                                            \
    "Cgroups below the managed root: known, and those of them unclassified, whose traffic is " \
    "denied.")                                                                                 \
  X(kExposure, "partywall_cgroup_classified_seconds", kHistogram, "",                          \
    "From the making of a cgroup that a pattern claims until it belongs to its tenant; until " \
    "then its traffic is denied. Children of a tenant's cgroup inherit at once and are not "   \
    "here.")                                                                                   \
  X(kEdgeInterfaces, "partywall_edge_interfaces", kGauge, "state",                             \
    "Workloads' interfaces that are attached: bound to a tenant, or unbound, which pass "      \
    "nothing but address resolution and configuration. From map interfaces.")                  \
  X(kEdgeAttach, "partywall_edge_attach_seconds", kHistogram, "",                              \
    "From the kernel's word of a workload's interface until its programs are attached.")       \
  X(kEdgeUnjudged, "partywall_edge_unjudged_packets_total", kCounter, "",                      \
    "Packets that workloads' interfaces had passed when they were attached.")                  \
  X(kEdgeUnbound, "partywall_edge_unbound_packets_total", kCounter, "",                        \
    "Packets refused because nobody is bound to their interface. From map health.")            \
  X(kLosses, "partywall_losses_total", kCounter, "kind",                                       \
    "What the programs could not do: cgroup without a slot (denied), cgroup change not told "  \
    "(rescanned), UDP peer not remembered (its reply is denied), system call not counted. "    \
    "From map health.")                                                                        \
  X(kEventLinesLost, "partywall_event_lines_lost_total", kCounter, "sink",                     \
    "Events that could not be handed on: file (not written), reader (a slow `partywall "       \
    "events`)."                                                                                \
    " Denials are counted all the same.")                                                      \
  X(kKubernetesSynced, "partywall_kubernetes_synced", kGauge, "",                              \
    "1 once the API server has told everything that the policy is made of. Only with "         \
    "--kubernetes, as all of these.")                                                          \
  X(kKubernetesStale, "partywall_kubernetes_stale", kGauge, "",                                \
    "1 while the API server cannot be heard, for 90 s or more: the last good policy stays in " \
    "force.")                                                                                  \
  X(kKubernetesLastContact, "partywall_kubernetes_last_contact_seconds", kGauge, "",           \
    "Since the API server last said something, of the kind of objects that is silent "         \
    "longest. Most servers say something once a minute; some nothing for six minutes, of "     \
    "what never changes.")                                                                     \
  X(kKubernetesRequests, "partywall_kubernetes_requests_total", kCounter, "",                  \
    "Requests to the API server.")                                                             \
  X(kKubernetesEvents, "partywall_kubernetes_events_total", kCounter, "",                      \
    "Events of watches.")                                                                      \
  X(kKubernetesBytes, "partywall_kubernetes_received_bytes_total", kCounter, "",               \
    "Bytes of lists and watches.")                                                             \
  X(kKubernetesErrors, "partywall_kubernetes_errors_total", kCounter, "",                      \
    "Lists and watches that failed or were cut.")                                              \
  X(kHttpsRequests, "partywall_https_requests_total", kCounter, "code",                        \
    "Requests to the HTTPS endpoint (--https) that were answered, by HTTP status.")            \
  X(kHttpsReviews, "partywall_https_reviews_total", kCounter, "kind, result",                  \
    "What the API server was asked for them: token (whose it is) or access (may he read "      \
    "this), and its word: yes, no, or failed.")                                                \
  X(kHttpsDropped, "partywall_https_connections_dropped_total", kCounter, "reason",            \
    "Connections that ended without an answer: rate (one address makes too many), crowd (too " \
    "many are open, this one owed its request for longest), late (over its time).")            \
  X(kCpuSeconds, "process_cpu_seconds_total", kCounter, "",                                    \
    "User and system CPU time of the agent.")                                                  \
  X(kResident, "process_resident_memory_bytes", kGauge, "", "Resident memory of the agent.")   \
  X(kStartTime, "process_start_time_seconds", kGauge, "",                                      \
    "When the agent started, seconds since 1970.")

enum class Metric {
#define X(constant, name, type, labels, help) constant,
  PARTYWALL_METRICS(X)
#undef X
      kCount
};

inline constexpr std::array<MetricDecl, static_cast<size_t>(Metric::kCount)> kMetrics = {{
#define X(constant, name, type, labels, help) {name, MetricType::type, labels, help},
    PARTYWALL_METRICS(X)
#undef X
}};

inline constexpr const MetricDecl& decl(Metric metric) {
  return kMetrics[static_cast<size_t>(metric)];
}

const char* to_string(MetricType type);  // "counter"

// The metrics as a Markdown table: docs/metrics.md holds it, and a test compares the two.
std::string metrics_page();

}  // namespace partywall::observe

#endif

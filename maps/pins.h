// maps/pins.h: everything Partywall keeps in bpffs: maps, links, and where each is pinned.
//
//   <root>/maps/<map>      one file per map, under the map's own name
//   <root>/links/<link>    one file per attached program
//   <root>/links/edge_egress_<ifindex>, edge_ingress_<ifindex>: of each workload's interface
//   <root>/flows/<number>  the flow table of each tenant that has one
//   <root>/programs/<name> the iterator, which is run and not attached
//   <root>/lock            a folder; the agent that holds flock on it is the only one
#ifndef PARTYWALL_MAPS_PINS_H
#define PARTYWALL_MAPS_PINS_H

#include <array>
#include <string>
#include <string_view>

#include "maps/fd.h"
#include "maps/result.h"

namespace partywall {

inline constexpr std::string_view kDefaultPinRoot = "/sys/fs/bpf/partywall";

inline constexpr std::array<std::string_view, 26> kMapNames = {
    "control",       "health",       "anchors",    "members",       "members_overflow",
    "endpoints",     "endpoints6",   "pair_slots", "pairs",         "port_pages",
    "tenants",       "tenant_names", "meters",     "counters",      "events",
    "udp_peers",     "listeners",    "changes",    "syscall_slots", "syscalls",
    "paces",         "refusals",     "interfaces", "flow_tables",   "spare_flows",
    "link_addresses"};

std::string map_pin(std::string_view root, std::string_view map);
std::string link_pin(std::string_view root, std::string_view link);
std::string program_pin(std::string_view root, std::string_view program);

enum class Access { kRead, kReadWrite };

// Opens a pinned map. Fails with ENOENT when the agent never ran here.
Result<Fd> open_map(std::string_view root, std::string_view map, Access access);

}  // namespace partywall

#endif

// tools/cli/node_cgroups.h: the cgroups below the managed root and whose they are. Reads only.
#ifndef PARTYWALL_TOOLS_CLI_NODE_CGROUPS_H
#define PARTYWALL_TOOLS_CLI_NODE_CGROUPS_H

#include <cstdint>
#include <string>
#include <vector>

#include "maps/result.h"
#include "tools/cli/enforced.h"

namespace partywall::cli {

struct NodeCgroup {
  std::string path;  // below the cgroup2 root
  uint16_t tenant = 0;
  bool populated = false;  // a process lives in it or below
  bool operator==(const NodeCgroup&) const = default;
};

// Those that hold processes and have no tenant, so that they are denied; not the managed root,
// nor folders on the way to a tenant's cgroup. `cgroups` is sorted by path. Pure.
std::vector<std::string> unclassified(const std::vector<NodeCgroup>& cgroups);

// The topmost cgroups of one tenant: those whose parent is not its own. Pure.
std::vector<NodeCgroup> topmost_of(const std::vector<NodeCgroup>& cgroups, uint16_t tenant);

// The managed root, found by the id that the kernel enforces at: "/tenants.slice".
Result<std::string> managed_root(const Enforced& enforced);

// Every cgroup from the managed root down, sorted by path.
Result<std::vector<NodeCgroup>> node_cgroups(const Enforced& enforced);

}  // namespace partywall::cli

#endif

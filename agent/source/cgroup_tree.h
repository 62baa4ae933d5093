// agent/source/cgroup_tree.h: where cgroup2 is mounted and which cgroups there are. Reads only.
#ifndef PARTYWALL_AGENT_SOURCE_CGROUP_TREE_H
#define PARTYWALL_AGENT_SOURCE_CGROUP_TREE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "maps/result.h"

namespace partywall::source {

// The cgroup2 mount in the text of a mountinfo file: unified or hybrid, whichever covers the
// root of the hierarchy. Pure. Fails when there is none.
Result<std::string> find_cgroup2(std::string_view mountinfo);

// The same for this process.
Result<std::string> cgroup2_mount();

// The id of a cgroup: its kernfs inode, as BPF programs see it. `path` is a full path.
Result<uint64_t> cgroup_id(const std::string& path);

// path below the cgroup2 root ("/tenants.slice/acme.slice") -> id.
using CgroupTree = std::unordered_map<std::string, uint64_t>;

// The managed root and every cgroup below it. Cgroups that vanish meanwhile are left out.
Result<CgroupTree> walk_cgroups(const std::string& mount, std::string_view root);

}  // namespace partywall::source

#endif

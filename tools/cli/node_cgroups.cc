// tools/cli/node_cgroups.cc: walks the cgroup tree and asks the maps about each. Changes
// nothing.
#include "tools/cli/node_cgroups.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/source/cgroup_tree.h"

namespace partywall::cli {
namespace {

namespace fs = std::filesystem;

bool is_below(const std::string& path, const std::string& root) {
  return path.size() > root.size() && path.starts_with(root) && path[root.size()] == '/';
}

bool is_populated(const std::string& folder) {
  std::ifstream events(folder + "/cgroup.events");
  std::string word;

  while (events >> word)
    if (word == "populated" && events >> word) return word == "1";
  return false;
}

// Only folders of the managed root's depth can be it.
std::string find_id(const std::string& folder, uint64_t id, uint32_t levels) {
  std::error_code error;

  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_directory(error)) continue;

    std::string path = entry.path().string();

    if (levels > 1) {
      if (std::string found = find_id(path, id, levels - 1); !found.empty()) return found;
      continue;
    }
    if (auto own = source::cgroup_id(path); own && *own == id) return path;
  }
  return "";
}

}  // namespace

std::vector<std::string> unclassified(const std::vector<NodeCgroup>& cgroups) {
  std::vector<std::string> paths;

  for (size_t i = 1; i < cgroups.size(); i++) {  // the first is the managed root itself
    const NodeCgroup& cgroup = cgroups[i];

    if (cgroup.tenant != TENANT_NONE || !cgroup.populated) continue;

    bool on_the_way = std::any_of(cgroups.begin(), cgroups.end(), [&](const NodeCgroup& other) {
      return other.tenant != TENANT_NONE && is_below(other.path, cgroup.path);
    });

    if (!on_the_way) paths.push_back(cgroup.path);
  }
  return paths;
}

std::vector<NodeCgroup> topmost_of(const std::vector<NodeCgroup>& cgroups, uint16_t tenant) {
  std::vector<NodeCgroup> topmost;

  for (const NodeCgroup& cgroup : cgroups)
    if (cgroup.tenant == tenant &&
        std::none_of(topmost.begin(), topmost.end(), [&](const NodeCgroup& above) {
          return is_below(cgroup.path, above.path);
        }))
      topmost.push_back(cgroup);
  return topmost;
}

Result<std::string> managed_root(const Enforced& enforced) {
  auto mount = source::cgroup2_mount();

  if (!mount) return std::move(mount.error());

  const abi::control& control = enforced.control();
  std::string found = find_id(*mount, control.root_cgroup_id, std::max(control.root_level, 1u));

  if (found.empty())
    return fail(
        "find the managed root: cgroup {}: it is gone; restart partywalld to make it again",
        control.root_cgroup_id);
  return found.substr(mount->size());
}

Result<std::vector<NodeCgroup>> node_cgroups(const Enforced& enforced) {
  auto root = managed_root(enforced);

  if (!root) return std::move(root.error());

  auto mount = source::cgroup2_mount();

  if (!mount) return std::move(mount.error());

  auto tree = source::walk_cgroups(*mount, *root);

  if (!tree) return std::move(tree.error());

  std::vector<NodeCgroup> cgroups;

  for (const auto& [path, id] : *tree)
    cgroups.push_back({path, enforced.member(id), is_populated(*mount + path)});
  std::ranges::sort(cgroups, {}, &NodeCgroup::path);
  return cgroups;
}

}  // namespace partywall::cli

// agent/source/cgroup_tree.cc: finds the cgroup2 mount and walks it. Never creates or changes a
// cgroup.
#include "agent/source/cgroup_tree.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <memory>
#include <sstream>
#include <vector>

namespace partywall::source {
namespace {

// mountinfo writes spaces, tabs, newlines and backslashes as \040 and the like.
std::string unescaped(std::string_view field) {
  auto is_octal = [](char digit) { return digit >= '0' && digit <= '7'; };
  std::string text;

  for (size_t i = 0; i < field.size(); i++) {
    if (field[i] == '\\' && i + 3 < field.size() && is_octal(field[i + 1]) &&
        is_octal(field[i + 2]) && is_octal(field[i + 3])) {
      text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                (field[i + 3] - '0'));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

// Where a mount of a file system begins, as seen by a process in a cgroup namespace: the whole
// of it is "/", or above where the namespace begins, "/../..".
bool is_whole(std::string_view root) {
  while (root.starts_with("/..")) root.remove_prefix(3);
  return root.empty() || root == "/";
}

}  // namespace

Result<std::string> find_cgroup2(std::string_view mountinfo) {
  std::istringstream lines{std::string(mountinfo)};
  std::string line;

  // 36 35 98:0 ROOT MOUNTPOINT options [optional ...] - TYPE source options
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string id, parent, device, root, mount_point, field, type;

    fields >> id >> parent >> device >> root >> mount_point;
    while (fields >> field && field != "-") {
    }
    fields >> type;
    if (type == "cgroup2" && is_whole(root)) return unescaped(mount_point);
  }
  return fail(
      "no cgroup2 file system is mounted; mount one: mount -t cgroup2 none /sys/fs/cgroup");
}

Result<std::string> cgroup2_mount() {
  std::ifstream file("/proc/self/mountinfo");
  std::ostringstream text;

  text << file.rdbuf();
  return find_cgroup2(text.str());
}

Result<uint64_t> cgroup_id(const std::string& path) {
  struct stat status {};

  if (stat(path.c_str(), &status)) return fail_errno(errno, "look at cgroup {}", path);
  return uint64_t{status.st_ino};
}

namespace {

void walk(const std::string& mount, const std::string& path, CgroupTree& tree) {
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir((mount + path).c_str()), closedir);

  if (!folder) return;
  while (const dirent* entry = readdir(folder.get())) {
    std::string_view name = entry->d_name;

    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;

    std::string child = fmt::format("{}/{}", path, name);
    auto id = cgroup_id(mount + child);

    if (!id) continue;
    tree.emplace(child, *id);
    walk(mount, child, tree);
  }
}

}  // namespace

Result<CgroupTree> walk_cgroups(const std::string& mount, std::string_view root) {
  CgroupTree tree;
  std::string path(root);
  auto id = cgroup_id(mount + path);

  if (!id) return std::move(id.error());
  tree.emplace(path, *id);
  walk(mount, path, tree);
  return tree;
}

}  // namespace partywall::source

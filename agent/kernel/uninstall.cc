// agent/kernel/uninstall.cc: detaches, unpins, removes. The only code that ends enforcement.
#include "agent/kernel/uninstall.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "agent/kernel/links.h"
#include "agent/kernel/tc_hooks.h"
#include "maps/abi/interfaces.h"
#include "maps/fd.h"
#include "maps/pins.h"
#include "maps/typed_map.h"

namespace partywall::kernel {
namespace {

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), closedir);

  while (const dirent* entry = entries ? readdir(entries.get()) : nullptr)
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  std::ranges::sort(names);
  return names;
}

// Filters have no pins: the pinned map of interfaces says where they are.
Result<void> remove_all_filters(const std::string& root, std::vector<std::string>& removed) {
  auto rows = MappedArray<const abi::interface>::open(root, "interfaces");

  if (!rows && rows.error().errno_value() == ENOENT) return {};
  if (!rows) return std::move(rows.error());

  for (const abi::interface& row : rows->rows()) {
    if (row.ifindex == 0 || row.flags & INTERFACE_HOST) continue;
    if (size_t filters = remove_filters(row.ifindex); filters > 0)
      removed.push_back(fmt::format("{} filters of interface {}", filters, row.ifindex));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> uninstall(std::string_view pin_root) {
  std::vector<std::string> removed;
  std::string root(pin_root);
  Fd lock(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

  if (!lock) {
    if (errno == ENOENT) return removed;
    return fail_errno(errno, "open {}", root);
  }
  struct statfs file_system {};

  if (fstatfs(lock.get(), &file_system) || file_system.f_type != BPF_FS_MAGIC)
    return fail("{} is not on a BPF file system: no agent has pinned anything there", root);
  if (flock(lock.get(), LOCK_EX | LOCK_NB))
    return fail("an agent runs with the pins in {}; stop it first (systemctl stop partywalld)",
                root);
  // Tracing last: while verdicts are spoken, new cgroups must inherit.
  for (bool tracing : {false, true})
    for (const std::string& name : names_in(root + "/links")) {
      if ((name.starts_with("cgroup_")) != tracing) continue;
      if (auto detached = detach(name, root); !detached) return std::move(detached.error());
      removed.push_back(fmt::format("link {}", name));
    }
  if (auto done = remove_all_filters(root, removed); !done) return std::move(done.error());
  for (const char* folder : {"programs", "maps"})
    for (const std::string& name : names_in(fmt::format("{}/{}", root, folder))) {
      std::string path = fmt::format("{}/{}/{}", root, folder, name);

      if (unlink(path.c_str()) && errno != ENOENT) return fail_errno(errno, "remove {}", path);
      removed.push_back(fmt::format("{} {}", folder[0] == 'm' ? "map" : "program", name));
    }
  for (const std::string& name : names_in(root + "/flows"))
    if (unlink((root + "/flows/" + name).c_str()) && errno != ENOENT)
      return fail_errno(errno, "remove flow table {}", name);
  for (const char* folder : {"/links", "/programs", "/flows", "/maps", ""}) {
    std::string path = root + folder;

    if (rmdir(path.c_str()) && errno != ENOENT) return fail_errno(errno, "remove {}", path);
  }
  removed.push_back(fmt::format("folder {}", root));
  return removed;
}

}  // namespace partywall::kernel

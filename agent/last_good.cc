// agent/last_good.cc: writes a folder beside the old one and swaps the two.
#include "agent/last_good.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "maps/fd.h"

namespace partywall {
namespace {

namespace fs = std::filesystem;

// The name of a copy: a policy that is a single file is called by its path, which need not end
// as the files of a folder do.
std::string copy_name(const std::string& name) {
  std::string copy = fs::path(name).filename().string();

  return copy.ends_with(".yaml") || copy.ends_with(".yml") ? copy : copy + ".yaml";
}

Result<void> write_file(const std::string& path, std::string_view text) {
  Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));

  if (!file) return fail_errno(errno, "write {}", path);
  while (!text.empty()) {
    ssize_t written = write(file.get(), text.data(), text.size());

    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno(errno, "write {}", path);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

}  // namespace

LastGood::LastGood(std::string state_dir, std::string policy_dir)
    : state_dir_(std::move(state_dir)), folder_(state_dir_ + "/last-good") {
  std::error_code error;
  fs::path absolute = fs::absolute(policy_dir, error);

  policy_dir_ = error ? policy_dir : absolute.lexically_normal().string();
}

Result<void> LastGood::save(const std::vector<source::PolicySource>& files,
                            const std::string& config_text) {
  std::string fresh = folder_ + ".new";
  std::error_code error;

  if (mkdir(state_dir_.c_str(), 0700) && errno != EEXIST)
    return fail_errno(errno, "make {}", state_dir_);
  fs::remove_all(fresh, error);
  if (mkdir(fresh.c_str(), 0700)) return fail_errno(errno, "make {}", fresh);

  // Both are in the order of their names.
  auto old = saved_.begin();

  for (const source::PolicySource& file : files) {
    std::string name = "/" + copy_name(file.name);

    while (old != saved_.end() && old->name < file.name) ++old;
    if (old != saved_.end() && *old == file &&
        link((folder_ + name).c_str(), (fresh + name).c_str()) == 0)
      continue;
    if (auto written = write_file(fresh + name, *file.text); !written) return written;
  }
  if (auto written = write_file(fresh + "/.policy-dir", policy_dir_ + "\n"); !written)
    return written;
  if (!config_text.empty())
    if (auto written = write_file(fresh + "/.config.yaml", config_text); !written)
      return written;

  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, folder_.c_str(), RENAME_EXCHANGE) == 0)
    fs::remove_all(fresh, error);
  else if (errno != ENOENT || rename(fresh.c_str(), folder_.c_str()))
    return fail_errno(errno, "put {} in place", folder_);
  saved_ = files;
  return {};
}

}  // namespace partywall

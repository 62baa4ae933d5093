// agent/last_good.cc: brings a folder beside the one that is read up to date, and swaps the
// two.
#include "agent/last_good.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

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

// When an entry of a folder came or went last; nullopt when there is no such folder.
std::optional<timespec> changed_at(const std::string& folder) {
  struct stat found;

  if (stat(folder.c_str(), &found) != 0) return std::nullopt;
  return found.st_mtim;
}

bool same(const std::optional<timespec>& one, const std::optional<timespec>& other) {
  return one && other && one->tv_sec == other->tv_sec && one->tv_nsec == other->tv_nsec;
}

}  // namespace

LastGood::LastGood(std::string state_dir, const std::string& policy_dir)
    : state_dir_(std::move(state_dir)), folder_(state_dir_ + "/last-good") {
  std::error_code error;
  fs::path absolute = fs::absolute(policy_dir, error);

  policy_dir_ = error ? policy_dir : absolute.lexically_normal().string();
}

// Makes the folder beside hold `files`. What it holds already, two saves old, stays as it is:
// a large policy of which little changes costs as little.
Result<void> LastGood::bring_up(const std::string& fresh,
                                const std::vector<source::PolicySource>& files) {
  auto beside = beside_.begin();
  auto saved = saved_.begin();
  auto drop = [&](const source::PolicySource& file) {
    unlink((fresh + "/" + copy_name(file.name)).c_str());
  };

  // All of them are in the order of their names.
  for (const source::PolicySource& file : files) {
    for (; beside != beside_.end() && beside->name < file.name; ++beside) drop(*beside);
    if (beside != beside_.end() && beside->name == file.name) {
      if (*beside++ == file) continue;
      drop(file);
    }
    while (saved != saved_.end() && saved->name < file.name) ++saved;

    std::string name = "/" + copy_name(file.name);

    if (saved != saved_.end() && *saved == file &&
        link((folder_ + name).c_str(), (fresh + name).c_str()) == 0)
      continue;
    if (auto written = write_file(fresh + name, *file.text); !written) return written;
  }
  for (; beside != beside_.end(); ++beside) drop(*beside);
  for (const char* name : {"/.policy-dir", "/.config.yaml"}) unlink((fresh + name).c_str());
  return {};
}

Result<void> LastGood::save(const std::vector<source::PolicySource>& files,
                            const std::string& config_text) {
  std::string fresh = folder_ + ".new";
  std::error_code error;

  if (mkdir(state_dir_.c_str(), 0700) && errno != EEXIST)
    return fail_errno(errno, "make {}", state_dir_);
  // Somebody may have taken a file away, or the folder.
  if (!knows_beside_ || !same(beside_changed_, changed_at(fresh))) {
    fs::remove_all(fresh, error);
    if (mkdir(fresh.c_str(), 0700)) return fail_errno(errno, "make {}", fresh);
    beside_.clear();
  }
  // Until the two are swapped: whatever ends this half-way leaves a folder that is made anew.
  knows_beside_ = false;
  if (auto done = bring_up(fresh, files); !done) return done;
  if (auto written = write_file(fresh + "/.policy-dir", policy_dir_ + "\n"); !written)
    return written;
  if (!config_text.empty())
    if (auto written = write_file(fresh + "/.config.yaml", config_text); !written)
      return written;

  std::optional<timespec> changed = changed_at(fresh);

  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, folder_.c_str(), RENAME_EXCHANGE) == 0)
    // What was there before this agent's first save is not known.
    knows_beside_ = has_saved_;
  else if (errno != ENOENT || rename(fresh.c_str(), folder_.c_str()))
    return fail_errno(errno, "put {} in place", folder_);
  beside_ = std::exchange(saved_, files);
  beside_changed_ = std::exchange(saved_changed_, changed);
  has_saved_ = true;
  return {};
}

std::vector<std::string> LastGood::texts() const {
  std::vector<std::string> all;
  std::error_code error;

  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    std::ifstream file(entry.path(), std::ios::binary);

    if (file && !entry.path().filename().string().starts_with("."))
      all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return all;
}

}  // namespace partywall

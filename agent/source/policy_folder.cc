// agent/source/policy_folder.cc: lists, reads, caches and watches policy files. Writes nothing.
#include "agent/source/policy_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

namespace partywall::source {
namespace {

constexpr uint32_t kFolderEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
                                   IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kParentEvents = IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM |
                                   IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kSettledNs = 100'000'000;  // coarser than any file system's clock

bool is_policy_name(std::string_view name) {
  return !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"));
}

int64_t to_ns(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

int64_t now_ns() {
  timespec now{};

  clock_gettime(CLOCK_REALTIME, &now);
  return to_ns(now);
}

std::string join(const std::string& folder, std::string_view name) {
  return fmt::format("{}{}{}", folder, folder.ends_with('/') ? "" : "/", name);
}

// The text of an open file, at most `most` bytes.
Result<std::string> read_all(int fd, size_t most) {
  std::string text;
  size_t used = 0;

  while (true) {
    text.resize(std::min(most, used + (64 << 10)));

    ssize_t got = ::read(fd, text.data() + used, text.size() - used);

    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read");
    used += static_cast<size_t>(got);
    if (got == 0 || used == most) break;
  }
  text.resize(used);
  return text;
}

// Keeps writers of an open file waiting for as long as it lives: what is read meanwhile is no
// half of what somebody writes. Held unless somebody has the file open for writing already; or
// unless the file system, or the file's owner, lets us have no such thing.
class ReadLease {
 public:
  explicit ReadLease(int fd) : fd_(fd) {
    fcntl(fd_, F_SETSIG, SIGURG);  // how a writer that waits makes itself known: ignored
    held_ = fcntl(fd_, F_SETLEASE, F_RDLCK) == 0;
    is_written_ = !held_ && errno == EAGAIN;
  }
  ~ReadLease() {
    if (held_) fcntl(fd_, F_SETLEASE, F_UNLCK);
  }
  ReadLease(const ReadLease&) = delete;
  ReadLease& operator=(const ReadLease&) = delete;

  bool is_written() const { return is_written_; }

 private:
  int fd_;
  bool held_ = false;
  bool is_written_ = false;
};

policy::Problem problem_of(const std::string& file, const Error& error) {
  policy::Problem problem;

  problem.at.file = file;
  problem.message = error.message();
  return problem;
}

}  // namespace

Result<PolicyFolder> PolicyFolder::open(std::string path) {
  PolicyFolder folder;

  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  folder.path_ = std::move(path);
  folder.inotify_ = Fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (folder.inotify_.get() < 0)
    return fail_errno(errno, "watch {}: start inotify", folder.path_);
  folder.watch();
  return folder;
}

// Watches the folder, and the nearest folder above it for its coming and going.
void PolicyFolder::watch() {
  for (int* watch : {&folder_watch_, &parent_watch_}) {
    if (*watch >= 0) inotify_rm_watch(inotify_.get(), *watch);
    *watch = -1;
  }
  parent_ = path_;
  do {
    size_t slash = parent_.rfind('/');

    child_ = slash == std::string::npos ? parent_ : parent_.substr(slash + 1);
    parent_ = slash == std::string::npos ? "." : slash == 0 ? "/" : parent_.substr(0, slash);
    parent_watch_ = inotify_add_watch(inotify_.get(), parent_.c_str(), kParentEvents);
  } while (parent_watch_ < 0 && parent_ != "/" && parent_ != ".");
  folder_watch_ = inotify_add_watch(inotify_.get(), path_.c_str(), kFolderEvents);
}

// Whether an event may change the policy.
bool PolicyFolder::concerns(int watch, uint32_t what, std::string_view name) const {
  if (what & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF)) return true;
  if (what & IN_IGNORED) return false;
  if (watch == parent_watch_ && name == child_)
    return folder_watch_ < 0 || !(what & IN_CLOSE_WRITE);
  if (watch != folder_watch_) return false;
  if (name == "..data") return true;
  if (!is_policy_name(name)) return false;
  if (!(what & IN_CREATE)) return true;

  // A new file is read when its writer closes it; links are complete at once.
  struct stat status {};

  return lstat(join(path_, name).c_str(), &status) != 0 || S_ISLNK(status.st_mode) ||
         status.st_nlink > 1;
}

bool PolicyFolder::drain() {
  alignas(inotify_event) char buffer[16 << 10];
  bool changed = false;
  bool moved = false;

  while (true) {
    ssize_t got = ::read(inotify_.get(), buffer, sizeof(buffer));

    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);

      at += static_cast<ssize_t>(sizeof(*event) + event->len);
      if (!concerns(event->wd, event->mask, event->len ? event->name : "")) continue;
      changed = true;
      if (event->wd == parent_watch_ ||
          event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF))
        moved = true;
    }
  }
  if (moved) watch();
  return changed;
}

Result<std::vector<PolicyFolder::Entry>> PolicyFolder::list() const {
  std::vector<Entry> entries;

  struct stat status {};

  if (stat(path_.c_str(), &status) != 0) return fail_errno(errno, "read policy");
  if (S_ISREG(status.st_mode)) return std::vector<Entry>{{path_, path_}};

  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path_.c_str()), closedir);

  if (!folder) return fail_errno(errno, "read policy");
  while (const dirent* entry = readdir(folder.get())) {
    std::string name = entry->d_name;

    if (!is_policy_name(name)) continue;

    std::string path = join(path_, name);

    // A link that points nowhere is kept: that it cannot be read is a problem, not an absence.
    if (entry->d_type != DT_REG && stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
      continue;
    entries.push_back({std::move(name), std::move(path)});
    if (entries.size() > kMaxPolicyFiles)
      return fail("read policy: more than {} files: join some", kMaxPolicyFiles);
  }
  if (entries.empty())
    return fail("read policy: no *.yaml or *.yml file in this folder: write one");
  std::ranges::sort(entries, {}, &Entry::name);
  return entries;
}

PolicyFolder::Stamp PolicyFolder::stamp_of(const struct stat& status) {
  return {status.st_ino, status.st_size, to_ns(status.st_mtim)};
}

// A file as it is now: the known one when it is still the same.
Result<PolicyFolder::Cached> PolicyFolder::load(const Entry& entry, const Cached* known,
                                                size_t& bytes_left) {
  struct stat status {};

  if (known && known->settled && stat(entry.path.c_str(), &status) == 0 &&
      stamp_of(status) == known->stamp && known->size() <= bytes_left) {
    bytes_left -= known->size();
    return *known;
  }

  Fd fd(::open(entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));

  if (fd.get() < 0) return fail_errno(errno, "read policy file");

  ReadLease lease(fd.get());

  // What it was stays until its writer closes it, which is noticed.
  if (lease.is_written() && known) return *known;
  if (lease.is_written())
    return fail("read policy file: it is open for writing, and read as soon as that is done");
  if (fstat(fd.get(), &status) != 0) return fail_errno(errno, "read policy file");
  if (!S_ISREG(status.st_mode)) return fail("read policy file: it is no file");

  Cached now{.stamp = stamp_of(status)};
  size_t size = now.size();

  now.settled = now_ns() - now.stamp.mtime_ns > kSettledNs;
  if (size > kMaxPolicyFileBytes)
    return fail("read policy file: {} bytes are too many: the most is {}, so split it", size,
                kMaxPolicyFileBytes);
  if (size > bytes_left)
    return fail("read policy: all files together have more than {} bytes", kMaxPolicyBytes);
  bytes_left -= size;
  auto text = read_all(fd.get(), kMaxPolicyFileBytes + 1);

  if (!text) return std::move(text.error()).within("read policy file");
  // A file that grows meanwhile is closed later, which is noticed and read again.
  now.settled = now.settled && text->size() == size;
  now.text = std::make_shared<const std::string>(std::move(*text));
  now.file =
      std::make_shared<const policy::ParsedFile>(policy::parse_file(entry.name, *now.text));
  files_parsed_++;
  return now;
}

std::vector<PolicySource> PolicyFolder::sources() const {
  std::vector<PolicySource> all;

  for (const auto& [name, cached] : cache_) all.push_back({name, cached.text});
  return all;
}

policy::ParsedPolicy PolicyFolder::read(
    const std::vector<policy::Infrastructure>& infrastructure, std::string_view managed_root) {
  files_parsed_ = 0;

  auto entries = list();

  if (!entries) {
    policy::ParsedPolicy nothing;

    nothing.problems.push_back(problem_of(path_, entries.error()));
    return nothing;
  }
  std::map<std::string, Cached> cache;
  std::vector<std::shared_ptr<const policy::ParsedFile>> files;
  std::vector<policy::Problem> unread;
  size_t bytes_left = kMaxPolicyBytes;

  for (const Entry& entry : *entries) {
    auto known = cache_.find(entry.name);
    auto loaded = load(entry, known == cache_.end() ? nullptr : &known->second, bytes_left);

    if (!loaded) {
      unread.push_back(problem_of(entry.name, loaded.error()));
      continue;
    }
    files.push_back(loaded->file);
    cache.emplace_hint(cache.end(), entry.name, std::move(*loaded));
  }
  cache_ = std::move(cache);

  auto parsed = assembler_.assemble(files, infrastructure, managed_root);

  parsed.problems.insert(parsed.problems.begin(), unread.begin(), unread.end());
  return parsed;
}

}  // namespace partywall::source

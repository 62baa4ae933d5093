// agent/source/kubernetes/kept_file.cc: stat before each use, read when it says so.
#include "agent/source/kubernetes/kept_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "maps/fd.h"

namespace partywall::kubernetes {

Result<std::string> KeptFile::read(Stamp& stamp) const {
  Fd file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};

  if (!file || fstat(file.get(), &status)) return fail_errno(errno, "read {}", path_);
  if (!S_ISREG(status.st_mode)) return fail("read {}: it is not a file", path_);

  std::string text(kMaxKeptFileBytes + 1, '\0');
  size_t size = 0;

  while (size < text.size()) {
    ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);

    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read {}", path_);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  if (size == 0) return fail("read {}: it is empty", path_);
  if (size > kMaxKeptFileBytes)
    return fail("read {}: it is larger than {} bytes", path_, kMaxKeptFileBytes);
  text.resize(size);
  text.shrink_to_fit();
  stamp = {status.st_dev, status.st_ino, status.st_size,
           status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
  return text;
}

Result<std::string> KeptFile::text() {
  struct stat status {};
  Clock::time_point now = Clock::now();

  if (text_ && now - read_at_ < max_age_ && stat(path_.c_str(), &status) == 0) {
    Stamp stamp{status.st_dev, status.st_ino, status.st_size,
                status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};

    if (stamp == stamp_) return *text_;
  }

  Stamp stamp;
  auto text = read(stamp);

  if (text) {
    text_ = std::move(*text);
    stamp_ = stamp;
    read_at_ = now;
  } else if (!text_) {
    return text;
  }
  return *text_;
}

}  // namespace partywall::kubernetes

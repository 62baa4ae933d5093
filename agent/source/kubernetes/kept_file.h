// agent/source/kubernetes/kept_file.h: the text of a file that somebody else replaces now and
// then: tokens, certificates.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_KEPT_FILE_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_KEPT_FILE_H

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "maps/result.h"

namespace partywall::kubernetes {

inline constexpr size_t kMaxKeptFileBytes = 1 << 20;

class KeptFile {
 public:
  // Read again when the file's inode, size or time is another one, and when the last reading is
  // older than `max_age`.
  explicit KeptFile(std::string path, std::chrono::seconds max_age = std::chrono::hours(24))
      : path_(std::move(path)), max_age_(max_age) {}

  // The text as it is now. A file that cannot be read, or is empty, is what it was when it was
  // read last; fails, with the path, when there is no such time.
  Result<std::string> text();

  // The next text() reads.
  void forget_time() { stamp_ = {}; }

 private:
  struct Stamp {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = -1;
    int64_t mtime_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Clock = std::chrono::steady_clock;

  Result<std::string> read(Stamp& stamp) const;

  std::string path_;
  std::chrono::seconds max_age_;
  Stamp stamp_;
  Clock::time_point read_at_;
  std::optional<std::string> text_;
};

}  // namespace partywall::kubernetes

#endif

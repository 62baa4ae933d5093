// agent/source/policy_folder.h: reads the policy folder and notices when it changes. Writes
// nothing.
#ifndef PARTYWALL_AGENT_SOURCE_POLICY_FOLDER_H
#define PARTYWALL_AGENT_SOURCE_POLICY_FOLDER_H

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/policy/assembler.h"
#include "maps/fd.h"
#include "maps/result.h"

namespace partywall::source {

inline constexpr size_t kMaxPolicyFiles = 10'000;
inline constexpr size_t kMaxPolicyFileBytes = 8 << 20;
inline constexpr size_t kMaxPolicyBytes = 64 << 20;  // of all files together

// A file as it was read: what it is called in messages, and its bytes. Two readings share the
// text of a file that did not change.
struct PolicySource {
  std::string name;
  std::shared_ptr<const std::string> text;
  bool operator==(const PolicySource&) const = default;
};

// A folder of *.yaml and *.yml, in the order of their names; hidden files and what is no file
// (or a link to one) are passed over. Or a single file. One thread.
class PolicyFolder {
 public:
  // Starts to watch. The folder need not be there yet. Fails when inotify cannot be had.
  static Result<PolicyFolder> open(std::string path);

  // The policy as it is now. Never fails as a whole: a folder that is missing, empty, too large
  // or unreadable is a problem, and whatever policy the caller has in force should stay. Only
  // files that changed since the last read are parsed again, and none while somebody has it
  // open for writing: it is what it was until it is closed. Files are called by their name
  // inside the folder ("acme.yaml:12:15"); a single file as `path`.
  policy::ParsedPolicy read(const std::vector<policy::Infrastructure>& infrastructure,
                            std::string_view managed_root);

  // The files that the last read() could read.
  std::vector<PolicySource> sources() const;

  // How many files the last read() had to parse, and how many there were.
  size_t files_parsed() const { return files_parsed_; }
  size_t files() const { return cache_.size(); }

  // Readable when something happened: then call drain(), which says whether it may change the
  // policy. Files are noticed when their writer closes them, renames them into place or removes
  // them; so are a swap of Kubernetes' ..data link, and a folder that is removed and made
  // again. What a link to outside of the folder points to is not watched.
  int watch_fd() const { return inotify_.get(); }
  bool drain();

 private:
  // What tells that a file is still the same.
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t mtime_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Cached {
    Stamp stamp;
    bool settled = false;  // written long enough ago for another write to have another time
    std::shared_ptr<const std::string> text;
    std::shared_ptr<const policy::ParsedFile> file;
    size_t size() const { return static_cast<size_t>(stamp.size); }
  };
  // A file of the folder: what it is called, and where it is.
  struct Entry {
    std::string name;
    std::string path;
  };

  PolicyFolder() = default;
  static Stamp stamp_of(const struct stat& status);
  void watch();
  bool concerns(int watch, uint32_t what, std::string_view name) const;
  Result<std::vector<Entry>> list() const;
  Result<Cached> load(const Entry& entry, const Cached* known, size_t& bytes_left);

  std::string path_;
  std::string parent_;  // the nearest folder above path_ that there is
  std::string child_;   // its entry on the way to path_
  Fd inotify_;
  int folder_watch_ = -1;  // -1: not there, or a single file
  int parent_watch_ = -1;
  std::map<std::string, Cached> cache_;
  policy::Assembler assembler_;
  size_t files_parsed_ = 0;
};

}  // namespace partywall::source

#endif

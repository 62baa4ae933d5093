// agent/observe/event_log.h: events out of the ring, to a file or stdout, to whoever follows,
// and kept for a while. Enforcement never waits for it.
#ifndef PARTYWALL_AGENT_OBSERVE_EVENT_LOG_H
#define PARTYWALL_AGENT_OBSERVE_EVENT_LOG_H

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/observe/event_json.h"
#include "agent/observe/self_metrics.h"
#include "maps/abi/tenants.h"
#include "maps/ring_reader.h"
#include "maps/typed_map.h"

namespace partywall::observe {

// What is kept for `partywall events`: so many of each tenant, whatever the others do, and so
// many in all.
inline constexpr size_t kRecentPerTenant = 100;
inline constexpr size_t kRecentInAll = 10'000;

class EventLog {
 public:
  struct Options {
    std::string pin_root;
    std::string sink;  // "none", "stdout", or a file to append to
    std::string node;
  };
  using OnLine = std::function<void(const std::string& line)>;

  // Fails when the ring cannot be read or the file not be opened.
  static Result<std::unique_ptr<EventLog>> open(Options options, SelfMetrics& metrics);

  // Readable when drain() has something to do.
  int poll_fd() const { return ring_.poll_fd(); }
  // Hands on everything that is in the ring. A sink that cannot take a line at once loses it,
  // counted.
  void drain();
  // Opens the file anew: it may have been rotated away.
  Result<void> reopen();

  // The last lines, oldest first; of one tenant, or of all when `tenant` is empty.
  std::vector<std::string> recent(const std::string& tenant) const;

  // Calls `on_line` for each event from now on. Returns what unsubscribe() takes.
  uint64_t subscribe(std::string tenant, OnLine on_line);
  void unsubscribe(uint64_t subscription);
  // A reader was too slow for a line.
  void lost_by_reader();

 private:
  struct Kept {
    uint64_t number;
    std::string line;
  };
  struct Subscription {
    std::string tenant;
    OnLine on_line;
  };

  explicit EventLog(SelfMetrics& metrics) : metrics_(metrics) {}
  void take(const abi::verdict_event& event);
  void keep(const std::string& tenant, const std::string& line);
  void write(const std::string& line);

  SelfMetrics& metrics_;
  Options options_;
  RingReader ring_;
  MappedArray<const abi::tenant_name> names_;
  EventContext context_;
  Fd file_;  // the sink's own; stdout is not ours to close
  int sink_ = -1;
  bool torn_ = false;  // the last line was written in part
  uint64_t next_number_ = 1;
  size_t kept_ = 0;
  std::map<std::string, std::deque<Kept>> recent_;  // by tenant
  std::map<uint64_t, Subscription> subscriptions_;
};

}  // namespace partywall::observe

#endif

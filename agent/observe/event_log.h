// agent/observe/event_log.h: events out of the ring, to a file or stdout and to the feed.
// Enforcement never waits for it.
#ifndef PARTYWALL_AGENT_OBSERVE_EVENT_LOG_H
#define PARTYWALL_AGENT_OBSERVE_EVENT_LOG_H

#include <memory>
#include <string>

#include "agent/observe/event_feed.h"
#include "agent/observe/event_json.h"
#include "agent/observe/self_metrics.h"
#include "maps/abi/tenants.h"
#include "maps/ring_reader.h"
#include "maps/typed_map.h"

namespace partywall::observe {

class EventLog {
 public:
  struct Options {
    std::string pin_root;
    std::string sink;  // "none", "stdout", or a file to append to
    std::string node;
  };

  // Fails when the ring cannot be read or the file not be opened.
  static Result<std::unique_ptr<EventLog>> open(Options options, SelfMetrics& metrics);

  // Readable when drain() has something to do.
  int poll_fd() const { return ring_.poll_fd(); }
  // Hands on everything that is in the ring. A sink that cannot take a line at once loses it,
  // counted.
  void drain();
  // Opens the file anew: it may have been rotated away.
  Result<void> reopen();

  EventFeed& feed() { return feed_; }

 private:
  explicit EventLog(SelfMetrics& metrics) : metrics_(metrics), feed_(metrics) {}
  void take(const abi::verdict_event& event);
  void write(const std::string& line);

  SelfMetrics& metrics_;
  EventFeed feed_;
  Options options_;
  RingReader ring_;
  MappedArray<const abi::tenant_name> names_;
  EventContext context_;
  Fd file_;  // the sink's own; stdout is not ours to close
  int sink_ = -1;
  bool torn_ = false;  // the last line was written in part
};

}  // namespace partywall::observe

#endif

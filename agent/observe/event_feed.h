// agent/observe/event_feed.h: the last events as lines, and those who follow them. No I/O.
#ifndef PARTYWALL_AGENT_OBSERVE_EVENT_FEED_H
#define PARTYWALL_AGENT_OBSERVE_EVENT_FEED_H

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/observe/self_metrics.h"

namespace partywall::observe {

// What is kept for `partywall events`: so many of each tenant, whatever the others do, and so
// many in all.
inline constexpr size_t kRecentPerTenant = 100;
inline constexpr size_t kRecentInAll = 10'000;

// One thread.
class EventFeed {
 public:
  using OnLine = std::function<void(const std::string& line)>;

  explicit EventFeed(SelfMetrics& metrics) : metrics_(metrics) {}

  // Keeps the line and hands it to its followers. `tenant`: "" when no tenant claims it.
  void publish(const std::string& tenant, const std::string& line);

  // The last lines, oldest first; of one tenant, or of all when `tenant` is empty.
  std::vector<std::string> recent(const std::string& tenant) const;

  // Calls `on_line` for each line from now on; it must not subscribe or unsubscribe. Returns
  // what unsubscribe() takes.
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

  void keep(const std::string& tenant, const std::string& line);

  SelfMetrics& metrics_;
  uint64_t next_number_ = 1;
  size_t kept_ = 0;
  std::map<std::string, std::deque<Kept>> recent_;  // by tenant
  std::map<uint64_t, Subscription> subscriptions_;
};

}  // namespace partywall::observe

#endif

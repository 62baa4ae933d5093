// agent/observe/event_feed.cc: a queue for each tenant; the oldest of all goes first.
#include "agent/observe/event_feed.h"

#include <algorithm>

namespace partywall::observe {

void EventFeed::publish(const std::string& tenant, const std::string& line) {
  keep(tenant, line);
  for (auto& [number, subscription] : subscriptions_)
    if (subscription.tenant.empty() || subscription.tenant == tenant)
      subscription.on_line(line);
}

void EventFeed::keep(const std::string& tenant, const std::string& line) {
  std::deque<Kept>& own = recent_[tenant];

  own.push_back({next_number_++, line});
  kept_++;
  if (own.size() > kRecentPerTenant) {
    own.pop_front();
    kept_--;
  }
  if (kept_ <= kRecentInAll) return;

  auto oldest = std::ranges::min_element(
      recent_, {}, [](const auto& entry) { return entry.second.front().number; });

  oldest->second.pop_front();
  kept_--;
  if (oldest->second.empty()) recent_.erase(oldest);
}

std::vector<std::string> EventFeed::recent(const std::string& tenant) const {
  std::vector<const Kept*> chosen;
  std::vector<std::string> lines;

  for (const auto& [name, own] : recent_)
    if (tenant.empty() || tenant == name)
      for (const Kept& kept : own) chosen.push_back(&kept);
  std::ranges::sort(chosen, {}, &Kept::number);
  lines.reserve(chosen.size());
  for (const Kept* kept : chosen) lines.push_back(kept->line);
  return lines;
}

uint64_t EventFeed::subscribe(std::string tenant, OnLine on_line) {
  subscriptions_[next_number_] = {std::move(tenant), std::move(on_line)};
  return next_number_++;
}

void EventFeed::unsubscribe(uint64_t subscription) { subscriptions_.erase(subscription); }

void EventFeed::lost_by_reader() {
  metrics_.add(Metric::kEventLinesLost, 1, {{"sink", "reader"}});
}

}  // namespace partywall::observe

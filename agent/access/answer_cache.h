// agent/access/answer_cache.h: answers that are good for a while, so many and no more. Pure.
#ifndef PARTYWALL_AGENT_ACCESS_ANSWER_CACHE_H
#define PARTYWALL_AGENT_ACCESS_ANSWER_CACHE_H

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

namespace partywall::access {

using Time = std::chrono::steady_clock::time_point;

// One thread. Times never go back.
template <typename Answer>
class AnswerCache {
 public:
  // An answer is good for `life` from when it was put here; of more than `most`, the oldest
  // goes.
  AnswerCache(std::chrono::milliseconds life, size_t most) : life_(life), most_(most) {}

  // Null when there is none that is good. Until the next call of any of these.
  const Answer* find(const std::string& key, Time now) {
    drop_stale(now);

    auto found = by_key_.find(key);

    return found == by_key_.end() ? nullptr : &found->second->answer;
  }

  void put(const std::string& key, Answer answer, Time now) {
    drop_stale(now);
    if (auto found = by_key_.find(key); found != by_key_.end()) {
      by_age_.erase(found->second);
      by_key_.erase(found);
    }
    by_age_.push_back({key, std::move(answer), now + life_});
    by_key_[key] = std::prev(by_age_.end());
    if (by_age_.size() > most_) drop_oldest();
  }

  size_t size() const { return by_age_.size(); }

 private:
  struct Entry {
    std::string key;
    Answer answer;
    Time end;
  };

  void drop_oldest() {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
  void drop_stale(Time now) {
    while (!by_age_.empty() && by_age_.front().end <= now) drop_oldest();
  }

  std::chrono::milliseconds life_;
  size_t most_;
  std::list<Entry> by_age_;  // which is the order in which they end
  std::map<std::string, typename std::list<Entry>::iterator> by_key_;
};

}  // namespace partywall::access

#endif

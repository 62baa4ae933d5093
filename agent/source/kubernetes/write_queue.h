// agent/source/kubernetes/write_queue.h: when which object is written: one call at a time for
// each, not too often, not too many at once.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_WRITE_QUEUE_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_WRITE_QUEUE_H

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/backoff.h"
#include "agent/source/kubernetes/timer.h"

namespace partywall::kubernetes {

struct WriteLimits {
  std::chrono::milliseconds coalesce{100};  // from a change to its writing: others may join it
  std::chrono::milliseconds spacing{100};   // from one writing of an object to its next
  size_t in_flight = 8;
  std::chrono::milliseconds backoff_least{200};
  std::chrono::milliseconds backoff_most{30'000};
};

// One thread.
class WriteQueue {
 public:
  enum class Outcome { kDone, kAgain, kFailed };
  // Starts the call that the key needs now; nothing when it needs none. It ends with done().
  using Step = std::function<std::optional<ApiCall>(const std::string& key)>;
  struct Facts {
    uint64_t calls = 0;
    std::map<std::string_view, uint64_t> errors;  // by kind, as Reflector's
    std::string last_error;                       // empty when the last call went well
  };

  WriteQueue(observe::Loop& loop, WriteLimits limits, Step step);

  // The object of this name may need a call.
  void touch(const std::string& key);
  // The call for `key` was answered. kAgain: another one is needed now.
  void done(const std::string& key, Outcome outcome, const ApiReply& reply);
  // Forgets it; a call that is under way ends unheard.
  void forget(const std::string& key) { entries_.erase(key); }
  void clear() { entries_.clear(); }

  // Keys that wait or are being written.
  size_t pending() const;
  const Facts& facts() const { return facts_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    explicit Entry(const WriteLimits& limits)
        : backoff(limits.backoff_least, limits.backoff_most) {}
    Backoff backoff;
    ApiCall call;
    Clock::time_point due;
    bool dirty = false;
    bool busy = false;
  };

  void pump();
  void arm();

  WriteLimits limits_;
  Step step_;
  Timer timer_;
  std::map<std::string, Entry> entries_;
  Facts facts_;
};

}  // namespace partywall::kubernetes

#endif

// agent/source/kubernetes/backoff.h: how long to wait before something is tried again. No I/O.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_BACKOFF_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_BACKOFF_H

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>

namespace partywall::kubernetes {

// Doubles from `least` to `most`; every wait is of random length, so that many agents that lost
// one server do not come back at once.
class Backoff {
 public:
  using Milliseconds = std::chrono::milliseconds;

  explicit Backoff(Milliseconds least = Milliseconds(200),
                   Milliseconds most = Milliseconds(30'000))
      : least_(least), most_(most), dice_(std::random_device{}()) {}

  void reset() { failures_ = 0; }
  int failures() const { return failures_; }

  // After one more failure. Never shorter than what the server asks for, if that is at most
  // five minutes.
  Milliseconds next(std::optional<std::chrono::seconds> asked_for = {}) {
    failures_ = std::min(failures_ + 1, 20);

    Milliseconds high = std::min(most_, Milliseconds(least_.count() << failures_));
    Milliseconds wait = jittered(std::max(least_, high / 2), std::max(least_, high));

    if (!asked_for) return wait;
    return std::max<Milliseconds>(
        wait, std::min<Milliseconds>(*asked_for, std::chrono::minutes(5)) + wait / 4);
  }
  // Between the two, at random.
  Milliseconds jittered(Milliseconds low, Milliseconds high) {
    return Milliseconds(
        std::uniform_int_distribution<int64_t>(low.count(), high.count())(dice_));
  }

 private:
  Milliseconds least_;
  Milliseconds most_;
  int failures_ = 0;
  std::minstd_rand dice_;
};

}  // namespace partywall::kubernetes

#endif

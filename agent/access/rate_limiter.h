// agent/access/rate_limiter.h: how often each of many may do something. Pure.
#ifndef PARTYWALL_AGENT_ACCESS_RATE_LIMITER_H
#define PARTYWALL_AGENT_ACCESS_RATE_LIMITER_H

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <string>

namespace partywall::access {

using Time = std::chrono::steady_clock::time_point;

// One thread. Times never go back.
class RateLimiter {
 public:
  struct Rate {
    double per_second = 1;
    double burst = 1;  // times at once
  };

  // Knows `most` callers; who has not asked for longest is forgotten first, and is then as good
  // as new.
  RateLimiter(Rate rate, size_t most);

  // Whether `caller` may, which is one time less. Else how long until it may: never 0.
  struct Answer {
    bool may = true;
    std::chrono::milliseconds wait{0};
  };
  Answer take(const std::string& caller, Time now);
  // That one time did not count after all.
  void give_back(const std::string& caller);

  size_t size() const { return by_use_.size(); }

 private:
  struct Caller {
    std::string name;
    Time paid_until;  // each time costs `step_`; the burst is how far ahead of now one may be
  };

  std::chrono::nanoseconds step_;
  std::chrono::nanoseconds ahead_;
  size_t most_;
  std::list<Caller> by_use_;  // the longest unused first
  std::map<std::string, std::list<Caller>::iterator> by_name_;
};

// Who a remote address counts as: IPv4 by itself, IPv6 by the /64 that one machine has, an IPv4
// address that is written as IPv6 as IPv4. Text that is no address counts as it is.
std::string caller_of_address(const std::string& address);

}  // namespace partywall::access

#endif

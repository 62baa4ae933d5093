// agent/access/rate_limiter.cc: one time for each caller: until when it has paid.
#include "agent/access/rate_limiter.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace partywall::access {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

RateLimiter::RateLimiter(Rate rate, size_t most)
    : step_(duration_cast<nanoseconds>(std::chrono::duration<double>(1 / rate.per_second))),
      ahead_(duration_cast<nanoseconds>(
          std::chrono::duration<double>((rate.burst - 1) / rate.per_second))),
      most_(most) {}

RateLimiter::Answer RateLimiter::take(const std::string& caller, Time now) {
  auto found = by_name_.find(caller);

  if (found == by_name_.end()) {
    if (by_use_.size() >= most_) {
      by_name_.erase(by_use_.front().name);
      by_use_.pop_front();
    }
    by_use_.push_back({caller, now});
    found = by_name_.emplace(caller, std::prev(by_use_.end())).first;
  } else {
    by_use_.splice(by_use_.end(), by_use_, found->second);
  }

  Caller& one = *found->second;

  one.paid_until = std::max(one.paid_until, now);
  if (one.paid_until - now > ahead_)
    return {false,
            duration_cast<milliseconds>(one.paid_until - now - ahead_) + milliseconds(1)};
  one.paid_until += step_;
  return {};
}

void RateLimiter::give_back(const std::string& caller) {
  auto found = by_name_.find(caller);

  if (found != by_name_.end()) found->second->paid_until -= step_;
}

std::string caller_of_address(const std::string& address) {
  in6_addr v6{};
  char text[INET6_ADDRSTRLEN] = {};

  if (inet_pton(AF_INET6, address.c_str(), &v6) != 1) return address;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof(text));
    return text;
  }
  std::memset(&v6.s6_addr[8], 0, 8);
  inet_ntop(AF_INET6, &v6, text, sizeof(text));
  return std::string(text) + "/64";
}

}  // namespace partywall::access

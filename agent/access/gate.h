// agent/access/gate.h: what is answered to whom: who asks, how often, and what the API server
// lets him read. Knows no sockets.
#ifndef PARTYWALL_AGENT_ACCESS_GATE_H
#define PARTYWALL_AGENT_ACCESS_GATE_H

#include <functional>
#include <optional>
#include <string>

#include "agent/access/rate_limiter.h"
#include "agent/access/reviewer.h"
#include "agent/observe/http_page.h"
#include "agent/observe/self_metrics.h"

namespace partywall::access {

// A GET.
struct Request {
  std::string path;
  std::string authorization;  // the header; "" = none
  std::string remote;         // address of whoever asks
};

// Called once, at once or later.
using Answer = std::function<void(observe::Page)>;

struct Pages {
  std::function<observe::Page()> all;
  // Of one tenant; nothing when nobody in force has that name.
  std::function<std::optional<observe::Page>(const std::string& tenant)> metrics;
  std::function<std::optional<observe::Page>(const std::string& tenant)> events;
};

// GET /healthz                  anybody
//     /metrics                  who may `get` tenants/metrics without a name
//     /tenants/NAME/metrics     who may `get` tenants/metrics of NAME
//     /tenants/NAME/events      the same
//
// 401 without a token that the API server knows, 403 without the right, whether NAME is there
// or not; 429 with Retry-After for whoever asks too often; 503 while the API server does not
// say.
class Gate {
 public:
  // Of a user, whatever he asks; of an address, with tokens that are not known, unless they
  // turn out good.
  static constexpr RateLimiter::Rate kUserRate{.per_second = 5, .burst = 20};
  static constexpr RateLimiter::Rate kGuessRate{.per_second = 1, .burst = 10};
  static constexpr size_t kMostUsers = 1024;
  static constexpr size_t kMostAddresses = 4096;

  // `reviewer` and `metrics` outlive the gate.
  Gate(Reviewer& reviewer, observe::SelfMetrics& metrics, Pages pages);

  void handle(const Request& request, Answer answer);

 private:
  void admit(const std::string& path, const User& user, const Answer& answer);
  void reply(const Answer& answer, observe::Page page);

  Reviewer& reviewer_;
  observe::SelfMetrics& metrics_;
  Pages pages_;
  RateLimiter users_;
  RateLimiter guesses_;
};

}  // namespace partywall::access

#endif

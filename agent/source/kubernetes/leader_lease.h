// agent/source/kubernetes/leader_lease.h: one of many agents is the leader: the holder of a
// Lease.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_LEADER_LEASE_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_LEADER_LEASE_H

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/timer.h"

namespace partywall::kubernetes {

struct LeaseTimes {
  std::chrono::milliseconds duration = std::chrono::seconds(15);
  std::chrono::milliseconds renew = std::chrono::seconds(5);
  // Those that do not lead look seldom: with a thousand nodes, still 30 requests per second.
  std::chrono::milliseconds look = std::chrono::seconds(30);
};

// One thread. Whether another holder's time is over is measured by this machine's clock from
// when the Lease was seen to change, so clocks that disagree make no second leader. A leader
// that cannot renew stops being one before the others may take over.
class LeaderLease {
 public:
  // Looks at once. `client` must outlive it; `changed` is called when leads() has changed.
  LeaderLease(ApiClient& client, const std::string& space, std::string name, std::string holder,
              std::function<void(bool leads)> changed, LeaseTimes times = {});
  LeaderLease(const LeaderLease&) = delete;
  LeaderLease& operator=(const LeaderLease&) = delete;

  bool leads() const { return leads_; }
  // Does not lead any more, and says so to the API server, so that another one may at once;
  // `done` when it has answered, or in two seconds.
  void give_up(std::function<void()> done);

  // Why the last request failed; empty when it did not.
  const std::string& last_error() const { return last_error_; }

 private:
  using Clock = std::chrono::steady_clock;

  void look();
  void take_look(const ApiReply& reply);
  void write(const std::string& holder);
  void take_write(const ApiReply& reply);
  void set_leads(bool leads);
  nlohmann::json spec(const std::string& holder) const;
  void next_after(std::chrono::milliseconds delay);

  ApiClient& client_;
  std::string space_;
  std::string name_;
  std::string holder_;
  std::function<void(bool)> changed_;
  LeaseTimes times_;
  Timer next_;
  Timer lost_;  // set while it leads
  ApiCall call_;
  nlohmann::json lease_;          // as it was seen last; null when there is none
  Clock::time_point changed_at_;  // when it was first seen like that
  Clock::time_point asked_at_;
  std::function<void()> given_up_;
  bool is_over_ = false;
  bool leads_ = false;
  std::string last_error_;
};

}  // namespace partywall::kubernetes

#endif

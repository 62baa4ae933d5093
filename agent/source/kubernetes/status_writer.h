// agent/source/kubernetes/status_writer.h: writes the statuses of Tenants and Tiers, only where
// they differ.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_STATUS_WRITER_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_STATUS_WRITER_H

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/write_queue.h"

namespace partywall::kubernetes {

// How often statuses are written that differ in numbers only: pods come and go all the time on
// a large cluster, and every agent hears of each writing.
struct NumberLimits {
  double per_second = 5;
  double at_once = 20;
};

// One thread. Each object at most every two seconds.
class StatusWriter {
 public:
  // `resource`: "tenants" or "tiers".
  StatusWriter(ApiClient& client, std::string resource,
               WriteLimits limits = {.spacing = std::chrono::seconds(2)},
               NumberLimits numbers = {});

  // What each object's status should be, by name (conditions need no lastTransitionTime), and
  // the objects as they were seen last. Whoever is in one of the two only is left alone.
  // Returns whether something was put off, and another call is needed for it.
  bool write(std::map<std::string, nlohmann::json> statuses,
             const std::map<std::string, nlohmann::json>& objects);
  // Nothing more is written: somebody else does now.
  void stop();

  size_t pending() const { return queue_.pending(); }
  const WriteQueue::Facts& facts() const { return queue_.facts(); }

 private:
  struct Status {
    nlohmann::json wanted;
    nlohmann::json there;    // as it was seen or written last
    nlohmann::json written;  // what it was written for; null when it was seen
    std::string version;     // of the object that `there` was seen in
  };

  bool agrees(const Status& status) const;
  bool write_numbers(const std::set<std::string>& names);
  std::optional<ApiCall> step(const std::string& name);
  void take(const std::string& name, const nlohmann::json& wanted, const ApiReply& reply);

  ApiClient& client_;
  std::string resource_;
  WriteQueue queue_;
  std::map<std::string, Status> statuses_;
  NumberLimits numbers_;
  double may_write_;  // so many now
  std::chrono::steady_clock::time_point counted_;
  std::string turn_;  // who was written last for numbers alone
};

}  // namespace partywall::kubernetes

#endif

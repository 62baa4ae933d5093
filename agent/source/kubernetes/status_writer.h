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

  // An object as it was seen last; and it is gone.
  void see(const nlohmann::json& object);
  void forget(const std::string& name);

  // What statuses should be, by the objects' names (conditions need no lastTransitionTime). An
  // object that is not named keeps what was said of it last; one that was not seen is left
  // alone. Returns whether something was put off, and another call is needed for it.
  bool write(std::map<std::string, nlohmann::json> statuses);

  size_t pending() const { return queue_.pending(); }
  const WriteQueue::Facts& facts() const { return queue_.facts(); }

 private:
  struct Status {
    nlohmann::json there;    // as it was seen or written last
    std::string version;     // of the object that `there` was seen in
    nlohmann::json wanted;   // null when it is there, and nothing is under way
    nlohmann::json written;  // what the server took for `there`, and made something else of
    bool is_under_way = false;
  };

  static bool agrees(const Status& status, const nlohmann::json& wanted);
  bool write_numbers();
  std::optional<ApiCall> step(const std::string& name);
  void take(const std::string& name, const nlohmann::json& wanted, const ApiReply& reply);

  ApiClient& client_;
  std::string resource_;
  WriteQueue queue_;
  std::map<std::string, Status> statuses_;
  NumberLimits limits_;
  std::set<std::string> numbers_;  // whose statuses differ in numbers alone
  double may_write_;               // of those, so many now
  std::chrono::steady_clock::time_point counted_;
  std::string turn_;  // who was written last for numbers alone
};

}  // namespace partywall::kubernetes

#endif

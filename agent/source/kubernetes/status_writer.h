// agent/source/kubernetes/status_writer.h: writes the statuses of Tenants and Tiers, only where
// they differ.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_STATUS_WRITER_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_STATUS_WRITER_H

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/write_queue.h"

namespace partywall::kubernetes {

// One thread. Each object at most every two seconds.
class StatusWriter {
 public:
  // `resource`: "tenants" or "tiers".
  StatusWriter(ApiClient& client, std::string resource,
               WriteLimits limits = {.spacing = std::chrono::seconds(2)});

  // What each object's status should be, by name (conditions need no lastTransitionTime), and
  // the objects as they were seen last. Whoever is in one of the two only is left alone.
  void write(std::map<std::string, nlohmann::json> statuses,
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
  std::optional<ApiCall> step(const std::string& name);
  void take(const std::string& name, const nlohmann::json& wanted, const ApiReply& reply);

  ApiClient& client_;
  std::string resource_;
  WriteQueue queue_;
  std::map<std::string, Status> statuses_;
};

}  // namespace partywall::kubernetes

#endif

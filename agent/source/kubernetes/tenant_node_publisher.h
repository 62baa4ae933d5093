// agent/source/kubernetes/tenant_node_publisher.h: makes the API's TenantNodes of this node
// what the agent says they should be.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_NODE_PUBLISHER_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_TENANT_NODE_PUBLISHER_H

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/write_queue.h"

namespace partywall::kubernetes {

// Creates, replaces and deletes objects with this node's label, and no others. What it has
// written it reads again every ten minutes or so, in case somebody else has changed it. One
// thread.
class TenantNodePublisher {
 public:
  struct Node {
    std::string name;
    std::string uid;  // of the Node object, which owns what is written here
  };

  // Reads first what there is. `client` must outlive it.
  TenantNodePublisher(ApiClient& client, Node node, WriteLimits limits = {},
                      std::chrono::milliseconds list_again = std::chrono::minutes(10));

  // All that this node holds: tenant -> the fields of its TenantNode (`addresses`, `pods`,
  // `conditions` ...) but apiVersion, kind, metadata, tenant and node. Conditions need no
  // lastTransitionTime. Objects of other tenants are deleted. Nothing is written before the
  // first call.
  void publish(std::map<std::string, nlohmann::json> tenants);

  // Whether the API agrees, as far as is known.
  bool settled() const { return listed_ && wanted_ && queue_.pending() == 0; }
  const WriteQueue::Facts& facts() const { return queue_.facts(); }

 private:
  using Objects = std::map<std::string, nlohmann::json>;
  struct There {
    nlohmann::json object;  // as it was read or written last
    nlohmann::json wanted;  // what it was written for; null when it was read
  };

  void list();
  void take_list(const ApiReply& reply);
  std::optional<ApiCall> step(const std::string& name);
  ApiCall write(const std::string& name, const std::string& method, const nlohmann::json& body);
  ApiCall read(const std::string& name);
  void take_write(const std::string& name, const std::string& method, const ApiReply& reply);
  void take_read(const std::string& name, const ApiReply& reply);
  bool agrees(const std::string& name) const;
  void touch_what_differs();

  ApiClient& client_;
  Node node_;
  std::string label_;
  std::chrono::milliseconds list_again_;
  WriteQueue queue_;
  std::optional<Objects> wanted_;  // name -> object, without times and versions
  std::map<std::string, There> there_;
  std::set<std::string> unsure_;  // to be read before they are written
  Objects sent_;                  // what the calls under way write
  Objects listing_;               // pages up to now
  std::string continue_;
  bool listed_ = false;
  Backoff backoff_;
  ApiCall call_;
  Timer again_;
};

}  // namespace partywall::kubernetes

#endif

// agent/source/kubernetes/daemon_set.h: changes a DaemonSet and waits until every node has the
// change. For `partywall uninstall`, not for the agent: it blocks.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_DAEMON_SET_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_DAEMON_SET_H

#include <chrono>
#include <string>

#include "agent/source/kubernetes/kube_config.h"
#include "maps/result.h"

namespace partywall::kubernetes {

// "namespace/name", split. Fails when it is none.
struct DaemonSetName {
  std::string space;
  std::string name;
};
Result<DaemonSetName> parse_daemon_set_name(const std::string& text);

// How far a DaemonSet is, as its status says.
struct RolloutState {
  int64_t nodes = 0;        // that should have a pod
  int64_t changed = 0;      // that have one of the newest template
  int64_t ready = 0;        // whose pod is ready
  bool is_current = false;  // the status speaks of the newest template

  bool is_done() const { return is_current && changed == nodes && ready == nodes; }
};

// Of a DaemonSet as JSON. Pure; what is missing counts as 0. Fails when it is no JSON.
Result<RolloutState> rollout_state(const std::string& body);

// Applies `patch` (a JSON merge patch) and waits until every node has a ready pod of it.
// Returns the number of nodes; 0 when there is no such DaemonSet. Fails when the server refuses
// it, and after `limit`: says how far it was. What fails on the way is tried again until then.
Result<int64_t> roll_out(const ApiAccess& access, const DaemonSetName& name,
                         const std::string& patch, std::chrono::seconds limit);

}  // namespace partywall::kubernetes

#endif

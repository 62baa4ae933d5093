// agent/source/kubernetes/own_addresses.h: the addresses that this machine's interfaces have.
// Reads only.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_OWN_ADDRESSES_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_OWN_ADDRESSES_H

#include <set>
#include <string>

#include "maps/result.h"

namespace partywall::kubernetes {

// All of them but loopback and link-local ones, as text: also those that the Node does not
// name, such as the gateway that a CNI gives the host out of the pods' own range. kube-proxy
// masquerades with it, and kubelet's probes come from it. Fails when the kernel does not say.
Result<std::set<std::string>> own_addresses();

}  // namespace partywall::kubernetes

#endif

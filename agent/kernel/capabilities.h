// agent/kernel/capabilities.h: which of the privileges that the datapath needs this process
// lacks.
#ifndef PARTYWALL_AGENT_KERNEL_CAPABILITIES_H
#define PARTYWALL_AGENT_KERNEL_CAPABILITIES_H

#include <string>
#include <vector>

namespace partywall::kernel {

// Of CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, those that this process does not have in effect.
// No verdict: what the kernel refuses, and says in words of its own, is often explained by it.
std::vector<std::string> lacking_capabilities();

}  // namespace partywall::kernel

#endif

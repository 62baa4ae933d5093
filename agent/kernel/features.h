// agent/kernel/features.h: what this kernel can do, found out by doing it.
#ifndef PARTYWALL_AGENT_KERNEL_FEATURES_H
#define PARTYWALL_AGENT_KERNEL_FEATURES_H

#include <string>
#include <vector>

namespace partywall::kernel {

// One thing that may be absent on a kernel. `needed`: without it there is no enforcement.
struct Feature {
  std::string name;  // "packets": as the BPF object that needs it
  bool needed = false;
  bool supported = false;
  std::string detail;  // what it is for, or the kernel's own words on why not
};

// Loads each real object, attaches nothing, pins nothing. Takes some 100 ms and CAP_BPF,
// CAP_NET_ADMIN and CAP_PERFMON.
std::vector<Feature> probe();

}  // namespace partywall::kernel

#endif

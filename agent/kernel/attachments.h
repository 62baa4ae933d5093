// agent/kernel/attachments.h: whether the programs are attached, really, and really ours.
#ifndef PARTYWALL_AGENT_KERNEL_ATTACHMENTS_H
#define PARTYWALL_AGENT_KERNEL_ATTACHMENTS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

namespace partywall::kernel {

// One link that should be there. A pin that exists proves nothing (BPF_LINK_DETACH leaves it),
// so the link is asked for its cgroup and program, and the cgroup for its programs.
struct Attachment {
  std::string name;         // "packet_egress"
  std::string hook;         // "cgroup_inet_egress", "tp_btf/cgroup_mkdir"
  uint32_t program_id = 0;  // 0 = none
  uint64_t cgroup_id = 0;   // 0 = not attached to a cgroup
  bool attached = false;
  std::string detail;  // why not, when not
};

// Every link of Partywall, in the order of the hooks. Fails when nothing is pinned at all.
Result<std::vector<Attachment>> attachments(std::string_view pin_root);

}  // namespace partywall::kernel

#endif

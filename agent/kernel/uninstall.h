// agent/kernel/uninstall.h: takes everything out of the kernel again.
#ifndef PARTYWALL_AGENT_KERNEL_UNINSTALL_H
#define PARTYWALL_AGENT_KERNEL_UNINSTALL_H

#include <string>
#include <string_view>
#include <vector>

#include "maps/result.h"

namespace partywall::kernel {

// Detaches every link, then removes every pin and the folder. Says what it removed, one line
// each
// ("link packet_egress: detached from cgroup 4711"); nothing there = an empty list. Refuses
// while an agent runs on `pin_root`.
Result<std::vector<std::string>> uninstall(std::string_view pin_root);

}  // namespace partywall::kernel

#endif

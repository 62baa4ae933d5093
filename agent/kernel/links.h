// agent/kernel/links.h: attaches programs with links that outlive the agent.
#ifndef PARTYWALL_AGENT_KERNEL_LINKS_H
#define PARTYWALL_AGENT_KERNEL_LINKS_H

#include <bpf/libbpf.h>

#include <string>
#include <string_view>
#include <vector>

#include "maps/fd.h"
#include "maps/result.h"

namespace partywall::kernel {

// How a program becomes active. Links are held open, too: while the agent lives, not even an
// unmounted bpffs detaches them.
struct Link {
  std::string name;  // of the program
  Fd fd;
};

// Attaches a cgroup program to `cgroup_fd`. A pinned link of that name is updated in place
// (BPF_LINK_UPDATE: no packet in between is unjudged); one that is detached or belongs to
// another cgroup is replaced. Fails with EPERM when a program that tolerates no other sits on
// the cgroup or above it; the message names its id.
Result<Link> attach_to_cgroup(const bpf_program* program, int cgroup_fd, uint64_t cgroup_id,
                              std::string_view pin_root);

// Attaches a tp_btf program. The new link replaces the pinned one; for an instant both run.
Result<Link> attach_tracing(const bpf_program* program, std::string_view pin_root);

// Whether the link still does what it was made for: runs `program_id`, and at `cgroup_id` when
// that is not 0. Asked of the kernel: that a pin or a descriptor exists proves nothing.
bool is_alive(const Link& link, uint32_t program_id, uint64_t cgroup_id);

// Pins a held link again when its pin is gone or somebody else's. Returns whether it was.
Result<bool> pin_again(const Link& link, std::string_view pin_root);

// Detaches a link and removes its pin. Not there is no failure.
Result<void> detach(std::string_view name, std::string_view pin_root);

}  // namespace partywall::kernel

#endif

// agent/kernel/tc_hooks.h: attaches programs to network interfaces: TCX where the kernel has
// it, clsact otherwise. Leaves what others have attached there alone.
#ifndef PARTYWALL_AGENT_KERNEL_TC_HOOKS_H
#define PARTYWALL_AGENT_KERNEL_TC_HOOKS_H

#include <bpf/libbpf.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "maps/fd.h"
#include "maps/result.h"

namespace partywall::kernel {

// Which end of the interface: what comes in from it, or what goes out over it.
enum class TcHook { kIngress, kEgress };

// Before all others that are there, or behind them.
enum class TcOrder { kFirst, kLast };

// One attached program. TCX: a link, pinned, held open. clsact: a filter, which needs neither.
struct TcAttachment {
  Fd link;  // empty: clsact
};

// The pin of the TCX link of `program` ("edge_egress") at an interface.
std::string tc_link_name(std::string_view program, uint32_t ifindex);

// Attaches `program`, or puts it in the place of the version that is attached (no frame in
// between is unjudged). Fails when the kernel does, with its words; ENODEV: the interface is
// gone.
Result<TcAttachment> attach_to_interface(const bpf_program* program, uint32_t ifindex,
                                         TcHook hook, TcOrder order, std::string_view pin_root);

// Whether some version of `program` is attached there.
bool is_pinned_to(std::string_view program, uint32_t ifindex, TcHook hook, TcOrder order,
                  std::string_view pin_root);

// Whether it is attached there and runs `program_id`. Asked of the kernel.
bool is_attached(const TcAttachment& attachment, uint32_t ifindex, TcHook hook, TcOrder order,
                 uint32_t program_id);

// Takes the program off an interface and removes its pin. Not there is no failure.
void detach_from_interface(std::string_view program, uint32_t ifindex, TcHook hook,
                           TcOrder order, std::string_view pin_root);

// Takes every clsact filter of ours off both ends of an interface, whatever program and order.
// Returns how many there were. TCX links are none: they go with their pins.
size_t remove_filters(uint32_t ifindex);

}  // namespace partywall::kernel

#endif

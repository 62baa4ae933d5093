// agent/policy/compile.h: Policy -> Image. Pure: no clock, no I/O, no libbpf.
#ifndef PARTYWALL_AGENT_POLICY_COMPILE_H
#define PARTYWALL_AGENT_POLICY_COMPILE_H

#include <optional>

#include "agent/policy/image.h"
#include "agent/policy/policy.h"
#include "maps/abi/endpoints.h"
#include "maps/result.h"

namespace partywall::policy {

// How much the maps can hold (defaults are maps/abi's).
struct Capacity {
  uint32_t tenants = 1024;  // rows, row 0 included
  size_t pairs = PAIR_MAX / 2;
  size_t port_pages = PORT_PAGE_MAX / 2;
  size_t endpoints6 = ENDPOINT6_MAX / 2;
};

// The map contents that make the kernel enforce `policy`, all of it or nothing. Names keep the
// numbers that `previous` gave them; new ones get the lowest number that is free and was
// nobody's in `previous`, as long as there is one.
//
// Units: bytes and packets a second in, the same with nanoseconds of burst out.
// Fails:  when the policy needs more rows than `capacity`. The message names the map, how many
// rows
//         it needs and has, and how to get more. `policy` itself comes from assemble(), which
//         found no problem.
Result<Image> compile(const Policy& policy, const Numbers& previous, const Capacity& capacity);

// The same for a policy that differs from `before`, which `made` was compiled from, in tenants'
// addresses alone, as most do in a cluster: in a small part of the time, with
// compile(policy, made.numbers, capacity) as its result. nullopt: it differs in more, or the
// addresses change what ranges of the world mean.
std::optional<Image> compile_addresses(const Policy& policy, const Policy& before,
                                       const Image& made, const Capacity& capacity);

}  // namespace partywall::policy

#endif

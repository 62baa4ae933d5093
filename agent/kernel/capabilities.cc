// agent/kernel/capabilities.cc: asks the kernel for the capabilities of this process.
#include "agent/kernel/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <utility>

namespace partywall::kernel {

std::vector<std::string> lacking_capabilities() {
  // CAP_SYS_ADMIN stands for each of them.
  constexpr std::array kNeeded = {std::pair{CAP_BPF, "CAP_BPF"},
                                  std::pair{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                  std::pair{CAP_PERFMON, "CAP_PERFMON"}};
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  std::vector<std::string> lacking;

  if (syscall(SYS_capget, &header, data.data())) return lacking;

  uint64_t held = uint64_t{data[1].effective} << 32 | data[0].effective;
  auto has = [&](int capability) { return held >> capability & 1; };

  if (has(CAP_SYS_ADMIN)) return lacking;
  for (auto [capability, name] : kNeeded)
    if (!has(capability)) lacking.emplace_back(name);
  return lacking;
}

}  // namespace partywall::kernel

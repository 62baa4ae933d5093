// maps/counter_rows.cc: a row is nothing but 64-bit counters, so rows add up word by word.
#include "maps/counter_rows.h"

#include <array>
#include <bit>

namespace partywall {

abi::tenant_counters sum_rows(std::span<const abi::tenant_counters> rows, uint32_t max_tenants,
                              uint32_t tenant) {
  // The counters' own type, which uint64_t is not: through another one, the compiler need not
  // see what is written here.
  static_assert(sizeof(abi::tenant_counters) % sizeof(__u64) == 0 &&
                alignof(abi::tenant_counters) == alignof(__u64));
  constexpr size_t kWords = sizeof(abi::tenant_counters) / sizeof(__u64);
  std::array<__u64, kWords> sum{};

  for (size_t row = tenant; max_tenants && row < rows.size(); row += max_tenants) {
    const auto* from = reinterpret_cast<const __u64*>(&rows[row]);

    for (size_t word = 0; word < kWords; word++) sum[word] += from[word];
  }
  return std::bit_cast<abi::tenant_counters>(sum);
}

}  // namespace partywall

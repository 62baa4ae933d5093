// maps/counter_rows.cc: a row is nothing but 64-bit counters, so rows add up word by word.
#include "maps/counter_rows.h"

namespace partywall {

abi::tenant_counters sum_rows(std::span<const abi::tenant_counters> rows, uint32_t max_tenants,
                              uint32_t tenant) {
  static_assert(sizeof(abi::tenant_counters) % sizeof(uint64_t) == 0 &&
                alignof(abi::tenant_counters) == alignof(uint64_t));
  constexpr size_t kWords = sizeof(abi::tenant_counters) / sizeof(uint64_t);
  abi::tenant_counters sum{};
  auto* into = reinterpret_cast<uint64_t*>(&sum);

  for (size_t row = tenant; max_tenants && row < rows.size(); row += max_tenants) {
    const auto* from = reinterpret_cast<const uint64_t*>(&rows[row]);

    for (size_t word = 0; word < kWords; word++) into[word] += from[word];
  }
  return sum;
}

}  // namespace partywall

// maps/counter_rows.h: adds a tenant's counter rows up over the CPUs. Pure.
#ifndef PARTYWALL_MAPS_COUNTER_ROWS_H
#define PARTYWALL_MAPS_COUNTER_ROWS_H

#include <cstdint>
#include <span>

#include "maps/abi/counters.h"

namespace partywall {

// One tenant's counters over all CPUs: rows are cpu * max_tenants + tenant. Rows of CPUs that
// `rows` does not hold count as 0.
abi::tenant_counters sum_rows(std::span<const abi::tenant_counters> rows, uint32_t max_tenants,
                              uint32_t tenant);

}  // namespace partywall

#endif

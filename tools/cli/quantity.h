// tools/cli/quantity.h: numbers as people read them: bytes, bit rates, counts, shares,
// durations. Pure; for tables only, JSON keeps raw numbers.
#ifndef PARTYWALL_TOOLS_CLI_QUANTITY_H
#define PARTYWALL_TOOLS_CLI_QUANTITY_H

#include <cstdint>
#include <string>

namespace partywall::cli {

// "0 B", "512 B", "1.2 GiB": powers of 1024, three significant digits at most one decimal.
std::string human_bytes(uint64_t bytes);

// "0 bit/s", "35.1 Mbit/s": powers of 1000, as links are sold.
std::string human_bit_rate(double bits_per_second);

// "950", "12.3k", "4.0M": powers of 1000.
std::string human_count(double count);

// "0%", "21%", "<1%", "250%".
std::string human_share(double share);

// "4.0 ms", "2.5 s", "3m 12s", "2h 5m", "4d 1h".
std::string human_duration(double seconds);

}  // namespace partywall::cli

#endif

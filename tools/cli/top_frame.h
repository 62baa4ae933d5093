// tools/cli/top_frame.h: one table of live rates, sorted. Pure.
#ifndef PARTYWALL_TOOLS_CLI_TOP_FRAME_H
#define PARTYWALL_TOOLS_CLI_TOP_FRAME_H

#include <optional>
#include <string>
#include <vector>

#include "tools/cli/rates.h"

namespace partywall::cli {

struct TopRow {
  std::string name;
  Rates rates;
  // The tighter of the byte and the packet limit in each direction; absent without a limit.
  std::optional<LimitUse> limit[abi::DIRECTION_COUNT];
};

// What --sort accepts.
inline constexpr const char* kTopKeys[] = {"total",  "out",     "in",          "packets",
                                           "denied", "limited", "connections", "name"};

// Largest first (names: A first); ties by name.
void sort_rows(std::vector<TopRow>& rows, const std::string& key);

// The first `columns` characters of a line, colours not counted and never left open; 0 = all.
std::string cut(const std::string& line, size_t columns);

// Titles and rows, at most `lines` lines of at most `columns` characters; 0 = no bound.
std::string top_frame(const std::vector<TopRow>& rows, size_t lines, size_t columns,
                      bool colored);

}  // namespace partywall::cli

#endif

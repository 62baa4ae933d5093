// tools/cli/quantity.cc: picks the unit and rounds. Pure.
#include "tools/cli/quantity.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace partywall::cli {
namespace {

// The value in the largest unit that leaves at least 1 before the point; a value that rounds up
// to `base` moves on, so that "1024.0 KiB" is never printed.
template <size_t N>
std::string scaled(double value, double base, const std::array<const char*, N>& units,
                   const char* space) {
  size_t unit = 0;

  while (unit + 1 < N && std::round(value * 10) / 10 >= base) {
    value /= base;
    unit++;
  }
  if (unit == 0) return fmt::format("{:.0f}{}{}", value, units[0][0] ? space : "", units[0]);
  return fmt::format("{:.1f}{}{}", value, space, units[unit]);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

  return scaled(static_cast<double>(bytes), 1024, units, " ");
}

std::string human_bit_rate(double bits_per_second) {
  constexpr std::array units = {"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"};

  return scaled(bits_per_second, 1000, units, " ");
}

std::string human_count(double count) {
  constexpr std::array units = {"", "k", "M", "G", "T", "P", "E"};

  return scaled(count, 1000, units, "");
}

std::string human_share(double share) {
  if (share > 0 && share < 0.01) return "<1%";
  return fmt::format("{:.0f}%", share * 100);
}

std::string human_duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);

  auto whole = static_cast<uint64_t>(seconds);

  if (whole < 3600) return fmt::format("{}m {}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h {}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d {}h", whole / 86400, whole / 3600 % 24);
}

}  // namespace partywall::cli

// agent/policy/quantity.cc: reads numbers with units, exactly. Pure.
#include "agent/policy/quantity.h"

#include <algorithm>
#include <optional>

#include "maps/abi/flows.h"

namespace partywall::policy {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr size_t kMaxDigits = 15;
constexpr uint64_t kTooMuch = uint64_t{1} << 62;  // beyond every range

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kBits[] = {
    {"bit", 1}, {"kbit", 1'000}, {"Kbit", 1'000}, {"Mbit", 1'000'000}, {"Gbit", 1'000'000'000}};
constexpr Unit kDecimal[] = {
    {"", 1}, {"k", 1'000}, {"M", 1'000'000}, {"G", 1'000'000'000}, {"T", 1'000'000'000'000}};
constexpr Unit kBinary[] = {{"Ki", uint64_t{1} << 10},
                            {"Mi", uint64_t{1} << 20},
                            {"Gi", uint64_t{1} << 30},
                            {"Ti", uint64_t{1} << 40}};

// 1500 and 1.5 as digits and how many of them stand behind the point.
struct Number {
  uint64_t digits = 0;
  uint64_t divisor = 1;
  std::string_view unit;
};

std::optional<Number> split(std::string_view text) {
  Number number;
  size_t digits = 0;
  size_t at = 0;
  bool point = false;

  for (; at < text.size(); at++) {
    if (text[at] == '.' && !point && digits > 0) {
      point = true;
      continue;
    }
    if (text[at] < '0' || text[at] > '9') break;
    if (++digits > kMaxDigits) return std::nullopt;
    number.digits = number.digits * 10 + static_cast<uint64_t>(text[at] - '0');
    if (point) number.divisor *= 10;
  }
  if (digits == 0 || text[at - 1] == '.') return std::nullopt;
  number.unit = text.substr(at);
  return number;
}

template <size_t N>
std::optional<uint64_t> factor_of(std::string_view unit, const Unit (&units)[N]) {
  for (const Unit& known : units)
    if (known.name == unit) return known.factor;
  return std::nullopt;
}

uint64_t scaled(const Number& number, uint64_t factor, uint64_t per) {
  Wide value = Wide{number.digits} * factor / number.divisor / per;

  return value > kTooMuch ? kTooMuch : static_cast<uint64_t>(value);
}

std::string_view without_per_second(std::string_view text) {
  return text.ends_with("/s") ? text.substr(0, text.size() - 2) : text;
}

}  // namespace

Result<uint64_t> parse_byte_rate(std::string_view text) {
  auto number = split(without_per_second(text));
  std::optional<uint64_t> rate;

  if (number) {
    if (auto bits = factor_of(number->unit, kBits))
      rate = scaled(*number, *bits, 8);
    else if (auto decimal = factor_of(number->unit, kDecimal))
      rate = scaled(*number, *decimal, 1);
    else if (auto binary = factor_of(number->unit, kBinary))
      rate = scaled(*number, *binary, 1);
  }
  if (!rate)
    return fail("\"{}\" is no rate: write 10Mbit, 1.5Gbit or 200k (bytes a second)", text);
  if (*rate < kLeastBytesPerSecond || *rate > kMostBytesPerSecond)
    return fail("{} is out of range: write a rate from 8Kbit to 400Gbit", text);
  return *rate;
}

Result<uint64_t> parse_flows(std::string_view text) {
  auto number = split(text);
  auto factor = number ? factor_of(number->unit, kDecimal) : std::nullopt;

  if (!factor) return fail("\"{}\" is no number of flows: write 4096 or 50k", text);

  uint64_t flows = scaled(*number, *factor, 1);

  if (flows < kLeastFlows || flows > FLOWS_MAX)
    return fail("{} is out of range: write {} to {} flows", text, kLeastFlows, FLOWS_MAX);
  return flows;
}

Result<uint64_t> parse_packet_rate(std::string_view text) {
  auto number = split(without_per_second(text));
  auto factor = number ? factor_of(number->unit, kDecimal) : std::nullopt;

  if (!factor) return fail("\"{}\" is no packet rate: write 50000, 200k or 1.5M", text);

  uint64_t rate = scaled(*number, *factor, 1);

  if (rate < 1 || rate > kMostPacketsPerSecond)
    return fail("{} is out of range: write 1 to 1G packets a second", text);
  return rate;
}

Result<uint64_t> parse_burst(std::string_view text, uint64_t per_second) {
  auto number = split(text);
  std::optional<uint64_t> factor;

  if (number) factor = factor_of(number->unit, kDecimal);
  if (number && !factor) factor = factor_of(number->unit, kBinary);
  if (!factor) return fail("\"{}\" is no size: write 64000, 200M or 256Ki (bytes)", text);

  uint64_t burst = scaled(*number, *factor, 1);

  if (burst < kLeastBurstBytes)
    return fail("{} is less than one packet: the least is {} bytes", text, kLeastBurstBytes);
  if (burst > per_second * kMostBurstSeconds) {
    uint64_t seconds = (burst + per_second - 1) / per_second;

    return fail("{} bytes take {}s to earn back; the most is {}s", burst, seconds,
                kMostBurstSeconds);
  }
  return burst;
}

uint64_t default_burst_bytes(uint64_t bytes_per_second) {
  uint64_t super_packet = std::min<uint64_t>(64 << 10, bytes_per_second / 100 * 9);

  return std::max<uint64_t>({bytes_per_second / 50, super_packet, 16 << 10});
}

uint64_t default_burst_packets(uint64_t packets_per_second) {
  return std::max<uint64_t>(packets_per_second / 50, 32);
}

}  // namespace partywall::policy

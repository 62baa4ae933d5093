// tests/unit/quantity_test.cc: rates, sizes and counts as people write them. No I/O.
#include "agent/policy/quantity.h"

#include <gtest/gtest.h>

#include <string>

namespace partywall::policy {
namespace {

std::string shown(const Result<uint64_t>& result) {
  return result ? std::to_string(*result) : result.error().message();
}

std::string rate(std::string_view text) { return shown(parse_byte_rate(text)); }
std::string packets(std::string_view text) { return shown(parse_packet_rate(text)); }
std::string burst(std::string_view text, uint64_t per_second = 1'000'000'000) {
  return shown(parse_burst(text, per_second));
}

std::string no_rate(std::string_view text) {
  return fmt::format("\"{}\" is no rate: write 10Mbit, 1.5Gbit or 200k (bytes a second)", text);
}

// What no reader of numbers takes, whatever the unit.
constexpr const char* kNoNumbers[] = {
    "",    "-5", "+5",  "1e6", ".5",   "5.", "1..5",    "1.5.5", "0x10",  "10 k",  " 10",
    "10 ", "k",  "10K", "10m", "10kk", "/s", "10k/s/s", "10/h",  "1_000", "1,000", "١"};

TEST(Quantity, EveryUnitOfAByteRate) {
  EXPECT_EQ("1000", rate("8000bit"));
  EXPECT_EQ("1000", rate("8kbit"));
  EXPECT_EQ("1000", rate("8Kbit"));
  EXPECT_EQ("1250000", rate("10Mbit"));
  EXPECT_EQ("187500000", rate("1.5Gbit"));
  EXPECT_EQ("1000", rate("1000"));
  EXPECT_EQ("200000", rate("200k"));
  EXPECT_EQ("1500000", rate("1.5M"));
  EXPECT_EQ("2000000000", rate("2G"));
  EXPECT_EQ("10000000000", rate("0.01T"));
  EXPECT_EQ("1024", rate("1Ki"));
  EXPECT_EQ("16777216", rate("16Mi"));
  EXPECT_EQ("1073741824", rate("1Gi"));
  EXPECT_EQ("10995116277", rate("0.01Ti"));
  EXPECT_EQ("1250000", rate("10Mbit/s"));
  EXPECT_EQ("200000", rate("200k/s"));
}

TEST(Quantity, ByteRatesAreExactAndDropFractions) {
  EXPECT_EQ("1000", rate("8.007kbit"));  // 1000.875
  EXPECT_EQ("123456789012345",
            shown(parse_burst("123456789012345", kMostBytesPerSecond * 1000)));
  EXPECT_EQ("1234567", rate("1.234567890123M"));
  EXPECT_EQ(rate("1.5Gbit"), rate("1500Mbit"));
}

TEST(Quantity, ByteRatesHaveARange) {
  EXPECT_EQ("1000", rate("1k"));
  EXPECT_EQ("999 is out of range: write a rate from 8Kbit to 400Gbit", rate("999"));
  EXPECT_EQ("7.999kbit is out of range: write a rate from 8Kbit to 400Gbit", rate("7.999kbit"));
  EXPECT_EQ("0 is out of range: write a rate from 8Kbit to 400Gbit", rate("0"));
  EXPECT_EQ("50000000000", rate("400Gbit"));
  EXPECT_EQ("50000000000", rate("50G"));
  EXPECT_EQ("400.1Gbit is out of range: write a rate from 8Kbit to 400Gbit", rate("400.1Gbit"));
  EXPECT_EQ("999999999999999T is out of range: write a rate from 8Kbit to 400Gbit",
            rate("999999999999999T"));  // far beyond 64 bits
  EXPECT_EQ(no_rate("1000000000000000"), rate("1000000000000000"));
}

TEST(Quantity, WhatIsNoByteRate) {
  for (const char* text : kNoNumbers) EXPECT_EQ(no_rate(text), rate(text));
  for (const char* text : {"10Mbyte", "10mbit", "10Tbit", "10MBit", "10Mibit", "10Mbps", "10P",
                           "10Pi", "10 Mbit", "10Mbit /s", "ten"})
    EXPECT_EQ(no_rate(text), rate(text));
}

TEST(Quantity, PacketRates) {
  EXPECT_EQ("50000", packets("50000"));
  EXPECT_EQ("200000", packets("200k"));
  EXPECT_EQ("1500000", packets("1.5M"));
  EXPECT_EQ("1", packets("1"));
  EXPECT_EQ("1", packets("1.9"));
  EXPECT_EQ("1000000000", packets("1G"));
  EXPECT_EQ("500", packets("500/s"));
  EXPECT_EQ("0.9 is out of range: write 1 to 1G packets a second", packets("0.9"));
  EXPECT_EQ("0 is out of range: write 1 to 1G packets a second", packets("0"));
  EXPECT_EQ("1000000001 is out of range: write 1 to 1G packets a second",
            packets("1000000001"));
  EXPECT_EQ("1T is out of range: write 1 to 1G packets a second", packets("1T"));
  for (const char* text : kNoNumbers)
    EXPECT_EQ(fmt::format("\"{}\" is no packet rate: write 50000, 200k or 1.5M", text),
              packets(text));
  for (const char* text : {"10Ki", "10Mbit", "many"})
    EXPECT_EQ(fmt::format("\"{}\" is no packet rate: write 50000, 200k or 1.5M", text),
              packets(text));
}

TEST(Quantity, Bursts) {
  EXPECT_EQ("64000", burst("64000"));
  EXPECT_EQ("64000", burst("64k"));
  EXPECT_EQ("200000000", burst("200M"));
  EXPECT_EQ("1000000000", burst("1G"));
  EXPECT_EQ("262144", burst("256Ki"));
  EXPECT_EQ("1572864", burst("1.5Mi"));
  EXPECT_EQ("1073741824", burst("1Gi"));
  EXPECT_EQ("1514", burst("1514"));
  EXPECT_EQ("1513 is less than one packet: the least is 1514 bytes", burst("1513"));
  EXPECT_EQ("0 is less than one packet: the least is 1514 bytes", burst("0"));
  for (const char* text : kNoNumbers)
    EXPECT_EQ(fmt::format("\"{}\" is no size: write 64000, 200M or 256Ki (bytes)", text),
              burst(text));
  for (const char* text : {"10Mbit", "64k/s", "big"})
    EXPECT_EQ(fmt::format("\"{}\" is no size: write 64000, 200M or 256Ki (bytes)", text),
              burst(text));
}

TEST(Quantity, ABurstIsEarnedBackInAMinute) {
  EXPECT_EQ("90000", burst("90000", 1500));
  EXPECT_EQ("90001 bytes take 61s to earn back; the most is 60s", burst("90001", 1500));
  EXPECT_EQ("3000000000000", burst("3T", kMostBytesPerSecond));
  EXPECT_EQ("4000000000000 bytes take 80s to earn back; the most is 60s",
            burst("4T", kMostBytesPerSecond));
  EXPECT_EQ(fmt::format("{} bytes take {}s to earn back; the most is 60s", uint64_t{1} << 62,
                        (uint64_t{1} << 62) / 1000 + 1),
            burst("999999999999999Ti", 1000));
}

// 20 ms; 64 KiB as far as 90 ms earn them; 16 KiB in any case.
TEST(Quantity, DefaultBursts) {
  EXPECT_EQ(uint64_t{16 << 10}, default_burst_bytes(kLeastBytesPerSecond));
  EXPECT_EQ(uint64_t{16 << 10}, default_burst_bytes(182'000));
  EXPECT_EQ(18'000u, default_burst_bytes(200'000));
  EXPECT_EQ(uint64_t{64 << 10}, default_burst_bytes(1'250'000));
  EXPECT_EQ(uint64_t{64 << 10}, default_burst_bytes(3'276'800));
  EXPECT_EQ(2'500'000u, default_burst_bytes(125'000'000));
  EXPECT_EQ(32u, default_burst_packets(1));
  EXPECT_EQ(4'000u, default_burst_packets(200'000));
}

}  // namespace
}  // namespace partywall::policy

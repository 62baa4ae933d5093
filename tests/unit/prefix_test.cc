// tests/unit/prefix_test.cc: addresses and ranges, from text and back, and what lies in what.
// No I/O.
#include "agent/policy/prefix.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <vector>

namespace partywall::policy {
namespace {

std::string why_not(std::string_view text) {
  auto parsed = parse_prefix(text);

  return parsed ? "" : parsed.error().message();
}

std::string again(std::string_view text) {
  auto parsed = parse_prefix(text);

  return parsed ? to_string(*parsed) : parsed.error().message();
}

bool bit_of(const Address& address, int bit) {
  return address.bytes[static_cast<size_t>(bit / 8)] >> (7 - bit % 8) & 1;
}

// Few different ones, so that they often lie in each other.
class Dice {
 public:
  explicit Dice(Family family) : family_(family) {}

  Address address() {
    Address made{family_, {}};

    for (int i = 0; i < (family_ == Family::kIpv4 ? 4 : 16); i++)
      made.bytes[static_cast<size_t>(i)] =
          std::array<uint8_t, 4>{0, 1, 0x80, 0xff}[random_() % 4];
    return made;
  }
  Prefix prefix() {
    int most = family_ == Family::kIpv4 ? 32 : 128;
    int bits = static_cast<int>(random_() % static_cast<unsigned>(most + 1));
    Address start = address();

    for (int bit = bits; bit < most; bit++)
      start.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
    return {start, static_cast<uint8_t>(bits)};
  }

 private:
  Family family_;
  std::mt19937 random_{1};
};

TEST(Prefix, ReadsAndWrites) {
  EXPECT_EQ("10.1.0.0/24", again("10.1.0.0/24"));
  EXPECT_EQ("10.1.0.9/32", again("10.1.0.9"));
  EXPECT_EQ("0.0.0.0/0", again("0.0.0.0/0"));
  EXPECT_EQ("fd00:1::/64", again("fd00:1::/64"));
  EXPECT_EQ("fd00:1::9/128", again("FD00:0001::0:9"));
  EXPECT_EQ("::/0", again("::/0"));
  EXPECT_EQ("::/96", again("::/96"));
}

TEST(Prefix, OnlyTheCanonicalFormIsTaken) {
  EXPECT_EQ("10.1.0.5/24 has bits set beyond /24: write 10.1.0.0/24", why_not("10.1.0.5/24"));
  EXPECT_EQ("10.1.0.1/31 has bits set beyond /31: write 10.1.0.0/31", why_not("10.1.0.1/31"));
  EXPECT_EQ("128.0.0.0/0 has bits set beyond /0: write 0.0.0.0/0", why_not("128.0.0.0/0"));
  EXPECT_EQ("fd00::1/127 has bits set beyond /127: write fd00::/127", why_not("fd00::1/127"));
  EXPECT_EQ("fd00:0:0:8000::/48 has bits set beyond /48: write fd00::/48",
            why_not("fd00:0:0:8000::/48"));
  EXPECT_EQ("", why_not("10.1.0.254/31"));
}

TEST(Prefix, MappedAddressesAreRefused) {
  EXPECT_EQ("::ffff:10.0.0.1 is an IPv4 address in IPv6 clothes: write 10.0.0.1",
            why_not("::ffff:10.0.0.1"));
  EXPECT_EQ("::ffff:a00:1 is an IPv4 address in IPv6 clothes: write 10.0.0.1",
            why_not("::ffff:a00:1/128"));
  EXPECT_EQ("", why_not("::fffe:10.0.0.1"));
  EXPECT_EQ("", why_not("64:ff9b::/96"));
}

TEST(Prefix, WhatIsNoRange) {
  for (const char* text :
       {"10.1.0.0/33", "10.1.0.0/-1", "10.1.0.0/", "10.1.0.0/+8", "10.1.0.0/08", "10.1.0.0/8 ",
        "10.1.0.0/8/8", "10.1.0.0/0x8", "10.1.0.0/4294967304"})
    EXPECT_THAT(why_not(text),
                testing::HasSubstr("is no address range: the length after / goes from 0 to 32"))
        << text;
  EXPECT_THAT(why_not("fd00::/129"), testing::HasSubstr("goes from 0 to 128"));
  for (const char* text : {"", "10.1.0", "10.1.0.256", "010.1.0.0", "10.1.0.0.0", "fd00:::1",
                           "fd00", " 10.1.0.0", "fe80::1%eth0", "web"})
    EXPECT_EQ(fmt::format("\"{}\" is no address: write 10.1.0.9 or fd00::9", text),
              why_not(text));
  EXPECT_EQ("\"web/24\" is no address range: write 10.1.0.0/24 or fd00:1::/64",
            why_not("web/24"));
  EXPECT_EQ("this is no address", why_not(std::string_view("10.1.0.1\0", 9)));
}

TEST(Prefix, ContainsIsWhatTheBitsSay) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    Dice dice(family);
    int inside = 0;

    for (int i = 0; i < 20'000; i++) {
      Prefix range = dice.prefix();
      Prefix other = dice.prefix();
      bool same = true;

      for (int bit = 0; bit < range.bits; bit++)
        same = same && bit_of(range.address, bit) == bit_of(other.address, bit);
      ASSERT_EQ(same, range.contains(other.address)) << to_string(range) << to_string(other);
      ASSERT_EQ(same && range.bits <= other.bits, range.contains(other))
          << to_string(range) << " " << to_string(other);
      inside += same;
    }
    EXPECT_GT(inside, 500);
  }
  EXPECT_FALSE(parse_prefix("::/0")->contains(*parse_address("10.0.0.1")));
  EXPECT_FALSE(parse_prefix("0.0.0.0/0")->contains(*parse_prefix("::/0")));
}

TEST(Prefix, SortedARangeStandsRightBeforeAllThatItHolds) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    Dice dice(family);
    std::vector<Prefix> ranges(300);

    for (Prefix& range : ranges) range = dice.prefix();
    std::ranges::sort(ranges);
    for (size_t i = 0; i < ranges.size(); i++) {
      bool inside = true;

      for (size_t j = i + 1; j < ranges.size(); j++) {
        bool holds = ranges[i].contains(ranges[j]);

        ASSERT_FALSE(holds && !inside) << to_string(ranges[i]) << " " << to_string(ranges[j]);
        inside = holds;
      }
    }
  }
}

TEST(Prefix, OrderIsThatOfTheBytes) {
  Dice dice(Family::kIpv6);

  for (int i = 0; i < 5'000; i++) {
    Address a = dice.address(), b = dice.address();

    ASSERT_EQ(a.bytes <=> b.bytes, a <=> b) << to_string(a) << " " << to_string(b);
  }
  EXPECT_LT(*parse_address("255.255.255.255"), *parse_address("::"));
}

TEST(Prefix, EveryRangeIsReadBackAsItWasWritten) {
  for (Family family : {Family::kIpv4, Family::kIpv6}) {
    Dice dice(family);

    for (int i = 0; i < 5'000; i++) {
      Prefix range = dice.prefix();
      auto read = parse_prefix(to_string(range));

      if (!read) {  // ::ffff:0:0/96 and what is inside of it
        ASSERT_THAT(read.error().message(), testing::HasSubstr("clothes"));
        continue;
      }
      ASSERT_EQ(range, *read) << to_string(range);
    }
  }
}

}  // namespace
}  // namespace partywall::policy

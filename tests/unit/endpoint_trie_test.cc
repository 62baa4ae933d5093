// tests/unit/endpoint_trie_test.cc: ranges that come, go and change in the IPv4 trie, held
// against the longest match. Memory only.
#include "agent/kernel/endpoint_trie.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/dice/dice.h"

namespace partywall::kernel {
namespace {

using policy::Address;
using policy::Prefix;

class EndpointTrieTest : public testing::Test {
 protected:
  EndpointTrieTest()
      : blocks_(ENDPOINT_BLOCKS), trie_(blocks_, [this](uint32_t block) {
          needed_ = std::max(needed_, block);
          return Result<void>{};
        }) {}

  // As bpf/lib/peer.h reads it.
  uint32_t peer_of(const Address& address) const {
    const auto& bytes = address.bytes;
    uint32_t word = blocks_[bytes[0]].word[bytes[1]];

    for (size_t byte : {2, 3})
      if (word & ENDPOINT_BLOCK) word = blocks_[word & ~ENDPOINT_BLOCK].word[bytes[byte]];
    return word;
  }

  static uint32_t longest_match(const std::map<Prefix, uint32_t>& ranges,
                                const Address& address) {
    uint32_t peer = PEER_WORLD;
    int bits = -1;

    for (const auto& [range, value] : ranges)
      if (range.contains(address) && range.bits > bits) {
        peer = value;
        bits = range.bits;
      }
    return peer;
  }

  static Endpoints endpoints(const std::map<Prefix, uint32_t>& ranges) {
    return Endpoints({ranges.begin(), ranges.end()});
  }

  std::vector<abi::endpoint_block> blocks_;
  uint32_t needed_ = 0;
  EndpointTrie trie_;
};

TEST_F(EndpointTrieTest, ChangesOneByOneAreTheWhole) {
  for (uint64_t seed = 0; seed < 20; seed++) {
    test::Dice dice(seed);
    std::map<Prefix, uint32_t> ranges;
    std::vector<Address> asked;

    ASSERT_TRUE(trie_.rebuild({}));
    for (int turn = 0; turn < 150; turn++) {
      Prefix range = test::cut(dice.address(true), static_cast<int>(8 + dice.below(25)));

      if (!ranges.empty() && dice.percent(50))
        range =
            std::next(ranges.begin(), dice.below(static_cast<uint32_t>(ranges.size())))->first;
      if (ranges.contains(range) && dice.percent(60))
        ranges.erase(range);
      else
        ranges[range] = 1 + dice.below(100);
      ASSERT_TRUE(trie_.repaint(range, endpoints(ranges)));
      for (int step : {-1, 0, 1}) {
        if (step <= 0)
          asked.push_back(step ? test::next_to(range.address, step) : range.address);
        if (step >= 0)
          asked.push_back(step ? test::next_to(test::last_of(range), step)
                               : test::last_of(range));
      }
      for (const Address& address : asked)
        ASSERT_EQ(longest_match(ranges, address), peer_of(address)) << to_string(address);
    }

    // Nothing is left over when everything is gone.
    for (auto left = std::move(ranges); !left.empty();) {
      Prefix range = left.begin()->first;

      left.erase(range);
      ASSERT_TRUE(trie_.repaint(range, endpoints(left)));
    }
    EXPECT_EQ(ENDPOINT_ROOT_BLOCKS, trie_.blocks_used());
  }
}

TEST_F(EndpointTrieTest, WhatIsNotUsedIsNotNeeded) {
  std::map<Prefix, uint32_t> ranges;

  for (uint8_t i = 0; i < 100; i++)
    ranges[Prefix{{policy::Family::kIpv4, {10, 0, i, 1}}, 32}] = 1u + i;
  ASSERT_TRUE(trie_.rebuild(endpoints(ranges)));
  EXPECT_EQ(ENDPOINT_ROOT_BLOCKS + 101, trie_.blocks_used());
  EXPECT_EQ(ENDPOINT_ROOT_BLOCKS + 100, needed_);
}

TEST_F(EndpointTrieTest, MoreThanThereIsRoomForIsRefused) {
  std::map<Prefix, uint32_t> ranges;

  for (uint32_t i = 0; i < ENDPOINT_BLOCKS; i++)
    ranges[Prefix{{policy::Family::kIpv4,
                   {static_cast<uint8_t>(10 + (i >> 16)), static_cast<uint8_t>(i >> 8),
                    static_cast<uint8_t>(i), 1}},
                  32}] = 1;

  auto painted = trie_.rebuild(endpoints(ranges));

  ASSERT_FALSE(painted);
  EXPECT_THAT(painted.error().message(),
              testing::HasSubstr("blocks of 256 addresses are in use"));
}

}  // namespace
}  // namespace partywall::kernel

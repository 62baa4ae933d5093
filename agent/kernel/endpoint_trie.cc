// agent/kernel/endpoint_trie.cc: the painter of the IPv4 trie. Memory only.
#include "agent/kernel/endpoint_trie.h"

#include <algorithm>
#include <cstring>

namespace partywall::kernel {
namespace {

using policy::Family;
using policy::Prefix;

uint32_t host_order(const Prefix& range) {
  const auto& bytes = range.address.bytes;

  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 |
         bytes[3];
}

// The value of the longest range of `ranges` that holds `range` and is not `range` itself.
uint32_t enclosing(const Prefix& range, const Endpoints& ranges) {
  Prefix outer = range;

  while (outer.bits > 0) {
    outer.bits--;
    outer.address.bytes[outer.bits / 8] &= static_cast<uint8_t>(0xff00 >> (outer.bits % 8));
    if (auto found = ranges.find(outer); found != ranges.end()) return found->second;
  }
  return PEER_WORLD;
}

}  // namespace

EndpointTrie::EndpointTrie(std::span<abi::endpoint_block> blocks, Need need)
    : blocks_(blocks), need_(std::move(need)) {}

Result<void> EndpointTrie::rebuild(const Endpoints& ranges) {
  for (uint32_t block = 0; block < ENDPOINT_ROOT_BLOCKS; block++)
    if (auto there = need_(block); !there) return there;
  std::memset(blocks_.data(), 0, ENDPOINT_ROOT_BLOCKS * sizeof(abi::endpoint_block));
  built_ = true;
  free_.clear();
  for (uint32_t block = ENDPOINT_BLOCKS; block-- > ENDPOINT_ROOT_BLOCKS;)
    free_.push_back(block);
  // In order, so that a range is painted before what lies inside it.
  for (const auto& [range, peer] : ranges) {
    if (range.address.family != Family::kIpv4) continue;
    if (auto painted = fill(host_order(range), range.bits, peer); !painted) return painted;
  }
  return {};
}

Result<void> EndpointTrie::repaint(const Prefix& range, const Endpoints& ranges) {
  auto at = ranges.lower_bound(range);
  bool present = at != ranges.end() && at->first == range;
  uint32_t address = host_order(range);

  if (auto painted = fill(address, range.bits, present ? at->second : enclosing(range, ranges));
      !painted)
    return painted;
  if (present) ++at;
  for (; at != ranges.end() && range.contains(at->first); ++at)
    if (auto painted = fill(host_order(at->first), at->first.bits, at->second); !painted)
      return painted;

  // A range that went away may leave blocks of 256 equal words behind.
  if (range.bits > 16) {
    uint32_t& root = blocks_[address >> 24].word[address >> 16 & 255];

    if (range.bits > 24 && root & ENDPOINT_BLOCK)
      collapse(blocks_[root & ~ENDPOINT_BLOCK].word[address >> 8 & 255]);
    collapse(root);
  }
  return {};
}

// The block behind a word; made from the word's own value when there is none yet.
Result<uint32_t> EndpointTrie::child_of(uint32_t& word) {
  if (word & ENDPOINT_BLOCK) return word & ~ENDPOINT_BLOCK;
  if (free_.empty())
    return fail(
        "map endpoints: all {} blocks of 256 addresses are in use: name fewer or less "
        "scattered addresses and ranges",
        ENDPOINT_BLOCKS - ENDPOINT_ROOT_BLOCKS);

  uint32_t block = free_.back();

  if (auto there = need_(block); !there) return std::move(there.error());
  free_.pop_back();
  std::ranges::fill(blocks_[block].word, word);
  word = ENDPOINT_BLOCK | block;
  return block;
}

void EndpointTrie::release(uint32_t word) {
  if (!(word & ENDPOINT_BLOCK)) return;

  uint32_t block = word & ~ENDPOINT_BLOCK;

  for (uint32_t inner : blocks_[block].word) release(inner);
  free_.push_back(block);
}

void EndpointTrie::collapse(uint32_t& word) {
  if (!(word & ENDPOINT_BLOCK)) return;

  const auto& words = blocks_[word & ~ENDPOINT_BLOCK].word;
  uint32_t first = words[0];

  if (first & ENDPOINT_BLOCK) return;
  if (!std::ranges::all_of(words, [first](uint32_t other) { return other == first; })) return;
  release(word);
  word = first;
}

Result<void> EndpointTrie::fill(uint32_t address, int bits, uint32_t peer) {
  // The level where the range ends: how many bits above it are fixed, and its words.
  int below = bits <= 16 ? 16 : bits <= 24 ? 8 : 0;
  uint32_t first = address >> below;
  uint32_t count = 1u << (32 - below - bits);
  uint32_t block = address >> 24;

  if (bits > 16) {
    auto child = child_of(blocks_[block].word[address >> 16 & 255]);

    if (!child) return std::move(child.error());
    block = *child;
  }
  if (bits > 24) {
    auto child = child_of(blocks_[block].word[address >> 8 & 255]);

    if (!child) return std::move(child.error());
    block = *child;
  }
  for (uint32_t i = 0; i < count; i++) {  // the last word of all, too: no end to compare with
    uint32_t word = first + i;
    uint32_t& target = blocks_[bits <= 16 ? word >> 8 : block].word[word & 255];

    release(target);
    target = peer;
  }
  return {};
}

}  // namespace partywall::kernel

// agent/kernel/endpoint_trie.h: paints IPv4 ranges into one side of the map endpoints. No
// system calls.
#ifndef PARTYWALL_AGENT_KERNEL_ENDPOINT_TRIE_H
#define PARTYWALL_AGENT_KERNEL_ENDPOINT_TRIE_H

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "agent/policy/flat_map.h"
#include "agent/policy/prefix.h"
#include "maps/abi/endpoints.h"
#include "maps/result.h"

namespace partywall::kernel {

using Endpoints = policy::FlatMap<policy::Prefix, uint32_t>;

// Keeps a trie of 16 + 8 + 8 bits equal to a set of ranges: every address has the value of the
// longest range that holds it, PEER_WORLD outside all of them. The side must not be in force.
class EndpointTrie {
 public:
  EndpointTrie() = default;
  // `blocks`: ENDPOINT_BLOCKS of them, the memory of the map. `need` is called with a block
  // before it is first touched.
  using Need = std::function<Result<void>(uint32_t block)>;
  EndpointTrie(std::span<abi::endpoint_block> blocks, Need need);

  // Paints all IPv4 ranges of `ranges` onto an empty trie.
  Result<void> rebuild(const Endpoints& ranges);

  // Paints one range anew, after it was added to, changed in or removed from `ranges`.
  Result<void> repaint(const policy::Prefix& range, const Endpoints& ranges);

  // 0 before the first rebuild().
  size_t blocks_used() const { return built_ ? ENDPOINT_BLOCKS - free_.size() : 0; }

 private:
  Result<void> fill(uint32_t address, int bits, uint32_t peer);
  Result<uint32_t> child_of(uint32_t& word);
  void release(uint32_t word);
  void collapse(uint32_t& word);

  std::span<abi::endpoint_block> blocks_;
  Need need_;
  std::vector<uint32_t> free_;
  bool built_ = false;
};

}  // namespace partywall::kernel

#endif

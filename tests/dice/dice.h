// tests/dice/dice.h: numbers that look random, and addresses and ranges out of them. No I/O.
#ifndef PARTYWALL_TESTS_DICE_DICE_H
#define PARTYWALL_TESTS_DICE_DICE_H

#include <cstdint>
#include <iterator>
#include <random>

#include "agent/policy/prefix.h"

namespace partywall::test {

// The same seed gives the same, on every machine.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  uint32_t below(uint32_t most) { return static_cast<uint32_t>(random_() % most); }
  bool percent(uint32_t of_hundred) { return below(100) < of_hundred; }
  template <typename List>
  auto& one_of(List& list) {
    return list[below(static_cast<uint32_t>(std::size(list)))];
  }

  // With few different bytes.
  policy::Address address(bool v4);
  // Some part of a range, and some range that it is part of; both may be the range itself.
  policy::Prefix inside(const policy::Prefix& range);
  policy::Prefix around(const policy::Prefix& range);

 private:
  std::mt19937_64 random_;
};

inline bool is_v4(const policy::Address& address) {
  return address.family == policy::Family::kIpv4;
}
// The range of that length that an address is in.
policy::Prefix cut(policy::Address address, int bits);
policy::Address last_of(const policy::Prefix& range);
// The address after (step 1) or before (step -1) another one; the first follows the last.
policy::Address next_to(policy::Address address, int step);

}  // namespace partywall::test

#endif

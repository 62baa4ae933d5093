// agent/policy/free_numbers.h: gives out the lowest numbers that nobody has. Pure.
#ifndef PARTYWALL_AGENT_POLICY_FREE_NUMBERS_H
#define PARTYWALL_AGENT_POLICY_FREE_NUMBERS_H

#include <cstdint>
#include <vector>

namespace partywall::policy {

// Numbers held by the previous policy are passed over, even when their owner is gone: what
// still counts under a number is then never mistaken for its next owner's. They are free again
// one policy later.
class FreeNumbers {
 public:
  explicit FreeNumbers(uint32_t first) : next_(first) {}

  void take(uint32_t number) {
    if (number >= taken_.size()) taken_.resize(number + 1);
    taken_[number] = true;
  }
  uint32_t next() {
    while (next_ < taken_.size() && taken_[next_]) next_++;
    return next_++;
  }

 private:
  std::vector<bool> taken_;
  uint32_t next_;
};

}  // namespace partywall::policy

#endif

// tests/dice/policy_dice.h: random policies, as an operator would write them. The same seed
// gives the same. No I/O.
#ifndef PARTYWALL_TESTS_DICE_POLICY_DICE_H
#define PARTYWALL_TESTS_DICE_POLICY_DICE_H

#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/policy/prefix.h"
#include "tests/dice/dice.h"

namespace partywall::test {

// A policy without mistakes, and what is worth asking about it.
struct DicePolicy {
  std::string
      documents;  // $ROOT stands for the managed root; tenant NAME has the cgroup $ROOT/NAME
  std::string config;  // of the agent: the infrastructure lane
  std::vector<std::string> tenants;
  std::vector<policy::Address>
      edges[2];  // by family: both ends of every range, and next to them
  std::map<std::string, std::vector<policy::Address>>
      owned;                    // the same, inside a tenant's ranges
  std::vector<uint16_t> ports;  // ends of every range of ports, and next to them
};

// Few addresses, ports and prefix lengths, so that ranges often lie in each other, end where
// others begin, and leave holes; rules that mostly find the other side's consent.
class PolicyDice {
 public:
  // Tenants are t0, t1 ...; one that a policy leaves out is somebody without a tenant.
  static constexpr int kTenants = 6;

  explicit PolicyDice(Dice& dice) : dice_(dice) {}

  // `cluster`: with a ClusterNetwork, in which t4 has the pods that nobody has and t5 is the
  // infrastructure.
  DicePolicy roll(bool cluster = false);

 private:
  policy::Prefix some_range();
  bool is_free(const policy::Prefix& range) const;
  std::string ports();
  std::string range_peer();
  std::string rules(const std::string& own, const char* peers);
  std::string tier(int number);
  std::string head(const std::string& tenant);
  std::string lane();
  std::string network();
  std::string plain_ports();
  void list_edges(DicePolicy& made);

  Dice& dice_;
  std::vector<policy::Prefix> ranges_;  // all that were named so far
  std::map<std::string, std::vector<policy::Prefix>> owned_;
  std::set<uint16_t> ports_;
  std::vector<std::string> names_;
  std::vector<std::string> built_in_;
  std::map<std::string, std::string> agreed_;  // ingress rules that a tenant's senders hope for
};

}  // namespace partywall::test

#endif

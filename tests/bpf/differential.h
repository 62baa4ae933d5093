// tests/bpf/differential.h: asks the programs about random packets and calls, and the reference
// verdict the same.
#ifndef PARTYWALL_TESTS_BPF_DIFFERENTIAL_H
#define PARTYWALL_TESTS_BPF_DIFFERENTIAL_H

#include <string>
#include <vector>

#include "agent/policy/verdict.h"
#include "tests/bpf/world.h"
#include "tests/dice/packet_dice.h"

namespace partywall::test {

// One question, and what the programs said.
struct Observation {
  policy::Flow flow;
  abi::hook hook = abi::HOOK_EGRESS;
  std::string question;
  abi::reason refused = abi::REASON_COUNT;  // by its headers, says the reference; else COUNT
  abi::reason reason = abi::REASON_COUNT;   // of a call that was let through: REASON_COUNT
  bool passed = false;
  bool would = false;
};

// What the programs and the reference verdict on this policy and flow do not agree on, in
// words; nothing when they do.
std::string disagreement(const Observation& seen, const policy::Policy& policy,
                         const policy::Flow& flow);

// A datapath with a cgroup for each tenant that dice may make, in a network namespace without
// routes.
class Differential : public World {
 protected:
  void SetUp() override;

  // Puts a random policy into force. Then as many packets, each way, or as many calls of
  // connect, sendto and bind in every cgroup.
  void roll_policy(Dice& dice);
  std::vector<Observation> ask_about_packets(Dice& dice, int count);
  std::vector<Observation> ask_about_calls(Dice& dice, int count);
  // Packets with a few wrong bytes in their headers, with headers added or cut off.
  std::vector<Observation> ask_about_damage(Dice& dice, int count);

  // The policy that was rolled last, as an operator would have written it.
  std::string text() const { return text_.documents + text_.config; }

  // How many rounds are worth their time: `usual`, a quarter of it on a machine that
  // PARTYWALL_SLOW calls slow, or what PARTYWALL_ROUNDS says.
  static int rounds(int usual);
  // How often so many rounds must have met with something that `usual` rounds meet with `least`
  // times: fewer than in proportion, because of chance.
  static int scaled(int least);
  // The same for every run, unless PARTYWALL_SEED says otherwise.
  static uint64_t seed();

 private:
  Observation send(const DicePacket& packet);
  Observation send_damaged(Dice& dice, const DicePacket& packet);
  Observation call(abi::hook hook, const DicePacket& packet, bool mapped);

  DicePolicy text_;
};

}  // namespace partywall::test

#endif

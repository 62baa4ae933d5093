// tests/bpf/edge_differential.h: the programs of the edge and the model are shown the same
// frames.
#ifndef PARTYWALL_TESTS_BPF_EDGE_DIFFERENTIAL_H
#define PARTYWALL_TESTS_BPF_EDGE_DIFFERENTIAL_H

#include <memory>
#include <string>
#include <vector>

#include "tests/bpf/edge_frames.h"
#include "tests/bpf/edge_model.h"
#include "tests/bpf/edge_world.h"

namespace partywall::test {

// One frame, and what the programs made of it.
struct EdgeStep {
  EdgeFrame frame;
  uint32_t shapes = 0;
  ModelSender sender;
  std::set<std::string> full;  // whose tables of flows were full
  std::string filled;          // whose table was filled just before, with somebody else's flows
  EdgeOutcome outcome;
  uint64_t unbound = 0;  // what health.unbound_total grew by
};

// Interfaces 0 to 3 are workloads', 4 is an uplink, 5 nobody has looked at.
class EdgeDifferential : public EdgeWorld {
 protected:
  static constexpr int kUplink = 4;
  static constexpr int kNotLookedAt = 5;

  void SetUp() override;

  // Puts a random policy into force, and the interfaces at a new start.
  void roll_policy(Dice& dice);
  // Frames at all interfaces, from `count` frames of each of some senders.
  std::vector<EdgeStep> show(Dice& dice, int count);
  // A frame of that shape at interface 0 that passes; what came before it is checked, too.
  std::optional<EdgeStep> show_passing(Dice& dice, Shape shape, EdgeModel& model);
  // One frame of whoever this process is now.
  EdgeStep show(EdgeFrame frame, ModelSender sender);

  // What the programs and a model make of a step differently, in words; nothing when they
  // agree. The model notes what the frame changes.
  std::string disagreement(EdgeModel& model, const EdgeStep& step) const;

  // The model of what was rolled last, before the first frame.
  const EdgeModel& model() const { return *model_; }
  std::string text() const { return text_.documents + text_.config; }

 private:
  EdgeFrame framed(Dice& dice, RolledFrame rolled, int at);

  DicePolicy text_;
  std::unique_ptr<EdgeModel> model_;
  std::vector<std::unique_ptr<FrameDice>> frames_;
  std::set<std::string> full_;
};

// The reference lets loopback addresses pass; on a wire they are the world's. And 0.0.0.0 is
// nobody's but who asks for an address: the keys of flows to it are not exact.
bool is_left_out(const EdgeWire& wire);
std::string to_hex(const std::vector<uint8_t>& bytes);
const char* label_of(abi::reason reason);

}  // namespace partywall::test

#endif

// tests/bpf/edge_differential_test.cc: random frames through the programs of the edge and
// through the model, which must agree on every one. PARTYWALL_FUZZ_SECONDS (60) says for how
// long, PARTYWALL_ROUNDS instead for how many policies, PARTYWALL_SEED asks others.
#include "tests/bpf/edge_differential.h"

#include <array>
#include <chrono>
#include <cstdlib>

namespace partywall::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMostShown = 5;
constexpr int kFrames = 1200;  // of each sender under one policy

uint64_t number_from(const char* variable, uint64_t usual) {
  const char* text = std::getenv(variable);

  return text ? std::strtoull(text, nullptr, 10) : usual;
}

class EdgeDifferentialTest : public EdgeDifferential {
 protected:
  // False when that is enough.
  bool check(const std::vector<EdgeStep>& steps) {
    EdgeModel model = this->model();

    for (const EdgeStep& step : steps) {
      asked_++;
      for (const EdgeCell& cell : step.outcome.cells) produced_[cell.reason]++;
      for (size_t shape = 0; shape < shapes_.size(); shape++) {
        bool passed = step.outcome.verdict == kNext;

        shapes_[shape][passed] += step.shapes >> shape & 1;
      }

      std::string wrong = disagreement(model, step);

      if (wrong.empty()) continue;
      ADD_FAILURE() << wrong << text();
      if (++wrong_ == kMostShown) return false;
      return true;  // what follows may be wrong because of this one
    }
    return true;
  }

  std::array<int, abi::REASON_COUNT> produced_{};
  std::array<std::array<int, 2>, static_cast<size_t>(Shape::COUNT)> shapes_{};
  uint64_t asked_ = 0;
  int wrong_ = 0;
};

TEST_F(EdgeDifferentialTest, FramesAreJudgedAsTheModelSays) {
  uint64_t seed = number_from("PARTYWALL_SEED", 1);
  uint64_t rounds = number_from("PARTYWALL_ROUNDS", 0);
  auto start = Clock::now();
  auto until = start + std::chrono::seconds(number_from("PARTYWALL_FUZZ_SECONDS", 60));
  uint64_t round = 0;

  fmt::print("PARTYWALL_SEED={}\n", seed);
  // Each round has a seed of its own, so that the one that fails can be asked for alone.
  for (; rounds ? round < rounds : Clock::now() < until; round++) {
    Dice dice(seed + round);

    roll_policy(dice);
    ASSERT_FALSE(HasFatalFailure());
    if (!check(show(dice, kFrames))) break;
    if (wrong_) fmt::print("wrong with PARTYWALL_SEED={} PARTYWALL_ROUNDS=1\n", seed + round);
  }

  double seconds = std::chrono::duration<double>(Clock::now() - start).count();

  fmt::print("{} frames under {} policies in {:.1f} s, {:.0f} a second\n", asked_, round,
             seconds, static_cast<double>(asked_) / seconds);
  if (rounds && rounds < 10) return;  // one round is for looking at it

  // What this has been about: enough of each reason, and each shape both ways.
  static constexpr const char* kShapes[] = {
#define X(name) #name,
      PARTYWALL_FRAME_SHAPES(X)
#undef X
  };

  for (int reason = 0; reason < abi::REASON_FIRST_LIMIT; reason++) {
    if (reason == abi::REASON_ALLOW_LOOPBACK || reason == abi::REASON_DENY_PORT_OWNED) continue;
    fmt::print("  {:24} {}\n", label_of(static_cast<abi::reason>(reason)),
               produced_[static_cast<size_t>(reason)]);
    EXPECT_GE(produced_[static_cast<size_t>(reason)], 20)
        << label_of(static_cast<abi::reason>(reason));
  }
  for (size_t shape = 0; shape < shapes_.size(); shape++) {
    fmt::print("  {:24} {} passed, {} dropped\n", kShapes[shape], shapes_[shape][1],
               shapes_[shape][0]);
    EXPECT_GE(shapes_[shape][0], 100) << kShapes[shape];
    EXPECT_GE(shapes_[shape][1], 20) << kShapes[shape];
  }
}

// Each byte of a frame that passes takes each value, and the frame ends at each byte.
TEST_F(EdgeDifferentialTest, EachByteOfAHeaderIsReadAsTheModelReadsIt) {
  static constexpr Shape kFrom[] = {Shape::PLAIN,      Shape::REPLY, Shape::FIRST_FRAGMENT,
                                    Shape::ICMP_ERROR, Shape::ARP,   Shape::LATER_FRAGMENT,
                                    Shape::NEIGHBOR,   Shape::DHCP,  Shape::EXTENSIONS,
                                    Shape::VLAN,       Shape::TUNNEL};
  constexpr size_t kBytes = 14 + 8 + 60;  // what is beyond is payload
  uint64_t seed = number_from("PARTYWALL_SEED", 1);

  for (Shape shape : kFrom) {
    std::unique_ptr<EdgeModel> model;
    std::optional<EdgeStep> from;

    // Not under each policy a frame of each shape passes.
    for (int tries = 0; tries < 50 && !from && wrong_ == 0; tries++) {
      Dice dice(seed++);

      roll_policy(dice);
      ASSERT_FALSE(HasFatalFailure());
      model = std::make_unique<EdgeModel>(this->model());
      // Nearly each change of an address or a port is a flow.
      for (const std::string& tenant : model->with_table) make_flows(tenant, 16'384);
      from = show_passing(dice, shape, *model);
    }
    ASSERT_TRUE(from) << "no frame passes of shape " << static_cast<int>(shape);

    auto ask = [&](std::vector<uint8_t> bytes) {
      EdgeFrame frame = from->frame;

      frame.bytes = std::move(bytes);
      if (is_left_out(read_frame(frame.bytes))) return;
      asked_++;

      std::string wrong = disagreement(*model, show(std::move(frame), {}));

      if (wrong.empty() || ++wrong_ > kMostShown) return;
      ADD_FAILURE() << wrong << text();
    };

    ASSERT_FALSE(HasFailure());
    for (size_t at = 0; at < std::min(from->frame.bytes.size(), kBytes); at++)
      for (int value = 0; value < 256 && wrong_ < kMostShown; value++) {
        std::vector<uint8_t> bytes = from->frame.bytes;

        bytes[at] = static_cast<uint8_t>(value);
        ask(std::move(bytes));
      }
    // Behind a VLAN tag, where BPF_PROG_TEST_RUN takes half a header.
    for (size_t size = 14; size <= from->frame.bytes.size(); size++) {
      std::vector<uint8_t> bytes = from->frame.bytes;

      bytes.resize(size);
      bytes.insert(bytes.begin() + 12, {0x81, 0x00, 0x00, 0x01});
      ask(std::move(bytes));
    }
  }
  fmt::print("{} frames\n", asked_);
  EXPECT_GE(asked_, 100'000u);
}

// What the model, or a program, could have got wrong. Each must be found.
struct Mistake {
  const char* what;
  bool ModelMistakes::*made;
};

constexpr Mistake kMistakes[] = {
    {"flows are forgotten", &ModelMistakes::forgets_flows},
    {"flows go both ways", &ModelMistakes::ignores_direction_of_flows},
    {"fragments pass alone", &ModelMistakes::ignores_fragments},
    {"marks are not looked at", &ModelMistakes::ignores_marks},
    {"link addresses are not looked at", &ModelMistakes::ignores_link_addresses},
    {"words about the link go anywhere", &ModelMistakes::ignores_link_scope},
    {"what an error quotes is not looked at", &ModelMistakes::ignores_quotes},
    {"every interface is strict", &ModelMistakes::ignores_strictness},
    {"unknown interfaces are known", &ModelMistakes::ignores_unknown_interfaces},
    {"what sockets sent is counted twice", &ModelMistakes::ignores_charges},
    {"tables are never full", &ModelMistakes::ignores_full_tables},
};

TEST_F(EdgeDifferentialTest, AMistakeWouldBeFound) {
  std::array<int, std::size(kMistakes)> found{};

  for (uint64_t round = 0; round < 8; round++) {
    Dice dice(1000 + round);

    roll_policy(dice);
    ASSERT_FALSE(HasFatalFailure());

    std::vector<EdgeStep> steps = show(dice, kFrames);

    ASSERT_TRUE(check(steps));
    for (size_t i = 0; i < std::size(kMistakes); i++) {
      EdgeModel wrong = model();

      wrong.mistakes.*kMistakes[i].made = true;
      for (const EdgeStep& step : steps) found[i] += !disagreement(wrong, step).empty();
    }
  }
  for (size_t i = 0; i < std::size(kMistakes); i++) EXPECT_GT(found[i], 0) << kMistakes[i].what;
}

}  // namespace
}  // namespace partywall::test

// tests/unit/suggest_test.cc: what somebody meant who wrote a name that there is not. No I/O.
#include "agent/policy/suggest.h"

#include <gtest/gtest.h>

namespace partywall::policy {
namespace {

std::string meant(std::string_view written) {
  return did_you_mean(written, {"egress", "ingress", "packetsPerSecond", "db", "gold"});
}

TEST(Suggest, TheNearestName) {
  EXPECT_EQ(", did you mean egress?", meant("egres"));
  EXPECT_EQ(", did you mean egress?", meant("egresss"));
  EXPECT_EQ(", did you mean egress?", meant("egriss"));
  EXPECT_EQ(", did you mean egress?", meant("Egress"));
  EXPECT_EQ(", did you mean ingress?", meant("inggress"));
  EXPECT_EQ(", did you mean packetsPerSecond?", meant("packets_per_second"));
  EXPECT_EQ(", did you mean db?", meant("dbb"));
  EXPECT_EQ(", did you mean db?", meant("d"));
  EXPECT_EQ(", did you mean gold?", meant("gild"));
}

TEST(Suggest, NothingThatIsFar) {
  EXPECT_EQ("", meant("syscalls"));
  EXPECT_EQ("", meant("xy"));
  EXPECT_EQ("", meant("silver"));
  EXPECT_EQ("", meant(""));
  EXPECT_EQ("", did_you_mean("gold", {}));
  EXPECT_EQ("", did_you_mean("gold", {""}));
}

TEST(Suggest, LongNamesAreNotCompared) {
  std::string name(64, 'a');

  EXPECT_EQ(", did you mean " + name + "?", did_you_mean(name.substr(1), {name}));
  EXPECT_EQ("", did_you_mean(name + "a", {name}));
  EXPECT_EQ("", did_you_mean(name, {name + "a"}));
  EXPECT_EQ("", did_you_mean(std::string(1'000'000, 'a'), {name}));
}

TEST(Suggest, TheFirstOfTwoThatAreAsNear) {
  EXPECT_EQ(", did you mean cat?", did_you_mean("hat", {"cat", "bat"}));
}

}  // namespace
}  // namespace partywall::policy

// tests/unit/daemon_set_test.cc: when a change of a DaemonSet is on every node, by its status.
#include "agent/source/kubernetes/daemon_set.h"

#include <gtest/gtest.h>

namespace partywall::kubernetes {
namespace {

std::string with(int generation, int observed, int nodes, int changed, int ready) {
  return fmt::format(
      R"({{"metadata":{{"generation":{}}},"status":{{"observedGeneration":{},"desiredNumberScheduled":{},)"
      R"("updatedNumberScheduled":{},"numberReady":{}}}}})",
      generation, observed, nodes, changed, ready);
}

bool is_done(const std::string& body) {
  auto state = rollout_state(body);

  return state && state->is_done();
}

TEST(DaemonSetTest, IsDoneOnceEveryNodeHasAReadyPodOfTheNewestTemplate) {
  EXPECT_TRUE(is_done(with(2, 2, 3, 3, 3)));
  EXPECT_TRUE(is_done(with(2, 2, 0, 0, 0)));   // a cluster without nodes
  EXPECT_FALSE(is_done(with(2, 1, 3, 3, 3)));  // the status is still of the template before
  EXPECT_FALSE(is_done(with(2, 2, 3, 2, 3)));
  EXPECT_FALSE(is_done(with(2, 2, 3, 3, 2)));
}

TEST(DaemonSetTest, IsNotDoneWhenTheStatusSaysNothing) {
  EXPECT_FALSE(is_done("{}"));
  EXPECT_FALSE(is_done(R"({"metadata":{"generation":1}})"));
  EXPECT_FALSE(rollout_state("<html>"));
}

TEST(DaemonSetTest, NamesAreANamespaceAndAName) {
  auto name = parse_daemon_set_name("tools/partywall");

  ASSERT_TRUE(name);
  EXPECT_EQ("tools", name->space);
  EXPECT_EQ("partywall", name->name);
  for (const char* wrong :
       {"", "/", "a/", "/a", "a", "a/b/c", "a/../b", "a/..", "a/b?x=1", "A/b"})
    EXPECT_FALSE(parse_daemon_set_name(wrong)) << wrong;
}

}  // namespace
}  // namespace partywall::kubernetes

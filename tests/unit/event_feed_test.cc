// tests/unit/event_feed_test.cc: which lines are kept, and who is handed them. No I/O.
#include "agent/observe/event_feed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace partywall::observe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class EventFeedTest : public testing::Test {
 protected:
  void publish(const std::string& tenant, size_t count) {
    for (size_t i = 0; i < count; i++)
      feed_.publish(tenant, fmt::format("{} {}", tenant, number_++));
  }

  SelfMetrics metrics_;
  EventFeed feed_{metrics_};
  size_t number_ = 0;
};

TEST_F(EventFeedTest, NothingAtFirst) {
  EXPECT_THAT(feed_.recent(""), IsEmpty());
  EXPECT_THAT(feed_.recent("a"), IsEmpty());
}

TEST_F(EventFeedTest, OldestFirstOfOneOrOfAll) {
  publish("b", 1);
  publish("a", 1);
  publish("b", 1);
  publish("", 1);  // nobody's
  EXPECT_THAT(feed_.recent(""), ElementsAre("b 0", "a 1", "b 2", " 3"));
  EXPECT_THAT(feed_.recent("b"), ElementsAre("b 0", "b 2"));
  EXPECT_THAT(feed_.recent("c"), IsEmpty());
}

TEST_F(EventFeedTest, AFloodHidesNobody) {
  publish("quiet", 3);
  publish("loud", 100'000);
  EXPECT_THAT(feed_.recent("quiet"), ElementsAre("quiet 0", "quiet 1", "quiet 2"));

  auto loud = feed_.recent("loud");

  ASSERT_THAT(loud, SizeIs(kRecentPerTenant));
  EXPECT_EQ("loud 100002", loud.back());
}

TEST_F(EventFeedTest, TheOldestOfAllGoWhenTheyAreTooMany) {
  publish("first", 2);
  for (size_t tenant = 0; tenant < kRecentInAll / kRecentPerTenant; tenant++)
    publish(fmt::format("t{}", tenant), kRecentPerTenant - 1);
  publish("fill", 98);
  EXPECT_THAT(feed_.recent(""), SizeIs(kRecentInAll));
  EXPECT_THAT(feed_.recent("first"), SizeIs(2));

  publish("last", 1);
  EXPECT_THAT(feed_.recent("first"), ElementsAre("first 1"));
  publish("last", 1);
  EXPECT_THAT(feed_.recent("first"), IsEmpty());
  publish("last", 1);
  EXPECT_THAT(feed_.recent("t0"), SizeIs(kRecentPerTenant - 2));
  EXPECT_THAT(feed_.recent(""), SizeIs(kRecentInAll));
}

TEST_F(EventFeedTest, FollowersGetTheirTenantsLinesUntilTheyLeave) {
  std::vector<std::string> all;
  std::vector<std::string> of_a;

  publish("a", 1);
  auto first = feed_.subscribe("", [&](const std::string& line) { all.push_back(line); });
  auto second = feed_.subscribe("a", [&](const std::string& line) { of_a.push_back(line); });

  EXPECT_NE(first, second);
  publish("a", 1);
  publish("b", 1);
  feed_.unsubscribe(first);
  publish("a", 1);
  feed_.unsubscribe(second);
  feed_.unsubscribe(second);
  publish("a", 1);
  EXPECT_THAT(all, ElementsAre("a 1", "b 2"));
  EXPECT_THAT(of_a, ElementsAre("a 1", "a 3"));
}

TEST_F(EventFeedTest, WhatAReaderLostIsCounted) {
  EXPECT_THAT(metrics_.text(), Not(HasSubstr("partywall_event_lines_lost_total{")));
  feed_.lost_by_reader();
  feed_.lost_by_reader();
  EXPECT_THAT(metrics_.text(),
              HasSubstr("partywall_event_lines_lost_total{sink=\"reader\"} 2\n"));
}

}  // namespace
}  // namespace partywall::observe

// tests/unit/event_view_test.cc: what a tenant reads of an event of its own, and of another's.
#include "agent/observe/event_view.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace partywall::observe {
namespace {

std::string event(const char* tenant, const char* peer) {
  return fmt::format(
      R"({{"schema_version":1,"tenant":{},"class":"other_tenant","peer_address":"10.2.0.2",)"
      R"("peer_port":80,"peer_tenant":{},"command":"b\"\\"}})",
      tenant, peer);
}

TEST(EventViewTest, AnotherTenantIsNotNamed) {
  EXPECT_EQ(event(R"("acme")", "null"), own_event(event(R"("acme")", R"("data")"), "acme"));
}

TEST(EventViewTest, EverythingElseIsAsItWas) {
  for (const char* peer : {R"("acme")", R"("infrastructure")", R"("unassigned")", "null"})
    EXPECT_EQ(event(R"("acme")", peer), own_event(event(R"("acme")", peer), "acme")) << peer;
}

TEST(EventViewTest, AnothersEventIsNone) {
  EXPECT_EQ("", own_event(event(R"("data")", R"("acme")"), "acme"));
  EXPECT_EQ("", own_event(event("null", R"("acme")"), "acme"));
  EXPECT_EQ("", own_event("{", "acme"));
  EXPECT_EQ("", own_event("[]", "acme"));
}

}  // namespace
}  // namespace partywall::observe

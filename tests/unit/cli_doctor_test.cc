// tests/unit/cli_doctor_test.cc: findings, their exit code and their advice; which cgroups
// nobody claims.
#include <gtest/gtest.h>

#include "tools/cli/agent_findings.h"
#include "tools/cli/doctor_report.h"
#include "tools/cli/event_text.h"
#include "tools/cli/node_cgroups.h"

namespace partywall::cli {
namespace {

TEST(CliDoctor, TheWorstFindingIsTheExitCode) {
  Finding ok{.check = "a"}, warn{Health::kWarn, "b", "", ""}, fail{Health::kFail, "c", "", ""};

  EXPECT_EQ(0, exit_of({}));
  EXPECT_EQ(0, exit_of({ok, ok}));
  EXPECT_EQ(1, exit_of({ok, warn}));
  EXPECT_EQ(2, exit_of({warn, fail, ok}));
}

TEST(CliDoctor, AdviceFollowsTheTableOnce) {
  EXPECT_EQ(
      "RESULT  CHECK   FOUND\n"
      "ok      kernel  6.18\n"
      "FAIL    bpffs   none\n"
      "\n"
      "What to do\n"
      "  bpffs: mount it\n"
      "\n"
      "2 checks: 1 ok, 0 warn, 1 FAIL\n",
      report_text({{.check = "kernel", .detail = "6.18", .next = "never shown"},
                   {Health::kFail, "bpffs", "none", "mount it"}},
                  false));
}

TEST(CliDoctor, AMapWarnsBeforeItIsFull) {
  EXPECT_EQ(Health::kOk, pressure_finding("pairs", 80, 100).health);
  EXPECT_EQ(Health::kWarn, pressure_finding("pairs", 81, 100).health);
  EXPECT_EQ(Health::kFail, pressure_finding("pairs", 100, 100).health);
  EXPECT_EQ("81 of 100 entries (81%)", pressure_finding("pairs", 81, 100).detail);
}

TEST(CliDoctor, ARefusedPolicyFolderWarns) {
  EXPECT_EQ(Health::kOk, agent_findings({{"problems", Json::array()}}).front().health);
  EXPECT_EQ(Health::kWarn, agent_findings({{"problems", {"a.yaml:1:1: bad"}}}).front().health);
  EXPECT_EQ(Health::kWarn,
            agent_findings({{"policy", {{"problems", {"a.yaml:1:1: bad"}}}}}).front().health);
}

TEST(CliEvents, OneLineSaysWhoWhatWhomAndWhy) {
  EXPECT_EQ(
      "2026-01-02T03:04:05.678Z  acme  deny connect  tcp 10.1.0.9 -> 10.2.0.7:80 (beta)  "
      "tenant_floor (no rule lets these two tenants talk)  by curl[77]",
      event_text(R"({"time":"2026-01-02T03:04:05.678Z","tenant":"acme","verdict":"deny",)"
                 R"("hook":"connect","direction":"egress","protocol":"tcp",)"
                 R"("local_address":"10.1.0.9","local_port":0,"peer_address":"10.2.0.7",)"
                 R"("peer_port":80,"peer_tenant":"beta","reason":"tenant_floor",)"
                 R"("command":"curl","pid":77})",
                 false));
  EXPECT_EQ("no json", event_text("no json", false));
}

TEST(CliCgroups, OnlyPopulatedStraysAreUnclassified) {
  std::vector<NodeCgroup> cgroups = {
      {"/t", 0, true},             // the managed root
      {"/t/acme", 1, true},        // a tenant
      {"/t/acme/web", 1, true},    //
      {"/t/empty", 0, false},      // nothing runs there
      {"/t/group", 0, true},       // a folder on the way to a tenant
      {"/t/group/beta", 2, true},  //
      {"/t/groupie", 0, true},     // no such folder, whatever its name begins with
      {"/t/stray", 0, true},       //
  };

  EXPECT_EQ((std::vector<std::string>{"/t/groupie", "/t/stray"}), unclassified(cgroups));
  EXPECT_EQ((std::vector<NodeCgroup>{{"/t/acme", 1, true}}), topmost_of(cgroups, 1));
  EXPECT_TRUE(unclassified({}).empty());
}

}  // namespace
}  // namespace partywall::cli

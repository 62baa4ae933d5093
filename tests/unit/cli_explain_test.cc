// tests/unit/cli_explain_test.cc: every word that `explain` says, on policies written as
// operators write them.
#include <gtest/gtest.h>

#include <memory>

#include "agent/policy/parse.h"
#include "tools/cli/explain_flow.h"
#include "tools/cli/explain_text.h"

namespace partywall::cli {
namespace {

constexpr const char* kPolicy = R"(apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: gold}
spec:
  limits:
    egress: {ceiling: 200Mbit, burst: 256Ki}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  tier: gold
  members:
    - cgroup: /tenants.slice/acme.slice
      addresses: [10.1.0.0/24]
  network:
    egress:
      - to: [{tenant: db}]
        ports: [{protocol: TCP, port: 5432}]
      - to: [{cidr: 192.0.2.0/24}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: db}
spec:
  tier: gold
  members:
    - cgroup: /tenants.slice/db.slice
      addresses: [10.2.0.0/24]
  network:
    ingress:
      - from: [{tenant: acme}]
        ports: [{protocol: TCP, port: 5432}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: beta}
spec:
  tier: gold
  mode: audit
  members:
    - cgroup: /tenants.slice/beta.slice
)";

class CliExplain : public testing::Test {
 protected:
  CliExplain() {
    auto file =
        std::make_shared<policy::ParsedFile>(policy::parse_file("tenants.yaml", kPolicy));

    parsed_ = policy::assemble({file}, {}, "");
    for (const auto& problem : parsed_.problems) ADD_FAILURE() << policy::to_string(problem);
  }

  std::string explain(const std::string& from, const std::string& to,
                      std::optional<uint16_t> port = std::nullopt,
                      policy::Protocol protocol = policy::Protocol::kTcp) {
    auto flow = explain_flow(parsed_.policy, {from, to, protocol, port});

    if (!flow) return flow.error().message();
    passes_ = flow->passes();
    return explain_text(parsed_.policy, *flow, false);
  }

  policy::ParsedPolicy parsed_;
  bool passes_ = false;
};

TEST_F(CliExplain, AllowedByARuleOnEachSide) {
  EXPECT_EQ("", explain("acme", "db", 5432));
  EXPECT_TRUE(passes_);
}

TEST_F(CliExplain, DeniedByTheFloorNamesBothMissingRules) {
  EXPECT_EQ("", explain("db", "acme", 80));
  EXPECT_FALSE(passes_);
}

TEST_F(CliExplain, DeniedOnThisPortPointsAtTheRules) {
  EXPECT_EQ("", explain("acme", "db", 22));
  EXPECT_FALSE(passes_);
}

TEST_F(CliExplain, WithoutAPortItSaysWhichAreOpen) { EXPECT_EQ("", explain("acme", "db")); }

TEST_F(CliExplain, ToTheWorldByRange) { EXPECT_EQ("", explain("acme", "192.0.2.7", 443)); }

TEST_F(CliExplain, TheWorldIsDeniedByTheTiersDefault) {
  EXPECT_EQ("", explain("world", "acme", 80));
}

TEST_F(CliExplain, ATenantWithoutAddressesIsAskedForOverLoopback) {
  EXPECT_EQ("", explain("acme", "beta", 80));
}

TEST_F(CliExplain, NobodyJudgesWhatNoTenantSends) {
  EXPECT_EQ("", explain("world", "203.0.113.9", 80));
}

TEST_F(CliExplain, UnknownNamesAreRefusedWithWhatIsAccepted) {
  EXPECT_EQ(
      "read --to: nobody: no tenant of this policy and no address; write a tenant's name, an "
      "address like 10.1.0.9 or fd00::9, world, or host",
      explain("acme", "nobody", 80));
  EXPECT_EQ(
      "explain 10.1.0.9 to fd00::1: one is IPv4, the other IPv6; ask about two of one family",
      explain("10.1.0.9", "fd00::1", 80));
}

}  // namespace
}  // namespace partywall::cli

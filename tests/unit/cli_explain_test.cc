// tests/unit/cli_explain_test.cc: every word that `explain` says, on policies written as
// operators write them.
#include <gtest/gtest.h>

#include <optional>

#include "agent/policy/policy.h"
#include "tools/cli/explain_flow.h"
#include "tools/cli/explain_text.h"

namespace partywall::cli {
namespace {

using policy::PeerSelector;
using policy::PortRange;
using policy::Prefix;
using policy::Protocol;
using policy::Rule;

policy::Position at(int line, int column = 5) { return {"tenants.yaml", line, column}; }

Prefix range(uint8_t a, uint8_t b, uint8_t c) {
  Prefix prefix{.bits = 24};

  prefix.address.bytes = {a, b, c};
  return prefix;
}

// A small world: acme may ask db on TCP 5432 and reach 192.0.2.0/24; beta has no addresses and
// is in audit mode. All have the tier gold, with 200 Mbit/s out.
class CliExplain : public testing::Test {
 protected:
  CliExplain() {
    policy::Tier gold{.name = "gold", .at = at(1, 1)};

    gold.limits.bytes[abi::DIRECTION_EGRESS] = {at(6, 14), 25'000'000, 262'144};
    policy_.tiers.add(gold);

    std::vector<PortRange> postgres = {{Protocol::kTcp, 5432, 5432}};
    policy::Tenant acme{.name = "acme", .at = at(8, 1), .tier = "gold"};
    policy::Tenant db{.name = "db", .at = at(22, 1), .tier = "gold"};
    policy::Tenant beta{.name = "beta", .at = at(34, 1), .tier = "gold"};

    acme.addresses = {range(10, 1, 0)};
    acme.egress = {Rule{at(18, 9), {PeerSelector{.tenant = "db"}}, postgres},
                   Rule{at(20, 9), {PeerSelector{.cidr = range(192, 0, 2)}}, {}}};
    db.addresses = {range(10, 2, 0)};
    db.ingress = {Rule{at(31, 9), {PeerSelector{.tenant = "acme"}}, postgres}};
    beta.mode = policy::Mode::kAudit;
    for (const policy::Tenant& tenant : {acme, db, beta}) policy_.tenants.add(tenant);
  }

  std::string explain(const std::string& from, const std::string& to,
                      std::optional<uint16_t> port = std::nullopt,
                      policy::Protocol protocol = policy::Protocol::kTcp) {
    auto flow = explain_flow(policy_, {from, to, protocol, port});

    if (!flow) return flow.error().message();
    passes_ = flow->passes();
    return explain_text(policy_, *flow, false);
  }

  policy::Policy policy_;
  bool passes_ = false;
};

TEST_F(CliExplain, AllowedByARuleOnEachSide) {
  EXPECT_EQ(
      "allow: acme -> db, TCP port 5432\n"
      "\n"
      "SIDE           TENANT  VERDICT  REASON        DECIDED BY\n"
      "egress         acme    allow    tenant_rule   tenants.yaml:18:9\n"
      "ingress        db      allow    tenant_rule   tenants.yaml:31:9\n"
      "reply egress   db      allow    tenant_reply  what opened the flow\n"
      "reply ingress  acme    allow    tenant_reply  what opened the flow\n"
      "\n"
      "tenant_rule: the sender's egress and the receiver's ingress rules both allow it\n"
      "tenant_reply: reply to a flow that the rules allow\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  acme    200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n",
      explain("acme", "db", 5432));
  EXPECT_TRUE(passes_);
}

TEST_F(CliExplain, DeniedByTheFloorNamesBothMissingRules) {
  EXPECT_EQ(
      "deny: db -> acme, TCP port 80\n"
      "\n"
      "SIDE     TENANT  VERDICT  REASON        DECIDED BY\n"
      "egress   db      deny     tenant_floor  the floor between tenants\n"
      "ingress  acme    deny     tenant_floor  the floor between tenants\n"
      "reply            -                      nothing arrives that could be answered\n"
      "\n"
      "tenant_floor: no rule lets these two tenants talk\n"
      "\n"
      "To allow it, add\n"
      "  tenants.yaml:22:1: tenant db, spec.network.egress:\n"
      "    - {to: [{tenant: acme}], ports: [{protocol: TCP, port: 80}]}\n"
      "  tenants.yaml:8:1: tenant acme, spec.network.ingress:\n"
      "    - {from: [{tenant: db}], ports: [{protocol: TCP, port: 80}]}\n"
      "note: db has no egress list yet, so its tier lets it talk with the world; a list "
      "replaces that\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  db      200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n",
      explain("db", "acme", 80));
  EXPECT_FALSE(passes_);
}

TEST_F(CliExplain, DeniedOnThisPortPointsAtTheRules) {
  EXPECT_EQ(
      "deny: acme -> db, TCP port 22\n"
      "\n"
      "SIDE     TENANT  VERDICT  REASON       DECIDED BY\n"
      "egress   acme    deny     tenant_port  ports of the rules\n"
      "ingress  db      deny     tenant_port  ports of the rules\n"
      "reply            -                     nothing arrives that could be answered\n"
      "\n"
      "tenant_port: rules let these two tenants talk, but not on this protocol and port\n"
      "\n"
      "To allow it, add\n"
      "  tenants.yaml:18:9: tenant acme, ports of this egress rule:\n"
      "    - {protocol: TCP, port: 22}\n"
      "  tenants.yaml:31:9: tenant db, ports of this ingress rule:\n"
      "    - {protocol: TCP, port: 22}\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  acme    200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n",
      explain("acme", "db", 22));
  EXPECT_FALSE(passes_);
}

TEST_F(CliExplain, WithoutAPortItSaysWhichAreOpen) {
  EXPECT_EQ(
      "allow: acme -> db, TCP on 5432 only\n"
      "\n"
      "SIDE           TENANT  VERDICT  REASON        DECIDED BY\n"
      "egress         acme    allow    tenant_rule   tenants.yaml:18:9\n"
      "ingress        db      allow    tenant_rule   tenants.yaml:31:9\n"
      "reply egress   db      allow    tenant_reply  what opened the flow\n"
      "reply ingress  acme    allow    tenant_reply  what opened the flow\n"
      "\n"
      "tenant_rule: the sender's egress and the receiver's ingress rules both allow it\n"
      "tenant_reply: reply to a flow that the rules allow\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  acme    200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n",
      explain("acme", "db"));
}

TEST_F(CliExplain, ToTheWorldByRange) {
  EXPECT_EQ(
      "allow: acme -> 192.0.2.7, TCP port 443\n"
      "\n"
      "SIDE           TENANT  VERDICT  REASON       DECIDED BY\n"
      "egress         acme    allow    world        tenants.yaml:20:9\n"
      "reply ingress  acme    allow    world_reply  what opened the flow\n"
      "\n"
      "world: the tenant's rules or its tier's default allow it\n"
      "world_reply: reply to a flow that the rules allow\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  acme    200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n",
      explain("acme", "192.0.2.7", 443));
}

TEST_F(CliExplain, TheWorldIsDeniedByTheTiersDefault) {
  EXPECT_EQ(
      "deny: world -> acme, TCP port 80\n"
      "\n"
      "SIDE     TENANT  VERDICT  REASON  DECIDED BY\n"
      "ingress  acme    deny     world   default of tier gold (tenants.yaml:1:1)\n"
      "reply            -                nothing arrives that could be answered\n"
      "\n"
      "world: no rule lets the tenant talk with this address\n"
      "\n"
      "To allow it, add\n"
      "  tenants.yaml:8:1: tenant acme, spec.network.ingress:\n"
      "    - {from: [{cidr: 0.0.0.0/0}], ports: [{protocol: TCP, port: 80}]}\n"
      "\n"
      "No limit applies.\n"
      "\n"
      "note: the world is asked for as 192.0.2.1; give an address to ask about it\n",
      explain("world", "acme", 80));
}

TEST_F(CliExplain, ATenantWithoutAddressesIsAskedForOverLoopback) {
  EXPECT_EQ(
      "deny: acme -> beta, TCP port 80\n"
      "\n"
      "SIDE           TENANT  VERDICT     REASON        DECIDED BY\n"
      "egress         acme    allow       loopback      the receiver\n"
      "ingress        beta    would deny  tenant_floor  the floor between tenants\n"
      "reply egress   beta    allow       loopback      the receiver\n"
      "reply ingress  acme    deny        tenant_floor  the floor between tenants\n"
      "\n"
      "loopback: judged where it is received\n"
      "tenant_floor: no rule lets these two tenants talk\n"
      "\n"
      "To allow it, add\n"
      "  tenants.yaml:8:1: tenant acme, spec.network.egress:\n"
      "    - {to: [{tenant: beta}], ports: [{protocol: TCP, port: 80}]}\n"
      "  tenants.yaml:34:1: tenant beta, spec.network.ingress:\n"
      "    - {from: [{tenant: acme}], ports: [{protocol: TCP, port: 80}]}\n"
      "\n"
      "LIMIT   TENANT          RATE      BURST  FROM\n"
      "egress  acme    200.0 Mbit/s  256.0 KiB  tier gold (tenants.yaml:6:14)\n"
      "\n"
      "note: beta declares no addresses (spec.members[].addresses), so this is what holds over "
      "loopback, where cgroups are known; from another network namespace it would be judged as "
      "the world\n",
      explain("acme", "beta", 80));
}

TEST_F(CliExplain, NobodyJudgesWhatNoTenantSends) {
  EXPECT_EQ(
      "not judged: world -> 203.0.113.9, TCP port 80\n"
      "\n"
      "Neither end is a tenant; Partywall leaves such traffic alone.\n",
      explain("world", "203.0.113.9", 80));
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

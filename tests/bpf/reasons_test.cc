// tests/bpf/reasons_test.cc: a packet for every reason the packet programs can give.
#include <algorithm>

#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

using abi::REASON_ALLOW_HOST_PROCESS;
using abi::REASON_ALLOW_INFRASTRUCTURE;
using abi::REASON_ALLOW_LOOPBACK;
using abi::REASON_ALLOW_SAME_TENANT;
using abi::REASON_ALLOW_TENANT_REPLY;
using abi::REASON_ALLOW_TENANT_RULE;
using abi::REASON_ALLOW_WORLD;
using abi::REASON_ALLOW_WORLD_REPLY;
using abi::REASON_DENY_EXTENSION_HEADER;
using abi::REASON_DENY_FRAGMENT;
using abi::REASON_DENY_IP_OPTIONS;
using abi::REASON_DENY_MALFORMED;
using abi::REASON_DENY_MULTICAST;
using abi::REASON_DENY_PROTOCOL;
using abi::REASON_DENY_SOURCE;
using abi::REASON_DENY_TENANT;
using abi::REASON_DENY_TENANT_PORT;
using abi::REASON_DENY_TUNNEL;
using abi::REASON_DENY_UNKNOWN_CGROUP;
using abi::REASON_DENY_WORLD;
using abi::REASON_DENY_WORLD_PORT;

constexpr uint32_t kStamp = 0x50570000;

// Three tenants: web may open TCP 5432 and UDP 53 to db; guest has no rules at all.
constexpr const char* kPolicy = R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: gold}
spec: {}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: web}
spec:
  tier: gold
  members:
    - {cgroup: $ROOT/web, addresses: [10.77.1.0/24, "fd77:1::/64"]}
  network:
    egress:
      - to: [{tenant: db}]
        ports: [{protocol: TCP, port: 5432}, {protocol: UDP, port: 53}]
      - to: [{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}, {cidr: "::/0"}]
      - to: [{cidr: 239.1.2.3/32}]
    ingress:
      - from: [{cidr: 198.51.100.0/24}]
        ports: [{protocol: TCP, port: 443}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: db}
spec:
  tier: gold
  members:
    - {cgroup: $ROOT/db, addresses: [10.77.2.0/24, "fd77:2::/64"]}
  network:
    egress: []
    ingress:
      - from: [{tenant: web}]
        ports: [{protocol: TCP, port: 5432}, {protocol: UDP, port: 53}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: guest}
spec:
  tier: gold
  members:
    - {cgroup: $ROOT/guest, addresses: [10.77.3.0/24]}
)";

constexpr const char* kConfig = R"(
infrastructure:
  - {name: dns, cidr: 10.77.9.53/32, ports: [{protocol: UDP, port: 53}]}
)";

constexpr const char* kWeb = "10.77.1.5";
constexpr const char* kDb = "10.77.2.5";
constexpr const char* kGuest = "10.77.3.5";
constexpr const char* kWorld = "203.0.113.9";
constexpr const char* kWeb6 = "fd77:1::5";
constexpr const char* kDb6 = "fd77:2::5";

class ReasonsTest : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    policy(kPolicy, kConfig);
    for (const char* name : {"web", "db", "guest", "stray"}) make_cgroup(name);
    enter("web");
  }

  static void expect(const Outcome& outcome, abi::reason reason) {
    EXPECT_EQ(reason, outcome.reason);
    EXPECT_EQ(reason < abi::REASON_FIRST_DENY ? 1 : 0, outcome.verdict);
    EXPECT_EQ(1u, outcome.packets);
    EXPECT_FALSE(outcome.would);
  }
};

TEST_F(ReasonsTest, SameTenantMayDoAnything) {
  expect(egress(Packet::syn(kWeb, 40000, "10.77.1.9", 1)), REASON_ALLOW_SAME_TENANT);
  expect(ingress(Packet::syn("10.77.1.9", 40000, kWeb, 1)), REASON_ALLOW_SAME_TENANT);
  expect(egress(Packet::raw(kWeb, "10.77.1.9", 132)), REASON_ALLOW_SAME_TENANT);
  expect(egress(Packet::syn(kWeb6, 40000, "fd77:1::9", 1)), REASON_ALLOW_SAME_TENANT);
}

TEST_F(ReasonsTest, RulesOfBothSidesOpenOnePort) {
  expect(egress(Packet::syn(kWeb, 40000, kDb, 5432)), REASON_ALLOW_TENANT_RULE);
  expect(egress(Packet::syn(kWeb6, 40000, kDb6, 5432)), REASON_ALLOW_TENANT_RULE);
  expect(egress(Packet::syn(kWeb, 40000, kDb, 5433)), REASON_DENY_TENANT_PORT);
  expect(egress(Packet::udp(kWeb, 40000, kDb, 5432)), REASON_DENY_TENANT_PORT);
  expect(egress(Packet::icmp(kWeb, kDb, 8)), REASON_DENY_TENANT_PORT);
  enter("db");
  expect(ingress(Packet::syn(kWeb, 40000, kDb, 5432)), REASON_ALLOW_TENANT_RULE);
  expect(ingress(Packet::syn(kWeb, 40000, kDb, 22)), REASON_DENY_TENANT_PORT);
}

TEST_F(ReasonsTest, NoRuleNoTalk) {
  expect(egress(Packet::syn(kWeb, 40000, kGuest, 80)), REASON_DENY_TENANT);
  expect(ingress(Packet::syn(kGuest, 40000, kWeb, 80)), REASON_DENY_TENANT);
  expect(ingress(Packet::tcp(kGuest, 80, kWeb, 40000)), REASON_DENY_TENANT);
  expect(ingress(Packet::syn(kDb, 40000, kWeb, 443)), REASON_DENY_TENANT);
}

TEST_F(ReasonsTest, RepliesPassAndOpenersDoNot) {
  expect(ingress(Packet::tcp(kDb, 5432, kWeb, 40000, 0x12)), REASON_ALLOW_TENANT_REPLY);
  expect(ingress(Packet::syn(kDb, 5432, kWeb, 22)), REASON_DENY_TENANT);
  expect(ingress(Packet::tcp(kWorld, 443, kWeb, 40000)), REASON_ALLOW_WORLD_REPLY);
  expect(ingress(Packet::icmp(kWorld, kWeb, 0)), REASON_ALLOW_WORLD_REPLY);
  enter("db");
  expect(egress(Packet::tcp(kDb, 5432, kWeb, 40000)), REASON_ALLOW_TENANT_REPLY);
  expect(egress(Packet::syn(kDb, 5432, kWeb, 22)), REASON_DENY_TENANT);
  expect(egress(Packet::udp(kDb, 53, kWeb, 40000)), REASON_ALLOW_TENANT_REPLY);
}

TEST_F(ReasonsTest, WorldFollowsTheLists) {
  expect(egress(Packet::syn(kWeb, 40000, kWorld, 443)), REASON_ALLOW_WORLD);
  expect(egress(Packet::syn(kWeb6, 40000, "2001:db8::1", 443)), REASON_ALLOW_WORLD);
  expect(egress(Packet::syn(kWeb, 40000, "169.254.169.254", 80)), REASON_DENY_WORLD);
  expect(ingress(Packet::syn(kWorld, 40000, kWeb, 443)), REASON_DENY_WORLD);
  expect(ingress(Packet::syn("198.51.100.7", 40000, kWeb, 443)), REASON_ALLOW_WORLD);
  expect(ingress(Packet::syn("198.51.100.7", 40000, kWeb, 80)), REASON_DENY_WORLD_PORT);
  enter("db");
  expect(egress(Packet::syn(kDb, 40000, kWorld, 443)), REASON_DENY_WORLD);
  enter("guest");
  expect(egress(Packet::syn(kGuest, 40000, kWorld, 443)), REASON_ALLOW_WORLD);
}

TEST_F(ReasonsTest, UdpFromTheWorldNeedsAQuestion) {
  // Each run has a socket of its own that has sent nothing; the system tests ask with real
  // ones.
  expect(ingress(Packet::udp(kWorld, 53, kWeb, 40000)), REASON_DENY_WORLD);
  expect(egress(Packet::udp(kWeb, 40000, kWorld, 53)), REASON_ALLOW_WORLD);
}

TEST_F(ReasonsTest, InfrastructureIsForEveryone) {
  enter("db");  // an empty egress list
  expect(egress(Packet::udp(kDb, 40000, "10.77.9.53", 53)), REASON_ALLOW_INFRASTRUCTURE);
  expect(egress(Packet::syn(kDb, 40000, "10.77.9.53", 22)), REASON_DENY_WORLD);
}

TEST_F(ReasonsTest, LoopbackIsJudgedWhereItIsReceived) {
  expect(egress(Packet::syn("127.0.0.1", 40000, "127.0.0.1", 80), kLoopback),
         REASON_ALLOW_LOOPBACK);
  EXPECT_EQ(kStamp | number("web"), last_priority_);
  expect(
      ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 80), kLoopback, kStamp | number("web")),
      REASON_ALLOW_SAME_TENANT);
  expect(ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 80), kLoopback,
                 kStamp | number("guest")),
         REASON_DENY_TENANT);
  expect(ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 80), kLoopback, 0),
         REASON_ALLOW_HOST_PROCESS);
  enter("db");
  expect(ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 5432), kLoopback,
                 kStamp | number("web")),
         REASON_ALLOW_TENANT_RULE);
}

TEST_F(ReasonsTest, AStampFromOutsideMeansNothing) {
  expect(ingress(Packet::syn(kGuest, 1, kWeb, 80), kDevice, kStamp | number("web")),
         REASON_DENY_TENANT);
}

TEST_F(ReasonsTest, UnclaimedCgroupIsDenied) {
  enter("stray");
  expect(egress(Packet::syn("192.0.2.1", 40000, kWorld, 443)), REASON_DENY_UNKNOWN_CGROUP);
  expect(ingress(Packet::tcp(kWorld, 443, "192.0.2.1", 40000)), REASON_DENY_UNKNOWN_CGROUP);
}

TEST_F(ReasonsTest, HowLongACgroupWasExposedIsTold) {
  const char* kTenants = R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: standard}
spec: {}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: early}
spec: {tier: standard, members: [{cgroup: $ROOT/early}]}
)";

  policy(kTenants);
  datapath_->membership().take_exposures();
  make_cgroup("early");
  EXPECT_EQ(1u, datapath_->membership().take_exposures().size());
  // A child has its tenant from its first instruction; and nobody claims the other yet.
  make_cgroup("early/child");
  make_cgroup("late");
  EXPECT_TRUE(datapath_->membership().take_exposures().empty());
  usleep(20'000);
  policy(std::string(kTenants) + R"(---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: late}
spec: {tier: standard, members: [{cgroup: $ROOT/late}]}
)");

  auto exposures = datapath_->membership().take_exposures();

  ASSERT_EQ(1u, exposures.size());
  EXPECT_GE(exposures[0], 0.02);
  EXPECT_LT(exposures[0], 60);
  policy(kTenants);
  EXPECT_TRUE(datapath_->membership().take_exposures().empty());
}

TEST_F(ReasonsTest, SourceMustBeOwn) {
  expect(egress(Packet::udp(kGuest, 1, kWorld, 53)), REASON_DENY_SOURCE);
  expect(egress(Packet::udp("192.0.2.1", 1, kWorld, 53)), REASON_DENY_SOURCE);
  expect(egress(Packet::udp("fd77:2::1", 1, "2001:db8::1", 53)), REASON_DENY_SOURCE);
  expect(egress(Packet::udp(kWeb, 1, kWorld, 53)), REASON_ALLOW_WORLD);
  enter("guest");  // who has no IPv6 address
  expect(egress(Packet::udp("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, "2001:db8::1", 53)),
         REASON_DENY_SOURCE);
  expect(egress(Packet::udp(kGuest, 1, kWorld, 53)), REASON_ALLOW_WORLD);
}

TEST_F(ReasonsTest, MulticastNeedsItsOwnRule) {
  expect(egress(Packet::udp(kWeb, 1, "224.0.0.251", 5353)), REASON_DENY_MULTICAST);
  expect(egress(Packet::udp(kWeb, 1, "255.255.255.255", 67)), REASON_DENY_MULTICAST);
  expect(egress(Packet::udp(kWeb6, 1, "ff02::fb", 5353)), REASON_DENY_MULTICAST);
  expect(egress(Packet::udp(kWeb, 1, "239.1.2.3", 5000)), REASON_ALLOW_WORLD);
  expect(ingress(Packet::udp(kWorld, 1, "239.1.2.4", 5000)), REASON_DENY_MULTICAST);
}

TEST_F(ReasonsTest, OtherProtocolsStayInside) {
  expect(egress(Packet::raw(kWeb, kDb, 132)), REASON_DENY_PROTOCOL);
  expect(egress(Packet::raw(kWeb, kWorld, 47)), REASON_DENY_TUNNEL);
  expect(egress(Packet::raw(kWeb, kWorld, 58)), REASON_DENY_PROTOCOL);  // ICMPv6 over IPv4
  expect(egress(Packet::raw(kWeb6, "2001:db8::1", 1)), REASON_DENY_PROTOCOL);
}

TEST_F(ReasonsTest, WhatHidesItsPortsIsRefused) {
  expect(egress(Packet::syn(kWeb, 1, kDb, 5432).options()), REASON_DENY_IP_OPTIONS);
  expect(egress(Packet::udp(kWeb, 1, kDb, 53).payload(40).fragment(0, true)),
         REASON_DENY_FRAGMENT);
  expect(egress(Packet::udp(kWeb, 1, kDb, 53).payload(40).fragment(3, false)),
         REASON_DENY_FRAGMENT);
  expect(egress(Packet::syn(kWeb6, 1, kDb6, 5432).extension(44)), REASON_DENY_FRAGMENT);
  expect(egress(Packet::syn(kWeb6, 1, kDb6, 5432).extension(43)), REASON_DENY_EXTENSION_HEADER);
  expect(egress(Packet::syn(kWeb, 1, kDb, 5432).poke(0, 0x44)), REASON_DENY_MALFORMED);
  expect(egress(Packet::syn(kWeb, 1, kDb, 5432).poke(0, 0x65)), REASON_DENY_MALFORMED);
  expect(egress(Packet::syn(kWeb, 1, kDb, 5432).cut(34)), REASON_DENY_MALFORMED);
  expect(egress(Packet::syn(kWeb, 1, kDb, 5432).poke(32, 0x10)), REASON_DENY_MALFORMED);
}

TEST_F(ReasonsTest, HarmlessExtensionHeadersAreWalked) {
  expect(egress(Packet::syn(kWeb6, 1, kDb6, 5432).extension(60).extension(0)),
         REASON_ALLOW_TENANT_RULE);
  expect(egress(Packet::syn(kWeb6, 1, kDb6, 22).extension(60).extension(0)),
         REASON_DENY_TENANT_PORT);

  Packet deep = Packet::syn(kWeb6, 1, kDb6, 5432);

  for (int i = 0; i < 7; i++) deep = std::move(deep).extension(60);
  expect(egress(deep), REASON_DENY_EXTENSION_HEADER);
  expect(egress(Packet::syn(kWeb6, 1, kDb6, 5432).extension(60, 264)),
         REASON_DENY_EXTENSION_HEADER);
}

TEST_F(ReasonsTest, WireBytesCountEverySegment) {
  Outcome outcome = egress(Packet::tcp(kWeb, 40000, kDb, 5432).payload(1760), kDevice,
                           20);  // 20 segments of 88

  EXPECT_EQ(1, outcome.verdict);
  EXPECT_EQ(20u, outcome.packets);
  EXPECT_EQ(1760u + 20 * 40, outcome.bytes);
}

TEST_F(ReasonsTest, DenialsBecomeEvents) {
  events();
  egress(Packet::syn(kWeb, 40000, kGuest, 80).payload(10));

  std::vector<abi::verdict_event> seen = events();

  ASSERT_EQ(1u, seen.size());
  EXPECT_EQ(REASON_DENY_TENANT, seen[0].reason);
  EXPECT_EQ(abi::CLASS_OTHER_TENANT, seen[0].peer_class);
  EXPECT_EQ(abi::HOOK_EGRESS, seen[0].hook);
  EXPECT_EQ(number("web"), seen[0].tenant);
  EXPECT_EQ(number("guest"), seen[0].peer);
  EXPECT_EQ(40000, seen[0].local_port);
  EXPECT_EQ(80, seen[0].peer_port);
  EXPECT_EQ(50u, seen[0].wire_bytes);
  EXPECT_EQ(0, seen[0].would);
  EXPECT_EQ(10, seen[0].local_address[0]);
  EXPECT_EQ(3, seen[0].peer_address[2]);
}

TEST_F(ReasonsTest, AFloodOfEventsIsThrottledAndCounted) {
  constexpr uint64_t kFlood = 500;

  events();

  abi::tenant_counters before = counters(number("web"));

  for (uint64_t i = 0; i < kFlood; i++) egress(Packet::syn(kWeb, 40000, kGuest, 80));
  enter("guest");
  egress(Packet::syn(kGuest, 1, kWeb, 80));

  std::vector<abi::verdict_event> seen = events();
  abi::tenant_counters after = counters(number("web"));
  auto of_web = static_cast<uint64_t>(std::ranges::count_if(
      seen, [&](const abi::verdict_event& event) { return event.tenant == number("web"); }));

  EXPECT_EQ(after.events_sent - before.events_sent, of_web);
  EXPECT_EQ(kFlood, of_web + after.events_throttled - before.events_throttled);
  EXPECT_GE(of_web, uint64_t{EVENT_BURST});
  EXPECT_GT(after.events_throttled, before.events_throttled);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(number("guest"), seen.back().tenant);  // its own budget is untouched
}

}  // namespace
}  // namespace partywall::test

// tests/unit/verdict_test.cc: every reason that the reference verdict gives, each beside a flow
// that differs in one thing and is judged otherwise. No I/O.
#include "agent/policy/verdict.h"

#include <gmock/gmock.h>

#include <set>

#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using policy::Flow;

// web may open TCP 5432 and UDP 53 to db, reach IPv4 but for one address, and one multicast
// group. guest has no rules, and a tier that keeps the world out both ways. loose has no
// addresses.
constexpr const char* kPolicy = R"(
{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: gold}}
---
{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: shut}, spec: {network: {world: {egress: deny}}}}
---
{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: wide}, spec: {network: {world: {ingress: allow}}}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: web}
spec:
  tier: gold
  members: [{cgroup: /t/web, addresses: [10.1.0.0/24, "fd00:1::/64"]}]
  network:
    egress:
      - to: [{tenant: db}]
        ports: [{port: 5432}, {protocol: UDP, port: 53}]
      - to: [{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}]
        ports: [{port: 1-1023}, {protocol: UDP}]
      - to: [{cidr: 239.1.2.3/32}]
        ports: [{protocol: UDP, port: 5000}]
    ingress:
      - from: [{cidr: 198.51.100.0/24}]
        ports: [{port: 443}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: db}
spec:
  tier: gold
  members: [{cgroup: /t/db, addresses: [10.2.0.0/24, "fd00:2::/64"]}]
  network:
    egress: []
    ingress:
      - from: [{tenant: web}]
        ports: [{port: 5000-6000}, {protocol: UDP}, {protocol: ICMP}]
---
{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: guest}, spec: {tier: shut,
 mode: audit, members: [{cgroup: /t/guest, addresses: [10.3.0.0/24]}]}}
---
{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: loose}, spec: {tier: wide,
 members: [{cgroup: /t/loose}]}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: vpn}
spec:
  tier: gold
  members: [{interface: pw-vpn-*, addresses: [10.5.0.0/24]}]
  network:
    egress:
      - to: [{cidr: 192.0.2.2}]
        ports: [{protocol: TUNNEL}]
      - to: [{cidr: 192.0.2.3}]
)";

constexpr const char* kLane = R"(
infrastructure:
  - {name: dns, cidr: 10.9.0.53/32, ports: [{protocol: UDP, port: 53}]}
  - {name: probes, cidr: 10.9.0.0/30, direction: ingress}
  - {name: mdns, cidr: 224.0.0.251/32, ports: [{protocol: UDP, port: 5353}]}
)";

enum Protocol : uint8_t {
  kIcmp = 1,
  kTcp = 6,
  kUdp = 17,
  kGre = 47,
  kEsp = 50,
  kIcmp6 = 58,
  kSctp = 132
};

Flow out(const std::string& tenant, const char* from, const char* to, uint8_t protocol,
         uint16_t port, bool opens = true, uint16_t local_port = 40000) {
  return {.tenant = tenant,
          .direction = abi::DIRECTION_EGRESS,
          .local = test::address(from),
          .peer = test::address(to),
          .protocol = protocol,
          .local_port = local_port,
          .peer_port = port,
          .opens = opens};
}

Flow in(const std::string& tenant, const char* from, uint8_t protocol, uint16_t port,
        bool opens = true, uint16_t peer_port = 40000) {
  return {.tenant = tenant,
          .direction = abi::DIRECTION_INGRESS,
          .local = std::nullopt,
          .peer = test::address(from),
          .protocol = protocol,
          .local_port = port,
          .peer_port = peer_port,
          .opens = opens};
}

Flow over_loopback(Flow flow, const std::string& sender) {
  flow.loopback = true;
  flow.loopback_tenant = sender;
  return flow;
}

struct Case {
  abi::reason reason;
  Flow flow;
};

// In pairs: what is judged so, and what differs in one thing and is not.
std::vector<std::pair<Case, Case>> cases() {
  using namespace abi;  // NOLINT(google-build-using-namespace): the reasons

  return {
      {{REASON_ALLOW_SAME_TENANT, out("web", "10.1.0.1", "10.1.0.2", kSctp, 1)},
       {REASON_DENY_PROTOCOL, out("web", "10.1.0.1", "10.2.0.2", kSctp, 1)}},
      {{REASON_ALLOW_TENANT_RULE, out("web", "10.1.0.1", "10.2.0.1", kTcp, 5432)},
       {REASON_DENY_TENANT_PORT, out("web", "10.1.0.1", "10.2.0.1", kTcp, 5431)}},
      {{REASON_ALLOW_TENANT_RULE, out("web", "fd00:1::1", "fd00:2::1", kUdp, 53)},
       {REASON_DENY_TENANT_PORT, out("web", "fd00:1::1", "fd00:2::1", kTcp, 53)}},
      {{REASON_ALLOW_TENANT_RULE, in("db", "10.1.0.1", kTcp, 5432)},
       {REASON_DENY_TENANT_PORT, in("db", "10.1.0.1", kTcp, 5433)}},  // web does not ask for it
      {{REASON_DENY_TENANT_PORT, out("web", "10.1.0.1", "10.2.0.1", kIcmp, 0)},
       {REASON_ALLOW_SAME_TENANT, out("web", "10.1.0.1", "10.1.0.1", kIcmp, 0)}},
      {{REASON_ALLOW_TENANT_REPLY, in("web", "10.2.0.1", kTcp, 40000, false, 5432)},
       {REASON_DENY_TENANT, in("web", "10.2.0.1", kTcp, 40000, true, 5432)}},
      {{REASON_DENY_TENANT, in("web", "10.2.0.1", kTcp, 40000, false, 5433)},
       {REASON_ALLOW_TENANT_REPLY, in("web", "10.2.0.1", kUdp, 40000, false, 53)}},
      {{REASON_DENY_TENANT, out("web", "10.1.0.1", "10.3.0.1", kTcp, 80)},
       {REASON_ALLOW_WORLD, out("web", "10.1.0.1", "10.4.0.1", kTcp, 80)}},
      {{REASON_DENY_TENANT, out("loose", "192.0.2.1", "10.1.0.1", kTcp, 443)},
       {REASON_ALLOW_WORLD, out("loose", "192.0.2.1", "10.4.0.1", kTcp, 443)}},
      {{REASON_ALLOW_WORLD, out("web", "10.1.0.1", "192.0.2.1", kTcp, 1023)},
       {REASON_DENY_WORLD_PORT, out("web", "10.1.0.1", "192.0.2.1", kTcp, 1024)}},
      {{REASON_ALLOW_WORLD, in("web", "198.51.100.255", kTcp, 443)},
       {REASON_DENY_WORLD, in("web", "198.51.101.0", kTcp, 443)}},
      {{REASON_DENY_WORLD, out("web", "10.1.0.1", "169.254.169.254", kTcp, 80)},
       {REASON_ALLOW_WORLD, out("web", "10.1.0.1", "169.254.169.255", kTcp, 80)}},
      {{REASON_DENY_WORLD, out("web", "fd00:1::1", "2001:db8::1", kTcp, 80)},  // 0.0.0.0/0 only
       {REASON_ALLOW_WORLD, out("loose", "fd00:9::1", "2001:db8::1", kTcp, 80)}},
      {{REASON_DENY_WORLD, out("db", "10.2.0.1", "192.0.2.1", kTcp, 80)},        // egress: []
       {REASON_ALLOW_WORLD, out("loose", "192.0.2.9", "192.0.2.1", kTcp, 80)}},  // no egress
      {{REASON_DENY_WORLD, out("guest", "10.3.0.1", "192.0.2.1", kTcp, 80)},
       {REASON_ALLOW_INFRASTRUCTURE, out("guest", "10.3.0.1", "10.9.0.53", kUdp, 53)}},
      {{REASON_ALLOW_WORLD, in("loose", "192.0.2.1", kTcp, 80)},
       {REASON_DENY_WORLD, in("guest", "192.0.2.1", kTcp, 80)}},
      {{REASON_ALLOW_WORLD_REPLY, in("web", "192.0.2.1", kTcp, 40000, false, 443)},
       {REASON_DENY_WORLD, in("web", "192.0.2.1", kTcp, 40000, true, 443)}},
      {{REASON_ALLOW_WORLD_REPLY,
        out("web", "10.1.0.1", "198.51.100.1", kTcp, 40000, false, 443)},
       {REASON_DENY_WORLD_PORT,
        out("web", "10.1.0.1", "198.51.100.1", kTcp, 40000, true, 443)}},
      {{REASON_ALLOW_INFRASTRUCTURE, out("db", "10.2.0.1", "10.9.0.53", kUdp, 53)},
       {REASON_DENY_WORLD, out("db", "10.2.0.1", "10.9.0.54", kUdp, 53)}},
      {{REASON_ALLOW_INFRASTRUCTURE, in("db", "10.9.0.53", kUdp, 40000, false, 53)},
       {REASON_DENY_WORLD, in("db", "10.9.0.53", kUdp, 40000, true, 53)}},
      {{REASON_ALLOW_INFRASTRUCTURE, in("guest", "10.9.0.3", kTcp, 8080)},
       {REASON_DENY_WORLD, in("guest", "10.9.0.4", kTcp, 8080)}},
      {{REASON_ALLOW_HOST_PROCESS, over_loopback(in("db", "127.0.0.1", kTcp, 22), "")},
       {REASON_DENY_TENANT_PORT, over_loopback(in("db", "127.0.0.1", kTcp, 22), "web")}},
      {{REASON_ALLOW_TENANT_RULE, over_loopback(in("db", "127.0.0.1", kTcp, 5432), "web")},
       {REASON_DENY_TENANT, over_loopback(in("db", "127.0.0.1", kTcp, 5432), "guest")}},
      {{REASON_ALLOW_SAME_TENANT, over_loopback(in("db", "10.1.0.1", kTcp, 22), "db")},
       {REASON_DENY_TENANT, over_loopback(in("db", "10.1.0.1", kTcp, 22), "gone")}},
      {{REASON_ALLOW_LOOPBACK, out("db", "127.0.0.1", "127.255.0.1", kTcp, 80)},
       {REASON_DENY_SOURCE, out("db", "127.0.0.1", "128.0.0.1", kTcp, 80)}},
      {{REASON_ALLOW_LOOPBACK, out("db", "::1", "::1", kTcp, 80)},
       {REASON_DENY_SOURCE, out("db", "::1", "::2", kTcp, 80)}},
      {{REASON_DENY_UNKNOWN_CGROUP, out("", "10.1.0.1", "10.1.0.2", kTcp, 80)},
       {REASON_ALLOW_SAME_TENANT, out("web", "10.1.0.1", "10.1.0.2", kTcp, 80)}},
      {{REASON_DENY_UNKNOWN_CGROUP, in("nobody", "192.0.2.1", kTcp, 80)},
       {REASON_ALLOW_WORLD, in("loose", "192.0.2.1", kTcp, 80)}},
      {{REASON_DENY_SOURCE, out("web", "10.2.0.1", "192.0.2.1", kTcp, 80)},
       {REASON_ALLOW_WORLD, out("web", "10.1.0.255", "192.0.2.1", kTcp, 80)}},
      {{REASON_DENY_SOURCE, out("loose", "10.1.0.1", "192.0.2.1", kTcp, 80)},
       {REASON_ALLOW_WORLD, out("loose", "10.1.1.1", "192.0.2.1", kTcp, 80)}},
      {{REASON_DENY_MULTICAST, out("web", "10.1.0.1", "239.1.2.4", kUdp, 5000)},
       {REASON_ALLOW_WORLD, out("web", "10.1.0.1", "239.1.2.3", kUdp, 5000)}},
      {{REASON_DENY_MULTICAST, out("loose", "192.0.2.1", "255.255.255.255", kUdp, 67)},
       {REASON_ALLOW_WORLD, out("loose", "192.0.2.1", "255.255.255.254", kUdp, 67)}},
      {{REASON_DENY_MULTICAST, out("web", "10.1.0.1", "239.1.2.3", kUdp, 5001)},
       {REASON_ALLOW_INFRASTRUCTURE, out("web", "10.1.0.1", "224.0.0.251", kUdp, 5353)}},
      {{REASON_DENY_PROTOCOL, out("web", "10.1.0.1", "192.0.2.1", kIcmp6, 0)},
       {REASON_DENY_WORLD_PORT, out("web", "10.1.0.1", "192.0.2.1", kIcmp, 0)}},
      {{REASON_DENY_PROTOCOL, out("loose", "fd00:9::1", "2001:db8::1", kIcmp, 0)},
       {REASON_ALLOW_WORLD, out("loose", "fd00:9::1", "2001:db8::1", kIcmp6, 0)}},
      {{REASON_DENY_TUNNEL, out("loose", "192.0.2.1", "192.0.2.2", kUdp, 4789)},
       {REASON_ALLOW_WORLD, out("loose", "192.0.2.1", "192.0.2.2", kUdp, 4790)}},
      {{REASON_DENY_TUNNEL, out("loose", "192.0.2.1", "192.0.2.2", kGre, 0)},
       {REASON_ALLOW_WORLD, out("vpn", "10.5.0.1", "192.0.2.2", kGre, 0)}},
      {{REASON_DENY_TUNNEL, out("vpn", "10.5.0.1", "192.0.2.3", kEsp, 0)},
       {REASON_ALLOW_WORLD, out("vpn", "10.5.0.1", "192.0.2.2", kUdp, 8472)}},
      {{REASON_DENY_WORLD_PORT, out("vpn", "10.5.0.1", "192.0.2.2", kTcp, 8472)},
       {REASON_ALLOW_SAME_TENANT, out("web", "10.1.0.1", "10.1.0.2", kGre, 0)}},
      {{REASON_DENY_WORLD_PORT, in("web", "198.51.100.1", kUdp, 443)},
       {REASON_ALLOW_WORLD, in("web", "198.51.100.1", kTcp, 443)}},
  };
}

class Verdict : public testing::Test {
 protected:
  Verdict() : parsed_(test::read_policy(kPolicy, kLane)) {
    EXPECT_THAT(test::lines_of(parsed_.problems), testing::IsEmpty());
  }
  policy::Verdict judge(const Flow& flow) const { return policy::judge(parsed_.policy, flow); }

  policy::ParsedPolicy parsed_;
};

TEST_F(Verdict, EveryReasonAndItsControl) {
  std::set<int> seen;
  int number = 0;

  for (const auto& [one, other] : cases()) {
    for (const Case& c : {one, other}) {
      policy::Verdict verdict = judge(c.flow);

      EXPECT_EQ(c.reason, verdict.reason) << "case " << number;
      EXPECT_EQ(c.reason < abi::REASON_FIRST_DENY, verdict.allow) << "case " << number;
      EXPECT_EQ(c.flow.tenant == "guest", verdict.audit) << "case " << number;
    }
    seen.insert(one.reason);
    number++;
  }
  // What has another place: headers that do not parse, sockets, interfaces, meters.
  for (abi::reason reason :
       {abi::REASON_DENY_MALFORMED, abi::REASON_DENY_IP_OPTIONS, abi::REASON_DENY_FRAGMENT,
        abi::REASON_DENY_EXTENSION_HEADER, abi::REASON_DENY_PORT_OWNED, abi::REASON_ALLOW_LINK,
        abi::REASON_DENY_UNBOUND, abi::REASON_DENY_INTERFACE, abi::REASON_DENY_LINK_ADDRESS,
        abi::REASON_DENY_NEIGHBOR, abi::REASON_DENY_FRAME, abi::REASON_DENY_FLOWS_FULL,
        abi::REASON_LIMIT_BYTES, abi::REASON_LIMIT_PACKETS})
    EXPECT_TRUE(seen.insert(reason).second) << reason;
  EXPECT_EQ(size_t{abi::REASON_COUNT}, seen.size());
}

TEST_F(Verdict, NamesThePeerAndTheRulesOfBothSides) {
  const policy::Tenant& web = parsed_.policy.tenants.at("web");
  const policy::Tenant& db = parsed_.policy.tenants.at("db");
  policy::Verdict rule = judge(out("web", "10.1.0.1", "10.2.0.1", kTcp, 5432));

  EXPECT_EQ("db", rule.peer_tenant);
  EXPECT_EQ(abi::CLASS_OTHER_TENANT, rule.peer_class);
  EXPECT_EQ(&web.egress->at(0), rule.egress_rule);
  EXPECT_EQ(&db.ingress->at(0), rule.ingress_rule);
  EXPECT_EQ(nullptr, rule.infrastructure);

  policy::Verdict reply = judge(in("web", "10.2.0.1", kTcp, 40000, false, 5432));

  EXPECT_EQ(&web.egress->at(0), reply.egress_rule);
  EXPECT_EQ(&db.ingress->at(0), reply.ingress_rule);

  // The receiver would let it in; the sender has no such rule.
  policy::Verdict half = judge(out("web", "10.1.0.1", "10.2.0.1", kTcp, 5500));

  EXPECT_EQ(abi::REASON_DENY_TENANT_PORT, half.reason);
  EXPECT_EQ(nullptr, half.egress_rule);
  EXPECT_EQ(&db.ingress->at(0), half.ingress_rule);

  policy::Verdict world = judge(out("web", "10.1.0.1", "192.0.2.1", kUdp, 9999));

  EXPECT_EQ("", world.peer_tenant);
  EXPECT_EQ(abi::CLASS_WORLD, world.peer_class);
  EXPECT_EQ(&web.egress->at(1), world.egress_rule);

  policy::Verdict lane = judge(out("db", "10.2.0.1", "10.9.0.53", kUdp, 53));

  ASSERT_NE(nullptr, lane.infrastructure);
  EXPECT_EQ("dns", lane.infrastructure->name);
  EXPECT_EQ(abi::CLASS_INFRASTRUCTURE, lane.peer_class);
  EXPECT_EQ(nullptr, judge(out("loose", "192.0.2.1", "192.0.2.2", kTcp, 80)).egress_rule);
}

TEST_F(Verdict, TheSourceIsCheckedOnlyWhereThereIsOne) {
  Flow flow = out("web", "10.2.0.1", "192.0.2.1", kTcp, 80);

  flow.local.reset();
  EXPECT_EQ(abi::REASON_ALLOW_WORLD, judge(flow).reason);
}

}  // namespace
}  // namespace partywall

// tests/unit/policy_parse_test.cc: every message of the policy's reader, and where it points.
// No I/O.
#include <gmock/gmock.h>

#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What is wrong with `field: value` in a tenant's spec, or "" when nothing is.
std::string wrong(const std::string& spec) {
  std::string text =
      "apiVersion: partywall.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n"
      "  tier: gold\n  " +
      spec + "\n" + test::tier() + test::tenant("db");
  auto lines = test::problems_of(text);

  if (lines.empty()) return "";
  EXPECT_EQ(1u, lines.size()) << testing::PrintToString(lines);
  return lines[0];
}

TEST(PolicyParse, AWholeTenantIsRead) {
  auto parsed = test::read_policy(R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: gold, labels: {a: b}, annotations: {c: d}}
spec:
  limits:
    egress: {ceiling: 2Gbit, burst: 256Ki}
    ingress: {ceiling: 200k}
    packetsPerSecond: 200k
  network: {world: {egress: deny, ingress: allow}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  tier: gold
  mode: audit
  members:
    - cgroup: /tenants.slice/acme.slice
      addresses: [10.1.0.0/24, "fd00:1::/64", 10.9.9.9]
    - cgroup: /tenants.slice/x-*/**
  limits: {ingress: {ceiling: 10Mbit}}
  network:
    ingress:
      - from: [{tenant: db}]
    egress:
      - to: [{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}]
        ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 1000, endPort: 2000}, {protocol: ICMP},
                {port: 7000-8000}, {protocol: UDP}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: db}
spec: {tier: gold, network: {egress: []}}
)");

  ASSERT_THAT(test::lines_of(parsed.problems), IsEmpty());

  const policy::Tenant& acme = parsed.policy.tenants.at("acme");

  EXPECT_EQ(policy::Mode::kAudit, acme.mode);
  EXPECT_EQ(2u, acme.cgroups.size());
  EXPECT_THAT(acme.addresses,
              ElementsAre(test::prefix("10.1.0.0/24"), test::prefix("fd00:1::/64"),
                          test::prefix("10.9.9.9/32")));

  policy::LimitsInForce limits = policy::limits_in_force(parsed.policy, acme);

  EXPECT_EQ(250'000'000u, limits.bytes[abi::DIRECTION_EGRESS]->per_second);
  EXPECT_EQ(262'144u, limits.bytes[abi::DIRECTION_EGRESS]->burst);
  EXPECT_EQ(1'250'000u, limits.bytes[abi::DIRECTION_INGRESS]->per_second);
  EXPECT_EQ(65'536u, limits.bytes[abi::DIRECTION_INGRESS]->burst);
  EXPECT_EQ(200'000u, limits.packets[abi::DIRECTION_EGRESS]->per_second);
  EXPECT_EQ(4'000u, limits.packets[abi::DIRECTION_INGRESS]->burst);
  EXPECT_EQ(7, limits.bytes[abi::DIRECTION_EGRESS]->at.line);  // the tier's
  EXPECT_EQ(22, limits.bytes[abi::DIRECTION_INGRESS]->at.line);
  EXPECT_EQ(policy::WorldDefault::kDeny, parsed.policy.tiers.at("gold").world_egress);
  EXPECT_EQ(policy::WorldDefault::kAllow, parsed.policy.tiers.at("gold").world_ingress);

  ASSERT_TRUE(acme.ingress && acme.egress);
  EXPECT_EQ("db", acme.ingress->at(0).peers.at(0).tenant);
  EXPECT_FALSE(acme.ingress->at(0).ports);

  const policy::Rule& out = acme.egress->at(0);

  EXPECT_EQ("acme.yaml", out.at.file);
  EXPECT_EQ(27, out.at.line);
  EXPECT_EQ(9, out.at.column);
  EXPECT_THAT(out.peers.at(0).except, ElementsAre(test::prefix("169.254.169.254/32")));
  ASSERT_EQ(5u, out.ports->size());
  EXPECT_EQ(2000, out.ports->at(1).last);
  EXPECT_EQ(policy::Protocol::kIcmp, out.ports->at(2).protocol);
  EXPECT_EQ(policy::Protocol::kTcp, out.ports->at(3).protocol);
  EXPECT_EQ(7000, out.ports->at(3).first);
  EXPECT_EQ(65535, out.ports->at(4).last);

  const policy::Tenant& db = parsed.policy.tenants.at("db");

  EXPECT_FALSE(db.ingress);
  ASSERT_TRUE(db.egress);
  EXPECT_TRUE(db.egress->empty());
}

TEST(PolicyParse, MessagesOfFields) {
  const std::pair<const char*, const char*> kCases[] = {
      {"mode: enforced",
       "acme.yaml:6:9: spec.mode: \"enforced\" is no mode: write enforce or audit"},
      {"mode: [audit]", "acme.yaml:6:9: spec.mode: a list is no text: write enforce or audit"},
      {"mode:",
       "acme.yaml:6:8: spec.mode: has no value: write one, or leave the field out (an empty "
       "list "
       "is [])"},
      {"mod: audit",
       "acme.yaml:6:3: spec: unknown field \"mod\", did you mean mode? Known fields: tier, "
       "mode, "
       "members, limits, network"},
      {"zzz: audit",
       "acme.yaml:6:3: spec: unknown field \"zzz\". Known fields: tier, mode, members, limits, "
       "network"},
      {"failMode: open",
       "acme.yaml:6:3: spec.failMode: not enforced by this version: remove it"},
      {"syscalls: {deny: [mount]}",
       "acme.yaml:6:3: spec.syscalls: not enforced by this version: remove it"},
      {"members: {cgroup: /t/a}",
       "acme.yaml:6:12: spec.members: a map is no list: write members like [{cgroup: "
       "/tenants.slice/acme.slice}]"},
      {"members: [/t/a]",
       "acme.yaml:6:13: spec.members[0]: \"/t/a\" is no map: write fields (cgroup, interface, "
       "addresses, namespaces, pods)"},
      {"members: [{}]",
       "acme.yaml:6:13: spec.members[0].cgroup: is missing: write a cgroup like "
       "/tenants.slice/acme.slice"},
      {"members: [{namespaces: {}}]",
       "acme.yaml:6:26: spec.members[0].namespaces: names no namespace: write namespaces like "
       "{matchLabels: {tenant: acme}}"},
      {"members: [{pods: {matchLabels: {app: web}}}]",
       "acme.yaml:6:13: spec.members[0].namespaces: is missing: write namespaces like "
       "{matchLabels: {tenant: acme}}"},
      {"members: [{namespaces: {names: [Shop]}}]",
       "acme.yaml:6:35: spec.members[0].namespaces.names[0]: \"Shop\" is no name of a "
       "namespace"},
      {"members: [{namespaces: {matchLabels: {}}}]",
       "acme.yaml:6:40: spec.members[0].namespaces.matchLabels: is empty, which would be "
       "everything: write labels like {tenant: acme}"},
      {"members: [{namespaces: {matchLabels: {-a: b}}}]",
       "acme.yaml:6:41: spec.members[0].namespaces.matchLabels.-a: \"-a\" is no name of a "
       "label: "
       "write one like tenant or example.com/tenant"},
      {"members: [{cgroup: t/a}]",
       "acme.yaml:6:22: spec.members[0].cgroup: \"t/a\" is no cgroup path: write it from the "
       "cgroup2 root, like /tenants.slice/acme.slice"},
      {"members: [{cgroup: /t/a, addresses: [10.1.0.5/24]}]",
       "acme.yaml:6:40: spec.members[0].addresses[0]: 10.1.0.5/24 has bits set beyond /24: "
       "write "
       "10.1.0.0/24"},
      {"members: [{cgroup: /t/a, addresses: []}]",
       "acme.yaml:6:39: spec.members[0].addresses: is empty: write addresses, or leave the "
       "field out to let it send from any that no tenant has"},
      {"members: [{cgroup: /t/a, addresses: [127.0.0.1]}]",
       "acme.yaml:6:40: spec.members[0].addresses[0]: 127.0.0.1/32 overlaps 127.0.0.0/8, which "
       "no "
       "tenant can own: write ranges outside of it"},
      {"members: [{cgroup: /t/a, addresses: [\"::/0\"]}]",
       "acme.yaml:6:40: spec.members[0].addresses[0]: ::/0 overlaps ::/127, which no tenant "
       "can "
       "own: write ranges outside of it"},
      {"limits: {egress: {ceiling: 10Mbyte}}",
       "acme.yaml:6:30: spec.limits.egress.ceiling: \"10Mbyte\" is no rate: write 10Mbit, "
       "1.5Gbit "
       "or 200k (bytes a second)"},
      {"limits: {egress: {burst: 64000}}",
       "acme.yaml:6:20: spec.limits.egress.ceiling: is missing: write a rate like 10Mbit, "
       "1.5Gbit "
       "or 200k (bytes a second)"},
      {"limits: {egress: {ceiling: 1500, burst: 90001}}",
       "acme.yaml:6:43: spec.limits.egress.burst: 90001 bytes take 61s to earn back; the most "
       "is "
       "60s"},
      {"limits: {egress: {ceiling: 1Gbit, burst: 1513}}",
       "acme.yaml:6:44: spec.limits.egress.burst: 1513 is less than one packet: the least is "
       "1514 "
       "bytes"},
      {"limits: {egress: {ceiling: 1Gbit, guaranteed: 1Mbit}}",
       "acme.yaml:6:37: spec.limits.egress.guaranteed: not enforced by this version: remove "
       "it"},
      {"limits: {weight: 100}",
       "acme.yaml:6:12: spec.limits.weight: not enforced by this version: remove it"},
      {"limits: {connections: {}}",
       "acme.yaml:6:25: spec.limits.connections.concurrent: is missing: write a number of "
       "flows "
       "like 4096 or 50k"},
      {"limits: {connections: {concurrent: 8}}",
       "acme.yaml:6:38: spec.limits.connections.concurrent: 8 is out of range: write 16 to "
       "1048576 flows"},
      {"limits: {connections: {concurrent: 8k, newPerSecond: 5}}",
       "acme.yaml:6:42: spec.limits.connections.newPerSecond: not enforced by this version: "
       "remove it"},
      {"members: [{interface: '*'}]",
       "acme.yaml:6:25: spec.members[0].interface: would be every interface of the host: write "
       "how its name begins"},
      {"members: [{interface: 'a/b'}]",
       "acme.yaml:6:25: spec.members[0].interface: \"a/b\" is no interface: write the name of "
       "a "
       "host interface like veth-acme or pw-acme-*"},
      {"network: {egress: [{to: [], ports: [{protocol: UDP, port: 4789}]}]}",
       "acme.yaml:6:61: spec.network.egress[0].ports[0].port: UDP port 4789 is where tunnels "
       "end, which only {protocol: TUNNEL} allows: write that"},
      {"network: {egress: [{to: [], ports: [{protocol: TUNNEL, port: 4789}]}]}",
       "acme.yaml:6:64: spec.network.egress[0].ports[0].port: TUNNEL has no ports: remove it"},
      {"limits: {resources: {}}",
       "acme.yaml:6:12: spec.limits.resources: not enforced by this version: remove it"},
      {"limits: {syscalls: {}}",
       "acme.yaml:6:12: spec.limits.syscalls: not enforced by this version: remove it"},
      {"limits: {packetsPerSecond: many}",
       "acme.yaml:6:30: spec.limits.packetsPerSecond: \"many\" is no packet rate: write 50000, "
       "200k or 1.5M"},
      {"network: {world: {egress: deny}}",
       "acme.yaml:6:13: spec.network: unknown field \"world\". Known fields: ingress, egress"},
      {"network: {egress: {}}",
       "acme.yaml:6:21: spec.network.egress: a map is no list: write rules like [{to: "
       "[{tenant: "
       "db}]}]"},
      {"network: {egress: [{ports: []}]}",
       "acme.yaml:6:22: spec.network.egress[0].to: is missing: write a list of peers like "
       "[{tenant: db}] or [{cidr: 0.0.0.0/0}]"},
      {"network: {ingress: [{to: [{tenant: db}], from: []}]}",
       "acme.yaml:6:24: spec.network.ingress[0]: unknown field \"to\". Known fields: from, "
       "ports"},
      {"network: {egress: [{to: [{}]}]}",
       "acme.yaml:6:28: spec.network.egress[0].to[0]: names no peer: write either {tenant: "
       "NAME} "
       "or {cidr: RANGE, except: [RANGE]}"},
      {"network: {egress: [{to: [{tenant: db, cidr: 10.0.0.0/8}]}]}",
       "acme.yaml:6:28: spec.network.egress[0].to[0]: names no peer: write either {tenant: "
       "NAME} "
       "or {cidr: RANGE, except: [RANGE]}"},
      {"network: {egress: [{to: [{tenant: db, except: []}]}]}",
       "acme.yaml:6:49: spec.network.egress[0].to[0].except: belongs to a cidr: a tenant has "
       "no "
       "exceptions"},
      {"network: {egress: [{to: [{tenant: acme}]}]}",
       "acme.yaml:6:37: spec.network.egress[0].to[0].tenant: names its own tenant, inside "
       "which "
       "everything is allowed: remove it"},
      {"network: {egress: [{to: [{cidr: 10.0.0.0/8}, {tenant: dbb}]}]}",
       "acme.yaml:6:57: spec.network.egress[0].to[1].tenant: there is no tenant dbb, did you "
       "mean "
       "db? Define it, or write one that there is"},
      {"network: {egress: [{to: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}]}",
       "acme.yaml:6:56: spec.network.egress[0].to[0].except[0]: 11.0.0.0/16 is not inside "
       "10.0.0.0/8: write a part of it"},
      {"network: {egress: [{to: [{cidr: \"::ffff:10.0.0.0/104\"}]}]}",
       "acme.yaml:6:35: spec.network.egress[0].to[0].cidr: ::ffff:10.0.0.0 is an IPv4 address "
       "in "
       "IPv6 clothes: write 10.0.0.0"},
      {"network: {egress: [{to: [], ports: [{protocol: SCTP}]}]}",
       "acme.yaml:6:50: spec.network.egress[0].ports[0].protocol: \"SCTP\" is no protocol: "
       "write "
       "TCP, UDP, ICMP or TUNNEL"},
      {"network: {egress: [{to: [], ports: [{port: 65536}]}]}",
       "acme.yaml:6:46: spec.network.egress[0].ports[0].port: \"65536\" is no port: write a "
       "port "
       "from 1 to 65535, or a range like 1000-2000"},
      {"network: {egress: [{to: [], ports: [{port: 20-10}]}]}",
       "acme.yaml:6:46: spec.network.egress[0].ports[0].port: 20 to 10 is no range: write the "
       "lower port first"},
      {"network: {egress: [{to: [], ports: [{port: 20, endPort: x}]}]}",
       "acme.yaml:6:59: spec.network.egress[0].ports[0].endPort: \"x\" is no port: write a "
       "port "
       "from 1 to 65535"},
      {"network: {egress: [{to: [], ports: [{port: 20-30, endPort: 40}]}]}",
       "acme.yaml:6:62: spec.network.egress[0].ports[0].endPort: port is already the range "
       "20-30: "
       "write one of both"},
      {"network: {egress: [{to: [], ports: [{endPort: 40}]}]}",
       "acme.yaml:6:49: spec.network.egress[0].ports[0].endPort: needs port, the first of the "
       "range"},
      {"network: {egress: [{to: [], ports: [{protocol: ICMP, port: 8}]}]}",
       "acme.yaml:6:62: spec.network.egress[0].ports[0].port: ICMP has no ports: remove it"},
      {"network: {egress: [{to: [], ports: [443]}]}",
       "acme.yaml:6:39: spec.network.egress[0].ports[0]: \"443\" is no map: write fields "
       "(protocol, port, endPort)"},
  };

  EXPECT_EQ("", wrong("mode: audit"));  // the frame itself is right
  for (const auto& [spec, message] : kCases) EXPECT_EQ(message, wrong(spec)) << spec;
}

TEST(PolicyParse, MessagesOfDocuments) {
  const std::pair<const char*, const char*> kCases[] = {
      {"[]",
       "acme.yaml:1:1: a list is no map: write fields (apiVersion, kind, metadata, spec)"},
      {"{kind: Tier, metadata: {name: a}}",
       "acme.yaml:1:1: apiVersion: is missing: write partywall.dev/v1alpha1"},
      {"{apiVersion: v1, kind: Tier, metadata: {name: a}}",
       "acme.yaml:1:14: apiVersion: \"v1\" is not known to this version: write "
       "partywall.dev/v1alpha1"},
      {"{apiVersion: partywall.dev/v1alpha1, metadata: {name: a}}",
       "acme.yaml:1:1: kind: is missing: write Tier or Tenant"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Pod, metadata: {name: a}}",
       "acme.yaml:1:44: kind: \"Pod\" is no kind. Write Tier or Tenant"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: tier, metadata: {name: a}}",
       "acme.yaml:1:44: kind: \"tier\" is no kind, did you mean Tier? Write Tier or Tenant"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tier}",
       "acme.yaml:1:1: metadata: is missing: write {name: NAME}"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {}}",
       "acme.yaml:1:60: metadata.name: is missing: write the name of the tier or tenant"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: A_b}}",
       "acme.yaml:1:67: metadata.name: \"A_b\" is no name: write at most 63 of a-z, 0-9 and -, "
       "with no - at either end"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: a, uid: 3}}",
       "acme.yaml:1:70: metadata: unknown field \"uid\". Known fields: name"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: a}}",
       "acme.yaml:1:1: spec: is missing: write the tenant's fields"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: a}, spec: {}}",
       "acme.yaml:1:79: spec.tier: is missing: write the name of a tier"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: a}, spec: {tier: "
       "x}}",
       "acme.yaml:1:86: spec.tier: there is no tier x. Define it, or write one that there is"},
      {"{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: a}, "
       "spec: {network: {world: {egress: no}}}}",
       "acme.yaml:1:104: spec.network.world.egress: \"no\" is no default: write allow or deny"},
  };

  for (const auto& [text, message] : kCases)
    EXPECT_THAT(test::problems_of(text), ElementsAre(message)) << text;
  EXPECT_THAT(test::problems_of(test::tier() + "---\n---\n# nothing\n"), IsEmpty());
  EXPECT_THAT(test::problems_of(""), IsEmpty());
}

TEST(PolicyParse, NamesHaveAtMost63Letters) {
  EXPECT_THAT(test::problems_of(test::tier() + test::tenant(std::string(63, 'a'))), IsEmpty());
  EXPECT_THAT(test::problems_of(test::tier() + test::tenant(std::string(64, 'a'))),
              ElementsAre(HasSubstr("is no name")));
  for (const char* name : {"-a", "a-", "a.b", "ä", "\"\"", "a/b"})
    EXPECT_THAT(test::problems_of(test::tier() + test::tenant(name)),
                ElementsAre(HasSubstr("is no name")))
        << name;
}

TEST(PolicyParse, AllProblemsOfARunInOrder) {
  auto lines = test::problems_of(R"(apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: acme}
spec:
  tier: gold
  mode: enforced
  members: [{cgroup: x}]
  limits: {egress: {ceiling: 3}}
---
kind: Tier
kind: Tier
)");

  EXPECT_THAT(lines, ElementsAre(HasSubstr("acme.yaml:5:9: spec.tier"),
                                 HasSubstr("acme.yaml:6:9: spec.mode"),
                                 HasSubstr("acme.yaml:7:22: spec.members[0].cgroup"),
                                 HasSubstr("acme.yaml:8:30: spec.limits.egress.ceiling"),
                                 HasSubstr("acme.yaml:10:1: apiVersion"),
                                 HasSubstr("acme.yaml:10:1: metadata"),
                                 HasSubstr("acme.yaml:11:1: \"kind\" is written twice")));
}

TEST(PolicyParse, AFilesProblemsAreCapped) {
  std::string text = test::tier();

  for (int i = 0; i < 5000; i++) text += test::tenant("a_" + std::to_string(i));

  auto file = policy::parse_file("many.yaml", text);

  ASSERT_EQ(1001u, file.problems.size());
  EXPECT_THAT(file.problems.back().message, HasSubstr("more than 1000 problems"));
}

TEST(PolicyParse, Infrastructure) {
  auto lane = policy::parse_infrastructure("agent.yaml", R"(
policyDir: /etc/partywall
infrastructure:
  - {name: dns, cidr: 10.0.0.53/32, ports: [{protocol: UDP, port: 53}]}
  - {name: probes, cidr: 10.0.0.0/30, direction: ingress}
metrics: 127.0.0.1:9723
)");

  EXPECT_THAT(test::lines_of(lane.problems), IsEmpty());
  ASSERT_EQ(2u, lane.entries.size());
  EXPECT_EQ("dns", lane.entries[0].name);
  EXPECT_EQ(abi::DIRECTION_EGRESS, lane.entries[0].direction);
  EXPECT_EQ(4, lane.entries[0].at.line);
  EXPECT_EQ(abi::DIRECTION_INGRESS, lane.entries[1].direction);
  EXPECT_FALSE(lane.entries[1].ports);
  EXPECT_TRUE(policy::parse_infrastructure("agent.yaml", "policyDir: /x\n").entries.empty());
  EXPECT_TRUE(policy::parse_infrastructure("agent.yaml", "").problems.empty());

  auto bad = policy::parse_infrastructure("agent.yaml", R"(infrastructure:
  - {name: dns, cidr: 10.0.0.53/24}
  - {cidr: 10.0.0.1, direction: out, port: 3}
)");

  EXPECT_THAT(test::lines_of(bad.problems),
              testing::UnorderedElementsAre("agent.yaml:2:23: infrastructure[0].cidr: "
                                            "10.0.0.53/24 has bits set beyond /24: write "
                                            "10.0.0.0/24",
                                            "agent.yaml:3:5: infrastructure[1].name: is "
                                            "missing: write a name, which explain shows",
                                            "agent.yaml:3:33: infrastructure[1].direction: "
                                            "\"out\" is no direction: write egress or "
                                            "ingress",
                                            "agent.yaml:3:38: infrastructure[1]: unknown field "
                                            "\"port\", did you mean ports? Known "
                                            "fields: name, cidr, direction, ports, service"));
  EXPECT_THAT(
      test::lines_of(
          policy::parse_infrastructure("agent.yaml", "infrastructure: {}\n").problems),
      ElementsAre("agent.yaml:1:17: infrastructure: a map is no list: write entries like "
                  "[{name: dns, cidr: 10.0.0.53/32}]"));
}

}  // namespace
}  // namespace partywall

// tests/unit/compile_test.cc: policies into what the maps should hold. No I/O.
#include "agent/policy/compile.h"

#include <gmock/gmock.h>
#include <netinet/in.h>

#include "agent/policy/zones.h"
#include "tests/unit/policy_crowd.h"

namespace partywall {
namespace {

using policy::Image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

policy::Policy read(const std::string& text, const std::string& lane = "") {
  auto parsed = test::read_policy(test::tier() + text, lane);

  EXPECT_THAT(test::lines_of(parsed.problems), IsEmpty());
  return parsed.policy;
}

Image compiled(const policy::Policy& policy, const policy::Numbers& previous = {},
               const policy::Capacity& capacity = {}) {
  auto image = policy::compile(policy, previous, capacity);

  if (image) return std::move(*image);
  ADD_FAILURE() << image.error().message();
  return {};
}

std::string why_not(const policy::Policy& policy, const policy::Capacity& capacity) {
  auto image = policy::compile(policy, {}, capacity);

  return image ? "" : image.error().message();
}

std::string rules(const std::string& egress, const std::string& ingress = "") {
  std::string text = "network: {";

  if (!egress.empty()) text += "egress: [" + egress + "]";
  if (!egress.empty() && !ingress.empty()) text += ", ";
  if (!ingress.empty()) text += "ingress: [" + ingress + "]";
  return text + "}";
}

// A member with that name's cgroup, and addresses.
std::string member(const std::string& name, const std::string& addresses) {
  return "members: [{cgroup: /t/" + name + ", addresses: [" + addresses + "]}]";
}

// What a decision word says about a protocol and a port.
bool allows(const Image& image, uint32_t word, int protocol, uint16_t port) {
  uint32_t bit = protocol == IPPROTO_TCP   ? DECIDE_TCP
                 : protocol == IPPROTO_UDP ? DECIDE_UDP
                                           : DECIDE_ICMP;

  if (word & bit) return true;
  if (bit == DECIDE_ICMP) return false;
  if (word & DECIDE_RANGE)
    return (word >> DECIDE_RANGE_SHIFT & bit) && abi::decision_has_port(word, port);
  for (const auto& [ports, number] : image.numbers.port_sets)
    if (number == word >> DECIDE_SET_SHIFT)
      for (auto [first, last] : protocol == IPPROTO_TCP ? ports.tcp : ports.udp)
        if (first <= port && port <= last) return true;
  return false;
}

uint64_t pair_key(const Image& image, const std::string& tenant, uint32_t peer) {
  return uint64_t{tenant.empty() ? 0u : image.numbers.tenants.at(tenant)} << 32 | peer;
}

const abi::pair* pair_of(const Image& image, const std::string& tenant,
                         const std::string& peer) {
  auto found = image.pairs.find(pair_key(image, tenant, image.numbers.tenants.at(peer)));

  return found == image.pairs.end() ? nullptr : &found->second;
}

uint32_t zone_of(const Image& image, const char* range) {
  return image.endpoints.at(test::prefix(range));
}

// The decisions on a tenant and a range; those of the world when there is no pair.
abi::pair toward(const Image& image, const std::string& tenant, const char* range) {
  auto found = image.pairs.find(pair_key(image, tenant, zone_of(image, range)));
  const abi::tenant_policy& row = image.tenants.at(image.numbers.tenants.at(tenant));

  return found == image.pairs.end() ? abi::pair{.out = row.world_out, .in = row.world_in}
                                    : found->second;
}

TEST(Compile, PairsWhereBothSidesAgree) {
  Image image = compiled(read(
      test::tenant("a",
                   rules("{to: [{tenant: b}], ports: [{port: 80-443}]}, {to: [{tenant: c}]}")) +
      test::tenant(
          "b", rules("", "{from: [{tenant: a}], ports: [{port: 443-500}, {protocol: UDP}]}")) +
      test::tenant("c", rules("", "{from: [{tenant: b}]}"))));
  const abi::pair* ab = pair_of(image, "a", "b");
  const abi::pair* ba = pair_of(image, "b", "a");

  ASSERT_TRUE(ab && ba);
  EXPECT_EQ(ab->out, ba->in);  // one flow, seen from both ends
  EXPECT_EQ(0u, ab->in);
  EXPECT_EQ(0u, ba->out);
  EXPECT_TRUE(allows(image, ab->out, IPPROTO_TCP, 443));
  EXPECT_FALSE(allows(image, ab->out, IPPROTO_TCP, 442));
  EXPECT_FALSE(allows(image, ab->out, IPPROTO_TCP, 444));
  EXPECT_FALSE(allows(image, ab->out, IPPROTO_UDP, 443));
  EXPECT_FALSE(allows(image, ab->out, IPPROTO_ICMP, 0));
  EXPECT_EQ(nullptr, pair_of(image, "a", "c"));
  EXPECT_EQ(nullptr, pair_of(image, "b", "c"));
  EXPECT_EQ(2u, image.pairs.size());
}

TEST(Compile, BothDirectionsOfAPairStandInOneRow) {
  Image image =
      compiled(read(test::tenant("a", rules("{to: [{tenant: b}]}",
                                            "{from: [{tenant: b}], ports: [{port: 1}]}")) +
                    test::tenant("b", rules("{to: [{tenant: a}]}",
                                            "{from: [{tenant: a}], ports: []}, {from: "
                                            "[{tenant: a}], ports: [{protocol: ICMP}]}"))));

  EXPECT_EQ(2u, image.pairs.size());
  EXPECT_EQ(uint32_t{DECIDE_ICMP}, pair_of(image, "a", "b")->out);
  EXPECT_TRUE(allows(image, pair_of(image, "a", "b")->in, IPPROTO_TCP, 1));
  EXPECT_EQ(pair_of(image, "a", "b")->in, pair_of(image, "b", "a")->out);
}

TEST(Compile, NoCommonPortIsNoPair) {
  EXPECT_THAT(
      compiled(read(test::tenant("a", rules("{to: [{tenant: b}], ports: [{port: 80}]}")) +
                    test::tenant("b", rules("", "{from: [{tenant: a}], ports: [{port: 81}]}"))))
          .pairs,
      IsEmpty());
}

TEST(Compile, PortsOfSeveralRulesAreUnited) {
  Image image = compiled(read(
      test::tenant(
          "a", rules("{to: [{tenant: b}], ports: [{port: 1-100}, {port: 101-65535}]}, "
                     "{to: [{tenant: b}], ports: [{port: 65535}, {protocol: UDP, port: 7}]}, "
                     "{to: [{tenant: b}], ports: [{protocol: UDP, port: 9}]}")) +
      test::tenant("b", rules("", "{from: [{tenant: a}]}"))));
  uint32_t word = pair_of(image, "a", "b")->out;

  EXPECT_TRUE(allows(image, word, IPPROTO_TCP, 1));
  EXPECT_TRUE(allows(image, word, IPPROTO_TCP, 65535));
  EXPECT_FALSE(allows(image, word, IPPROTO_TCP, 0));  // a port that nobody can write
  for (uint16_t port : {7, 9}) EXPECT_TRUE(allows(image, word, IPPROTO_UDP, port));
  for (uint16_t port : {6, 8, 10}) EXPECT_FALSE(allows(image, word, IPPROTO_UDP, port));
}

TEST(Compile, WholeProtocolsAreBits) {
  Image image = compiled(read(test::tenant(
      "a",
      rules("{to: [{cidr: 0.0.0.0/0}], ports: [{protocol: UDP}, {protocol: UDP, port: 3}]}, "
            "{to: [{cidr: \"::/0\"}]}"))));
  const abi::tenant_policy& row = image.tenants.at(1);

  EXPECT_EQ(uint32_t{DECIDE_UDP}, row.world_out);
  EXPECT_EQ(uint32_t{DECIDE_ALL}, row.world6_out);
  EXPECT_THAT(image.numbers.port_sets, IsEmpty());
}

TEST(Compile, WorldOfEachFamilyByItself) {
  Image image = compiled(
      read(test::tier("shut", "network: {world: {egress: deny, ingress: allow}}") +
           test::tenant("a", rules("{to: [{cidr: 0.0.0.0/0}]}")) +
           test::tenant("b", rules("{to: [{cidr: \"::/0\"}], ports: [{protocol: ICMP}]}",
                                   "{from: [{cidr: 0.0.0.0/1}]}")) +
           test::tenant("c") + test::tenant("d", "network: {egress: []}") +
           "---\n{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: e}, spec: "
           "{tier: shut}}\n"));
  auto row = [&](const char* name) {
    const abi::tenant_policy& found = image.tenants.at(image.numbers.tenants.at(name));

    return std::array{found.world_out, found.world_in, found.world6_out, found.world6_in};
  };

  EXPECT_THAT(row("a"), ElementsAre(DECIDE_ALL, 0u, 0u, 0u));
  EXPECT_THAT(row("b"),
              ElementsAre(0u, 0u, DECIDE_ICMP, 0u));  // half of IPv4 is a zone, not the world
  EXPECT_THAT(row("c"), ElementsAre(DECIDE_ALL, 0u, DECIDE_ALL, 0u));
  EXPECT_THAT(row("d"), ElementsAre(0u, 0u, 0u, 0u));
  EXPECT_THAT(row("e"), ElementsAre(0u, DECIDE_ALL, 0u, DECIDE_ALL));
}

TEST(Compile, ExceptionsAreZonesOfTheirOwn) {
  Image image = compiled(
      read(test::tenant("a", rules("{to: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, "
                                   "{to: [{cidr: 10.1.2.0/24}], ports: [{port: 80}]}"))));

  EXPECT_EQ(uint32_t{DECIDE_ALL}, toward(image, "a", "10.0.0.0/8").out);
  EXPECT_EQ(0u, toward(image, "a", "10.1.0.0/16").out);
  EXPECT_TRUE(allows(image, toward(image, "a", "10.1.2.0/24").out, IPPROTO_TCP, 80));
  EXPECT_FALSE(allows(image, toward(image, "a", "10.1.2.0/24").out, IPPROTO_TCP, 81));
  EXPECT_EQ(0u, image.tenants.at(1).world_out);
}

TEST(Compile, AnExceptionOfOneRuleIsNotAnothers) {
  Image image = compiled(read(
      test::tenant(
          "a", rules("{to: [{cidr: 0.0.0.0/0, except: [10.1.0.0/16]}], ports: [{port: 80}]}, "
                     "{to: [{cidr: 0.0.0.0/0}], ports: [{protocol: UDP, port: 53}]}")) +
      test::tenant("b", rules("{to: [{cidr: 0.0.0.0/0}]}"))));

  EXPECT_FALSE(allows(image, toward(image, "a", "10.1.0.0/16").out, IPPROTO_TCP, 80));
  EXPECT_TRUE(allows(image, toward(image, "a", "10.1.0.0/16").out, IPPROTO_UDP, 53));
  EXPECT_TRUE(allows(image, image.tenants.at(1).world_out, IPPROTO_TCP, 80));
  // To b the zone is the world, and costs no row.
  EXPECT_EQ(uint32_t{DECIDE_ALL}, toward(image, "b", "10.1.0.0/16").out);
  EXPECT_EQ(1u, image.pairs.size());
}

TEST(Compile, RangesInsideATenantsAreNoZones) {
  Image image = compiled(read(
      test::tenant("a", member("a", "10.1.0.0/16, 10.1.2.0/24, 10.9.0.0/24")) +
      test::tenant(
          "b", rules("{to: [{cidr: 10.1.0.0/16}, {cidr: 10.1.3.0/24}, {cidr: 10.0.0.0/8}]}"))));
  uint32_t a = image.numbers.tenants.at("a");

  EXPECT_EQ(a, zone_of(image, "10.1.0.0/16"));
  EXPECT_EQ(a, zone_of(image, "10.9.0.0/24"));
  EXPECT_FALSE(image.endpoints.contains(test::prefix("10.1.2.0/24")));  // said by the /16
  EXPECT_FALSE(image.endpoints.contains(test::prefix("10.1.3.0/24")));
  EXPECT_TRUE(zone_of(image, "10.0.0.0/8") & PEER_ZONE);
}

TEST(Compile, MulticastNeedsARangeInsideItself) {
  Image image = compiled(
      read(test::tenant("a", rules("{to: [{cidr: 0.0.0.0/0}, {cidr: 192.0.0.0/2}, {cidr: "
                                   "239.1.0.0/16, except: [239.1.9.0/24]}]}"))));

  for (const char* group : {"224.0.0.0/4", "255.255.255.255/32", "ff00::/8"}) {
    EXPECT_TRUE(zone_of(image, group) & PEER_MULTICAST);
    EXPECT_FALSE(image.pairs.contains(pair_key(image, "a", zone_of(image, group)))) << group;
  }
  EXPECT_TRUE(zone_of(image, "239.1.0.0/16") & PEER_MULTICAST);
  EXPECT_EQ(uint32_t{DECIDE_ALL},
            image.pairs.at(pair_key(image, "a", zone_of(image, "239.1.0.0/16"))).out);
  EXPECT_FALSE(image.pairs.contains(pair_key(image, "a", zone_of(image, "239.1.9.0/24"))));
  EXPECT_FALSE(zone_of(image, "192.0.0.0/2") & PEER_MULTICAST);
}

TEST(Compile, TheLaneIsNobodysAndEverybodys) {
  Image image = compiled(read(test::tenant("a", rules("{to: [{cidr: 10.0.0.0/8}]}")), R"(
infrastructure:
  - {name: dns, cidr: 10.0.0.53/32, ports: [{protocol: UDP, port: 53}]}
  - {name: dns-tcp, cidr: 10.0.0.53/32, ports: [{port: 53}]}
  - {name: probes, cidr: 10.0.0.0/24, direction: ingress}
)"));
  uint32_t dns = zone_of(image, "10.0.0.53/32");
  uint32_t probes = zone_of(image, "10.0.0.0/24");
  const abi::pair& lane = image.pairs.at(dns);

  EXPECT_TRUE(dns & PEER_INFRASTRUCTURE && probes & PEER_INFRASTRUCTURE);
  EXPECT_FALSE(zone_of(image, "10.0.0.0/8") & PEER_INFRASTRUCTURE);
  EXPECT_TRUE(allows(image, lane.out, IPPROTO_UDP, 53) &&
              allows(image, lane.out, IPPROTO_TCP, 53));
  EXPECT_FALSE(allows(image, lane.out, IPPROTO_UDP, 54));
  EXPECT_EQ(uint32_t{DECIDE_ALL}, lane.in);  // it is inside of the probes' range
  EXPECT_EQ(0u, image.pairs.at(probes).out);
}

TEST(Compile, RowsOfTenants) {
  Image image =
      compiled(read("---\n{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {name: "
                    "a}, spec: {tier: gold, "
                    "mode: audit, members: [{cgroup: /t/a, addresses: [10.1.2.0/23, "
                    "10.9.0.0/16, \"fd00:1::/40\"]}], "
                    "limits: {egress: {ceiling: 10M, burst: 5M}, packetsPerSecond: 1500}}}\n" +
                    test::tenant("b", "members: [{cgroup: /t/b}, {cgroup: /t/c*}]")));
  const abi::tenant_policy& a = image.tenants.at(1);
  const abi::tenant_policy& b = image.tenants.at(2);

  EXPECT_EQ(TENANT_IN_USE | TENANT_AUDIT | TENANT_OWN_SOURCE |
                TENANT_LIMITS_BYTES(abi::DIRECTION_EGRESS) |
                TENANT_LIMITS_PACKETS(abi::DIRECTION_EGRESS) |
                TENANT_LIMITS_PACKETS(abi::DIRECTION_INGRESS),
            a.flags);
  EXPECT_EQ(htonl(0x0a090000), a.home4);  // the largest
  EXPECT_EQ(htonl(0xffff0000), a.home4_mask);
  EXPECT_EQ(htonl(0xffffffff), static_cast<uint32_t>(a.home6_mask[0]));
  EXPECT_EQ(htonl(0xff000000), static_cast<uint32_t>(a.home6_mask[0] >> 32));
  EXPECT_EQ(0u, a.home6_mask[1]);
  EXPECT_EQ(10'000'000u, a.bytes[abi::DIRECTION_EGRESS].per_second);
  EXPECT_EQ(500'000'000u, a.bytes[abi::DIRECTION_EGRESS].burst_ns);
  EXPECT_EQ(10'000u, a.bytes[abi::DIRECTION_EGRESS].chunk);  // a millisecond's worth
  EXPECT_EQ(0u, a.bytes[abi::DIRECTION_INGRESS].per_second);
  EXPECT_EQ(1500u, a.packets[abi::DIRECTION_INGRESS].per_second);
  EXPECT_EQ(0u, a.packets[abi::DIRECTION_INGRESS].chunk);  // packet by packet
  EXPECT_EQ(uint32_t{TENANT_IN_USE}, b.flags);
  EXPECT_NE(b.home4, b.home4 & b.home4_mask);  // no address is at home there
  EXPECT_NE(b.home6[0], b.home6[0] & b.home6_mask[0]);
  EXPECT_EQ(3u, image.cgroups.size());
}

TEST(Compile, NumbersStayAndNewOnesAreNobodys) {
  Image one = compiled(read(test::tenant("a") + test::tenant("b") + test::tenant("c")));

  EXPECT_THAT(one.numbers.tenants, ElementsAre(Pair("a", 1), Pair("b", 2), Pair("c", 3)));

  // b goes, aa and d come: b's number rests for one policy.
  Image two = compiled(
      read(test::tenant("a") + test::tenant("aa") + test::tenant("c") + test::tenant("d")),
      one.numbers);

  EXPECT_THAT(two.numbers.tenants,
              ElementsAre(Pair("a", 1), Pair("aa", 4), Pair("c", 3), Pair("d", 5)));

  Image three =
      compiled(read(test::tenant("a") + test::tenant("c") + test::tenant("e")), two.numbers);

  EXPECT_THAT(three.numbers.tenants, ElementsAre(Pair("a", 1), Pair("c", 3), Pair("e", 2)));
}

TEST(Compile, ANumberDoesNotRestWhenAllOthersAreTaken) {
  policy::Capacity small{.tenants = 4};
  Image one =
      compiled(read(test::tenant("a") + test::tenant("b") + test::tenant("c")), {}, small);
  Image two = compiled(read(test::tenant("a") + test::tenant("c") + test::tenant("d")),
                       one.numbers, small);

  EXPECT_THAT(two.numbers.tenants, ElementsAre(Pair("a", 1), Pair("c", 3), Pair("d", 2)));

  // Numbers from an agent that had more rows.
  policy::Numbers large{.tenants = {{"a", 700}, {"c", 1}}, .zones = {}, .port_sets = {}};

  EXPECT_THAT(
      compiled(read(test::tenant("a") + test::tenant("b") + test::tenant("c")), large, small)
          .numbers.tenants,
      ElementsAre(Pair("a", 2), Pair("b", 3), Pair("c", 1)));
}

TEST(Compile, ZonesAndPortSetsKeepTheirNumbers) {
  auto policy = [](const char* range, const char* ports) {
    return read(test::tenant(
        "a",
        rules(fmt::format(
            "{{to: [{{cidr: 10.5.0.0/16}}, {{cidr: {}}}], ports: [{{port: 1}}, {{port: 9}}]}}, "
            "{{to: [{{cidr: 10.6.0.0/16}}], ports: {}}}",
            range, ports))));
  };
  Image one = compiled(policy("10.1.0.0/16", "[{port: 2}, {port: 7}]"));
  Image two = compiled(policy("10.9.0.0/16", "[{port: 3}, {port: 7}]"), one.numbers);
  Image three = compiled(policy("10.8.0.0/16", "[{port: 4}, {port: 7}]"), two.numbers);
  policy::PortSet kept{.tcp = {{1, 1}, {9, 9}}, .udp = {}};
  auto ports = [](uint16_t port) {
    return policy::PortSet{.tcp = {{port, port}, {7, 7}}, .udp = {}};
  };

  EXPECT_EQ(zone_of(one, "10.5.0.0/16"), zone_of(two, "10.5.0.0/16"));
  EXPECT_EQ(zone_of(one, "10.5.0.0/16"), zone_of(three, "10.5.0.0/16"));
  EXPECT_NE(zone_of(one, "10.1.0.0/16"), zone_of(two, "10.9.0.0/16"));
  EXPECT_EQ(zone_of(one, "10.1.0.0/16"), zone_of(three, "10.8.0.0/16"));
  EXPECT_EQ(one.numbers.port_sets.at(kept), three.numbers.port_sets.at(kept));
  EXPECT_NE(one.numbers.port_sets.at(ports(2)), two.numbers.port_sets.at(ports(3)));
  EXPECT_EQ(one.numbers.port_sets.at(ports(2)), three.numbers.port_sets.at(ports(4)));
}

TEST(Compile, WhatDoesNotFitIsRefusedAsAWhole) {
  policy::Policy three = read(
      test::tenant("a", rules("{to: [{tenant: b}], ports: [{port: 1}, {port: 64}]}")) +
      test::tenant("b", member("b", "\"fd00:1::/64\"") + ", " +
                            rules("{to: [{cidr: \"fd00:2::/64\"}]}", "{from: [{tenant: a}]}")) +
      test::tenant("c"));

  EXPECT_EQ("", why_not(three, {.tenants = 4, .pairs = 3, .port_pages = 2, .endpoints6 = 3}));
  EXPECT_EQ(
      "map tenants: the policy needs 4 rows (row 0 included) and there are 3: start the agent "
      "with a "
      "larger --max-tenants (at most 65535), or name fewer tenants",
      why_not(three, {.tenants = 3}));
  EXPECT_EQ(
      "map pairs: the policy needs 3 rows and there are 2: let fewer tenants name each other "
      "or narrow "
      "ranges",
      why_not(three, {.pairs = 2}));
  EXPECT_EQ(
      "map port_pages: the policy needs 2 rows and there are 1: name fewer different sets of "
      "ports, or "
      "smaller ranges",
      why_not(three, {.port_pages = 1}));
  EXPECT_EQ("map endpoints6: the policy needs 3 rows and there are 2: join IPv6 ranges",
            why_not(three, {.endpoints6 = 2}));
  // Far too much is given up early.
  EXPECT_THAT(why_not(three, {.pairs = 0}),
              HasSubstr("map pairs: the policy needs at least 3 rows"));
}

// How many entries of two ordered maps differ.
template <typename Map>
size_t differences(const Map& a, const Map& b) {
  size_t count = 0;

  for (const auto& [key, value] : a) {
    auto found = b.find(key);

    count += found == b.end() || std::memcmp(&value, &found->second, sizeof(value)) != 0;
  }
  for (const auto& [key, value] : b) count += !a.contains(key);
  return count;
}

TEST(Compile, OneChangedTenantChangesFewEntries) {
  constexpr int kTenants = 1000;
  auto files = test::crowd(kTenants);
  auto assembled = [](const auto& all) {
    auto parsed = policy::assemble(all, {}, "");

    EXPECT_THAT(test::lines_of(parsed.problems), IsEmpty());
    return parsed.policy;
  };
  Image before = compiled(assembled(files));

  // t555 asks for another port: the pair with its neighbour goes, seen from both ends.
  std::string text;

  for (int i = 500; i < 600; i++)
    text += test::crowd_tenant(i, kTenants, i == 555 ? 5433 : 5432);
  files[6] = std::make_shared<const policy::ParsedFile>(policy::parse_file("t500.yaml", text));

  Image after = compiled(assembled(files), before.numbers);

  EXPECT_EQ(2u, differences(before.pairs, after.pairs));
  EXPECT_EQ(0u, differences(before.tenants, after.tenants));
  EXPECT_EQ(0u, differences(before.endpoints, after.endpoints));
  EXPECT_EQ(before.numbers.tenants, after.numbers.tenants);
  EXPECT_EQ(before.numbers.zones, after.numbers.zones);
  EXPECT_EQ(before.numbers.port_sets, after.numbers.port_sets);
  EXPECT_EQ(before.cgroups, after.cgroups);

  // One tenant less: its row, its addresses, its zone's row and its pairs with two neighbours.
  files[6] = std::make_shared<const policy::ParsedFile>(policy::parse_file(
      "t500.yaml", text.substr(0, text.rfind("---")) +
                       test::tenant("t599", "members: [{cgroup: /t.slice/t599.slice}]")));

  Image less = compiled(assembled(files), after.numbers);

  EXPECT_EQ(1u, differences(after.tenants, less.tenants));
  EXPECT_EQ(10u, differences(after.endpoints, less.endpoints));
  EXPECT_EQ(5u, differences(after.pairs, less.pairs));
}

TEST(Compile, TheSamePolicyGivesTheSameImage) {
  auto files = test::crowd(100);
  Image one = compiled(policy::assemble(files, {}, "").policy);

  std::ranges::reverse(files);

  Image other = compiled(policy::assemble(files, {}, "").policy);

  EXPECT_EQ(0u, differences(one.pairs, other.pairs));
  EXPECT_EQ(0u, differences(one.tenants, other.tenants));
  EXPECT_EQ(0u, differences(one.endpoints, other.endpoints));
  EXPECT_EQ(one.cgroups, other.cgroups);
}

TEST(Compile, NothingIsAPolicy) {
  Image image = compiled({});

  EXPECT_THAT(image.tenants, IsEmpty());
  EXPECT_THAT(image.pairs, IsEmpty());
  EXPECT_EQ(3u, image.endpoints.size());  // the multicast ranges
}

}  // namespace
}  // namespace partywall

// tests/bpf/edge_reasons_test.cc: each reason that the edge can give is produced, beside a
// control that differs in one thing and goes the other way. A reason without a case does not
// compile.
#include "tests/bpf/edge_world.h"

namespace partywall::test {
namespace {

constexpr const char* kPolicy = R"(
{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: gold}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: web}
spec:
  tier: gold
  members: [{cgroup: $ROOT/web, addresses: [10.77.1.0/24, "fd77:1::/64"]}]
  network:
    egress:
      - to: [{tenant: db}]
        ports: [{port: 5432}]
      - to: [{cidr: 203.0.113.0/24}]
        ports: [{port: 443}]
      - to: [{cidr: 239.1.2.3/32}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: db}
spec:
  tier: gold
  members: [{cgroup: $ROOT/db, addresses: [10.77.2.0/24, "fd77:2::/64"]}]
  network:
    ingress:
      - from: [{tenant: web}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: bytes}
spec:
  tier: gold
  members: [{cgroup: $ROOT/bytes, addresses: [10.77.3.0/24]}]
  limits: {egress: {ceiling: 8kbit, burst: 2000}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: packets}
spec:
  tier: gold
  members: [{cgroup: $ROOT/packets, addresses: [10.77.4.0/24]}]
  limits: {packetsPerSecond: 1}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: trial}
spec:
  tier: gold
  mode: audit
  members: [{cgroup: $ROOT/trial, addresses: [10.77.5.0/24]}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: slow}
spec:
  tier: gold
  members: [{cgroup: $ROOT/slow, addresses: [10.77.6.0/24]}]
  limits: {ingress: {ceiling: 8kbit, burst: 2000}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {name: server}
spec:
  tier: gold
  members: [{cgroup: $ROOT/server, addresses: [10.77.7.0/24]}]
  limits: {ingress: {ceiling: 8kbit, burst: 2000}}
  network:
    egress: []
    ingress:
      - from: [{cidr: 203.0.113.0/24}]
)";

constexpr const char* kConfig = R"(
infrastructure:
  - {name: dns, cidr: 10.77.9.53/32, ports: [{protocol: UDP, port: 53}]}
)";

constexpr const char* kWeb = "10.77.1.5";
constexpr const char* kWeb6 = "fd77:1::5";
constexpr const char* kDb = "10.77.2.5";
constexpr const char* kDb6 = "fd77:2::5";
constexpr const char* kWorld = "203.0.113.9";

// Interfaces, by number.
enum { kAtWeb, kAtDb, kAtNobody, kAtBytes, kAtPackets, kUplink };

// The outcome that gives the reason, and its control.
using Both = std::pair<EdgeOutcome, EdgeOutcome>;

// A request for the address of the gateway.
std::vector<uint8_t> arp(const std::string& sender) {
  std::vector<uint8_t> bytes = out(Packet::raw(sender, "10.77.1.1", 0));
  std::vector<uint8_t> body = {0, 1, 8, 0, 6, 4, 0, 1};

  bytes.resize(14);
  bytes[12] = 0x08;
  bytes[13] = 0x06;
  body.insert(body.end(), kWorkload.begin(), kWorkload.end());
  body.resize(28);
  inet_pton(AF_INET, sender.c_str(), &body[14]);
  inet_pton(AF_INET, "10.77.1.1", &body[24]);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

std::vector<uint8_t> with_type(std::vector<uint8_t> frame, uint8_t high, uint8_t low) {
  frame[12] = high;
  frame[13] = low;
  return frame;
}

class EdgeReasons : public EdgeWorld {
 protected:
  void SetUp() override {
    EdgeWorld::SetUp();
    ASSERT_FALSE(HasFatalFailure());
    for (const char* name : {"web", "db", "bytes", "packets", "trial", "slow", "stray"})
      make_cgroup(name);
    start(kPolicy, kConfig);
    give_all();
  }
  void give_all() {
    give(kAtWeb, "web");
    give(kAtDb, "db");
    give(kAtNobody);
    give(kAtBytes, "bytes");
    give(kAtPackets, "packets");
    give(kUplink, "", INTERFACE_HOST);
    for (const char* name : {"web", "db", "bytes", "packets"}) make_flows(name, 64);
    enter("");
  }

  EdgeOutcome egress(std::vector<uint8_t> frame, int at = kAtWeb) {
    return send({.direction = abi::DIRECTION_EGRESS,
                 .ifindex = ifindex(at),
                 .bytes = std::move(frame)});
  }
  EdgeOutcome egress(Packet packet, int at = kAtWeb) {
    return egress(out(std::move(packet)), at);
  }
  // `came_over`: 0 = a process of this host sends it.
  EdgeOutcome ingress(Packet packet, uint32_t came_over, int at = kAtWeb) {
    return send({.direction = abi::DIRECTION_INGRESS,
                 .ifindex = ifindex(at),
                 .bytes = in(std::move(packet)),
                 .came_over = came_over});
  }
  EdgeOutcome ingress(Packet packet) { return ingress(std::move(packet), ifindex(kUplink)); }

  // The first packet, and the one that is over the limit.
  Both spend(const Packet& packet, int at) {
    Both outcomes{egress(packet, at), egress(packet, at)};

    std::swap(outcomes.first, outcomes.second);
    for (int i = 0; i < 100 && outcomes.first.reason() < abi::REASON_FIRST_DENY; i++)
      outcomes.first = egress(packet, at);
    return outcomes;
  }

  Both produce(abi::reason reason);
};

// Those that need a socket's view.
bool is_of_sockets(abi::reason reason) {
  return reason == abi::REASON_ALLOW_LOOPBACK || reason == abi::REASON_DENY_PORT_OWNED;
}

// So that a reason that is added to maps/abi/reasons.h needs a case here.
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wswitch"

Both EdgeReasons::produce(abi::reason reason) {
  Packet to_db = Packet::syn(kWeb, 40000, kDb, 5432);
  Packet to_db6 = Packet::syn(kWeb6, 40000, kDb6, 5432);
  Packet to_world = Packet::syn(kWeb, 40000, kWorld, 443);

  give_all();
  switch (reason) {
    case abi::REASON_ALLOW_SAME_TENANT:
      return {egress(Packet::syn(kWeb, 1, "10.77.1.9", 22)),
              egress(Packet::syn(kWeb, 1, "10.77.2.9", 22))};
    case abi::REASON_ALLOW_TENANT_RULE:
      return {egress(to_db), egress(Packet::udp(kWeb, 40000, kDb, 5432))};
    case abi::REASON_ALLOW_TENANT_REPLY:
      egress(to_db);
      return {ingress(Packet::tcp(kDb, 5432, kWeb, 40000)),
              ingress(Packet::tcp(kDb, 5432, kWeb, 40001))};
    case abi::REASON_ALLOW_WORLD:
      return {egress(to_world), egress(Packet::syn(kWeb, 1, "203.0.114.9", 443))};
    case abi::REASON_ALLOW_WORLD_REPLY:
      egress(to_world);
      return {ingress(Packet::tcp(kWorld, 443, kWeb, 40000, 0x12)),
              ingress(Packet::tcp(kWorld, 443, kWeb, 40000, 0x02))};
    case abi::REASON_ALLOW_INFRASTRUCTURE:
      return {egress(Packet::udp(kWeb, 1, "10.77.9.53", 53)),
              egress(Packet::udp(kWeb, 1, "10.77.9.53", 54))};
    case abi::REASON_ALLOW_HOST_PROCESS:
      return {ingress(Packet::syn(kWorld, 1, kWeb, 22), 0),
              ingress(Packet::syn(kWorld, 1, kWeb, 22), ifindex(kUplink))};
    case abi::REASON_ALLOW_LINK:
      return {egress(arp(kWeb)), egress(arp("10.77.2.9"))};
    case abi::REASON_DENY_UNKNOWN_CGROUP: {
      EdgeOutcome control = ingress(Packet::syn(kWorld, 1, kWeb, 22), 0);

      enter("stray");
      return {ingress(Packet::syn(kWorld, 1, kWeb, 22), 0), control};
    }
    case abi::REASON_DENY_TENANT:
      return {egress(Packet::syn(kDb, 1, kWeb, 22), kAtDb),
              egress(Packet::syn(kDb, 1, kWorld, 22), kAtDb)};
    case abi::REASON_DENY_TENANT_PORT:
      return {egress(Packet::syn(kWeb, 40000, kDb, 5433)), egress(to_db)};
    case abi::REASON_DENY_WORLD:
      return {egress(Packet::syn(kWeb, 1, "203.0.112.255", 443)),
              egress(Packet::syn(kWeb, 1, "203.0.113.0", 443))};
    case abi::REASON_DENY_WORLD_PORT:
      return {egress(Packet::syn(kWeb, 1, kWorld, 442)),
              egress(Packet::syn(kWeb, 1, kWorld, 443))};
    case abi::REASON_DENY_PROTOCOL:
      return {egress(Packet::raw(kWeb, kDb, 132)), egress(Packet::raw(kWeb, "10.77.1.9", 132))};
    case abi::REASON_DENY_SOURCE:
      return {egress(Packet::syn("10.77.2.6", 40000, kDb, 5432)), egress(to_db)};
    case abi::REASON_DENY_MULTICAST:
      return {egress(Packet::udp(kWeb, 1, "239.1.2.4", 5000)),
              egress(Packet::udp(kWeb, 1, "239.1.2.3", 5000))};
    case abi::REASON_DENY_MALFORMED:
      return {egress(Packet(to_db).cut(39)), egress(Packet(to_db).cut(40))};
    case abi::REASON_DENY_IP_OPTIONS:
      return {egress(Packet(to_db).options()), egress(to_db)};
    case abi::REASON_DENY_FRAGMENT: {
      EdgeOutcome alone = egress(Packet(to_db).fragment(3, false));

      egress(Packet(to_db).fragment(0, true));
      return {alone, egress(Packet(to_db).fragment(3, false))};
    }
    case abi::REASON_DENY_EXTENSION_HEADER:
      return {egress(Packet(to_db6).extension(43)), egress(Packet(to_db6).extension(60))};
    case abi::REASON_DENY_TUNNEL:
      return {egress(Packet::raw(kWeb, kWorld, 47)),
              egress(Packet::raw(kWeb, "10.77.1.9", 47))};
    case abi::REASON_DENY_UNBOUND:
      return {egress(to_db, kAtNobody), egress(to_db)};
    case abi::REASON_DENY_INTERFACE: {
      enter("db");

      EdgeOutcome others = egress(to_db);

      enter("web");
      return {others, egress(to_db)};
    }
    case abi::REASON_DENY_LINK_ADDRESS:
      egress(to_db);
      return {egress(between(to_db, {0x02, 0, 0, 0, 0, 0x12}, kHost)), egress(to_db)};
    case abi::REASON_DENY_NEIGHBOR:
      return {egress(arp("10.77.2.9")), egress(arp(kWeb))};
    case abi::REASON_DENY_FRAME:
      return {egress(with_type(arp(kWeb), 0x88, 0xcc)), egress(arp(kWeb))};
    case abi::REASON_DENY_FLOWS_FULL: {
      fill_flows("web");

      EdgeOutcome full = egress(to_world);

      drain_flows("web");
      return {full, egress(to_world)};
    }
    case abi::REASON_LIMIT_BYTES:
      return spend(Packet::udp("10.77.3.1", 1, "10.77.3.2", 2).payload(1000), kAtBytes);
    case abi::REASON_LIMIT_PACKETS:
      return spend(Packet::udp("10.77.4.1", 1, "10.77.4.2", 2), kAtPackets);
    case abi::REASON_ALLOW_LOOPBACK:
    case abi::REASON_DENY_PORT_OWNED:
    case abi::REASON_COUNT:
      break;
  }
  ADD_FAILURE() << "no reason: " << reason;
  return {};
}

#pragma GCC diagnostic pop

TEST_F(EdgeReasons, IsProducedBesideItsControl) {
  for (int i = 0; i < abi::REASON_COUNT; i++) {
    auto reason = static_cast<abi::reason>(i);

    if (is_of_sockets(reason)) continue;

    auto [outcome, control] = produce(reason);
    bool denies = reason >= abi::REASON_FIRST_DENY;

    EXPECT_EQ(reason, outcome.reason()) << reason;
    EXPECT_EQ(denies ? kDrop : kNext, outcome.verdict) << reason;
    EXPECT_EQ(denies ? kNext : kDrop, control.verdict) << "control of " << reason;
    EXPECT_TRUE(outcome.is_unchanged && control.is_unchanged) << reason;
    // What a tenant's own socket sends is counted where it left the socket.
    if (reason == abi::REASON_DENY_INTERFACE) {
      EXPECT_TRUE(control.cells.empty());
    } else {
      EXPECT_EQ(denies, control.reason() < abi::REASON_FIRST_DENY) << "control of " << reason;
    }
  }
}

// What audit mode lets pass is counted as what would be denied, and marked like any other.
TEST_F(EdgeReasons, AuditLetsPassAndSaysWhatItWould) {
  give(kAtWeb, "trial");
  make_flows("trial", 64);

  EdgeOutcome other = egress(Packet::syn("10.77.5.1", 1, kWeb, 22));
  EdgeOutcome forged = egress(Packet::syn(kWeb, 1, kWorld, 22));

  for (const EdgeOutcome& outcome : {other, forged}) {
    ASSERT_EQ(1u, outcome.cells.size());
    EXPECT_TRUE(outcome.cells[0].would);
    EXPECT_EQ(kNext, outcome.verdict);
    EXPECT_EQ(mark_of(number("trial")), outcome.mark);
  }
  EXPECT_EQ(abi::REASON_DENY_TENANT, other.reason());
  EXPECT_EQ(abi::REASON_DENY_SOURCE, forged.reason());
}

// The first packet of a tenant's socket binds, and nobody else's changes that.
TEST_F(EdgeReasons, TheFirstSocketBindsTheInterface) {
  Packet packet = Packet::syn(kWeb, 40000, kDb, 5432);

  EXPECT_EQ(abi::REASON_DENY_UNBOUND, egress(packet, kAtNobody).reason());
  enter("web");
  EXPECT_EQ(kNext, egress(packet, kAtNobody).verdict);
  enter("db");
  EXPECT_EQ(abi::REASON_DENY_INTERFACE, egress(packet, kAtNobody).reason());
  enter("");

  EdgeOutcome outcome = egress(packet, kAtNobody);

  EXPECT_EQ(abi::REASON_ALLOW_TENANT_RULE, outcome.reason());
  EXPECT_EQ(number("web"), outcome.cells[0].tenant);
}

// Who has taken another workload's link address on a bridge is sent its packets. None of them
// passes: neither the world's, nor a host process's.
TEST_F(EdgeReasons, NobodyIsGivenAnotherTenantsPackets) {
  for (uint32_t from : {uint32_t{0}, ifindex(kUplink)}) {
    Packet mine = Packet::udp(kWeb, 53, "10.77.3.9", 53),
           others = Packet::udp(kWeb, 53, kDb, 53);

    EXPECT_EQ(abi::REASON_DENY_INTERFACE, ingress(others, from, kAtBytes).reason());
    EXPECT_NE(abi::REASON_DENY_INTERFACE, ingress(mine, from, kAtBytes).reason());
  }
}

// What the police remembers of a connection says nothing about who opened it: one from before
// the interface was attached goes on when its rate allows it.
TEST_F(EdgeReasons, ThePoliceCutsNoConnectionFromBefore) {
  constexpr const char* kSlow = "10.77.6.5";
  Packet data = Packet::tcp(kWorld, 443, kSlow, 40000).payload(1000);
  EdgeOutcome outcome;

  give(kAtWeb, "slow", 0);
  make_flows("slow", 64);
  for (int i = 0; i < 100 && outcome.reason() != abi::REASON_LIMIT_BYTES; i++)
    outcome = ingress(data);
  ASSERT_EQ(abi::REASON_LIMIT_BYTES, outcome.reason());
  // An acknowledgement that carries nothing is not held up, only charged.
  EXPECT_NE(abi::REASON_DENY_WORLD, ingress(Packet::tcp(kWorld, 443, kSlow, 40000)).reason());
  EXPECT_EQ(kNext, egress(Packet::tcp(kSlow, 40000, kWorld, 443)).verdict);
  EXPECT_NE(abi::REASON_DENY_WORLD, ingress(data).reason());
}

// The same for a connection that the world opened, to a tenant that may open none.
TEST_F(EdgeReasons, ThePoliceCutsNoConnectionToAServerFromBefore) {
  constexpr const char* kServer = "10.77.7.5";
  Packet data = Packet::tcp(kWorld, 40000, kServer, 443).payload(1000);
  EdgeOutcome outcome;

  give(kAtWeb, "server", 0);
  make_flows("server", 64);
  for (int i = 0; i < 100 && outcome.reason() != abi::REASON_LIMIT_BYTES; i++)
    outcome = ingress(data);
  ASSERT_EQ(abi::REASON_LIMIT_BYTES, outcome.reason());
  EXPECT_EQ(abi::REASON_ALLOW_WORLD_REPLY,
            egress(Packet::tcp(kServer, 443, kWorld, 40000)).reason());
}

// A full table refuses who is new, and nobody who is established.
TEST_F(EdgeReasons, EstablishedFlowsAreUnharmedByAFullTable) {
  auto reply = [](uint16_t port) { return Packet::tcp(kWorld, 443, kWeb, port, 0x12); };

  egress(Packet::syn(kWeb, 40000, kWorld, 443));
  ASSERT_EQ(abi::REASON_ALLOW_WORLD_REPLY, ingress(reply(40000)).reason());
  fill_flows("web", true);
  EXPECT_EQ(abi::REASON_DENY_FLOWS_FULL,
            egress(Packet::syn(kWeb, 40001, kWorld, 443)).reason());
  EXPECT_EQ(abi::REASON_ALLOW_WORLD_REPLY, ingress(reply(40000)).reason());
  EXPECT_EQ(abi::REASON_DENY_WORLD, ingress(reply(40001)).reason());
}

// Behind a VLAN tag it is the same connection, and takes one entry of the table for all of its
// segments.
TEST_F(EdgeReasons, ThePoliceKnowsAConnectionBehindAVlanTag) {
  give(kAtWeb, "slow", 0);
  make_flows("slow", 16);
  for (int i = 0; i < 200; i++) {
    Packet segment = Packet::tcp(kWorld, 443, "10.77.6.5", 40000).payload(1000);
    std::vector<uint8_t> bytes = in(std::move(segment).poke(24 + i % 4, uint8_t(i)));

    bytes.insert(bytes.begin() + 12, {0x81, 0x00, 0x00, 0x01});
    send({.direction = abi::DIRECTION_INGRESS,
          .ifindex = ifindex(kAtWeb),
          .bytes = std::move(bytes),
          .came_over = ifindex(kUplink)});
  }
  EXPECT_EQ(abi::REASON_ALLOW_WORLD,
            egress(Packet::syn("10.77.6.5", 40001, kWorld, 443)).reason());
}

// A packet over an interface that nobody has looked at reaches no workload, also when rules
// would let it.
TEST_F(EdgeReasons, WhatComesOverAnUnknownInterfaceIsDenied) {
  Packet packet = Packet::syn(kWeb, 40000, kDb, 5432);

  EXPECT_EQ(abi::REASON_DENY_UNBOUND, ingress(packet, kUnknownInterface, kAtDb).reason());
  EXPECT_EQ(abi::REASON_ALLOW_TENANT_RULE, ingress(packet, ifindex(kUplink), kAtDb).reason());
}

}  // namespace
}  // namespace partywall::test

// tests/bpf/every_reason_test.cc: each reason is produced, beside a control that differs in one
// thing and goes the other way. A reason without a case does not compile.
#include <sys/socket.h>

#include "maps/fd.h"
#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

constexpr uint32_t kStamp = 0x50570000;  // bpf/packets.bpf.c: STAMP

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

// The outcome that gives the reason, and its control.
using Both = std::pair<Outcome, Outcome>;

class EveryReason : public World {
 protected:
  void SetUp() override {
    World::SetUp();
    for (const char* name : {"web", "db", "bytes", "packets", "stray"}) make_cgroup(name);
    policy(kPolicy, kConfig);
  }

  Both produce(abi::reason reason);

  Outcome in(const std::string& cgroup, Packet packet) {
    enter(cgroup);
    return egress(std::move(packet));
  }
  // The first packet, and the one that is over the limit.
  Both spend(const std::string& cgroup, const Packet& packet) {
    Both outcomes{in(cgroup, packet), in(cgroup, packet)};

    std::swap(outcomes.first, outcomes.second);
    for (int i = 0; i < 100 && outcomes.first.reason < abi::REASON_FIRST_DENY; i++)
      outcomes.first = egress(packet);
    return outcomes;
  }
  Outcome bind_as(const std::string& tenant, const Fd& socket, sockaddr_in& address);
  Both take_port();
};

// bind() counts its denials only: what is let through has the reason of one's own.
Outcome EveryReason::bind_as(const std::string& tenant, const Fd& socket,
                             sockaddr_in& address) {
  socklen_t size = sizeof(address);
  int yes = 1;

  enter(tenant);

  abi::tenant_counters before = counters(number(tenant));
  Outcome outcome{.verdict = 1, .reason = abi::REASON_ALLOW_SAME_TENANT};

  EXPECT_EQ(0, setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)));
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size)) {
    EXPECT_EQ(EPERM, errno);
    outcome.verdict = 0;
  }
  for (int reason = 0; reason < abi::REASON_COUNT; reason++)
    if (counters(number(tenant)).calls_denied[reason] > before.calls_denied[reason])
      outcome.reason = static_cast<abi::reason>(reason);
  getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return outcome;
}

// A port that another tenant listens on, and one that the tenant itself does.
Both EveryReason::take_port() {
  auto udp = [] { return Fd(socket(AF_INET, SOCK_DGRAM, 0)); };
  Fd first = udp(), second = udp(), third = udp();
  sockaddr_in address{.sin_family = AF_INET};

  EXPECT_EQ(1, bind_as("db", first, address).verdict);

  sockaddr_in again = address;
  Outcome other = bind_as("web", second, again);

  return {other, bind_as("db", third, address)};
}

// Those that only the edge gives: edge_reasons_test.cc.
bool is_of_edge(abi::reason reason) {
  switch (reason) {
    case abi::REASON_ALLOW_LINK:
    case abi::REASON_DENY_UNBOUND:
    case abi::REASON_DENY_INTERFACE:
    case abi::REASON_DENY_LINK_ADDRESS:
    case abi::REASON_DENY_NEIGHBOR:
    case abi::REASON_DENY_FRAME:
    case abi::REASON_DENY_FLOWS_FULL:
      return true;
    default:
      return false;
  }
}

// So that a reason that is added to maps/abi/reasons.h needs a case here.
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wswitch"

Both EveryReason::produce(abi::reason reason) {
  Packet to_db = Packet::syn(kWeb, 40000, kDb, 5432);
  Packet to_db6 = Packet::syn(kWeb6, 40000, kDb6, 5432);

  enter("web");
  switch (reason) {
    case abi::REASON_ALLOW_SAME_TENANT:
      return {egress(Packet::syn(kWeb, 1, "10.77.1.9", 22)),
              egress(Packet::syn(kWeb, 1, "10.77.2.9", 22))};
    case abi::REASON_ALLOW_TENANT_RULE:
      return {egress(to_db), egress(Packet::udp(kWeb, 40000, kDb, 5432))};
    case abi::REASON_ALLOW_TENANT_REPLY:
      return {ingress(Packet::tcp(kDb, 5432, kWeb, 40000)),
              ingress(Packet::syn(kDb, 5432, kWeb, 40000))};
    case abi::REASON_ALLOW_WORLD:
      return {egress(Packet::syn(kWeb, 1, kWorld, 443)),
              egress(Packet::syn(kWeb, 1, "203.0.114.9", 443))};
    case abi::REASON_ALLOW_WORLD_REPLY:
      return {ingress(Packet::tcp(kWorld, 443, kWeb, 40000)),
              ingress(Packet::tcp(kWorld, 444, kWeb, 40000))};
    case abi::REASON_ALLOW_INFRASTRUCTURE:
      return {egress(Packet::udp(kWeb, 1, "10.77.9.53", 53)),
              egress(Packet::udp(kWeb, 1, "10.77.9.53", 54))};
    case abi::REASON_ALLOW_HOST_PROCESS:
      return {ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 22), kLoopback),
              ingress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 22), kLoopback,
                      kStamp | number("db"))};
    case abi::REASON_ALLOW_LOOPBACK:
      return {egress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 22), kLoopback),
              egress(Packet::syn("127.0.0.1", 1, "127.0.0.1", 22), kDevice)};
    case abi::REASON_DENY_UNKNOWN_CGROUP:
      return {in("stray", to_db), in("web", to_db)};
    case abi::REASON_DENY_TENANT:
      return {in("db", Packet::syn(kDb, 1, kWeb, 22)),
              in("db", Packet::syn(kDb, 1, kWorld, 22))};
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
    case abi::REASON_DENY_FRAGMENT:
      return {egress(Packet(to_db).fragment(0, true)),
              egress(Packet(to_db).fragment(0, false))};
    case abi::REASON_DENY_EXTENSION_HEADER:
      return {egress(Packet(to_db6).extension(43)), egress(Packet(to_db6).extension(60))};
    case abi::REASON_DENY_PORT_OWNED:
      return take_port();
    case abi::REASON_DENY_TUNNEL:
      return {egress(Packet::raw(kWeb, kWorld, 47)),
              egress(Packet::raw(kWeb, "10.77.1.9", 47))};
    case abi::REASON_LIMIT_BYTES:
      return spend("bytes", Packet::udp("10.77.3.1", 1, "10.77.3.2", 2).payload(1000));
    case abi::REASON_LIMIT_PACKETS:
      return spend("packets", Packet::udp("10.77.4.1", 1, "10.77.4.2", 2));
    case abi::REASON_ALLOW_LINK:
    case abi::REASON_DENY_UNBOUND:
    case abi::REASON_DENY_INTERFACE:
    case abi::REASON_DENY_LINK_ADDRESS:
    case abi::REASON_DENY_NEIGHBOR:
    case abi::REASON_DENY_FRAME:
    case abi::REASON_DENY_FLOWS_FULL:
    case abi::REASON_COUNT:
      break;
  }
  ADD_FAILURE() << "no reason: " << reason;
  return {};
}

#pragma GCC diagnostic pop

TEST_F(EveryReason, IsProducedBesideItsControl) {
  for (int i = 0; i < abi::REASON_COUNT; i++) {
    auto reason = static_cast<abi::reason>(i);

    if (is_of_edge(reason)) continue;

    auto [outcome, control] = produce(reason);
    bool denies = reason >= abi::REASON_FIRST_DENY;

    EXPECT_EQ(reason, outcome.reason);
    EXPECT_EQ(!denies, outcome.verdict == 1) << reason;
    EXPECT_EQ(denies, control.verdict == 1) << "control of " << reason;
    EXPECT_EQ(denies, control.reason < abi::REASON_FIRST_DENY) << "control of " << reason;
  }
}

}  // namespace
}  // namespace partywall::test

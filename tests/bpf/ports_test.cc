// tests/bpf/ports_test.cc: lists of ports, as a word holds them and as pages do.
#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

constexpr const char* kWeb = "10.79.1.1";
constexpr const char* kDb = "10.79.2.1";

class PortsTest : public World {
 protected:
  // Two tenants that may talk on `ports`; this process is the one that opens.
  void start(const std::string& ports) {
    policy(fmt::format(R"(
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {{name: gold}}
spec: {{}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: web}}
spec:
  tier: gold
  members: [{{cgroup: $ROOT/web, addresses: [10.79.1.0/24]}}]
  network: {{egress: [{{to: [{{tenant: db}}], ports: {0}}}]}}
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: db}}
spec:
  tier: gold
  members: [{{cgroup: $ROOT/db, addresses: [10.79.2.0/24]}}]
  network: {{ingress: [{{from: [{{tenant: web}}], ports: {0}}}]}}
)",
                       ports));
    make_cgroup("web");
    enter("web");
  }

  bool tcp(uint16_t port) { return passes(Packet::syn(kWeb, 40000, kDb, port)); }
  bool udp(uint16_t port) { return passes(Packet::udp(kWeb, 40000, kDb, port)); }
  bool ping() { return passes(Packet::icmp(kWeb, kDb, 8)); }
  bool reply_from(uint16_t port) {
    return ingress(Packet::tcp(kDb, port, kWeb, 40000)).reason ==
           abi::REASON_ALLOW_TENANT_REPLY;
  }

  // How many decisions did not fit their word.
  size_t port_sets() const { return image_->numbers.port_sets.size(); }

 private:
  bool passes(Packet packet) {
    abi::reason reason = egress(std::move(packet)).reason;

    EXPECT_TRUE(reason == abi::REASON_ALLOW_TENANT_RULE ||
                reason == abi::REASON_DENY_TENANT_PORT)
        << reason;
    return reason == abi::REASON_ALLOW_TENANT_RULE;
  }
};

TEST_F(PortsTest, OnePort) {
  start("[{protocol: TCP, port: 5432}]");
  EXPECT_EQ(0u, port_sets());
  EXPECT_TRUE(tcp(5432));
  EXPECT_FALSE(tcp(5431));
  EXPECT_FALSE(tcp(5433));
  EXPECT_FALSE(tcp(0));
  EXPECT_FALSE(udp(5432));
  EXPECT_FALSE(ping());
  EXPECT_TRUE(reply_from(5432));
  EXPECT_FALSE(reply_from(5433));
}

TEST_F(PortsTest, OnePortOfBothProtocols) {
  start("[{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]");
  EXPECT_EQ(0u, port_sets());
  EXPECT_TRUE(tcp(53));
  EXPECT_TRUE(udp(53));
  EXPECT_FALSE(tcp(54));
  EXPECT_FALSE(udp(52));
  EXPECT_FALSE(ping());
}

TEST_F(PortsTest, TheLongestRangeThatFitsAWord) {
  start("[{protocol: UDP, port: 64000, endPort: 65023}]");
  EXPECT_EQ(0u, port_sets());
  for (uint16_t port : {64000, 64512, 65023}) EXPECT_TRUE(udp(port)) << port;
  for (uint16_t port : {0, 1, 63999, 65024, 65535}) EXPECT_FALSE(udp(port)) << port;
  EXPECT_FALSE(tcp(64512));
}

TEST_F(PortsTest, ARangeThatEndsWithTheLastPort) {
  start("[{protocol: TCP, port: 65000, endPort: 65535}, {protocol: ICMP}]");
  EXPECT_EQ(0u, port_sets());
  for (uint16_t port : {65000, 65535}) EXPECT_TRUE(tcp(port)) << port;
  for (uint16_t port : {0, 500, 64999}) EXPECT_FALSE(tcp(port)) << port;
  EXPECT_TRUE(ping());
}

TEST_F(PortsTest, OneProtocolWholeAndOnePortOfTheOther) {
  start("[{protocol: UDP}, {protocol: TCP, port: 443}]");
  EXPECT_EQ(0u, port_sets());
  EXPECT_TRUE(udp(443));
  EXPECT_TRUE(udp(1));
  EXPECT_TRUE(tcp(443));
  EXPECT_FALSE(tcp(444));
}

TEST_F(PortsTest, ALongerRangeTakesPages) {
  start("[{protocol: TCP, port: 1000, endPort: 2024}]");
  EXPECT_EQ(1u, port_sets());
  for (uint16_t port : {1000, 1023, 1024, 2024}) EXPECT_TRUE(tcp(port)) << port;
  for (uint16_t port : {0, 999, 2025, 65535}) EXPECT_FALSE(tcp(port)) << port;
  EXPECT_FALSE(udp(1024));
}

TEST_F(PortsTest, DifferentPortsOfTheTwoTakePages) {
  start("[{protocol: TCP, port: 5432}, {protocol: UDP, port: 53}]");
  EXPECT_EQ(1u, port_sets());
  EXPECT_TRUE(tcp(5432));
  EXPECT_TRUE(udp(53));
  EXPECT_FALSE(tcp(53));
  EXPECT_FALSE(udp(5432));
  EXPECT_TRUE(reply_from(5432));
}

TEST_F(PortsTest, TwoPortsTakePages) {
  start("[{protocol: TCP, port: 80}, {protocol: TCP, port: 443}]");
  EXPECT_EQ(1u, port_sets());
  EXPECT_TRUE(tcp(80));
  EXPECT_TRUE(tcp(443));
  EXPECT_FALSE(tcp(81));
}

}  // namespace
}  // namespace partywall::test

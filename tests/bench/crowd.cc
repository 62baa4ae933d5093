// tests/bench/crowd.cc: writes the policy of a crowd. Pure.
#include "tests/bench/crowd.h"

#include <fmt/format.h>

namespace partywall::bench {
namespace {

constexpr size_t kTenantsPerFile = 500;

constexpr const char* kTiers = R"(apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: limited}
spec:
  limits:
    egress: {ceiling: 80Gbit}
    ingress: {ceiling: 80Gbit}
    packetsPerSecond: 500M
---
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: unlimited}
spec: {}
---
apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: over}
spec:
  limits:
    egress: {ceiling: 8kbit}
    ingress: {ceiling: 8kbit}
---
)";

std::string peer_rules(const Crowd& crowd, size_t tenant) {
  std::string rules;

  if (tenant < kFirstPeer) {
    rules = "  network:\n    egress:\n      - to:\n";
    for (size_t i = 0; i < peers(crowd); i++)
      rules += fmt::format("          - tenant: t{}\n", kFirstPeer + i);
    return rules +
           "        ports: [{protocol: TCP, port: 5432}]\n"
           "      - to: [{cidr: 0.0.0.0/0}, {cidr: \"::/0\"}]\n";
  }
  if (tenant >= kFirstPeer + peers(crowd)) return "";
  return "  network:\n    ingress:\n      - from: [{tenant: t0}, {tenant: t1}, {tenant: t2}]\n"
         "        ports: [{protocol: TCP, port: 5432}]\n";
}

}  // namespace

std::string Crowd::address4(size_t i) {
  return fmt::format("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255);
}

std::string Crowd::address6(size_t i) {
  return fmt::format("fd00::{:x}:{:x}", i >> 16 & 0xffff, i & 0xffff);
}

std::vector<std::string> Crowd::policy() const {
  std::vector<std::string> files;

  for (size_t tenant = 0; tenant < tenants; tenant++) {
    if (tenant % kTenantsPerFile == 0) files.emplace_back(tenant ? "" : kTiers);

    const char* tier = tenant == kUnlimited ? "unlimited"
                       : tenant == kOver    ? "over"
                                            : "limited";
    std::string own;

    for (size_t i = tenant; i < addresses; i += tenants)
      own += fmt::format("{}{}, \"{}\"", own.empty() ? "" : ", ", address4(i), address6(i));
    files.back() += fmt::format(R"(apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: t{0}}}
spec:
  tier: {1}
  members:
    - cgroup: $ROOT/t{0}
      addresses: [{2}]
{3}---
)",
                                tenant, tier, own, peer_rules(*this, tenant));
  }
  return files;
}

}  // namespace partywall::bench

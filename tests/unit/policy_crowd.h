// tests/unit/policy_crowd.h: a policy of any number of tenants, each with 2 rules and 10
// addresses. Reads no file.
#ifndef PARTYWALL_TESTS_UNIT_POLICY_CROWD_H
#define PARTYWALL_TESTS_UNIT_POLICY_CROWD_H

#include "tests/unit/policy_text.h"

namespace partywall::test {

// Tenant t<i> may ask its neighbour t<i+1> on one port, and reach the world but for one
// address.
inline std::string crowd_tenant(int i, int tenants, int port = 5432) {
  std::string addresses;

  for (int j = 0; j < 10; j++)
    addresses +=
        fmt::format("{}10.{}.{}.{}", j ? ", " : "", i / 2500, i / 10 % 250, i % 10 * 10 + j);
  return fmt::format(
      R"(---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: t{0}}}
spec:
  tier: gold
  members:
    - cgroup: /t.slice/t{0}.slice
      addresses: [{1}]
  network:
    egress:
      - to: [{{tenant: t{2}}}]
        ports: [{{protocol: TCP, port: {4}}}]
      - to: [{{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    ingress:
      - from: [{{tenant: t{3}}}]
        ports: [{{protocol: TCP, port: 5432}}, {{protocol: UDP, port: 53}}]
)",
      i, addresses, (i + 1) % tenants, (i + tenants - 1) % tenants, port);
}

// Files of 100 tenants each, and one with the tier.
inline std::vector<std::shared_ptr<const policy::ParsedFile>> crowd(int tenants) {
  std::vector<std::shared_ptr<const policy::ParsedFile>> files;
  auto add = [&](const std::string& name, const std::string& text) {
    files.push_back(std::make_shared<const policy::ParsedFile>(policy::parse_file(name, text)));
  };

  add("tier.yaml", tier());
  for (int first = 0; first < tenants; first += 100) {
    std::string text;

    for (int i = first; i < std::min(first + 100, tenants); i++)
      text += crowd_tenant(i, tenants);
    add(fmt::format("t{}.yaml", first), text);
  }
  return files;
}

}  // namespace partywall::test

#endif

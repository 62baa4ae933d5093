// tests/unit/policy_damage_test.cc: policies that were cut off, that lost a bit, a rule or an
// exception: never a crash, and never more than before that was not written. No I/O.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/dice/packet_dice.h"
#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using policy::Flow;
using testing::IsEmpty;

struct Rolled {
  explicit Rolled(uint64_t seed, int flows_of_each = 40) : dice(seed) {
    text = test::PolicyDice(dice).roll();
    text.documents = with_root(text.documents);
    parsed = test::read_policy(text.documents, text.config);
    EXPECT_THAT(test::lines_of(parsed.problems), IsEmpty());
    for (const std::string& tenant : text.tenants)
      for (int i = 0; i < flows_of_each; i++)
        flows.push_back(test::flow_of(test::roll_packet(dice, text, tenant)));
  }
  static std::string with_root(std::string documents) {
    for (size_t at; (at = documents.find("$ROOT")) != std::string::npos;)
      documents.replace(at, 5, "/t");
    return documents;
  }

  test::Dice dice;
  test::DicePolicy text;
  policy::ParsedPolicy parsed;
  std::vector<Flow> flows;
};

bool allows(const policy::Policy& policy, const Flow& flow) {
  return policy::judge(policy, flow).allow;
}

// Applies `change` to a copy of one tenant's rules; nothing more may be allowed than before.
// Returns how many flows were, and are no longer.
template <typename Change>
int expect_no_more(const Rolled& rolled, const std::string& tenant, Change change) {
  policy::Policy less = rolled.parsed.policy;
  policy::Tenant changed = less.tenants.at(tenant);
  int lost = 0;

  if (!change(changed)) return 0;
  less.tenants.add(std::move(changed));
  for (const Flow& flow : rolled.flows) {
    bool before = allows(rolled.parsed.policy, flow);
    bool after = allows(less, flow);

    EXPECT_FALSE(after && !before) << rolled.text.documents;
    lost += before && !after;
  }
  return lost;
}

// Calls change(rule) for each rule of each tenant in turn.
template <typename Change>
int expect_no_more_without(Change change) {
  int lost = 0;

  for (uint64_t seed = 1; seed <= 20; seed++) {
    Rolled rolled(seed);

    for (const std::string& name : rolled.text.tenants)
      for (auto list : {&policy::Tenant::egress, &policy::Tenant::ingress})
        for (size_t i = 0; i < 8; i++)
          lost += expect_no_more(rolled, name, [&](policy::Tenant& tenant) {
            return tenant.*list && i < (tenant.*list)->size() && change(*(tenant.*list), i);
          });
  }
  return lost;
}

TEST(PolicyDamage, ARuleLessNeverAllowsMore) {
  EXPECT_GT(expect_no_more_without([](std::vector<policy::Rule>& rules, size_t i) {
              rules.erase(rules.begin() + static_cast<long>(i));
              return true;
            }),
            50);
}

TEST(PolicyDamage, APeerLessNeverAllowsMore) {
  EXPECT_GT(expect_no_more_without([](std::vector<policy::Rule>& rules, size_t i) {
              if (rules[i].peers.empty()) return false;
              rules[i].peers.pop_back();
              return true;
            }),
            50);
}

TEST(PolicyDamage, APortLessNeverAllowsMore) {
  EXPECT_GT(expect_no_more_without([](std::vector<policy::Rule>& rules, size_t i) {
              if (!rules[i].ports || rules[i].ports->empty()) return false;
              rules[i].ports->pop_back();  // the last one leaves an empty list, which is none
              return true;
            }),
            10);
}

TEST(PolicyDamage, AnEmptyListOfPortsIsLessThanNone) {
  EXPECT_GT(expect_no_more_without([](std::vector<policy::Rule>& rules, size_t i) {
              if (rules[i].ports) return false;
              rules[i].ports.emplace();
              return true;
            }),
            10);
}

TEST(PolicyDamage, AnExceptionMoreNeverAllowsMore) {
  EXPECT_GT(expect_no_more_without([](std::vector<policy::Rule>& rules, size_t i) {
              bool changed = false;

              for (policy::PeerSelector& peer : rules[i].peers) {
                if (!peer.cidr) continue;
                peer.except.push_back(*peer.cidr);
                changed = true;
              }
              return changed;
            }),
            20);
}

TEST(PolicyDamage, AnEmptyListOfRulesIsLessThanAnyOther) {
  int lost = 0;

  for (uint64_t seed = 1; seed <= 20; seed++) {
    Rolled rolled(seed);

    for (const std::string& name : rolled.text.tenants)
      for (auto list : {&policy::Tenant::egress, &policy::Tenant::ingress})
        lost += expect_no_more(rolled, name, [&](policy::Tenant& tenant) {
          (tenant.*list).emplace();
          return true;
        });
  }
  EXPECT_GT(lost, 100);
}

TEST(PolicyDamage, TheOrderOfDocumentsMakesNoDifference) {
  for (uint64_t seed = 1; seed <= 20; seed++) {
    Rolled rolled(seed);
    std::vector<std::string> documents;
    const std::string& text = rolled.text.documents;

    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find("---", at + 1), text.size());

      documents.push_back(text.substr(at, end - at));
      at = end;
    }
    std::ranges::reverse(documents);

    auto reversed =
        test::read_policy(fmt::format("{}", fmt::join(documents, "")), rolled.text.config);

    ASSERT_THAT(test::lines_of(reversed.problems), IsEmpty());
    for (const Flow& flow : rolled.flows)
      ASSERT_EQ(policy::judge(rolled.parsed.policy, flow).reason,
                policy::judge(reversed.policy, flow).reason);
  }
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;

  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at++) found++;
  return found;
}

// Documents in braces: whatever is missing at the end, what is read without a problem is whole
// documents.
TEST(PolicyDamage, ACutPolicyInBracesIsRefusedOrWhole) {
  for (uint64_t seed = 1; seed <= 3; seed++) {
    const std::string text = Rolled(seed, 0).text.documents;
    size_t accepted = 0;

    for (size_t length = 0; length < text.size(); length++) {
      auto file = policy::parse_file("cut.yaml", text.substr(0, length));

      if (!file.problems.empty()) continue;

      std::string rest = text.substr(0, length);

      rest.erase(0, rest.rfind('}') + 1);
      EXPECT_THAT((std::set<std::string>{"", "\n", "---", "---\n", "\n---", "\n---\n"}),
                  testing::Contains(rest));
      EXPECT_EQ(count(text.substr(0, length) + "\n", "}\n"), file.documents.size());
      accepted++;
    }
    EXPECT_GT(accepted, 9u);  // after each document
  }
}

constexpr const char* kBlocks = R"(apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata:
  name: gold
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata:
  name: one
spec:
  tier: gold
  members:
    - cgroup: /t/one
      addresses: [10.1.0.0/24]
  network:
    egress:
      - to: [{cidr: 0.0.0.0/0}]
    ingress:
      - from: [{tenant: two}]
        ports:
          - port: 443
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata:
  name: two
spec:
  tier: gold
  members:
    - cgroup: /t/two
      addresses: [10.2.0.0/24]
  network:
    egress:
      - to:
          - tenant: one
        ports:
          - port: 443
          - protocol: UDP
            port: 53-153
      - to: [{cidr: 10.9.0.0/16}]
    ingress:
      - from: [{tenant: one}]
---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata:
  name: three
spec:
  tier: gold
  members:
    - cgroup: /t/three
      addresses: [10.3.0.0/24]
  network:
    egress:
      - to: [{tenant: one}, {tenant: two}]
        ports:
          - port: 443
    ingress:
      - from: [{tenant: two}]
        ports:
          - port: 5432
)";

// Indented documents say something else when they are cut, and may well say more: "ports" is
// not written yet. But no tenant's document, however it is cut, opens what the others keep
// closed.
TEST(PolicyDamage, ACutTenantDoesNotGetPastTheOthers) {
  const std::string text = kBlocks;
  const policy::Policy whole = test::read_policy(text).policy;
  const std::map<std::string, std::string> addresses = {
      {"one", "10.1.0.1"}, {"two", "10.2.0.1"}, {"three", "10.3.0.1"}};
  size_t accepted = 0;
  int opened = 0;

  ASSERT_EQ(3u, whole.tenants.size());
  for (size_t length = 0; length < text.size(); length++) {
    auto cut = test::read_policy(text.substr(0, length));

    if (!cut.problems.empty() || cut.policy.tenants.empty()) continue;
    accepted++;

    // The last one is the one that was cut; all that it could ever write is this.
    std::string last = cut.policy.tenants.contains("three") ? "three"
                       : cut.policy.tenants.contains("two") ? "two"
                                                            : "one";
    policy::Policy most = whole;
    policy::Tenant greedy = whole.tenants.at(last);
    policy::Rule everybody;

    for (const auto& [name, address] : addresses)
      if (name != last) everybody.peers.push_back({.tenant = name});
    greedy.egress.emplace({everybody});
    greedy.ingress.emplace({everybody});
    most.tenants.add(std::move(greedy));
    for (const auto& [name, tenant] : cut.policy.tenants)
      for (const auto& [peer, address] : addresses)
        for (auto direction : {abi::DIRECTION_EGRESS, abi::DIRECTION_INGRESS})
          for (uint16_t port : {22, 443, 5432}) {
            if (peer == name || peer == last || !cut.policy.tenants.contains(peer)) continue;

            Flow flow{.tenant = name, .direction = direction, .peer = test::address(address)};

            (direction == abi::DIRECTION_EGRESS ? flow.peer_port : flow.local_port) = port;
            if (name == last) {
              EXPECT_LE(allows(cut.policy, flow), allows(most, flow)) << text.substr(0, length);
              opened += allows(cut.policy, flow);
            } else {
              EXPECT_EQ(policy::judge(whole, flow).reason,
                        policy::judge(cut.policy, flow).reason);
            }
          }
  }
  EXPECT_GT(accepted, 30u);
  EXPECT_GT(opened, 10);
}

TEST(PolicyDamage, AFlippedBitIsNoCrash) {
  size_t accepted = 0;

  for (uint64_t seed = 1; seed <= 4; seed++) {
    Rolled rolled(seed, 4);

    for (int turn = 0; turn < 1'000; turn++) {
      std::string documents = rolled.text.documents;
      std::string config = rolled.text.config;

      for (uint32_t flips = 1 + rolled.dice.below(3); flips > 0; flips--) {
        std::string& hit = rolled.dice.percent(90) ? documents : config;

        hit[rolled.dice.below(static_cast<uint32_t>(hit.size()))] ^=
            static_cast<char>(1 << rolled.dice.below(8));
      }
      auto parsed = test::read_policy(documents, config, "/t");

      if (!parsed.problems.empty()) continue;
      accepted++;

      auto image = policy::compile(parsed.policy, {}, {});

      ASSERT_TRUE(image) << image.error().message();
      for (const Flow& flow : rolled.flows) policy::judge(parsed.policy, flow);
    }
  }
  EXPECT_GT(accepted, 20u);
}

}  // namespace
}  // namespace partywall

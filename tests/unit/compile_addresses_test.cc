// tests/unit/compile_addresses_test.cc: a policy that differs in addresses alone comes to what
// compile() makes of it. No I/O.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "agent/policy/cluster_network.h"
#include "agent/policy/compile.h"
#include "tests/dice/policy_dice.h"
#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using policy::Image;
using policy::Policy;

constexpr uint64_t kPolicies = 300;
constexpr int kSteps = 12;

Image compiled(const Policy& policy, const policy::Numbers& previous) {
  auto image = policy::compile(policy, previous, {});

  if (image) return std::move(*image);
  ADD_FAILURE() << image.error().message();
  return {};
}

void expect_same(const Image& right, const Image& found) {
  EXPECT_EQ(right.numbers.tenants, found.numbers.tenants);
  EXPECT_EQ(right.numbers.zones, found.numbers.zones);
  EXPECT_EQ(right.numbers.port_sets, found.numbers.port_sets);
  EXPECT_EQ(right.endpoints, found.endpoints);
  EXPECT_EQ(right.cgroups, found.cgroups);
  EXPECT_EQ(right.interfaces, found.interfaces);
  EXPECT_EQ(right.hidden, found.hidden);
  ASSERT_EQ(right.pairs.size(), found.pairs.size());
  for (const auto& [key, pair] : right.pairs)
    EXPECT_EQ(0, std::memcmp(&pair, &found.pairs.at(key), sizeof(pair))) << key;
  ASSERT_EQ(right.tenants.size(), found.tenants.size());
  for (const auto& [number, row] : right.tenants)
    EXPECT_EQ(0, std::memcmp(&row, &found.tenants.at(number), sizeof(row))) << number;
}

// With other addresses of that tenant; those of other tenants and the lane's stay theirs.
Policy with_addresses(Policy policy, size_t place, const std::vector<policy::Prefix>& wanted) {
  policy::Tenant tenant = policy.tenants[place];

  std::erase_if(policy.addresses, [&](const auto& owned) { return owned.tenant == place; });
  tenant.addresses.clear();
  for (const policy::Prefix& range : wanted) {
    auto overlaps = [&](const policy::Prefix& other) {
      return other.contains(range) || range.contains(other);
    };

    if (std::ranges::any_of(policy.addresses, overlaps, &policy::OwnedAddresses::range))
      continue;
    if (std::ranges::any_of(policy.infrastructure, overlaps, &policy::Infrastructure::cidr))
      continue;
    tenant.addresses.push_back(range);
    policy.addresses.push_back({range, static_cast<uint32_t>(place)});
  }
  std::ranges::sort(policy.addresses, {}, &policy::OwnedAddresses::range);
  policy.tenants.add(std::move(tenant));
  return policy;
}

std::vector<policy::Prefix> roll_addresses(test::Dice& dice, const Image& image) {
  std::vector<policy::Prefix> ranges;

  for (uint32_t i = dice.below(5); i > 0; i--) {
    // What zones are, too; and single addresses, as pods have.
    if (dice.percent(30) && !image.numbers.zones.empty())
      ranges.push_back((image.numbers.zones.begin() +
                        dice.below(static_cast<uint32_t>(image.numbers.zones.size())))
                           ->first);
    else if (dice.percent(20) && !image.hidden.empty())
      ranges.push_back(dice.inside(dice.one_of(image.hidden)));
    else if (bool v4 = dice.percent(60); dice.percent(50))
      ranges.push_back(test::cut(dice.address(v4), v4 ? 32 : 128));
    else
      ranges.push_back(dice.around(test::cut(dice.address(v4), v4 ? 32 : 128)));
  }
  return ranges;
}

TEST(CompileAddresses, IsWhatCompileMakesOfIt) {
  size_t taken = 0, left = 0, in_clusters = 0;

  for (uint64_t seed = 1; seed <= kPolicies; seed++) {
    test::Dice dice(seed);
    test::DicePolicy rolled = test::PolicyDice(dice).roll(seed % 2 == 0);

    for (size_t at; (at = rolled.documents.find("$ROOT")) != std::string::npos;)
      rolled.documents.replace(at, 5, "/t");

    auto parsed = test::read_policy(rolled.documents, rolled.config);

    ASSERT_THAT(test::lines_of(parsed.problems), testing::IsEmpty()) << seed;

    Policy policy = std::move(parsed.policy);
    Image image = compiled(policy, {});

    for (int step = 0; step < kSteps; step++) {
      auto place = dice.below(static_cast<uint32_t>(policy.tenants.size()));
      Policy next = with_addresses(policy, place, roll_addresses(dice, image));
      Image right = compiled(next, image.numbers);

      if (auto found = policy::compile_addresses(next, policy, image, {})) {
        SCOPED_TRACE(fmt::format("seed {}, step {}", seed, step));
        expect_same(right, *found);
        if (HasFatalFailure() || HasNonfatalFailure()) return;
        taken++;
        in_clusters += policy.network != nullptr;
      } else {
        left++;
      }
      policy = std::move(next);
      image = std::move(right);
    }
  }
  // Neither is rare.
  EXPECT_GT(taken, kPolicies * kSteps / 5);
  EXPECT_GT(in_clusters, kPolicies * kSteps / 20);
  EXPECT_GT(left, kPolicies * kSteps / 20);
}

// Everything else that a policy says, changed by itself.
TEST(CompileAddresses, LeavesWhatDiffersInMore) {
  const std::string tiers = test::tier() + test::tier("other");
  const std::string a = "members: [{cgroup: /a, addresses: [10.0.0.1]}]";
  const std::string text = tiers + test::tenant("a", a) + test::tenant("b");
  Policy before = test::read_policy(text).policy;
  Image image = compiled(before, {});
  auto again = [&](const std::string& changed, const std::string& lane = "") {
    auto parsed = test::read_policy(changed, lane);

    EXPECT_THAT(test::lines_of(parsed.problems), testing::IsEmpty());
    return policy::compile_addresses(parsed.policy, before, image, {}).has_value();
  };

  EXPECT_TRUE(again(text));
  EXPECT_TRUE(again(tiers +
                    test::tenant("a", "members: [{cgroup: /a, addresses: [10.0.0.2]}]") +
                    test::tenant("b")));
  EXPECT_FALSE(
      again(text, "infrastructure:\n- {name: dns, cidr: 10.9.0.1, direction: egress}\n"));
  EXPECT_FALSE(again(test::tier("gold", "network: {world: {egress: deny}}") +
                     test::tier("other") + test::tenant("a", a) + test::tenant("b")));
  EXPECT_FALSE(again(tiers + test::tenant("a", a)));
  EXPECT_FALSE(again(text + test::tenant("c")));
  EXPECT_FALSE(again(tiers + test::tenant("a", a + ", mode: audit") + test::tenant("b")));
  EXPECT_FALSE(again(tiers +
                     test::tenant("a", a + ", limits: {connections: {concurrent: 77}}") +
                     test::tenant("b")));
  EXPECT_FALSE(
      again(tiers + test::tenant("a", a + ", network: {egress: []}") + test::tenant("b")));
  EXPECT_FALSE(again(tiers +
                     test::tenant("a", "members: [{cgroup: /z, addresses: [10.0.0.1]}]") +
                     test::tenant("b")));
}

}  // namespace
}  // namespace partywall

// tests/bpf/pairs_test.cc: pairs that share a slot of pair_slots keep their own decisions.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "tests/bpf/world.h"

namespace partywall::test {
namespace {

constexpr int kTenants = 45;
constexpr int kRanges = 300;  // with these numbers some pairs of two tenants share a slot

// Tenant i may open TCP port 1000 + i of all ranges, if it is in `with_rules`.
std::string policy_text(const std::vector<int>& with_rules) {
  std::string ranges;
  std::string text =
      "{apiVersion: partywall.dev/v1alpha1, kind: Tier, metadata: {name: gold}, spec: {}}\n";

  for (int i = 0; i < kRanges; i++)
    ranges += fmt::format("{{cidr: 198.{}.{}.0/24}}, ", 18 + i / 256, i % 256);
  for (int i = 1; i <= kTenants; i++) {
    bool rules = std::ranges::find(with_rules, i) != with_rules.end();

    text += fmt::format(
        "---\n{{apiVersion: partywall.dev/v1alpha1, kind: Tenant, metadata: {{name: t{0:02}}}, "
        "spec: {{tier: gold, members: [{{cgroup: $ROOT/t{0:02}, addresses: "
        "[10.80.{0}.0/24]}}], "
        "network: {{egress: [{1}]}}}}}}\n",
        i,
        rules ? fmt::format("{{to: [{}], ports: [{{protocol: TCP, port: {}}}]}}", ranges,
                            1000 + i)
              : "");
  }
  return text;
}

class PairsTest : public World {
 protected:
  // Whether tenant i may open its port of range n. Nobody may open another tenant's.
  bool may(int i, int n) {
    std::string name = fmt::format("t{:02}", i);

    if (made_.insert(name).second) make_cgroup(name);
    enter(name);

    auto send = [&](int port) {
      return egress(Packet::syn(fmt::format("10.80.{}.1", i), 40000,
                                fmt::format("198.{}.{}.1", 18 + n / 256, n % 256),
                                static_cast<uint16_t>(port)))
          .reason;
    };

    for (int other = 1; other <= kTenants; other++)
      if (other != i) {
        EXPECT_NE(abi::REASON_ALLOW_WORLD, send(1000 + other)) << i << " to " << n;
      }
    return send(1000 + i) == abi::REASON_ALLOW_WORLD;
  }

  uint32_t slot(int i, int n) const {
    auto range = policy::parse_prefix(fmt::format("198.{}.{}.0/24", 18 + n / 256, n % 256));

    return abi::pair_slot_of(number(fmt::format("t{:02}", i)),
                             image_->numbers.zones.at(*range));
  }

  struct Shared {
    int tenant[2];
    int range[2];
  };

  // Two pairs of different tenants that share a slot.
  std::optional<Shared> shared() const {
    std::map<uint32_t, std::pair<int, int>> first;

    for (int i = 1; i <= kTenants; i++)
      for (int n = 0; n < kRanges; n++) {
        auto [at, fresh] = first.emplace(slot(i, n), std::pair{i, n});

        if (!fresh && at->second.first != i)
          return Shared{{at->second.first, i}, {at->second.second, n}};
      }
    return std::nullopt;
  }

 private:
  std::set<std::string> made_;
};

TEST_F(PairsTest, WhoSharesASlotKeepsItsOwnDecision) {
  policy(policy_text({1}));

  auto pairs = shared();

  ASSERT_TRUE(pairs);

  // Who came first has the slot; it goes away and comes back; each side of the maps sees it
  // all.
  auto [a, b] = pairs->tenant;
  const std::vector<std::vector<int>> steps = {{a}, {a, b}, {b}, {a, b}, {a}, {}, {b}, {a, b}};

  for (int round = 0; round < 3; round++)
    for (const std::vector<int>& rules : steps) {
      policy(policy_text(rules));
      for (int end : {0, 1}) {
        bool expected = std::ranges::find(rules, pairs->tenant[end]) != rules.end();

        EXPECT_EQ(expected, may(pairs->tenant[end], pairs->range[end]));
      }
    }
}

}  // namespace
}  // namespace partywall::test

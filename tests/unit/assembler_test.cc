// tests/unit/assembler_test.cc: files that come, go and change: an assembler that has seen
// others before says what one says that has not. No I/O.
#include "agent/policy/assembler.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/dice/dice.h"
#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using Files = std::vector<std::shared_ptr<const policy::ParsedFile>>;

// Files with few names, addresses and cgroups, so that they often get into each other's way.
class FileDice {
 public:
  explicit FileDice(test::Dice& dice) : dice_(dice) {}

  std::shared_ptr<const policy::ParsedFile> roll() {
    std::string text;

    for (uint32_t left = dice_.below(4); left > 0; left--) text += document();
    if (dice_.percent(3)) text += "---\n{kind: Nothing}\n";
    return std::make_shared<const policy::ParsedFile>(
        policy::parse_file(fmt::format("{}.yaml", dice_.below(100)), text));
  }

 private:
  std::string document() {
    if (dice_.percent(25)) return test::tier(dice_.percent(70) ? "gold" : "silver");

    std::string spec = fmt::format(
        "members: [{{cgroup: {}, addresses: [{}]}}, {{cgroup: {}}}], network: {{egress: [{{to: "
        "[{{tenant: t{}}}]}}]}}",
        cgroup(), addresses(), cgroup(), dice_.below(30));
    std::string name = fmt::format("t{}", dice_.below(30));
    std::string text = test::tenant(name, spec);

    if (dice_.percent(20)) text.replace(text.find("tier: gold"), 10, "tier: silver");
    return text;
  }
  std::string cgroup() {
    std::string path = fmt::format("{}/{}", dice_.percent(97) ? "/t" : "/u", dice_.below(60));

    if (dice_.percent(15)) path += fmt::format("/{}", dice_.below(3));
    if (dice_.percent(5)) path += "*";
    if (dice_.percent(3)) path += "/**";
    return '"' + path + '"';
  }
  std::string addresses() {
    std::string list;

    for (uint32_t left = dice_.below(3); left > 0; left--) {
      auto range = test::cut(dice_.address(dice_.percent(70)), 0);

      range.address.bytes[0] = test::is_v4(range.address) ? 10 : 0xfd;
      range.address.bytes[1] = static_cast<uint8_t>(dice_.below(80));
      range.bits = static_cast<uint8_t>(dice_.percent(90) ? 16 : 14);
      if (range.bits == 14) range.address.bytes[1] &= 0xfc;
      list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", to_string(range));
    }
    return list.empty() ? "10.200.0.0/16" : list;
  }

  test::Dice& dice_;
};

// One change, as an operator or a broken tool may make it.
void change(Files& files, test::Dice& dice, FileDice& fresh) {
  auto some = [&] { return files.begin() + dice.below(static_cast<uint32_t>(files.size())); };
  uint32_t what = dice.below(100);

  if (files.empty() || what < 30)
    files.insert(files.begin() + dice.below(static_cast<uint32_t>(files.size() + 1)),
                 fresh.roll());
  else if (what < 60)
    files.erase(some());
  else if (what < 90)
    *some() = fresh.roll();
  else if (what < 95)
    std::iter_swap(some(), some());
  else
    files.push_back(*some());  // one file twice
}

template <typename T>
std::vector<const T*> items_of(const policy::ByName<T>& all) {
  std::vector<const T*> items;

  for (const auto& [name, item] : all) items.push_back(&item);
  return items;
}

void expect_same(const policy::ParsedPolicy& one, const policy::ParsedPolicy& other) {
  EXPECT_EQ(test::lines_of(one.problems), test::lines_of(other.problems));
  EXPECT_EQ(items_of(one.policy.tiers), items_of(other.policy.tiers));
  EXPECT_EQ(items_of(one.policy.tenants), items_of(other.policy.tenants));
  EXPECT_EQ(one.policy.addresses, other.policy.addresses);
}

TEST(Assembler, WhatCameBeforeMakesNoDifference) {
  auto lane = policy::parse_infrastructure(
      "agent.yaml",
      "infrastructure: [{name: dns, cidr: 10.3.0.0/16}, {name: six, cidr: "
      "\"fd03::/16\"}]");
  int good = 0;
  int bad = 0;

  for (uint64_t seed = 0; seed < 40; seed++) {
    test::Dice dice(seed);
    FileDice fresh(dice);
    policy::Assembler assembler;
    Files files;

    for (int turn = 0; turn < 100; turn++) {
      for (uint32_t changes = dice.below(3); changes > 0; changes--) change(files, dice, fresh);

      auto infrastructure =
          dice.percent(20) ? lane.entries : std::vector<policy::Infrastructure>{};
      std::string root = dice.percent(50) ? "/t" : "";
      auto found = assembler.assemble(files, infrastructure, root);

      expect_same(policy::assemble(files, infrastructure, root), found);
      (found.problems.empty() ? good : bad)++;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(good, 100);
  EXPECT_GT(bad, 1000);
}

// The first of two has the name; when it goes, the other one is looked at as if it were new.
TEST(Assembler, WhoComesIntoANameIsLookedAt) {
  auto file = [](const char* name, const std::string& text) {
    return std::make_shared<const policy::ParsedFile>(policy::parse_file(name, text));
  };
  auto first = file("a.yaml", test::tier() + test::tenant("acme"));
  auto rest = file("b.yaml", test::tier());
  auto second =
      file("c.yaml", test::tenant("acme", "network: {egress: [{to: [{tenant: no}]}]}"));
  policy::Assembler assembler;

  EXPECT_EQ(2u, assembler.assemble({first, rest, second}, {}, "").problems.size());

  auto found = assembler.assemble({rest, second}, {}, "");

  ASSERT_EQ(1u, found.problems.size());
  EXPECT_THAT(to_string(found.problems[0]), testing::HasSubstr("there is no tenant no."));
}

TEST(Assembler, AnItemIsSharedBetweenPolicies) {
  auto file = std::make_shared<const policy::ParsedFile>(
      policy::parse_file("a.yaml", test::tier() + test::tenant("acme")));
  policy::Assembler assembler;
  auto one = assembler.assemble({file}, {}, "");
  auto two = assembler.assemble({file}, {}, "");

  EXPECT_EQ(&std::get<policy::Tenant>(file->documents[1]), &one.policy.tenants.at("acme"));
  EXPECT_EQ(&one.policy.tenants.at("acme"), &two.policy.tenants.at("acme"));

  // It outlives its file's other owners.
  one = {};
  assembler = {};
  file.reset();
  EXPECT_EQ("gold", two.policy.tenants.at("acme").tier);
}

}  // namespace
}  // namespace partywall

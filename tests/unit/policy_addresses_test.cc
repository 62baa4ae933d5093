// tests/unit/policy_addresses_test.cc: a tenant's file that is the same but for addresses, as a
// parser would read it. No I/O.
#include <gmock/gmock.h>

#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using Addresses = std::set<std::string>;

constexpr const char* kOwn = "addresses: [10.9.0.0/16]";

std::string text_with(const Addresses& addresses, const std::string& own = kOwn) {
  std::string list;

  for (const std::string& one : addresses)
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ",", one);
  return test::tenant(
      "acme", fmt::format("members: [{{{}}}, {{cgroup: /a}}, {{addresses: [{}]}}], network: "
                          "{{egress: [{{to: [{{cidr: 0.0.0.0/0}}]}}]}}",
                          own, list));
}

policy::ParsedFile parsed(const std::string& text) {
  return policy::parse_file("a.yaml", text);
}

TEST(PolicyAddresses, AsIfTheyWereParsed) {
  auto before = parsed(text_with({"10.1.0.1", "10.1.0.2"}));

  for (const Addresses& addresses :
       {Addresses{"10.1.0.1"}, {"10.1.0.22", "10.1.0.3", "fd00::1"}, {"10.2.0.0/16"}}) {
    auto right = parsed(text_with(addresses));
    auto found = policy::with_addresses(before, addresses);

    ASSERT_TRUE(found && right.problems.empty());

    const auto& places = found->places.front().addresses;
    const auto& right_places = right.places.front().addresses;

    EXPECT_EQ(std::get<policy::Tenant>(right.documents.front()).addresses,
              std::get<policy::Tenant>(found->documents.front()).addresses);
    ASSERT_EQ(right_places.size(), places.size());
    for (size_t i = 0; i < places.size(); i++)
      EXPECT_EQ(std::tuple(right_places[i].line, right_places[i].column, right_places[i].member,
                           right_places[i].entry),
                std::tuple(places[i].line, places[i].column, places[i].member, places[i].entry))
          << i;
  }
}

TEST(PolicyAddresses, WhatIsNotForSureIsParsed) {
  auto before = parsed(text_with({"10.1.0.1"}));

  for (const char* bad : {"10.1.0.1/8", "x", "\"", "127.0.0.1", "::ffff:10.1.0.1", ""})
    EXPECT_FALSE(policy::with_addresses(before, {"10.1.0.2", bad})) << bad;
  EXPECT_FALSE(policy::with_addresses(before, {}));

  Addresses good{"10.1.0.2"};

  EXPECT_TRUE(policy::with_addresses(before, good));
  for (const std::string& text :
       {test::tenant("acme"), test::tier(), text_with({"127.0.0.1"}),
        text_with({"10.1.0.1"}) + test::tier(), std::string("members: [")})
    EXPECT_FALSE(policy::with_addresses(parsed(text), good)) << text;
}

}  // namespace
}  // namespace partywall

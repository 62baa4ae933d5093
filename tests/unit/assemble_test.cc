// tests/unit/assemble_test.cc: what is wrong among the files of a policy, and what makes no
// difference. No I/O.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/policy_crowd.h"

namespace partywall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Files = std::vector<std::shared_ptr<const policy::ParsedFile>>;

// Files called a.yaml, b.yaml ...
Files files(const std::vector<std::string>& texts) {
  Files all;

  for (const std::string& text : texts)
    all.push_back(std::make_shared<const policy::ParsedFile>(
        policy::parse_file(fmt::format("{}.yaml", static_cast<char>('a' + all.size())), text)));
  return all;
}

std::vector<std::string> problems(const std::vector<std::string>& texts,
                                  const std::string& root = "", const std::string& lane = "") {
  auto infrastructure = policy::parse_infrastructure("agent.yaml", lane);

  EXPECT_THAT(test::lines_of(infrastructure.problems), IsEmpty());
  return test::lines_of(policy::assemble(files(texts), infrastructure.entries, root).problems);
}

std::string with_cgroups(const std::string& name, const std::vector<std::string>& cgroups) {
  std::string list;

  for (const std::string& cgroup : cgroups)
    list += fmt::format("{}{{cgroup: \"{}\"}}", list.empty() ? "" : ", ", cgroup);
  return test::tenant(name, "members: [" + list + "]");
}

std::string with_addresses(const std::string& name, const std::string& addresses) {
  return test::tenant(
      name, fmt::format("members: [{{cgroup: /t/{}, addresses: [{}]}}]", name, addresses));
}

TEST(Assemble, NamesAreUniqueOverAllFiles) {
  EXPECT_THAT(
      problems({test::tier() + test::tenant("acme"), test::tier(), test::tenant("acme")}),
      ElementsAre("b.yaml:2:67: metadata.name: tier gold is already defined at a.yaml:2:67: "
                  "names are unique over all files",
                  "c.yaml:2:69: metadata.name: tenant acme is already defined at a.yaml:4:69: "
                  "names are unique over all files"));
  EXPECT_THAT(problems({test::tier("same") + test::tier(), test::tenant("same")}), IsEmpty());
}

TEST(Assemble, TiersAndTenantsMayComeLater) {
  EXPECT_THAT(problems({test::tenant("a", "network: {egress: [{to: [{tenant: b}]}]}"),
                        test::tenant("b"), test::tier()}),
              IsEmpty());
}

TEST(Assemble, UnknownTiers) {
  EXPECT_THAT(
      problems({test::tenant("a"), test::tier("golf")}),
      ElementsAre(
          "a.yaml:2:86: spec.tier: there is no tier gold, did you mean golf? Define it, "
          "or write one that there is"));
  EXPECT_THAT(
      problems({test::tenant("a"), test::tier("silver")}),
      ElementsAre("a.yaml:2:86: spec.tier: there is no tier gold. Define it, or write one that "
                  "there is"));
}

TEST(Assemble, UnknownTenants) {
  auto asks = [](const char* list, const char* peer) {
    return test::tier() +
           test::tenant(
               "web", fmt::format("network: {{{0}: [{{{1}: []}}, {{{1}: [{{tenant: db}}, "
                                  "{{tenant: {2}}}]}}]}}",
                                  list, std::string(list) == "egress" ? "to" : "from", peer)) +
           test::tenant("db");
  };

  EXPECT_THAT(
      problems({asks("egress", "bd")}),
      ElementsAre("a.yaml:4:152: spec.network.egress[1].to[1].tenant: there is no tenant bd. "
                  "Define it, or write one that there is"));
  EXPECT_THAT(
      problems({asks("ingress", "dbs")}),
      ElementsAre(
          "a.yaml:4:157: spec.network.ingress[1].from[1].tenant: there is no tenant dbs, "
          "did you mean db? Define it, or write one that there is"));
  // Itself is no suggestion.
  EXPECT_THAT(problems({asks("egress", "webb")}),
              ElementsAre(HasSubstr("there is no tenant webb. Define")));
}

TEST(Assemble, ACgroupBelongsToOneEntry) {
  EXPECT_THAT(
      problems({test::tier() + with_cgroups("a", {"/t/x", "/t/a"}),
                with_cgroups("b", {"/t/b", "/t/a/sub"})}),
      ElementsAre("b.yaml:2:129: spec.members[1].cgroup: /t/a/sub overlaps /t/a of tenant a at "
                  "a.yaml:4:129: a cgroup, with all below it, belongs to one entry"));
  EXPECT_THAT(problems({test::tier() + with_cgroups("a", {"/t/a", "/t/a"})}),
              ElementsAre(HasSubstr("/t/a overlaps /t/a of the same tenant at a.yaml:4:111")));
  EXPECT_THAT(
      problems({test::tier() + with_cgroups("a", {"/t/a", "/t/ab", "/t/a-b", "/t/b/a"}) +
                with_cgroups("b", {"/t/a*/x"})}),
      ElementsAre(HasSubstr("/t/ab overlaps /t/a*/x of tenant b"),
                  HasSubstr("/t/a-b overlaps /t/a*/x of tenant b"),
                  HasSubstr("/t/a*/x overlaps /t/a of tenant a")));
}

// Every two patterns of a list, against overlap() itself: the shortcut by their beginnings may
// leave none out.
TEST(Assemble, OverlapsAreFoundWhateverTheirOrder) {
  const std::vector<std::string> patterns = {
      "/t",     "/t/a", "/t/ab", "/t/a*", "/t/*",    "/t/**", "/t/**/b", "/t/a/**", "/t/a/b",
      "/t/*/b", "/*/a", "/**/a", "/u/a",  "/t/b*/c", "/t/*b", "/t/a/*c", "/t-x/a",  "/t/a.b/c"};
  size_t overlaps = 0;

  for (const std::string& one : patterns)
    for (const std::string& other : patterns) {
      bool wrong =
          !problems({test::tier() + with_cgroups("a", {one}), with_cgroups("b", {other})})
               .empty();

      EXPECT_EQ(
          overlap(*policy::parse_cgroup_pattern(one), *policy::parse_cgroup_pattern(other)),
          wrong)
          << one << " " << other;
      overlaps += wrong;
    }
  EXPECT_GT(overlaps, 100u);
  EXPECT_LT(overlaps, patterns.size() * patterns.size() - 60);
}

TEST(Assemble, AnAddressHasOneOwner) {
  EXPECT_THAT(
      problems({test::tier() + with_addresses("a", "10.1.0.0/16, \"fd00::/16\""),
                with_addresses("b", "10.2.0.0/16, 10.1.3.0/24"),
                with_addresses("c", "\"fd00::1\"")}),
      ElementsAre(
          "b.yaml:2:142: spec.members[0].addresses[1]: 10.1.3.0/24 overlaps 10.1.0.0/16 "
          "of tenant a at a.yaml:4:129: an address has one owner",
          "c.yaml:2:129: spec.members[0].addresses[0]: fd00::1/128 overlaps fd00::/16 of "
          "tenant a at a.yaml:4:142: an address has one owner"));
  EXPECT_THAT(problems({test::tier() + with_addresses("a", "10.1.0.0/32"),
                        with_addresses("b", "10.1.0.0")}),
              ElementsAre(HasSubstr("10.1.0.0/32 overlaps 10.1.0.0/32 of tenant a")));
  // A part of one's own is one's own, and hides nobody.
  EXPECT_THAT(
      problems({test::tier() + with_addresses("a", "10.0.0.0/8, 10.1.0.0/16, 10.1.0.0/16"),
                with_addresses("b", "10.1.1.1")}),
      ElementsAre(HasSubstr("10.1.1.1/32 overlaps 10.0.0.0/8 of tenant a")));
  EXPECT_THAT(problems({test::tier() + with_addresses("a", "10.1.0.0/24"),
                        with_addresses("b", "10.1.1.0/24")}),
              IsEmpty());
}

TEST(Assemble, TheLaneIsNobodys) {
  const std::string lane =
      "infrastructure:\n  - {name: dns, cidr: 10.0.0.53/32}\n  - {name: net, cidr: "
      "10.0.0.0/24}\n";

  EXPECT_THAT(
      problems({test::tier() + with_addresses("a", "10.0.0.0/16")}, "", lane),
      ElementsAre(
          HasSubstr("10.0.0.0/16 overlaps 10.0.0.0/24 of infrastructure net at agent.yaml:3:5"),
          HasSubstr(
              "10.0.0.0/16 overlaps 10.0.0.53/32 of infrastructure dns at agent.yaml:2:5")));
  EXPECT_THAT(problems({test::tier() + with_addresses("a", "10.0.0.7")}, "", lane),
              ElementsAre(HasSubstr("10.0.0.7/32 overlaps 10.0.0.0/24 of infrastructure net")));
  EXPECT_THAT(problems({test::tier() + with_addresses("a", "10.0.1.0/24")}, "", lane),
              IsEmpty());
}

TEST(Assemble, CgroupsStandBelowTheManagedRoot) {
  auto below = [](const std::string& root, const std::string& cgroup) {
    auto lines = problems({test::tier() + with_cgroups("a", {cgroup})}, root);

    return lines.empty() ? "" : lines.size() == 1 ? lines[0] : "several";
  };

  EXPECT_EQ(
      "a.yaml:4:111: spec.members[0].cgroup: /other/a is not below the managed root: write "
      "/t.slice/NAME",
      below("/t.slice", "/other/a"));
  for (const char* cgroup :
       {"/t.slice", "/t.slice2/a", "/*/a", "/**", "/t.slic*/a", "/t.slice.d/a"})
    EXPECT_THAT(below("/t.slice", cgroup), HasSubstr("is not below the managed root"))
        << cgroup;
  for (const char* cgroup : {"/t.slice/a", "/t.slice/*", "/t.slice/**/a", "/t.slice/a/b"})
    EXPECT_EQ("", below("/t.slice", cgroup)) << cgroup;
  EXPECT_EQ("", below("", "/other/a"));
  EXPECT_EQ("", below("/", "/other/a"));
  EXPECT_EQ("", below("/a/b", "/a/b/c"));
  EXPECT_THAT(below("/a/b", "/a/c"), HasSubstr("write /a/b/NAME"));
  EXPECT_THAT(below("t.slice", "/t.slice/a"),
              HasSubstr("t.slice: \"t.slice\" is no cgroup path"));
}

TEST(Assemble, LimitsOfTheTierUnderThoseOfTheTenant) {
  auto parsed = policy::assemble(
      files(
          {test::tier(
               "gold",
               "limits: {egress: {ceiling: 1M}, ingress: {ceiling: 2M}, packetsPerSecond: 10}"),
           test::tenant("a", "limits: {egress: {ceiling: 3M}}"),
           test::tenant("b", "limits: {}"),
           test::tenant("c", "limits: {packetsPerSecond: 20}")}),
      {}, "");
  auto limits = [&](const char* name) {
    auto all = policy::limits_in_force(parsed.policy, parsed.policy.tenants.at(name));

    return std::array{all.bytes[0]->per_second, all.bytes[1]->per_second,
                      all.packets[0]->per_second, all.packets[1]->per_second};
  };

  EXPECT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(limits("a"), ElementsAre(3'000'000u, 2'000'000u, 10u, 10u));
  EXPECT_THAT(limits("b"), ElementsAre(1'000'000u, 2'000'000u, 10u, 10u));
  EXPECT_THAT(limits("c"), ElementsAre(1'000'000u, 2'000'000u, 20u, 20u));
}

TEST(Assemble, ProblemsOfAllFilesInOrder) {
  EXPECT_THAT(
      problems({"---\nx: 1\n", test::tenant("b"), "{", test::tenant("d", "mode: odd")}),
      ElementsAre(HasSubstr("a.yaml:2:1: unknown field \"x\""),
                  HasSubstr("a.yaml:2:1: apiVersion: is missing"),
                  HasSubstr("a.yaml:2:1: metadata"), HasSubstr("a.yaml:2:1: kind"),
                  HasSubstr("b.yaml:2:86: spec.tier"), HasSubstr("c.yaml:"),
                  HasSubstr("d.yaml:2:86: spec.tier"), HasSubstr("d.yaml:2:98: spec.mode")));
}

TEST(Assemble, ThousandsOfProblemsAreCutOff) {
  std::string text;

  for (int i = 0; i < 2'000; i++) text += test::tenant(fmt::format("t{}", i));
  EXPECT_EQ(1000u, problems({text}).size());
}

// Whatever order the files come in, the policy is the same, and so is what is wrong with it.
TEST(Assemble, TheOrderOfFilesMakesNoDifference) {
  auto all = test::crowd(300);
  auto first = policy::assemble(all, {}, "/t.slice");

  ASSERT_THAT(test::lines_of(first.problems), IsEmpty());
  for (int turn = 0; turn < 3; turn++) {
    std::rotate(all.begin(), all.begin() + 1, all.end());

    auto other = policy::assemble(all, {}, "/t.slice");

    ASSERT_THAT(test::lines_of(other.problems), IsEmpty());
    ASSERT_EQ(first.policy.tenants.size(), other.policy.tenants.size());

    auto image = policy::compile(first.policy, {}, {});
    auto again = policy::compile(other.policy, {}, {});

    ASSERT_TRUE(image && again);
    EXPECT_EQ(image->numbers.tenants, again->numbers.tenants);
    EXPECT_EQ(image->endpoints, again->endpoints);
    EXPECT_EQ(image->cgroups, again->cgroups);
    EXPECT_EQ(image->pairs.size(), again->pairs.size());
  }

  Files wrong =
      files({test::tier() + test::tenant("a", "mode: x"), test::tenant("b", "tier: gold"),
             with_addresses("c", "10.0.0.0/24, 10.0.0.1/8")});
  auto lines = test::lines_of(policy::assemble(wrong, {}, "/t").problems);

  std::ranges::reverse(wrong);
  EXPECT_EQ(lines, test::lines_of(policy::assemble(wrong, {}, "/t").problems));
  EXPECT_EQ(3u, lines.size());
}

}  // namespace
}  // namespace partywall

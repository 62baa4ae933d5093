// tests/unit/policy_yaml_test.cc: what the YAML reader refuses, and how fast. No I/O.
#include <gmock/gmock.h>

#include <ctime>

#include "agent/policy/yaml_tree.h"
#include "tests/unit/policy_text.h"

namespace partywall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The problems of a text that is not looked at as a policy.
std::vector<std::string> yaml_problems(const std::string& text) {
  policy::YamlReader reader(text);
  std::vector<std::string> lines;

  while (reader.next()) {
  }
  for (const auto& problem : reader.problems())
    lines.push_back(fmt::format("{}:{}: {}", problem.line, problem.column, problem.message));
  return lines;
}

// Of the processor: others may be busy on this machine.
double seconds_to_refuse(const std::string& text, std::vector<std::string>& problems) {
  std::clock_t start = std::clock();

  problems = test::lines_of(policy::parse_file("bomb.yaml", text).problems);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

TEST(PolicyYaml, PositionsCountFromOne) {
  policy::YamlReader reader("a: [x,\n  'y']\n---\nb\n");
  auto first = reader.next();

  ASSERT_TRUE(first);
  ASSERT_EQ(2u, first->items.size());
  EXPECT_EQ(1, first->items[0].line);
  EXPECT_EQ(1, first->items[0].column);

  const policy::YamlNode& y = first->items[1].items[1];

  EXPECT_EQ("y", y.text);
  EXPECT_EQ(2, y.line);
  EXPECT_EQ(3, y.column);
  EXPECT_FALSE(y.plain);

  auto second = reader.next();

  ASSERT_TRUE(second);
  EXPECT_EQ(4, second->line);
  EXPECT_FALSE(reader.next());
  EXPECT_TRUE(reader.problems().empty());
}

TEST(PolicyYaml, WhatIsRefused) {
  EXPECT_THAT(yaml_problems("a: 1\nb: &x [1, 2]\nc: *x\n"), IsEmpty());
  EXPECT_THAT(yaml_problems("a: 1\nb: 2\na: 3\n"),
              ElementsAre("3:1: \"a\" is written twice in the same map: keep one"));
  EXPECT_THAT(
      yaml_problems("a: !!str 3\n"),
      ElementsAre("1:4: the tag tag:yaml.org,2002:str is refused: write the value without "
                  "it"));
  EXPECT_THAT(yaml_problems("a: !x [3]\n"),
              ElementsAre(HasSubstr("1:4: the tag !x is refused")));
  EXPECT_THAT(yaml_problems("a: !x {b: 3}\n"), ElementsAre(HasSubstr("the tag !x is refused")));
  EXPECT_THAT(yaml_problems("a: &b {c: 1}\nd:\n  <<: *b\n"),
              ElementsAre("3:3: merge keys (<<) are refused: write the fields out"));
  EXPECT_THAT(yaml_problems("? [a]\n: 1\n"),
              ElementsAre("1:3: a list or a map is no key: write a name"));
  EXPECT_THAT(yaml_problems("a: *b\n"),
              ElementsAre("1:4: *b names no value before it: write &b in front of one"));
  EXPECT_THAT(yaml_problems("a: &b [*b]\n"), ElementsAre(HasSubstr("1:8: *b names no value")));
  EXPECT_THAT(yaml_problems("a: &b 1\n---\na: *b\n"),
              ElementsAre(HasSubstr("3:4: *b names no")));
  EXPECT_THAT(yaml_problems("a: [1, 2\nb: 3\n"), ElementsAre(HasSubstr("this is no YAML")));
  EXPECT_THAT(yaml_problems("a: {b: 1\n"), ElementsAre(HasSubstr("2:1: this is no YAML")));
  EXPECT_THAT(yaml_problems("a: 1\nb: \"\xff\xfe\"\n"),
              ElementsAre(HasSubstr("2:5: this is no YAML")));
  EXPECT_THAT(yaml_problems(std::string("a: 1\nb: \0\n", 10)),
              ElementsAre(HasSubstr("2:4: this is no YAML")));
}

TEST(PolicyYaml, WhatCameBeforeAnErrorIsRead) {
  auto file = policy::parse_file("a.yaml", test::tier("one") + "---\n{");

  EXPECT_EQ(1u, file.documents.size());
  EXPECT_EQ(1u, file.problems.size());
}

TEST(PolicyYaml, LimitsOfSizeDepthAndCount) {
  auto nested = [](int depth) {
    return std::string(size_t(depth), '[') + std::string(size_t(depth), ']');
  };

  EXPECT_THAT(yaml_problems(nested(32)), IsEmpty());
  EXPECT_THAT(yaml_problems(nested(33)), ElementsAre("1:33: nested more than 32 deep"));
  EXPECT_THAT(yaml_problems(nested(100'000)), ElementsAre("1:33: nested more than 32 deep"));

  std::string many = "[";

  for (int i = 0; i < 1'000'000; i++) many += "1,";
  many += "]";
  EXPECT_THAT(yaml_problems(many),
              ElementsAre(HasSubstr("more than 1000000 values in one file")));
  many.resize(many.size() - 200);
  many += "]";
  EXPECT_THAT(yaml_problems(many), IsEmpty());

  std::string big = "# " + std::string(policy::kMaxYamlBytes - 3, 'x') + "\n";

  EXPECT_THAT(yaml_problems(big), IsEmpty());
  EXPECT_THAT(yaml_problems(big + "#"),
              ElementsAre("1:1: 8388609 bytes are too many: the most is 8388608, so split it"));
}

TEST(PolicyYaml, LongValuesAreRefused) {
  std::string most(policy::kMaxYamlTextBytes, 'x');

  EXPECT_THAT(yaml_problems("a: " + most + "\n"), IsEmpty());
  EXPECT_THAT(yaml_problems("a: 1\nb: " + most + "x\n"),
              ElementsAre("2:4: a value of 262145 bytes is too long: the most is 262144"));
  EXPECT_THAT(yaml_problems("a: |\n  " + most + "\n"),  // with the end of the line
              ElementsAre(HasSubstr("1:4: a value of 262145 bytes")));
  // So that aliases stand for few bytes, too.
  EXPECT_THAT(yaml_problems("a: &a " + most + most + "\nb: [*a, *a, *a]\n"),
              ElementsAre(HasSubstr("1:4: a value of 524288 bytes")));
}

TEST(PolicyYaml, KeysWrittenTwiceAreCounted) {
  std::string twice = "{a: 0";

  for (int i = 0; i < 100'000; i++) twice += ", a: 1";
  twice += "}";

  auto problems = yaml_problems(twice);

  ASSERT_EQ(policy::kMaxYamlProblems + 1, problems.size());
  EXPECT_EQ("1:6008: more than 1000 keys are written twice: keep one of each", problems.back());
}

TEST(PolicyYaml, ABombIsRefusedAtOnce) {
  std::string classic = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";

  for (int i = 1; i < 12; i++) {
    classic += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 9; j++) classic += fmt::format("{}*a{}", j ? ", " : "", i - 1);
    classic += "]\n";
  }
  // As deep as can be with few aliases; and many aliases of one thing.
  std::string tall = "a0: &a0 [x]\n";

  for (int i = 1; i < 60; i++) tall += fmt::format("a{0}: &a{0} [*a{1}, *a{1}]\n", i, i - 1);

  std::string wide = "a: &a [x, x]\nb: [";

  for (int i = 0; i < 100'000; i++) wide += "*a,";
  wide += "]\n";

  // Nested anchors are counted as often as they are kept.
  std::string anchors;

  for (int i = 0; i < 30; i++) anchors += fmt::format("&n{} [", i);
  for (int i = 0; i < 20'000; i++) anchors += "x,";
  anchors += std::string(30, ']');

  for (const std::string& bomb : {classic, tall, wide, anchors}) {
    std::vector<std::string> problems;
    double seconds = seconds_to_refuse(bomb, problems);

    EXPECT_THAT(problems, ElementsAre(HasSubstr("bomb.yaml:")));
    EXPECT_LT(seconds, 0.05) << problems.at(0);
  }
  EXPECT_THAT(yaml_problems(wide),
              ElementsAre("2:197: more than 64 aliases in one file: write values out"));
  EXPECT_THAT(yaml_problems(classic),
              ElementsAre(HasSubstr("anchors and aliases stand for more than 10000 values")));
}

TEST(PolicyYaml, AliasesThatAreFewAreRead) {
  auto parsed = test::read_policy(
      test::tier("gold", "limits: {egress: &e {ceiling: 1Mbit}, ingress: *e}"));

  ASSERT_THAT(test::lines_of(parsed.problems), IsEmpty());
  EXPECT_EQ(125'000u,
            parsed.policy.tiers.at("gold").limits.bytes[abi::DIRECTION_INGRESS]->per_second);
}

}  // namespace
}  // namespace partywall

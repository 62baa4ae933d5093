// tests/unit/cgroup_pattern_test.cc: which cgroups a pattern claims, and when two of them meet.
// No I/O.
#include "agent/policy/cgroup_pattern.h"

#include <fnmatch.h>
#include <gmock/gmock.h>

#include <bitset>

namespace partywall::policy {
namespace {

using testing::HasSubstr;

CgroupPattern pattern(std::string_view text) {
  auto parsed = parse_cgroup_pattern(text);

  if (parsed) return *parsed;
  ADD_FAILURE() << parsed.error().message();
  return {};
}

std::string why_not(std::string_view text) {
  auto parsed = parse_cgroup_pattern(text);

  return parsed ? "" : parsed.error().message();
}

// The definition of matches(), as it reads, and with the C library's stars.
bool matches_by_definition(const std::vector<std::string>& segments, size_t at,
                           const std::vector<std::string>& names, size_t to) {
  if (at == segments.size()) return to == names.size();
  if (segments[at] == "**") {
    for (size_t rest = to; rest <= names.size(); rest++)
      if (matches_by_definition(segments, at + 1, names, rest)) return true;
    return false;
  }
  return to < names.size() &&
         fnmatch(segments[at].c_str(), names[to].c_str(), FNM_NOESCAPE) == 0 &&
         matches_by_definition(segments, at + 1, names, to + 1);
}

// A segment of that many letters.
std::string segment(size_t letters, const char* end = "") {
  return fmt::format("/{}{}", std::string(letters, 'a'), end);
}

std::string join(const std::vector<std::string>& names) {
  std::string path;

  for (const std::string& name : names) path += "/" + name;
  return path;
}

// Every list of at least one and at most `depth` of `words`.
std::vector<std::vector<std::string>> lists_of(const std::vector<std::string>& words,
                                               size_t depth) {
  std::vector<std::vector<std::string>> all;
  std::vector<std::vector<std::string>> last{{}};

  for (size_t length = 1; length <= depth; length++) {
    std::vector<std::vector<std::string>> longer;

    for (const auto& list : last)
      for (const std::string& word : words) {
        longer.push_back(list);
        longer.back().push_back(word);
      }
    all.insert(all.end(), longer.begin(), longer.end());
    last = std::move(longer);
  }
  return all;
}

TEST(CgroupPattern, MatchesThePathAndCoversWhatIsBelow) {
  struct Case {
    const char* pattern;
    const char* path;
    bool matches;
    bool covers;
  };
  const Case kCases[] = {
      {"/t/a", "/t/a", true, true},
      {"/t/a", "/t/a/b/c", false, true},
      {"/t/a", "/t", false, false},
      {"/t/a", "/t/ab", false, false},
      {"/t/a", "/T/a", false, false},
      {"/t/a", "/t/a/", true, true},
      {"/t/a*", "/t/a", true, true},
      {"/t/a*", "/t/abc", true, true},
      {"/t/a*", "/t/abc/d", false, true},
      {"/t/a*", "/t/ba", false, false},
      {"/t/*", "/t", false, false},
      {"/t/*", "/t/x/y", false, true},
      {"/t/*/y", "/t/x/y", true, true},
      {"/t/*/y", "/t/x/x/y", false, false},
      {"/t/**", "/t", true, true},
      {"/t/**", "/t/a/b", true, true},
      {"/t/**/y", "/t/y", true, true},
      {"/t/**/y", "/t/a/b/y", true, true},
      {"/t/**/y", "/t/a/b/y/c", false, true},
      {"/t/**/y", "/t/a/b/yy", false, false},
      {"/t/*-*.slice", "/t/a-b.slice", true, true},
      {"/t/*-*.slice", "/t/-.slice", true, true},
      {"/t/*-*.slice", "/t/ab.slice", false, false},
      {"/t/a?", "/t/ab", false, false},  // only stars are special
      {"/t/a?", "/t/a?", true, true},
      {"/t/[ab]", "/t/a", false, false},
      {"/t/\\*", "/t/\\x", true, true},
  };

  for (const Case& c : kCases) {
    EXPECT_EQ(c.matches, pattern(c.pattern).matches(c.path)) << c.pattern << " " << c.path;
    EXPECT_EQ(c.covers, pattern(c.pattern).covers(c.path)) << c.pattern << " " << c.path;
    EXPECT_EQ(c.pattern, to_string(pattern(c.pattern)));
  }
  EXPECT_TRUE(pattern("/t/a").is_literal());
  EXPECT_FALSE(pattern("/t/a*").is_literal());
  EXPECT_FALSE(pattern("/t/**/a").is_literal());
}

TEST(CgroupPattern, WhatIsNoPattern) {
  EXPECT_THAT(why_not(""), HasSubstr("\"\" is no cgroup path: write it from the cgroup2 root"));
  EXPECT_THAT(why_not("t/a"), HasSubstr("is no cgroup path"));
  EXPECT_THAT(why_not("/"), HasSubstr("has an empty segment"));
  EXPECT_THAT(why_not("/t//a"), HasSubstr("has an empty segment"));
  EXPECT_THAT(why_not("/t/a/"), HasSubstr("write one / between names, none at the end"));
  EXPECT_THAT(why_not("/t/./a"), HasSubstr("has the segment .: write the path without it"));
  EXPECT_THAT(why_not("/t/../a"), HasSubstr("has the segment ..: write the path without it"));
  EXPECT_THAT(why_not("/t/a**"), HasSubstr("has ** inside the segment a**"));
  EXPECT_THAT(why_not("/t/***"), HasSubstr("has ** inside the segment ***"));
  EXPECT_THAT(why_not(std::string_view("/t/a\0b", 6)), HasSubstr("control character"));
  EXPECT_THAT(why_not("/t/a\nb"), HasSubstr("control character"));
}

TEST(CgroupPattern, LimitsOfLength) {
  std::string deep, wide = segment(255);

  for (int i = 0; i < 32; i++) deep += "/a";
  EXPECT_EQ("", why_not(deep));
  EXPECT_THAT(why_not(deep + "/a"), HasSubstr("has more than 32 segments"));
  EXPECT_EQ("", why_not(wide));
  EXPECT_THAT(why_not(wide + "a"), HasSubstr("a segment of 256 bytes: the most is 255"));
  EXPECT_EQ("", why_not(wide + segment(254)));
  EXPECT_THAT(why_not(wide + segment(255)),
              HasSubstr("a cgroup path of 512 bytes is too long: the most is 511"));
}

// Patterns of up to three segments against every path of up to six: as deep as two of them need
// to show that they meet. "ab" is what "a*" and "*b" have in common.
TEST(CgroupPattern, OverlapIsWhatSomePathShows) {
  constexpr size_t kPaths = 3 + 9 + 27 + 81 + 243 + 729;
  auto paths = lists_of({"a", "b", "ab"}, 6);
  auto patterns = lists_of({"a", "b", "*", "a*", "*b", "**"}, 3);
  std::vector<CgroupPattern> parsed;
  std::vector<std::bitset<kPaths>> claims;
  size_t meetings = 0;

  ASSERT_EQ(kPaths, paths.size());
  for (const auto& segments : patterns) {
    parsed.push_back(pattern(join(segments)));

    std::bitset<kPaths>& claimed = claims.emplace_back();

    for (size_t i = 0; i < paths.size(); i++) claimed[i] = parsed.back().covers(join(paths[i]));
  }
  for (size_t i = 0; i < parsed.size(); i++)
    for (size_t j = 0; j < parsed.size(); j++) {
      bool meet = (claims[i] & claims[j]).any();

      ASSERT_EQ(meet, overlap(parsed[i], parsed[j]))
          << to_string(parsed[i]) << " " << to_string(parsed[j]);
      meetings += meet;
    }
  EXPECT_GT(meetings, patterns.size());
  EXPECT_LT(meetings, patterns.size() * patterns.size());
}

TEST(CgroupPattern, MatchesByDefinition) {
  auto paths = lists_of({"a", "b", "ab"}, 4);

  for (const auto& segments : lists_of({"a", "*", "a*", "*b", "**"}, 4)) {
    CgroupPattern parsed = pattern(join(segments));

    for (const auto& names : paths) {
      std::string path = join(names);
      bool covers = false;

      for (size_t depth = 0; depth <= names.size(); depth++)
        covers = covers || matches_by_definition(
                               segments, 0, {names.begin(), names.begin() + long(depth)}, 0);
      ASSERT_EQ(matches_by_definition(segments, 0, names, 0), parsed.matches(path))
          << to_string(parsed) << " " << path;
      ASSERT_EQ(covers, parsed.covers(path)) << to_string(parsed) << " " << path;
    }
  }
}

// As many stars as fit: no pattern may take long.
TEST(CgroupPattern, StarsAreCheap) {
  std::string stars = "/", deep;

  for (int i = 0; i < 127; i++) stars += "*a";
  for (int i = 0; i < 16; i++) deep += "/**/a*a";
  EXPECT_FALSE(pattern(stars).matches(segment(255, "b")));
  EXPECT_TRUE(overlap(pattern(stars), pattern(segment(255))));
  EXPECT_FALSE(overlap(pattern(stars), pattern(segment(254, "b"))));

  std::string path;

  for (int i = 0; i < 250; i++) path += "/b";
  EXPECT_FALSE(pattern(deep).covers(path));
  EXPECT_TRUE(overlap(pattern(deep), pattern(deep)));
}

}  // namespace
}  // namespace partywall::policy

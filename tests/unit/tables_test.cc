// tests/unit/tables_test.cc: the small containers that a policy of ten thousand tenants is made
// of, held against the standard library's. No I/O.
#include <gmock/gmock.h>

#include <map>

#include "agent/policy/by_name.h"
#include "agent/policy/cgroup_claims.h"
#include "agent/policy/flat_map.h"
#include "agent/policy/radix_sort.h"
#include "tests/dice/dice.h"

namespace partywall {
namespace {

using policy::FlatMap;
using testing::ElementsAre;
using testing::Pair;

TEST(FlatMap, IsReadLikeAMap) {
  test::Dice dice(1);
  std::map<int, int> map;
  std::vector<std::pair<int, int>> entries;

  for (int i = 0; i < 500; i++) {
    auto key = static_cast<int>(dice.below(1000));

    entries.emplace_back(key, i);
    map.emplace(key, i);  // the first one counts
  }
  FlatMap<int, int> flat(entries);

  EXPECT_TRUE(std::equal(
      map.begin(), map.end(), flat.begin(), flat.end(),
      [](const auto& a, const auto& b) { return a.first == b.first && a.second == b.second; }));
  for (int key = -1; key <= 1000; key++) {
    EXPECT_EQ(map.contains(key), flat.contains(key));
    EXPECT_EQ(std::distance(map.begin(), map.lower_bound(key)),
              std::distance(flat.begin(), flat.lower_bound(key)));
    EXPECT_EQ(map.contains(key) ? map.at(key) : -1,
              flat.find(key) == flat.end() ? -1 : flat.find(key)->second);
  }
}

TEST(FlatMap, GrowsAtItsEnd) {
  FlatMap<int, char> flat;

  EXPECT_TRUE(flat.empty());
  flat.append(1, 'a');
  flat.append(3, 'c');
  EXPECT_THAT(flat, ElementsAre(Pair(1, 'a'), Pair(3, 'c')));
  EXPECT_EQ('c', flat.at(3));
  EXPECT_EQ(flat, (FlatMap<int, char>{{3, 'c'}, {1, 'a'}}));
  EXPECT_NE(flat, (FlatMap<int, char>{{3, 'c'}, {1, 'b'}}));
}

struct Thing {
  std::string name;
  int value = 0;
};

TEST(ByName, FindsAndKeepsOrder) {
  policy::ByName<Thing> all;

  EXPECT_FALSE(all.contains(""));
  for (int i = 0; i < 300; i++) all.add({fmt::format("t{}", i * 7 % 300), i});
  for (int i = 0; i < 300; i += 3) all.add({fmt::format("t{}", i), -i});
  ASSERT_EQ(300u, all.size());
  for (int i = 0; i < 300; i++) {
    std::string name = fmt::format("t{}", i);

    ASSERT_TRUE(all.contains(name));
    EXPECT_EQ(name, all.find(name)->first);
    EXPECT_EQ(name, all[*all.place_of(name)].name);
    if (i % 3 == 0) {
      EXPECT_EQ(-i, all.at(name).value);
    }
  }
  EXPECT_EQ(all.end(), all.find("t300"));

  std::string last;

  for (const auto& [name, thing] : all) {
    EXPECT_LT(last, name);
    EXPECT_EQ(name, thing.name);
    last = name;
  }
}

TEST(RadixSort, IsAStableSort) {
  for (uint64_t seed = 0; seed < 200; seed++) {
    test::Dice dice(seed);
    std::vector<std::pair<uint64_t, uint32_t>> items(dice.below(seed < 100 ? 200 : 3000));
    uint64_t mask = 0;  // in some bytes they are all the same

    for (int byte = 0; byte < 8; byte++)
      if (dice.percent(40)) mask |= uint64_t{dice.below(256)} << byte * 8;
    for (auto& [key, value] : items) {
      key = (uint64_t{dice.below(UINT32_MAX)} << 32 | dice.below(UINT32_MAX)) & mask;
      value = dice.below(10);
    }
    auto by_key = items;
    auto by_all = items;
    auto start = [](const auto& item) { return item.first; };

    std::ranges::stable_sort(items, {}, start);
    policy::sort_by_start(by_key, start);
    EXPECT_EQ(items, by_key);
    std::ranges::sort(items);
    policy::sort_by_start(by_all, start, std::less<>());
    EXPECT_EQ(items, by_all);
  }
}

TEST(CgroupClaims, PathsAndPatterns) {
  policy::CgroupClaims claims;
  uint16_t tenant = 0;

  EXPECT_EQ(0, claims.tenant_of("/t/a"));
  for (const char* pattern : {"/t/a", "/t/b/c", "/t/d*", "/t/**/e", "/t/f/g"})
    claims.add(*policy::parse_cgroup_pattern(pattern), ++tenant);
  claims.index();
  EXPECT_EQ(5u, claims.size());
  EXPECT_EQ(3u, claims.paths());
  EXPECT_EQ("/t/f/g", claims.path(2));
  EXPECT_EQ(1, claims.tenant_at("/t/a"));
  EXPECT_EQ(0, claims.tenant_at("/t/a/x"));
  EXPECT_EQ(1, claims.tenant_of("/t/a/x/y"));
  EXPECT_EQ(0, claims.tenant_of("/t/ab"));
  EXPECT_EQ(0, claims.tenant_of("/t/b"));
  EXPECT_EQ(2, claims.tenant_of("/t/b/c/d"));
  EXPECT_EQ(3, claims.tenant_of("/t/dd/a"));
  EXPECT_EQ(4, claims.tenant_of("/t/x/y/e/z"));
  EXPECT_EQ(0, claims.tenant_of("/"));
}

}  // namespace
}  // namespace partywall

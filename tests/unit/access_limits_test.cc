// tests/unit/access_limits_test.cc: how long answers are good, how often somebody may ask, and
// what a bearer token looks like. No clock but the test's own.
#include <gtest/gtest.h>

#include <set>

#include "agent/access/answer_cache.h"
#include "agent/access/rate_limiter.h"
#include "agent/access/token_digest.h"

namespace partywall::access {
namespace {

using namespace std::chrono_literals;

const Time kStart = Time() + 1000s;

TEST(AnswerCacheTest, AnAnswerIsGoodForItsLife) {
  AnswerCache<int> cache(10s, 3);

  EXPECT_FALSE(cache.find("a", kStart));
  cache.put("a", 1, kStart);
  ASSERT_TRUE(cache.find("a", kStart + 9999ms));
  EXPECT_EQ(1, *cache.find("a", kStart + 9999ms));
  EXPECT_FALSE(cache.find("a", kStart + 10s)) << "being asked for does not keep it";
  EXPECT_EQ(0u, cache.size());
}

TEST(AnswerCacheTest, ANewAnswerHasANewLife) {
  AnswerCache<int> cache(10s, 3);

  cache.put("a", 1, kStart);
  cache.put("b", 2, kStart + 1s);
  cache.put("a", 3, kStart + 5s);
  EXPECT_EQ(2u, cache.size());
  EXPECT_EQ(3, *cache.find("a", kStart + 14s));
  EXPECT_FALSE(cache.find("b", kStart + 14s));
}

TEST(AnswerCacheTest, TheOldestGoesWhenItIsFull) {
  AnswerCache<int> cache(10s, 3);

  for (int i = 0; i < 100; i++) {
    cache.put(std::to_string(i), i, kStart + i * 1ms);
    EXPECT_LE(cache.size(), 3u);
  }
  EXPECT_FALSE(cache.find("96", kStart + 1s));
  for (int i : {97, 98, 99}) EXPECT_EQ(i, *cache.find(std::to_string(i), kStart + 1s));
}

TEST(RateLimiterTest, ABurstAndThenTheRate) {
  RateLimiter limiter({.per_second = 2, .burst = 3}, 10);

  for (int i = 0; i < 3; i++) EXPECT_TRUE(limiter.take("a", kStart).may) << i;

  RateLimiter::Answer refused = limiter.take("a", kStart);

  EXPECT_FALSE(refused.may);
  EXPECT_GE(refused.wait, 500ms);
  EXPECT_LE(refused.wait, 502ms);
  EXPECT_TRUE(limiter.take("a", kStart + refused.wait).may) << "as it was told";
  EXPECT_FALSE(limiter.take("a", kStart + refused.wait).may);
  for (int i = 0; i < 3; i++) EXPECT_TRUE(limiter.take("a", kStart + 60s).may) << "no more";
  EXPECT_FALSE(limiter.take("a", kStart + 60s).may) << "than a burst";
}

TEST(RateLimiterTest, OneDoesNotUseUpAnothers) {
  RateLimiter limiter({.per_second = 1, .burst = 1}, 10);

  EXPECT_TRUE(limiter.take("a", kStart).may);
  EXPECT_FALSE(limiter.take("a", kStart).may);
  EXPECT_TRUE(limiter.take("b", kStart).may);
}

TEST(RateLimiterTest, WhatIsGivenBackCountsAgain) {
  RateLimiter limiter({.per_second = 1, .burst = 2}, 10);

  for (int i = 0; i < 50; i++) {
    EXPECT_TRUE(limiter.take("a", kStart).may);
    limiter.give_back("a");
  }
  EXPECT_TRUE(limiter.take("a", kStart).may);
  EXPECT_TRUE(limiter.take("a", kStart).may);
  EXPECT_FALSE(limiter.take("a", kStart).may) << "not more than was taken";
  limiter.give_back("nobody");
  EXPECT_EQ(1u, limiter.size());
}

TEST(RateLimiterTest, TheLongestUnusedIsForgotten) {
  RateLimiter limiter({.per_second = 1, .burst = 1}, 3);

  for (const char* caller : {"a", "b", "c", "a"}) limiter.take(caller, kStart);
  limiter.take("d", kStart);
  EXPECT_EQ(3u, limiter.size());
  EXPECT_FALSE(limiter.take("a", kStart).may) << "asked since";
  EXPECT_TRUE(limiter.take("b", kStart).may) << "forgotten";
}

TEST(RateLimiterTest, AMachineIsOneCaller) {
  EXPECT_EQ("192.0.2.7", caller_of_address("192.0.2.7"));
  EXPECT_EQ("192.0.2.7", caller_of_address("::ffff:192.0.2.7"));
  EXPECT_EQ(caller_of_address("2001:db8::1"), caller_of_address("2001:db8::2:3:4:5"));
  EXPECT_NE(caller_of_address("2001:db8::1"), caller_of_address("2001:db8:0:1::1"));
  EXPECT_EQ("", caller_of_address(""));
}

TEST(TokenDigestTest, TellsTokensApartAndNothingElse) {
  auto digest = TokenDigest::make();
  auto other = TokenDigest::make();

  ASSERT_TRUE(digest && other);
  EXPECT_EQ(32u, digest->of("secret")->size());
  EXPECT_EQ(*digest->of("secret"), *digest->of("secret"));

  std::set<std::string> all;

  for (const char* token : {"secret", "secreu", "secret.", "", "Secret"})
    all.insert(*digest->of(token));
  EXPECT_EQ(5u, all.size());
  EXPECT_NE(*digest->of("secret"), *other->of("secret")) << "the key is this process's";
}

TEST(BearerTokenTest, IsWhatTheHeaderHolds) {
  EXPECT_EQ("abc.DEF-9_~+/==", bearer_token("Bearer abc.DEF-9_~+/=="));
  EXPECT_EQ("x", bearer_token("bearer x"));
  EXPECT_EQ("x", bearer_token("BEARER   x"));
  EXPECT_TRUE(bearer_token("Bearer " + std::string(8000, 'x')));
}

TEST(BearerTokenTest, OrThereIsNone) {
  for (const char* header :
       {"", "Bearer", "Bearer ", "Bearer  ", "Basic eDp5", "Bearerx", "x", "Bearer a b",
        "Bearer a=b", "Bearer =", "Bearer a\x80", "Bearer \"a\"", "Bearer a,b"})
    EXPECT_FALSE(bearer_token(header)) << header;
  EXPECT_FALSE(bearer_token("Bearer " + std::string(9000, 'x')));
}

}  // namespace
}  // namespace partywall::access

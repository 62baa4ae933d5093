// tests/unit/access_gate_test.cc: who is answered what, with an API server whose every word the
// test says.
#include "agent/access/gate.h"

#include <gmock/gmock.h>

#include <set>

#include "tests/unit/fake_api.h"
#include "tests/unit/loop_client.h"

namespace partywall::access {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::FakeApi;
using testing::HasSubstr;

class GateTest : public test::LoopTest {
 protected:
  GateTest() { open(Reviewer::kLife); }

  void open(std::chrono::milliseconds life) {
    auto made = Reviewer::make(*loop_, {.server = api_.url()}, metrics_, life);

    EXPECT_TRUE(made) << made.error().message();
    reviewer_ = std::move(*made);
    gate_ = std::make_unique<Gate>(
        *reviewer_, metrics_,
        Pages{[] { return observe::Page{.body = "all"}; },
              [](const std::string& tenant) { return page_of(tenant, "series of "); },
              [](const std::string& tenant) { return page_of(tenant, "events of "); }});
  }
  static std::optional<observe::Page> page_of(const std::string& tenant, const char* what) {
    if (tenant == "gone") return std::nullopt;
    return observe::Page{.body = what + tenant};
  }

  // An API server that knows the tokens user-NAME, and lets a user read what rights_ says.
  void answer(const FakeApi::Request& request) {
    json body = json::parse(request.body);
    json said;

    if (request.has("tokenreviews")) {
      std::string token = body["spec"]["token"];

      tokens_++;
      if (token.starts_with("user-"))
        said = {{"authenticated", true},
                {"user", {{"username", token.substr(5)}, {"groups", {"readers"}}}}};
      else
        said = {{"authenticated", false}, {"error", "no such token: " + token}};
    } else {
      json attributes = body["spec"]["resourceAttributes"];
      std::string user = body["spec"]["user"];

      accesses_++;
      EXPECT_EQ("get", attributes["verb"]);
      EXPECT_EQ("partywall.dev", attributes["group"]);
      EXPECT_EQ("tenants", attributes["resource"]);
      EXPECT_EQ("metrics", attributes["subresource"]);
      EXPECT_EQ(json({"readers"}), body["spec"]["groups"]);
      said = {{"allowed",
               rights_.contains({user, ""}) || rights_.contains({user, attributes["name"]})}};
    }
    body["status"] = said;
    request.from->reply(201, body.dump());
  }

  // Without waiting for the answer.
  std::shared_ptr<std::optional<observe::Page>> begin(const std::string& path,
                                                      const std::string& token,
                                                      const std::string& remote) {
    auto page = std::make_shared<std::optional<observe::Page>>();

    gate_->handle({path, token.empty() ? "" : "Bearer " + token, remote},
                  [page](observe::Page said) { *page = std::move(said); });
    return page;
  }
  observe::Page get(const std::string& path, const std::string& token = "",
                    const std::string& remote = "192.0.2.1") {
    auto page = begin(path, token, remote);

    EXPECT_TRUE(serve_until([&] { return page->has_value(); })) << path;
    return page->value_or(observe::Page{});
  }
  int status(const std::string& path, const std::string& token = "",
             const std::string& remote = "192.0.2.1") {
    return get(path, token, remote).status;
  }
  static std::string header(const observe::Page& page, const std::string& wanted) {
    for (const auto& [name, value] : page.headers)
      if (name == wanted) return value;
    return "";
  }

  std::set<std::pair<std::string, std::string>> rights_ = {
      {"root", ""}, {"ann", "acme"}, {"bob", "beta"}, {"ann", "gone"}};
  int tokens_ = 0;
  int accesses_ = 0;
  std::function<void(const FakeApi::Request&)> says_ = [this](const FakeApi::Request& request) {
    answer(request);
  };
  FakeApi api_{*loop_, [this](const FakeApi::Request& request) { says_(request); }};
  observe::SelfMetrics metrics_;
  std::unique_ptr<Reviewer> reviewer_;
  std::unique_ptr<Gate> gate_;
};

TEST_F(GateTest, EachReadsWhatHeMay) {
  EXPECT_EQ("all", get("/metrics", "user-root").body);
  EXPECT_EQ("series of acme", get("/tenants/acme/metrics", "user-root").body);
  EXPECT_EQ("series of acme", get("/tenants/acme/metrics", "user-ann").body);
  EXPECT_EQ("events of acme", get("/tenants/acme/events", "user-ann").body);
  EXPECT_EQ("series of beta", get("/tenants/beta/metrics", "user-bob").body);
  for (const char* path : {"/metrics", "/tenants/beta/metrics", "/tenants/beta/events"})
    EXPECT_EQ(403, status(path, "user-ann")) << path;
}

TEST_F(GateTest, ATokenIsNeeded) {
  EXPECT_EQ("ok\n", get("/healthz").body);

  observe::Page page = get("/metrics");

  EXPECT_EQ(401, page.status);
  EXPECT_EQ("Bearer realm=\"partywall\"", header(page, "WWW-Authenticate"));
  EXPECT_EQ("no-store", header(page, "Cache-Control"));
  for (const char* path : {"/", "/x", "/tenants/acme/metrics"}) EXPECT_EQ(401, status(path));
  EXPECT_EQ(0, tokens_) << "nobody was asked";
  page = get("/metrics", "garbage");
  EXPECT_EQ(401, page.status);
  EXPECT_THAT(header(page, "WWW-Authenticate"), HasSubstr("invalid_token"));
}

TEST_F(GateTest, NobodyLearnsWhichTenantsThereAre) {
  EXPECT_EQ(404, status("/tenants/gone/metrics", "user-ann")) << "who may read it";
  for (const char* path : {"/tenants/gone/metrics", "/tenants/acme/metrics",
                           "/tenants/gone/events", "/tenants/never/metrics"})
    EXPECT_EQ(get("/tenants/acme/metrics", "user-bob").body, get(path, "user-bob").body);
}

TEST_F(GateTest, NothingElseIsThere) {
  for (const char* path :
       {"/", "/metrics/", "/tenants", "/tenants/", "/tenants//metrics", "/tenants/acme",
        "/tenants/acme/", "/tenants/acme/metrics/", "/tenants/acme/x", "/tenants/Acme/metrics",
        "/tenants/../metrics", "/tenants/%61cme/metrics", "//metrics"})
    EXPECT_EQ(404, status(path, "user-root")) << path;
}

TEST_F(GateTest, AnswersAreRemembered) {
  for (int i = 0; i < 5; i++) EXPECT_EQ(200, status("/tenants/acme/metrics", "user-ann"));
  EXPECT_EQ(1, tokens_);
  EXPECT_EQ(1, accesses_);
  EXPECT_EQ(403, status("/tenants/beta/metrics", "user-ann"));
  EXPECT_EQ(403, status("/tenants/beta/metrics", "user-ann"));
  EXPECT_EQ(1, tokens_);
  EXPECT_EQ(2, accesses_);
  EXPECT_EQ(401, status("/metrics", "garbage"));
  EXPECT_EQ(401, status("/metrics", "garbage"));
  EXPECT_EQ(2, tokens_);
}

TEST_F(GateTest, AndForgotten) {
  open(0ms);
  EXPECT_EQ(200, status("/tenants/acme/metrics", "user-ann"));
  rights_.clear();
  EXPECT_EQ(403, status("/tenants/acme/metrics", "user-ann"));
  says_ = [](const FakeApi::Request& request) {
    request.from->reply(201, R"({"status":{"authenticated":false}})");
  };
  EXPECT_EQ(401, status("/tenants/acme/metrics", "user-ann"));
}

TEST_F(GateTest, ThoseWhoAskAtOnceShareAReview) {
  std::vector<std::shared_ptr<std::optional<observe::Page>>> pages;

  for (int i = 0; i < 10; i++)
    pages.push_back(begin("/tenants/acme/metrics", "user-ann", "192.0.2.1"));
  for (auto& page : pages) {
    EXPECT_TRUE(serve_until([&] { return page->has_value(); }));
    EXPECT_EQ(200, (*page)->status);
  }
  EXPECT_EQ(1, tokens_);
  EXPECT_EQ(1, accesses_);
}

TEST_F(GateTest, WithoutAWordNothingIsReadable) {
  std::vector<std::pair<int, std::string>> replies = {
      {500, "{}"},
      {403, "{}"},
      {201, "{"},
      {201, "[]"},
      {201, "{}"},
      {201, R"({"status":1})"},
      {201, R"({"status":{"authenticated":"true"}})"},
      {201, R"({"status":{"authenticated":true}})"},
      {201, R"({"status":{"authenticated":true,"user":{"username":""}}})"},
      {201, R"({"status":{"authenticated":true,"user":{"username":7}}})"}};

  for (const auto& [code, text] : replies) {
    says_ = [&, code = code, text = text](const FakeApi::Request& request) {
      request.from->reply(code, text);
    };

    observe::Page page = get("/tenants/acme/metrics", "user-ann");

    EXPECT_EQ(503, page.status) << code << text;
    EXPECT_NE("", header(page, "Retry-After"));
  }
  says_ = [this](const FakeApi::Request& request) { answer(request); };
  EXPECT_EQ(200, status("/tenants/acme/metrics", "user-ann")) << "none of it was kept";
}

TEST_F(GateTest, NorWithoutAWordAboutTheRight) {
  says_ = [this](const FakeApi::Request& request) {
    if (request.has("tokenreviews"))
      answer(request);
    else
      request.from->reply(201, R"({"status":{"allowed":"yes"}})");
  };
  EXPECT_EQ(503, status("/metrics", "user-root"));
  says_ = [this](const FakeApi::Request& request) {
    if (request.has("tokenreviews"))
      answer(request);
    else
      request.from->reply(201, R"({"status":{}})");
  };
  EXPECT_EQ(403, status("/metrics", "user-root"));
}

TEST_F(GateTest, NotTooManyWait) {
  std::vector<std::shared_ptr<std::optional<observe::Page>>> pages;

  says_ = [](const FakeApi::Request&) {};
  for (size_t i = 0; i < Reviewer::kMostWaiting; i++)
    pages.push_back(begin("/metrics", "t" + std::to_string(i), "192.0.2." + std::to_string(i)));
  for (auto& page : pages) EXPECT_FALSE(page->has_value());
  EXPECT_EQ(503, begin("/metrics", "one-more", "192.0.2.99")->value().status);
}

TEST_F(GateTest, AUserMayNotAskTooOften) {
  int good = 0;
  observe::Page page;

  while (good < 1000 && (page = get("/tenants/acme/metrics", "user-ann")).status == 200) good++;
  EXPECT_GE(good, Gate::kUserRate.burst);
  EXPECT_LT(good, 2 * Gate::kUserRate.burst);
  EXPECT_EQ(429, page.status);
  EXPECT_EQ("1", header(page, "Retry-After"));
  EXPECT_EQ(429, status("/tenants/acme/metrics", "user-ann", "192.0.2.2"));
  EXPECT_EQ(200, status("/tenants/beta/metrics", "user-bob"))
      << "another from the same address";
}

TEST_F(GateTest, AnAddressMayNotGuessTooOften) {
  EXPECT_EQ(200, status("/tenants/beta/metrics", "user-bob"));

  int guesses = 0;

  while (guesses < 1000 && status("/metrics", "guess-" + std::to_string(guesses)) == 401)
    guesses++;
  EXPECT_GE(guesses, Gate::kGuessRate.burst);
  EXPECT_LT(guesses, 2 * Gate::kGuessRate.burst);

  int asked = tokens_;

  for (int i = 0; i < 50; i++) EXPECT_EQ(429, status("/metrics", "more-" + std::to_string(i)));
  EXPECT_LE(tokens_ - asked, 2) << "the API server is spared";
  EXPECT_EQ(200, status("/tenants/beta/metrics", "user-bob")) << "is known already";
  EXPECT_EQ(200, status("/tenants/acme/metrics", "user-ann", "192.0.2.2"));
}

TEST_F(GateTest, GoodTokensAreNoGuesses) {
  for (int i = 0; i < 4 * Gate::kGuessRate.burst; i++)
    EXPECT_EQ(403, status("/metrics", "user-number-" + std::to_string(i)));
}

TEST_F(GateTest, ATokenThatWasGoodIsNoGuess) {
  open(0ms);
  EXPECT_EQ(200, status("/tenants/beta/metrics", "user-bob"));
  for (int i = 0; i < 2 * Gate::kGuessRate.burst; i++)
    status("/metrics", "guess-" + std::to_string(i));
  EXPECT_EQ(429, status("/tenants/acme/metrics", "user-ann")) << "a new one from that address";
  EXPECT_EQ(200, status("/tenants/beta/metrics", "user-bob"))
      << "is asked for, and not charged";
  says_ = [](const FakeApi::Request& request) {
    request.from->reply(201, R"({"status":{"authenticated":false}})");
  };
  EXPECT_EQ(429, status("/tenants/beta/metrics", "user-bob")) << "no more";

  size_t asked = api_.requests.size();

  EXPECT_EQ(429, status("/tenants/beta/metrics", "user-bob"));
  EXPECT_EQ(asked, api_.requests.size()) << "it is a guess now";
}

TEST_F(GateTest, RepeatingABadTokenIsGuessing) {
  int guesses = 0;

  while (guesses < 1000 && status("/metrics", "garbage") == 401) guesses++;
  EXPECT_LT(guesses, 2 * Gate::kGuessRate.burst);
  EXPECT_EQ(1, tokens_);
}

TEST_F(GateTest, NoTokenIsInTheLogOrAnAnswer) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();

  observe::Page refused = get("/metrics", "very-secret-guess");

  says_ = [](const FakeApi::Request& request) { request.from->reply(500, request.body); };

  observe::Page failed = get("/metrics", "very-secret-other");
  std::string printed =
      testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();

  EXPECT_THAT(printed, HasSubstr("reviews of a token fail"));
  for (const std::string& text : {printed, refused.body, failed.body})
    EXPECT_THAT(text, testing::Not(HasSubstr("very-secret")));
  EXPECT_EQ(401, refused.status);
  EXPECT_EQ(503, failed.status);
}

TEST_F(GateTest, Counts) {
  get("/metrics", "user-root");
  get("/metrics", "user-ann");
  get("/metrics");

  std::string text = metrics_.text();

  for (const char* line : {"partywall_https_requests_total{code=\"200\"} 1",
                           "partywall_https_requests_total{code=\"403\"} 1",
                           "partywall_https_requests_total{code=\"401\"} 1",
                           "partywall_https_reviews_total{kind=\"access\",result=\"no\"} 1",
                           "partywall_https_reviews_total{kind=\"token\",result=\"yes\"} 2"})
    EXPECT_THAT(text, HasSubstr(line));
}

}  // namespace
}  // namespace partywall::access

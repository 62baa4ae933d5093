// agent/access/reviewer.cc: TokenReview and SubjectAccessReview. What the API server answers is
// never logged: it repeats the token.
#include "agent/access/reviewer.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace partywall::access {
namespace {

using nlohmann::json;
using observe::Metric;

constexpr const char* kTokenReviews = "/apis/authentication.k8s.io/v1/tokenreviews";
constexpr const char* kAccessReviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
constexpr size_t kMaxReplyBytes = 256 << 10;

Time now() { return std::chrono::steady_clock::now(); }

const char* text_of(Word word) {
  return word == Word::kYes ? "yes" : word == Word::kNo ? "no" : "failed";
}
const char* text_of(const Reviewer::Identity& identity) { return text_of(identity.word); }
bool is_said(Word word) { return word != Word::kNone; }
bool is_said(const Reviewer::Identity& identity) { return is_said(identity.word); }

Word word_of(const json& status, const char* field) {
  auto said = status.find(field);

  // Absent is false, as the API has it.
  if (said == status.end()) return Word::kNo;
  if (!said->is_boolean()) return Word::kNone;
  return said->get<bool>() ? Word::kYes : Word::kNo;
}

Reviewer::Identity identity_of(const json& status, const std::string& digest) {
  Word word = word_of(status, "authenticated");
  json user = word == Word::kYes ? status.value("user", json::object()) : json::object();
  json name = user.is_object() ? user.value("username", json()) : json();

  if (word != Word::kYes) return {word};
  if (!name.is_string() || name.get_ref<const std::string&>().empty()) return {Word::kNone};

  auto known = std::make_shared<User>();

  known->name = name.get<std::string>();
  known->digest = digest;
  json spec = {{"user", known->name}};

  for (const char* field : {"uid", "groups", "extra"})
    if (user.contains(field)) spec[field] = user[field];
  known->spec = spec.dump(-1, ' ', false, json::error_handler_t::replace);
  return {Word::kYes, std::move(known)};
}

}  // namespace

Reviewer::Reviewer(observe::SelfMetrics& metrics, TokenDigest digest,
                   std::chrono::milliseconds life)
    : metrics_(metrics),
      digest_(digest),
      identities_{"token", AnswerCache<Identity>(life, kMostKept)},
      good_(kGoodFor, kMostKept),
      accesses_{"access", AnswerCache<Word>(life, kMostKept)} {}

Result<std::unique_ptr<Reviewer>> Reviewer::make(observe::Loop& loop,
                                                 kubernetes::ApiAccess access,
                                                 observe::SelfMetrics& metrics,
                                                 std::chrono::milliseconds life) {
  auto digest = TokenDigest::make();

  if (!digest) return std::move(digest.error());

  std::unique_ptr<Reviewer> reviewer(new Reviewer(metrics, *digest, life));
  auto client = kubernetes::ApiClient::make(loop, std::move(access));

  if (!client) return std::move(client.error());
  reviewer->client_ = std::move(*client);
  return reviewer;
}

bool Reviewer::knows(std::string_view token) {
  auto digest = digest_.of(token);

  if (!digest) return false;

  const bool* good = good_.find(*digest, now());

  return (good && *good) || identities_.cache.find(*digest, now());
}

void Reviewer::identify(std::string_view token, OnIdentity handler) {
  auto digest = digest_.of(token);

  if (!digest) {
    handler({});
    return;
  }
  ask<Identity>(identities_, *digest, kTokenReviews,
                {{"apiVersion", "authentication.k8s.io/v1"},
                 {"kind", "TokenReview"},
                 {"spec", {{"token", token}}}},
                std::move(handler), [this, key = *digest](const json& status) {
                  Identity who = identity_of(status, key);
                  bool was_good = good_.find(key, now());

                  if (who.word == Word::kYes || (who.word == Word::kNo && was_good))
                    good_.put(key, who.word == Word::kYes, now());
                  return who;
                });
}

void Reviewer::may_read(const User& user, const std::string& tenant, OnAccess handler) {
  json spec = json::parse(user.spec, nullptr, false);

  spec["resourceAttributes"] = {
      {"verb", "get"},         {"group", "partywall.dev"}, {"version", "v1alpha1"},
      {"resource", "tenants"}, {"subresource", "metrics"}, {"name", tenant}};
  ask<Word>(accesses_, user.digest + tenant, kAccessReviews,
            {{"apiVersion", "authorization.k8s.io/v1"},
             {"kind", "SubjectAccessReview"},
             {"spec", spec}},
            std::move(handler), [](const json& status) { return word_of(status, "allowed"); });
}

// The answer, from memory or from the API server; in the latter case later.
template <typename Answer>
void Reviewer::ask(Reviews<Answer>& reviews, const std::string& key, const char* path,
                   const json& body, typename Reviews<Answer>::Handler handler,
                   std::function<Answer(const json& status)> read) {
  if (const Answer* known = reviews.cache.find(key, now())) {
    Answer copy = *known;

    handler(copy);
    return;
  }
  if (waiting_ >= kMostWaiting) {
    handler(Answer{Word::kNone});
    return;
  }
  waiting_++;

  auto [pending, is_new] = reviews.pending.try_emplace(key);

  pending->second.handlers.push_back(std::move(handler));
  if (!is_new) return;
  pending->second.call = client_->request(
      {.method = "POST",
       .path = path,
       .content_type = "application/json",
       .body = body.dump(-1, ' ', false, json::error_handler_t::replace),
       .deadline = kDeadline,
       .max_reply_bytes = kMaxReplyBytes},
      [this, &reviews, key, read](const kubernetes::ApiReply& reply) {
        auto done = reviews.pending.extract(key);
        json status = status_of(reviews.kind, reply);
        Answer answer = status.is_object() ? read(status) : Answer{Word::kNone};

        metrics_.add(Metric::kHttpsReviews, 1,
                     {{"kind", reviews.kind}, {"result", text_of(answer)}});
        if (is_said(answer)) reviews.cache.put(key, answer, now());
        waiting_ -= done.mapped().handlers.size();
        for (const auto& one : done.mapped().handlers) one(answer);
      });
}

// Of a review's reply; null when there is none. Says once that reviews fail, and once that they
// do so no more.
json Reviewer::status_of(const char* kind, const kubernetes::ApiReply& reply) {
  json said = reply.ok() ? json::parse(reply.body, nullptr, false) : json();
  json status = said.is_object() ? said.value("status", json()) : json();

  if (!status.is_object() && !is_failing_)
    spdlog::warn(
        "https: reviews of a {} fail ({}, HTTP {}): nothing is readable until they do "
        "not",
        kind, reply.ok() ? "no status" : kind_of(reply), reply.status);
  else if (status.is_object() && is_failing_)
    spdlog::info("https: reviews are answered again");
  is_failing_ = !status.is_object();
  return status;
}

}  // namespace partywall::access

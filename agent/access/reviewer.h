// agent/access/reviewer.h: asks the API server whose a token is, and whether its owner may read
// a tenant's metrics. Decides nothing itself.
#ifndef PARTYWALL_AGENT_ACCESS_REVIEWER_H
#define PARTYWALL_AGENT_ACCESS_REVIEWER_H

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/access/answer_cache.h"
#include "agent/access/token_digest.h"
#include "agent/observe/loop.h"
#include "agent/observe/self_metrics.h"
#include "agent/source/kubernetes/api_client.h"
#include "maps/result.h"

namespace partywall::access {

// What the API server says: yes, no, or nothing that can be used.
enum class Word { kYes, kNo, kNone };

struct User {
  std::string name;
  std::string digest;  // of the token
  std::string spec;    // JSON: user, uid, groups, extra: as a SubjectAccessReview takes them
};

// One thread, which is the loop's. Outlives no handler: those that wait when it goes are never
// called.
class Reviewer {
 public:
  static constexpr std::chrono::milliseconds kLife = std::chrono::seconds(10);
  static constexpr std::chrono::milliseconds kDeadline = std::chrono::seconds(5);
  static constexpr std::chrono::milliseconds kGoodFor = std::chrono::hours(1);
  static constexpr size_t kMostKept = 1024;   // answers of each kind
  static constexpr size_t kMostWaiting = 32;  // handlers, together

  struct Identity {
    Word word = Word::kNone;
    std::shared_ptr<const User> user = {};  // with kYes
  };
  using OnIdentity = std::function<void(const Identity&)>;
  using OnAccess = std::function<void(const Word&)>;

  // On connections of its own: what is asked here does not disturb the watches. Fails when a
  // file of `access` cannot be read.
  static Result<std::unique_ptr<Reviewer>> make(observe::Loop& loop,
                                                kubernetes::ApiAccess access,
                                                observe::SelfMetrics& metrics,
                                                std::chrono::milliseconds life = kLife);

  // Whether this is no guess: identify() would answer without asking, or the answer was yes
  // within kGoodFor and not no since.
  bool knows(std::string_view token);

  // TokenReview. Those who ask at the same time share one. Yes and no are good for `life`; with
  // too many waiting, the answer is none at once. The handler may be called from within.
  void identify(std::string_view token, OnIdentity handler);

  // SubjectAccessReview: `get` on tenants/metrics of partywall.dev; of all tenants when
  // `tenant` is empty. Otherwise as above.
  void may_read(const User& user, const std::string& tenant, OnAccess handler);

 private:
  template <typename Answer>
  struct Reviews {
    using Handler = std::function<void(const Answer&)>;
    struct Pending {
      kubernetes::ApiCall call;
      std::vector<Handler> handlers;
    };

    const char* kind;  // in metrics
    AnswerCache<Answer> cache;
    std::map<std::string, Pending> pending = {};
  };

  Reviewer(observe::SelfMetrics& metrics, TokenDigest digest, std::chrono::milliseconds life);
  template <typename Answer>
  void ask(Reviews<Answer>& reviews, const std::string& key, const char* path,
           const nlohmann::json& body, typename Reviews<Answer>::Handler handler,
           std::function<Answer(const nlohmann::json& status)> read);
  nlohmann::json status_of(const char* kind, const kubernetes::ApiReply& reply);

  observe::SelfMetrics& metrics_;
  TokenDigest digest_;
  std::unique_ptr<kubernetes::ApiClient> client_;
  Reviews<Identity> identities_;
  AnswerCache<bool> good_;  // by digest
  Reviews<Word> accesses_;
  size_t waiting_ = 0;
  bool is_failing_ = false;  // and the log says so
};

}  // namespace partywall::access

#endif

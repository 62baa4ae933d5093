// agent/access/gate.cc: token, rate, right, page, in this order.
#include "agent/access/gate.h"

#include <algorithm>
#include <chrono>

namespace partywall::access {
namespace {

using observe::Page;

constexpr size_t kMaxNameBytes = 63;
constexpr const char* kTenants = "/tenants/";

Time now() { return std::chrono::steady_clock::now(); }

Page unauthorized(const char* challenge) {
  return {.status = 401,
          .body = "a bearer token of this cluster is needed\n",
          .headers = {{"WWW-Authenticate", challenge}}};
}
Page no_token() { return unauthorized(R"(Bearer realm="partywall")"); }
Page bad_token() { return unauthorized(R"(Bearer realm="partywall", error="invalid_token")"); }
Page forbidden() {
  return {.status = 403,
          .body = "this takes the right to get tenants/metrics of partywall.dev\n"};
}
Page not_found() { return {.status = 404, .body = "there is no such page\n"}; }
Page no_word() {
  return {.status = 503,
          .body = "the API server does not say who may read this\n",
          .headers = {{"Retry-After", "5"}}};
}
Page too_often(std::chrono::milliseconds wait) {
  auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();

  return {.status = 429,
          .body = "too many requests\n",
          .headers = {{"Retry-After", std::to_string(seconds)}}};
}

struct Target {
  std::string tenant;  // "" = all
  bool events = false;
};

// As the API server has names of tenants: "acme", "team-7".
bool is_name(std::string_view name) {
  auto is_inside = [](char one) { return one == '-' || one == '.'; };
  auto is_letter = [](char one) {
    return (one >= 'a' && one <= 'z') || (one >= '0' && one <= '9');
  };

  return !name.empty() && name.size() <= kMaxNameBytes && is_letter(name.front()) &&
         is_letter(name.back()) &&
         std::ranges::all_of(name, [&](char one) { return is_letter(one) || is_inside(one); });
}

std::optional<Target> target_of(std::string_view path) {
  if (path == "/metrics") return Target{};
  if (!path.starts_with(kTenants)) return std::nullopt;
  path.remove_prefix(std::string_view(kTenants).size());

  size_t slash = std::min(path.find('/'), path.size());
  std::string_view name = path.substr(0, slash);
  std::string_view page = path.substr(slash);

  if (!is_name(name) || (page != "/metrics" && page != "/events")) return std::nullopt;
  return Target{std::string(name), page == "/events"};
}

}  // namespace

Gate::Gate(Reviewer& reviewer, observe::SelfMetrics& metrics, Pages pages)
    : reviewer_(reviewer),
      metrics_(metrics),
      pages_(std::move(pages)),
      users_(kUserRate, kMostUsers),
      guesses_(kGuessRate, kMostAddresses) {}

void Gate::reply(const Answer& answer, Page page) {
  metrics_.add(observe::Metric::kHttpsRequests, 1, {{"code", std::to_string(page.status)}});
  page.headers.emplace_back("Cache-Control", "no-store");
  answer(std::move(page));
}

void Gate::handle(const Request& request, Answer answer) {
  if (request.path == "/healthz") {
    reply(answer, {.body = "ok\n"});
    return;
  }

  auto token = bearer_token(request.authorization);

  if (!token) {
    reply(answer, no_token());
    return;
  }

  std::string caller = caller_of_address(request.remote);
  bool is_known = reviewer_.knows(*token);

  // Whoever guesses costs the API server a review each time, so that is paid for before.
  if (!is_known)
    if (auto may = guesses_.take(caller, now()); !may.may) {
      reply(answer, too_often(may.wait));
      return;
    }
  reviewer_.identify(*token, [this, is_known, caller, path = request.path,
                              answer = std::move(answer)](const Reviewer::Identity& who) {
    if (who.word == Word::kNone) {
      if (!is_known) guesses_.give_back(caller);
      reply(answer, no_word());
      return;
    }
    if (who.word == Word::kNo) {
      auto may = is_known ? guesses_.take(caller, now()) : RateLimiter::Answer{};

      reply(answer, may.may ? bad_token() : too_often(may.wait));
      return;
    }
    if (!is_known) guesses_.give_back(caller);
    admit(path, *who.user, answer);
  });
}

void Gate::admit(const std::string& path, const User& user, const Answer& answer) {
  if (auto may = users_.take(user.name, now()); !may.may) {
    reply(answer, too_often(may.wait));
    return;
  }

  auto target = target_of(path);

  if (!target) {
    reply(answer, not_found());
    return;
  }
  reviewer_.may_read(user, target->tenant, [this, target = *target, answer](const Word& word) {
    if (word != Word::kYes) {
      reply(answer, word == Word::kNo ? forbidden() : no_word());
      return;
    }
    if (target.tenant.empty()) {
      reply(answer, pages_.all());
      return;
    }

    auto page = target.events ? pages_.events(target.tenant) : pages_.metrics(target.tenant);

    reply(answer, page ? std::move(*page) : not_found());
  });
}

}  // namespace partywall::access

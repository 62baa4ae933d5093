// agent/source/kubernetes/daemon_set.cc: one PATCH, then a GET each second, on a loop of its
// own.
#include "agent/source/kubernetes/daemon_set.h"

#include <optional>

#include "agent/observe/loop.h"
#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/timer.h"

namespace partywall::kubernetes {
namespace {

constexpr auto kPause = std::chrono::seconds(1);

class Rollout {
 public:
  Rollout(observe::Loop& loop, ApiClient& client, std::string path, std::string patch)
      : loop_(loop),
        client_(client),
        path_(std::move(path)),
        patch_(std::move(patch)),
        next_(loop.base(), [this] { go_on(); }),
        limit_(loop.base(), [this] { give_up(); }) {}

  Result<int64_t> run(std::chrono::seconds limit) {
    limit_.after(limit);
    next_.after(std::chrono::milliseconds(0));
    loop_.run();
    return std::move(*outcome_);
  }

 private:
  void end(Result<int64_t> outcome) {
    outcome_.emplace(std::move(outcome));
    loop_.stop();
  }

  void go_on() {
    ApiRequest request;

    request.path = path_;
    if (!is_patched_) {
      request.method = "PATCH";
      request.content_type = "application/merge-patch+json";
      request.body = patch_;
    }
    call_ = client_.request(std::move(request), [this](ApiReply reply) { heard(reply); });
  }

  void heard(const ApiReply& reply) {
    if (reply.status == 404) return end(int64_t{0});
    // What the server refuses it will refuse again.
    if (reply.status / 100 == 4 && reply.status != 409 && reply.status != 429)
      return end(Error(reply.problem()));
    if (reply.ok()) {
      is_patched_ = true;

      auto state = rollout_state(reply.body);

      if (state && state->is_done()) return end(state->nodes);
      last_ = state ? fmt::format("{} of {} nodes have it",
                                  std::min(state->changed, state->ready), state->nodes)
                    : state.error().message();
    } else {
      last_ = reply.problem();
    }
    next_.after(kPause);
  }

  void give_up() { end(Error(fmt::format("not done in time: {}", last_))); }

  observe::Loop& loop_;
  ApiClient& client_;
  const std::string path_;
  const std::string patch_;
  bool is_patched_ = false;
  std::string last_ = "no answer";
  std::optional<Result<int64_t>> outcome_;
  ApiCall call_;
  Timer next_;
  Timer limit_;
};

}  // namespace

Result<DaemonSetName> parse_daemon_set_name(const std::string& text) {
  size_t slash = text.find('/');

  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-./") != std::string::npos ||
      slash == 0 || slash == std::string::npos || slash + 1 == text.size() ||
      text.find('/', slash + 1) != std::string::npos || text.find("..") != std::string::npos)
    return Error(fmt::format("{}: not a DaemonSet's name: NAMESPACE/NAME", text));
  return DaemonSetName{text.substr(0, slash), text.substr(slash + 1)};
}

Result<RolloutState> rollout_state(const std::string& body) {
  auto object = nlohmann::json::parse(body, nullptr, false);

  if (object.is_discarded()) return Error("the API server's answer is no JSON");

  RolloutState state;

  state.nodes = number_at(object, {"status", "desiredNumberScheduled"});
  state.changed = number_at(object, {"status", "updatedNumberScheduled"});
  state.ready = number_at(object, {"status", "numberReady"});
  state.is_current = number_at(object, {"status", "observedGeneration"}, -1) ==
                     number_at(object, {"metadata", "generation"}, -2);
  return state;
}

Result<int64_t> roll_out(const ApiAccess& access, const DaemonSetName& name,
                         const std::string& patch, std::chrono::seconds limit) {
  auto loop = observe::Loop::make();
  if (!loop) return std::move(loop.error());
  auto client = ApiClient::make(**loop, access);
  if (!client) return std::move(client.error());

  Rollout rollout(
      **loop, **client,
      fmt::format("/apis/apps/v1/namespaces/{}/daemonsets/{}", name.space, name.name), patch);

  return rollout.run(limit);
}

}  // namespace partywall::kubernetes

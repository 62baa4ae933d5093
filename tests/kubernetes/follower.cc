// tests/kubernetes/follower.cc: the agent's Kubernetes client by itself, for tests against a
// real API server: follows, publishes and aggregates, and answers questions on standard input,
// one JSON object a line. Its times are short.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/observe/loop.h"
#include "agent/source/kubernetes/aggregator.h"
#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/leader_lease.h"
#include "agent/source/kubernetes/reflector.h"
#include "agent/source/kubernetes/tenant_node_publisher.h"

namespace partywall::kubernetes {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr ReflectorLimits kLimits{.page_objects = 10,
                                  .page_deadline = 3s,
                                  .watch_time = 3s,
                                  .idle_grace = 2s,
                                  .event_deadline = 2s,
                                  .backoff_least = 50ms,
                                  .backoff_most = 500ms,
                                  .steady = 1s,
                                  .stale_after = 6s};
constexpr AggregatorTimes kAggregatorTimes{.settle = 200ms, .spacing = 200ms};
constexpr LeaseTimes kTimes{.duration = 3s, .renew = 1s, .look = 1s};

// The objects of one resource.
struct Followed {
  Followed(ApiClient& client, Selection selection)
      : reflector(client, std::move(selection),
                  {.put = [this](const json& object) { objects[key_of(object)] = object; },
                   .gone =
                       [this](const std::string& key) {
                         objects.erase(key);
                         ++gone;
                       },
                   .synced = [] {}},
                  kLimits) {}

  json state() const {
    const Reflector::Facts& facts = reflector.facts();
    json versions = json::object();

    for (const auto& [key, object] : objects)
      versions[key] = text_at(object, {"metadata", "resourceVersion"});
    return {{"objects", versions},          {"gone", gone},
            {"synced", reflector.synced()}, {"stale", reflector.stale()},
            {"lists", facts.lists},         {"watches", facts.watches},
            {"events", facts.events},       {"repeated", facts.repeated},
            {"errors", facts.errors},       {"last_error", facts.last_error}};
  }

  std::map<std::string, json> objects;
  int gone = 0;
  Reflector reflector;
};

class Follower {
 public:
  Follower(observe::Loop& loop, ApiClient& client, const std::string& node,
           const std::string& uid)
      : loop_(loop),
        client_(client),
        maps_(client, {.path = "/api/v1/namespaces/watched/configmaps"}),
        spaces_(client, {.path = "/api/v1/namespaces", .metadata_only = true}),
        publisher_(client, {node, uid}),
        lease_(
            client, "default", "partywall-aggregator", node,
            [this](bool leads) { lead(leads); }, kTimes) {}

  json answer(const json& asked) {
    const std::string& order = text_at(asked, {"do"});

    if (order == "publish")
      publisher_.publish(asked.at("tenants").get<std::map<std::string, json>>());
    if (order == "select") maps_.reflector.change_selector(text_at(asked, {"labels"}), "");
    if (order == "stop") lease_.give_up([this] { loop_.stop(); });
    return {{"maps", maps_.state()},
            {"namespaces", spaces_.state()},
            {"leads", lease_.leads()},
            {"settled", publisher_.settled()},
            {"publisher", publisher_.facts().last_error},
            {"writer", aggregator_ ? aggregator_->last_error() : ""},
            {"requests", client_.facts().requests}};
  }
  json object_of(const json& asked) {
    auto found = spaces_.objects.find(text_at(asked, {"name"}));

    return found == spaces_.objects.end() ? json() : found->second;
  }

 private:
  void lead(bool leads) {
    aggregator_.reset();
    if (leads)
      aggregator_ = std::make_unique<Aggregator>(
          client_, [] { return Judgements(); }, kAggregatorTimes, kLimits);
  }

  observe::Loop& loop_;
  ApiClient& client_;
  Followed maps_;
  Followed spaces_;
  TenantNodePublisher publisher_;
  std::unique_ptr<Aggregator> aggregator_;
  LeaderLease lease_;
};

// Serves until standard input ends or somebody says stop.
Result<void> follow(const std::string& kubeconfig, const std::string& node,
                    const std::string& uid) {
  auto loop = observe::Loop::make();

  if (!loop) return std::move(loop.error());

  auto access = kubeconfig_access(kubeconfig);

  if (!access) return std::move(access.error());

  auto client = ApiClient::make(**loop, *access);

  if (!client) return std::move(client.error());

  Follower follower(**loop, **client, node, uid);
  std::string text;
  auto read = [&] {
    char bytes[64 << 10];
    ssize_t got = ::read(STDIN_FILENO, bytes, sizeof(bytes));

    if (got <= 0) return (*loop)->stop();
    text.append(bytes, static_cast<size_t>(got));
    for (size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      json asked = json::parse(text.substr(0, end));
      json said = text_at(asked, {"do"}) == "namespace" ? follower.object_of(asked)
                                                        : follower.answer(asked);

      fmt::print("{}\n", said.dump());
      std::fflush(stdout);
    }
  };

  if (auto good = (*loop)->on_readable(STDIN_FILENO, read); !good) return good;
  (*loop)->run();
  return {};
}

}  // namespace
}  // namespace partywall::kubernetes

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: kubernetes_follower KUBECONFIG NODE NODE-UID\n");
    return 2;
  }

  auto done = partywall::kubernetes::follow(argv[1], argv[2], argv[3]);

  if (!done) fmt::print(stderr, "{}\n", done.error().message());
  return done ? 0 : 1;
}

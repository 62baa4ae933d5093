// tests/bench/all_pods.cc: what the agent does not do: one LIST and WATCH of all pods, by the
// agent's own reflector, which keeps of each what the agent keeps of its own node's. Answers
// each line of standard input with its figures as JSON.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/observe/loop.h"
#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/json_fields.h"
#include "agent/source/kubernetes/kube_config.h"
#include "agent/source/kubernetes/objects.h"
#include "agent/source/kubernetes/reflector.h"

namespace partywall::kubernetes {
namespace {

Result<void> follow(const std::string& kubeconfig) {
  auto loop = observe::Loop::make();

  if (!loop) return std::move(loop.error());

  auto access = kubeconfig_access(kubeconfig);

  if (!access) return std::move(access.error());

  auto client = ApiClient::make(**loop, *access);

  if (!client) return std::move(client.error());

  std::map<std::string, Pod> pods;
  Reflector reflector(
      **client, {.path = "/api/v1/pods"},
      {.put = [&](const nlohmann::json& object) { pods[key_of(object)] = read_pod(object); },
       .gone = [&](const std::string& key) { pods.erase(key); },
       // As the agent does, once it is ready.
       .synced = [] { malloc_trim(0); }});
  auto answer = [&] {
    char bytes[256];

    if (read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0) return (*loop)->stop();

    const Reflector::Facts& facts = reflector.facts();
    nlohmann::json figures = {{"synced", reflector.synced()},
                              {"pods", pods.size()},
                              {"events", facts.events},
                              {"bytes", facts.bytes},
                              {"requests", (*client)->facts().requests},
                              {"last_error", facts.last_error}};

    fmt::print("{}\n", figures.dump());
    std::fflush(stdout);
  };

  if (auto good = (*loop)->on_readable(STDIN_FILENO, answer); !good) return good;
  (*loop)->run();
  return {};
}

}  // namespace
}  // namespace partywall::kubernetes

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_all_pods KUBECONFIG\n");
    return 2;
  }

  auto done = partywall::kubernetes::follow(argv[1]);

  if (!done) fmt::print(stderr, "bench_all_pods: {}\n", done.error().message());
  return done ? 0 : 1;
}

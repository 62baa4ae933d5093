// tests/bench/changes.cc: what one changed tenant among 10,000 costs, step by step, and the
// memory that is held. A folder, pins and a managed root of its own, removed at the end.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "agent/policy/compile.h"
#include "agent/source/policy_folder.h"
#include "tests/bench/figure.h"
#include "tests/bench/stage.h"

namespace partywall::bench {
namespace {

namespace fs = std::filesystem;

size_t kTenantsPerFile = 100;
constexpr size_t kCgroups = 100;
constexpr uint32_t kMaxTenants = 16384;

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double rss_mb() {
  std::ifstream status("/proc/self/status");

  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

// The policy of tests/bench/agent_scale.py: 8 addresses and 2 IPv6 ranges for each tenant.
std::string tenant(const std::string& root, size_t number, size_t tenants,
                   std::string_view ceiling) {
  std::string own;

  for (size_t turn = 0; turn < 10; turn++) {
    size_t at = number + turn * tenants;

    own += turn ? ", " : "";
    own += turn < 8 ? fmt::format("10.{}.{}.{}", at >> 16 & 255, at >> 8 & 255, at & 255)
                    : fmt::format("\"fd00:0:{:x}:{:x}::/64\"", at >> 16, at & 0xffff);
  }
  return fmt::format(R"(---
apiVersion: partywall.dev/v1alpha1
kind: Tenant
metadata: {{name: t{1}}}
spec:
  tier: bench
  limits:
    egress: {{ceiling: {2}}}
  members:
    - cgroup: {0}/t{1}
      addresses: [{3}]
  network:
    egress:
      - to: [{{tenant: t{4}}}]
        ports: [{{protocol: TCP, port: 5432}}]
      - to: [{{cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    ingress:
      - from: [{{tenant: t{5}}}]
        ports: [{{protocol: TCP, port: 5432}}]
)",
                     root, number, ceiling, own, (number + 1) % tenants,
                     (number + tenants - 1) % tenants);
}

// Times of every step, by name.
class Clock {
 public:
  void start() { last_ = now_ms(); }
  void step(const std::string& name) {
    double now = now_ms();

    times_[name].push_back(now - last_);
    last_ = now;
  }
  void add(const std::string& name, double ms) { times_[name].push_back(ms); }
  void print(std::string_view prefix) {
    for (auto& [name, times] : times_) {
      std::ranges::sort(times);
      print_figure(fmt::format("{}.{}.median", prefix, name), median(times), "ms");
      print_figure(fmt::format("{}.{}.p99", prefix, name), times[times.size() * 99 / 100],
                   "ms");
    }
    times_.clear();
  }

 private:
  double last_ = 0;
  std::map<std::string, std::vector<double>> times_;
};

Result<void> run(const std::string& name, size_t tenants, size_t changes) {
  std::string folder = fs::temp_directory_path() / name;
  auto stage = Stage::open(name, kMaxTenants);

  if (!stage) return std::move(stage.error());
  fs::create_directory(folder);

  std::unique_ptr<const std::string, void (*)(const std::string*)> cleanup(
      &folder, [](const std::string* path) { fs::remove_all(*path); });
  auto write = [&](size_t file, size_t changed, std::string_view ceiling) {
    std::ofstream text(folder + "/draft");

    for (size_t i = file * kTenantsPerFile; i < (file + 1) * kTenantsPerFile; i++)
      text << tenant("/" + name, i, tenants, i == changed ? ceiling : "1Gbit");
    text.close();
    fs::rename(folder + "/draft", fmt::format("{}/tenants-{}.yaml", folder, file));
  };

  std::ofstream(folder + "/tier.yaml") << R"(apiVersion: partywall.dev/v1alpha1
kind: Tier
metadata: {name: bench}
spec:
  limits:
    ingress: {ceiling: 1Gbit}
    packetsPerSecond: 200k
)";
  for (size_t file = 0; file < tenants / kTenantsPerFile; file++) write(file, tenants, "");
  for (size_t i = 0; i < std::min(tenants, kCgroups); i++)
    if (auto made = (*stage)->make_cgroup(fmt::format("t{}", i)); !made) return made;

  Clock clock;
  kernel::Datapath& datapath = (*stage)->datapath();
  auto source = source::PolicyFolder::open(folder);

  if (!source) return std::move(source.error());
  print_figure(fmt::format("changes.{}.rss.before", tenants), rss_mb(), "MB");

  policy::ParsedPolicy parsed;
  kernel::ImagePtr image;
  auto once = [&](const std::string& prefix) -> Result<void> {
    clock.start();
    double begin = now_ms();

    parsed = source->read({}, "/" + name);
    clock.step(prefix + "read");
    if (!parsed.problems.empty()) return fail("{}", to_string(parsed.problems[0]));

    auto compiled = policy::compile(parsed.policy, image ? image->numbers : datapath.numbers(),
                                    {.tenants = kMaxTenants});

    clock.step(prefix + "compile");
    if (!compiled) return std::move(compiled.error());
    image = std::make_shared<const policy::Image>(std::move(*compiled));

    double apply = now_ms();
    auto applied = datapath.apply(image);

    if (!applied) return std::move(applied.error());
    clock.add(prefix + "in-force", apply - begin + applied->seconds * 1000);
    clock.add(prefix + "apply", applied->seconds * 1000);
    clock.add(prefix + "barrier", now_ms() - apply - applied->seconds * 1000);
    return {};
  };

  for (const char* prefix : {"first.", "second."}) {
    if (auto done = once(prefix); !done) return done;
    print_figure(fmt::format("changes.{}.rss.{}held", tenants, prefix), rss_mb(), "MB");
  }
  clock.print(fmt::format("changes.{}", tenants));
  if (auto attached = datapath.attach(); !attached) return attached;
  for (size_t turn = 0; turn < changes; turn++) {
    size_t changed = turn * 37 % tenants;

    if (auto on = go_on(); !on) return on;
    write(changed / kTenantsPerFile, changed, fmt::format("{}Gbit", turn % 7 + 2));
    source->drain();
    if (auto done = once("change."); !done) return done;
  }
  clock.print(fmt::format("changes.{}", tenants));
  print_figure(fmt::format("changes.{}.rss", tenants), rss_mb(), "MB");
  return {};
}

}  // namespace
}  // namespace partywall::bench

int main(int argc, char** argv) {
  using namespace partywall::bench;

  std::string name = argc > 1 ? argv[1] : "pw-bench-changes";
  size_t tenants = argc > 2 ? std::stoul(argv[2]) : 10'000;
  size_t changes = argc > 3 ? std::stoul(argv[3]) : 200;
  if (argc > 4) kTenantsPerFile = std::stoul(argv[4]);

  end_politely();
  if (auto done = run(name, tenants, changes); !done) {
    say(done.error().message());
    return 1;
  }
  return 0;
}

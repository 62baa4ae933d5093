// tools/cli/check.cc: `partywall check`: would this policy be accepted? Offline; asks no agent.
#include <set>

#include "agent/policy/compile.h"
#include "tools/cli/policy_reading.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

struct CheckFlags {
  std::string path;
  std::string config;
  std::string managed_root;
  uint32_t max_tenants = 1024;
};

size_t count_rules(const policy::Policy& policy) {
  size_t count = 0;

  for (const auto& [name, tenant] : policy.tenants)
    for (const auto* rules : {&tenant.ingress, &tenant.egress})
      if (*rules) count += (*rules)->size();
  return count;
}

// Rows of the map port_pages: 64 ports of one protocol each.
size_t count_pages(const policy::PortSet& ports) {
  size_t count = 0;

  for (const auto* ranges : {&ports.tcp, &ports.udp}) {
    std::set<int> pages;

    for (auto [first, last] : *ranges)
      for (int page = first / 64; page <= last / 64; page++) pages.insert(page);
    count += pages.size();
  }
  return count;
}

size_t count_entries(const policy::Image& image) {
  size_t count = image.tenants.size() + image.endpoints.size() + image.pairs.size();

  for (const auto& [ports, number] : image.numbers.port_sets) count += count_pages(ports);
  return count;
}

std::string counted(size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

void check(const CheckFlags& flags, Session& session) {
  auto read = read_policy(flags.path, flags.config, flags.managed_root);

  if (!read) return session.broken(read.error());
  if (!read->problems.empty()) {
    for (const policy::Problem& problem : read->problems)
      fmt::print(stderr, "{}\n", policy::to_string(problem));
    session.note(fmt::format("check policy: {}: {}; nothing of it would take effect",
                             flags.path, counted(read->problems.size(), "problem")));
    session.exit = kExitRefused;
    return;
  }
  auto image = policy::compile(read->policy, {}, {.tenants = flags.max_tenants});

  if (!image) {
    session.broken(
        std::move(image.error()).within(fmt::format("check policy: {}", flags.path)));
    session.exit = kExitRefused;
    return;
  }
  size_t entries = count_entries(*image);

  print(fmt::format(
      "{}: ok: {}, {}, {}, {}\n", flags.path, counted(read->policy.tenants.size(), "tenant"),
      counted(read->policy.tiers.size(), "tier"), counted(count_rules(read->policy), "rule"),
      entries == 1 ? "1 map entry" : fmt::format("{} map entries", entries)));
}

}  // namespace

void add_check(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("check", "Say whether a policy would be accepted");
  auto flags = std::make_shared<CheckFlags>();

  verb->add_option("path", flags->path, "Policy file or folder (YAML)")->required();
  verb->add_option("--config", flags->config,
                   "Agent configuration, for its infrastructure lane");
  verb->add_option("--cgroup-root", flags->managed_root,
                   "Managed root that member cgroups must lie below; not checked when absent");
  verb->add_option("--max-tenants", flags->max_tenants, "Rows that the agent's maps have")
      ->capture_default_str()
      ->check(CLI::Range(2, 65535));
  verb->callback([flags, &session] { check(*flags, session); });
}

}  // namespace partywall::cli

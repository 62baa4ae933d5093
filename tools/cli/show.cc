// tools/cli/show.cc: `partywall show tenant NAME`: members, rules, limits and their use,
// counters.
#include <time.h>

#include <thread>

#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/node_cgroups.h"
#include "tools/cli/policy_reading.h"
#include "tools/cli/rates.h"
#include "tools/cli/tenant_page.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

constexpr std::chrono::milliseconds kSample(250);

uint64_t monotonic_ns() {
  timespec now{};

  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void show_tenant(const std::string& name, Format format, Session& session) {
  auto enforced = Enforced::open(session.bpffs);

  if (!enforced) return session.broken(enforced.error());

  auto row = enforced->tenant(name);

  if (!row) return session.broken(row.error());
  agent_status(session);

  TenantPage page{.name = name, .number = row->number};
  TenantUsage before = enforced->usage(row->number);
  uint64_t started_ns = monotonic_ns();

  std::this_thread::sleep_for(kSample);  // a rate needs two readings
  page.usage = enforced->usage(row->number);
  page.now_ns = monotonic_ns();
  page.rates =
      rates_between(page.usage, before, static_cast<double>(page.now_ns - started_ns) / 1e9);
  page.kernel_policy = enforced->policy(row->number);
  page.meters = enforced->meters(row->number);

  if (auto cgroups = node_cgroups(*enforced))
    page.cgroups = topmost_of(*cgroups, static_cast<uint16_t>(row->number));
  else
    session.note(cgroups.error().message());

  auto read = read_policy_in_force(session);

  if (read)
    page.policy = &read->policy;
  else
    session.note(read.error().message() + "; what stands in it is left out");
  print(is_data(format) ? data_text(tenant_json(page), format)
                        : tenant_text(page, session.colored()));
}

}  // namespace

void add_show(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("show", "Show one thing in full");
  CLI::App* tenant =
      verb->add_subcommand("tenant", "A tenant: members, rules, limits, counters");
  auto name = std::make_shared<std::string>();
  auto format = std::make_shared<Format>(Format::kTable);

  verb->require_subcommand(1);
  tenant->add_option("name", *name, "Name of the tenant")->required();
  add_format(*tenant, *format);
  tenant->callback([name, format, &session] { show_tenant(*name, *format, session); });
}

}  // namespace partywall::cli

// tools/cli/status.cc: `partywall status`: is the policy in force, and is the agent alive?
#include <time.h>

#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/node_cgroups.h"
#include "tools/cli/quantity.h"
#include "tools/cli/table.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

double seconds_since(uint64_t unix_ns) {
  timespec now{};

  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9 -
         static_cast<double>(unix_ns) / 1e9;
}

std::string utc_text(uint64_t unix_ns) {
  auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
  tm utc{};
  char text[32];

  gmtime_r(&seconds, &utc);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void status(Format format, Session& session) {
  auto enforced = Enforced::open(session.bpffs);

  if (!enforced) return session.broken(enforced.error());

  std::optional<Json> agent = agent_status(session);
  const abi::control control = enforced->control();
  const abi::health health = enforced->health();
  size_t in_use = 0, audit = 0;

  for (const TenantRow& row : enforced->tenants(false)) {
    in_use += row.in_use;
    audit += row.in_use && row.audit;
  }
  auto root = managed_root(*enforced);

  if (is_data(format)) {
    Json data = {{"generation", control.generation},
                 {"enforced_at", utc_text(control.enforced_at_unix_ns)},
                 {"schema", control.schema},
                 {"tenants", in_use},
                 {"tenants_in_audit", audit},
                 {"max_tenants", control.max_tenants},
                 {"managed_root", root ? Json(*root) : Json()},
                 {"managed_root_cgroup_id", control.root_cgroup_id},
                 {"health",
                  {{"members_full_total", health.members_full_total},
                   {"changes_lost_total", health.changes_lost_total},
                   {"peers_full_total", health.peers_full_total},
                   {"syscalls_lost_total", health.syscalls_lost_total}}},
                 {"agent_running", agent.has_value()}};

    if (agent) data["agent"] = *agent;
    return print(data_text(data, format));
  }
  bool colored = session.colored();
  Table table({{""}, {""}});

  table.add({"agent", agent ? paint("running", Color::kGreen, colored)
                            : paint("not running", Color::kYellow, colored)});
  if (control.generation)
    table.add(
        {"policy", fmt::format("generation {}, in force for {}", control.generation,
                               human_duration(seconds_since(control.enforced_at_unix_ns)))});
  else
    table.add({"policy", paint("none has taken effect yet", Color::kYellow, colored)});
  table.add({"tenants", fmt::format("{} of {}, {} in audit mode", in_use,
                                    control.max_tenants - 1, audit)});
  table.add({"managed root", root ? *root : root.error().message()});
  for (auto [name, count] : {std::pair{"cgroups without a slot", health.members_full_total},
                             std::pair{"cgroup changes lost", health.changes_lost_total},
                             std::pair{"UDP replies untracked", health.peers_full_total},
                             std::pair{"system calls uncounted", health.syscalls_lost_total}})
    if (count || format == Format::kWide)
      table.add(
          {name,
           count ? paint(human_count(static_cast<double>(count)), Color::kRed, colored) : "0"});
  // What the agent says of itself, as it says it.
  if (agent)
    for (const auto& [key, value] : agent->items()) {
      if (value.is_structured() && format != Format::kWide) continue;
      table.add({"agent " + key, value.is_string() ? value.get<std::string>() : value.dump()});
    }
  print(table.render());
}

}  // namespace

void add_status(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("status", "Say what is in force and whether the agent runs");
  auto format = std::make_shared<Format>(Format::kTable);

  add_format(*verb, *format);
  verb->callback([format, &session] { status(*format, session); });
}

}  // namespace partywall::cli

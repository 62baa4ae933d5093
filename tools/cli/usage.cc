// tools/cli/usage.cc: `partywall usage`: what each tenant moved and was refused since the
// counters began.
#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/quantity.h"
#include "tools/cli/table.h"
#include "tools/cli/usage_json.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

std::vector<std::string> cells_of(const std::string& name, const DirectionUsage& usage,
                                  uint64_t calls_denied, unsigned direction, bool wide) {
  std::vector<std::string> cells = {name, direction == abi::DIRECTION_EGRESS ? "out" : "in"};
  auto count = [](uint64_t packets) { return human_count(static_cast<double>(packets)); };

  for (abi::peer_class peer :
       {abi::CLASS_SAME_TENANT, abi::CLASS_OTHER_TENANT, abi::CLASS_WORLD,
        abi::CLASS_INFRASTRUCTURE, abi::CLASS_LOOPBACK})
    cells.push_back(human_bytes(usage.passed[peer].bytes));
  cells.push_back(count(usage.denied().packets + calls_denied));
  cells.push_back(count(usage.connections));
  if (wide) {
    cells.push_back(count(usage.limited().packets));
    cells.push_back(human_bytes(usage.passed_total().bytes));
    cells.push_back(count(usage.passed_total().packets));
    cells.push_back(human_bytes(usage.denied().bytes + usage.limited().bytes));
    cells.push_back(count(usage.would_refuse_total().packets));
  }
  return cells;
}

void usage(const std::string& only, Format format, Session& session) {
  auto enforced = Enforced::open(session.bpffs);

  if (!enforced) return session.broken(enforced.error());
  agent_status(session);

  bool wide = format == Format::kWide;
  Json data = Json::array();
  std::vector<Column> columns = {{"TENANT"}, {""}};

  for (const char* title : {"OWN", "TENANTS", "WORLD", "INFRA", "LOOPBACK", "DENIED", "CONNS"})
    columns.push_back({title, Column::kRight});
  if (wide)
    for (const char* title : {"LIMITED", "TOTAL", "PACKETS", "REFUSED", "WOULD REFUSE"})
      columns.push_back({title, Column::kRight});

  Table table(columns);

  for (const TenantRow& row : enforced->tenants(true)) {
    if (!only.empty() && row.name != only) continue;

    TenantUsage used = enforced->usage(row.number);

    if (is_data(format)) {
      Json one = {{"name", row.name}, {"number", row.number}};

      one.update(usage_json(used));
      data.push_back(std::move(one));
      continue;
    }
    // Calls are denied before there is a packet; a tenant makes them on its way out.
    table.add(cells_of(row.name, used.direction[0], used.calls_denied_total(), 0, wide));
    table.add(cells_of("", used.direction[1], 0, 1, wide));
  }
  if (!only.empty() && table.size() == 0 && data.empty())
    return session.broken(fail(
        "usage: {}: the kernel knows no tenant of that name; see partywall tenants", only));
  print(is_data(format) ? data_text(data, format) : table.render());
}

}  // namespace

void add_usage(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("usage", "Print what each tenant used, in total");
  auto format = std::make_shared<Format>(Format::kTable);
  auto tenant = std::make_shared<std::string>();

  verb->add_option("--tenant", *tenant, "Only this one");
  verb->footer(
      "Wire bytes that passed, by peer: OWN = same tenant, TENANTS = other tenants, INFRA =\n"
      "infrastructure lane. DENIED = packets and calls, CONNS = TCP connections opened (out)\n"
      "and accepted (in). In audit mode, what would be refused counts as passed.");
  add_format(*verb, *format);
  verb->callback([format, tenant, &session] { usage(*tenant, *format, session); });
}

}  // namespace partywall::cli

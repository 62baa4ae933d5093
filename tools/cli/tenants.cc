// tools/cli/tenants.cc: `partywall tenants`: every tenant, where it lives, what it was refused.
#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/node_cgroups.h"
#include "tools/cli/policy_reading.h"
#include "tools/cli/quantity.h"
#include "tools/cli/table.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

size_t count_of(const std::vector<NodeCgroup>& cgroups, uint32_t tenant) {
  return topmost_of(cgroups, static_cast<uint16_t>(tenant)).size();
}

std::string joined(const std::vector<policy::Prefix>& addresses) {
  std::string text;

  for (const policy::Prefix& prefix : addresses)
    text += (text.empty() ? "" : ",") + policy::to_string(prefix);
  return text;
}

const char* mode_of(const TenantRow& row) {
  return !row.in_use ? "removed" : row.audit ? "audit" : "enforce";
}

void tenants(Format format, Session& session) {
  auto enforced = Enforced::open(session.bpffs);

  if (!enforced) return session.broken(enforced.error());
  agent_status(session);

  // Tiers and addresses stand in the policy only; without it the list is still right.
  auto policy = read_policy_in_force(session);
  auto cgroups = node_cgroups(*enforced);

  if (!policy) session.note(policy.error().message() + "; what stands in it is left out");
  if (!cgroups) session.note(cgroups.error().message());

  Json data = Json::array();
  bool wide = format == Format::kWide;
  std::vector<Column> columns = {{"TENANT"},
                                 {"TIER"},
                                 {"MODE"},
                                 {"CGROUPS", Column::kRight},
                                 {"SENT", Column::kRight},
                                 {"RECEIVED", Column::kRight},
                                 {"DENIED", Column::kRight}};

  if (wide)
    columns.insert(columns.end(), {{"NUMBER", Column::kRight},
                                   {"CONNECTIONS", Column::kRight},
                                   {"LIMITED", Column::kRight},
                                   {"ADDRESSES"}});

  Table table(columns);

  for (const TenantRow& row : enforced->tenants(false)) {
    TenantUsage usage = enforced->usage(row.number);
    const DirectionUsage& out = usage.direction[abi::DIRECTION_EGRESS];
    const DirectionUsage& in = usage.direction[abi::DIRECTION_INGRESS];
    std::string tier, addresses;
    Json list = Json::array();

    if (policy)
      if (auto found = policy->policy.tenants.find(row.name);
          found != policy->policy.tenants.end()) {
        tier = found->second.tier;
        addresses = joined(found->second.addresses);
        for (const policy::Prefix& prefix : found->second.addresses)
          list.push_back(policy::to_string(prefix));
      }
    size_t members = cgroups ? count_of(*cgroups, row.number) : 0;
    uint64_t denied = out.denied().packets + in.denied().packets + usage.calls_denied_total();
    uint64_t limited = out.limited().packets + in.limited().packets;

    if (is_data(format)) {
      data.push_back({{"name", row.name},
                      {"number", row.number},
                      {"tier", tier},
                      {"mode", mode_of(row)},
                      {"addresses", std::move(list)},
                      {"cgroups", members},
                      {"sent_bytes", out.passed_total().bytes},
                      {"received_bytes", in.passed_total().bytes},
                      {"denied_total", denied},
                      {"limited_packets", limited}});
      continue;
    }
    std::vector<std::string> cells = {row.name,
                                      tier,
                                      mode_of(row),
                                      std::to_string(members),
                                      human_bytes(out.passed_total().bytes),
                                      human_bytes(in.passed_total().bytes),
                                      human_count(static_cast<double>(denied))};

    if (wide)
      cells.insert(cells.end(),
                   {std::to_string(row.number),
                    human_count(static_cast<double>(out.connections + in.connections)),
                    human_count(static_cast<double>(limited)), addresses});
    table.add(std::move(cells));
  }
  print(is_data(format) ? data_text(data, format) : table.render());
}

}  // namespace

void add_tenants(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("tenants", "List the tenants of this node");
  auto format = std::make_shared<Format>(Format::kTable);

  add_format(*verb, *format);
  verb->callback([format, &session] { tenants(*format, session); });
}

}  // namespace partywall::cli

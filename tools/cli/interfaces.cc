// tools/cli/interfaces.cc: `partywall interfaces`: the workloads' interfaces of this node, and
// whose they are.
#include <net/if.h>

#include "maps/abi/interfaces.h"
#include "tools/cli/agent_client.h"
#include "tools/cli/enforced.h"
#include "tools/cli/table.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

std::string mac_text(const abi::interface& row) {
  if (!(row.flags & INTERFACE_HAS_MAC)) return "";
  return fmt::format("{:02x}", fmt::join(row.mac, row.mac + sizeof(row.mac), ":"));
}

// The programs watch interfaces of the agent's network namespace; the names are this one's.
std::string name_of(uint32_t ifindex) {
  char name[IF_NAMESIZE] = {};

  return if_indextoname(ifindex, name) ? name : "";
}

void interfaces(Format format, Session& session) {
  auto enforced = Enforced::open(session.bpffs);
  auto rows = MappedArray<const abi::interface>::open(session.bpffs, "interfaces");

  if (!enforced) return session.broken(enforced.error());
  if (!rows) return session.broken(rows.error());
  agent_status(session);

  Json data = Json::array();
  Table table({{"INTERFACE"},
               {"TENANT"},
               {"BOUND BY"},
               {"LINK ADDRESS"},
               {"REPLIES"},
               {"IFINDEX", Column::kRight}});
  std::vector<TenantRow> tenants = enforced->tenants(false);
  uint32_t side = enforced->control().side & 1;

  for (const abi::interface& row : rows->rows()) {
    if (row.ifindex == 0 || row.flags & INTERFACE_HOST) continue;

    uint16_t tenant = row.tenant[side];
    const char* by = tenant ? "policy" : row.cgroup_id ? "cgroup" : "nobody";

    if (!tenant && row.cgroup_id) tenant = enforced->member(row.cgroup_id);

    std::string owner;
    std::string name = name_of(row.ifindex);
    bool strict = row.flags & INTERFACE_STRICT;

    for (const TenantRow& one : tenants)
      if (tenant && one.number == tenant) owner = one.name;
    if (is_data(format)) {
      data.push_back({{"name", name},
                      {"ifindex", row.ifindex},
                      {"tenant", owner.empty() ? Json() : Json(owner)},
                      {"bound_by", by},
                      {"cgroup_id", row.cgroup_id},
                      {"link_address", mac_text(row)},
                      {"strict", strict}});
      continue;
    }
    table.add({name.empty() ? "?" : name, owner.empty() ? "-" : owner, by, mac_text(row),
               strict ? "of known flows" : "of any TCP", std::to_string(row.ifindex)});
  }
  if (!is_data(format) && table.size() == 0)
    return session.note(
        "no interface is attached: name the host ends of workloads' interfaces with "
        "--edge-interfaces, or in a tenant's members");
  print(is_data(format) ? data_text(data, format) : table.render());
}

}  // namespace

void add_interfaces(CLI::App& app, Session& session) {
  CLI::App* verb =
      app.add_subcommand("interfaces", "List workloads' interfaces, and whose they are");
  auto format = std::make_shared<Format>(Format::kTable);

  add_format(*verb, *format);
  verb->callback([format, &session] { interfaces(*format, session); });
}

}  // namespace partywall::cli

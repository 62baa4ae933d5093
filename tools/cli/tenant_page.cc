// tools/cli/tenant_page.cc: lays the page out, section by section. Pure.
#include "tools/cli/tenant_page.h"

#include "maps/words.h"
#include "tools/cli/explain_text.h"
#include "tools/cli/quantity.h"
#include "tools/cli/table.h"
#include "tools/cli/usage_json.h"

namespace partywall::cli {
namespace {

constexpr abi::direction kBoth[] = {abi::DIRECTION_EGRESS, abi::DIRECTION_INGRESS};

std::string peer_text(const policy::PeerSelector& peer) {
  if (!peer.tenant.empty()) return "tenant " + peer.tenant;
  if (!peer.cidr) return "nobody";

  std::string text = policy::to_string(*peer.cidr);

  for (size_t i = 0; i < peer.except.size(); i++)
    text += (i ? ", " : " except ") + policy::to_string(peer.except[i]);
  return text;
}

std::string port_text(const policy::PortRange& range) {
  if (range.protocol == policy::Protocol::kIcmp) return "ICMP";
  if (range.protocol == policy::Protocol::kTunnel) return "TUNNEL";

  std::string protocol = range.protocol == policy::Protocol::kTcp ? "TCP" : "UDP";

  if (range.first == 0 && range.last == 65535) return protocol;
  if (range.first == range.last) return fmt::format("{} {}", protocol, range.first);
  return fmt::format("{} {}-{}", protocol, range.first, range.last);
}

// What holds when the tenant wrote no list at all.
std::string default_text(const TenantPage& page, const policy::Tenant& tenant,
                         abi::direction direction) {
  auto tier = page.policy->tiers.find(tenant.tier);

  if (tier == page.policy->tiers.end()) return "no list";

  policy::WorldDefault world = direction == abi::DIRECTION_EGRESS ? tier->second.world_egress
                                                                  : tier->second.world_ingress;

  return fmt::format("no list: tier {} {} the world; no other tenant", tier->first,
                     world == policy::WorldDefault::kAllow ? "allows" : "denies");
}

const policy::Tenant* tenant_of(const TenantPage& page) {
  if (!page.policy) return nullptr;

  auto found = page.policy->tenants.find(page.name);

  return found == page.policy->tenants.end() ? nullptr : &found->second;
}

std::string heading_text(const TenantPage& page, const policy::Tenant* tenant, bool colored) {
  Table table({{""}, {""}});
  std::string cgroups, patterns, addresses;

  table.add({"tenant", paint(page.name, Color::kBold, colored)});
  table.add({"number", std::to_string(page.number)});
  table.add({"mode", page.kernel_policy.flags & TENANT_AUDIT
                         ? paint("audit: what would be denied passes", Color::kYellow, colored)
                         : "enforce"});
  if (tenant) {
    table.add({"tier", tenant->tier});
    table.add({"written in", place(tenant->at)});
    for (size_t i = 0; i < tenant->cgroups.size(); i++)
      table.add({i ? "" : "members", policy::to_string(tenant->cgroups[i])});
    for (size_t i = 0; i < tenant->addresses.size(); i++)
      table.add({i ? "" : "addresses", policy::to_string(tenant->addresses[i])});
  }
  constexpr size_t kShown = 10;

  for (size_t i = 0; i < std::min(page.cgroups.size(), kShown); i++)
    table.add({i ? "" : "cgroups here",
               page.cgroups[i].path + (page.cgroups[i].populated ? "" : " (no process)")});
  if (page.cgroups.empty()) table.add({"cgroups here", "none"});
  if (page.cgroups.size() > kShown)
    table.add({"", fmt::format("and {} more; -o json has all", page.cgroups.size() - kShown)});
  return table.render();
}

std::string rules_text(const TenantPage& page, const policy::Tenant& tenant) {
  Table table({{"RULES"}, {""}, {"WRITTEN IN"}});

  for (abi::direction direction : kBoth) {
    const auto& rules = direction == abi::DIRECTION_EGRESS ? tenant.egress : tenant.ingress;

    if (!rules)
      table.add({kDirections[direction], default_text(page, tenant, direction), ""});
    else if (rules->empty())
      table.add({kDirections[direction], "an empty list: nobody", place(tenant.at)});
    else
      for (const policy::Rule& rule : *rules)
        table.add({kDirections[direction], rule_text(rule, direction), place(rule.at)});
  }
  return "\n" + table.render();
}

std::string limits_text(const TenantPage& page, const policy::Tenant* tenant, bool colored) {
  Table table({{"LIMITS"},
               {"RATE", Column::kRight},
               {"NOW", Column::kRight},
               {"USED", Column::kRight},
               {"BURST", Column::kRight},
               {"BURST USED", Column::kRight},
               {"FROM"}});

  for (abi::direction direction : kBoth)
    for (bool packets : {false, true}) {
      auto use = limit_use(page.kernel_policy, page.meters, page.rates, direction, packets,
                           page.now_ns);

      if (!use) continue;

      const abi::rate& rate =
          packets ? page.kernel_policy.packets[direction] : page.kernel_policy.bytes[direction];
      LimitLine line{.packets = packets, .from = "the kernel"};

      line.rate.per_second = rate.per_second;
      line.rate.burst = static_cast<uint64_t>(static_cast<double>(rate.per_second) *
                                              static_cast<double>(rate.burst_ns) / 1e9);
      if (tenant)
        for (const LimitLine& written : limits_of(*page.policy, *tenant))
          if (written.direction == direction && written.packets == packets) line = written;

      std::string now = packets ? human_count(page.rates.packets[direction]) + " packets/s"
                                : human_bit_rate(page.rates.bits[direction]);
      bool tight = use->burst_share >= 1;

      table.add({kDirections[direction], rate_text(line), now, human_share(use->rate_share),
                 burst_text(line),
                 tight ? paint(human_share(use->burst_share), Color::kRed, colored)
                       : human_share(use->burst_share),
                 line.from});
    }
  return table.size() ? "\n" + table.render() : "\nNo limits.\n";
}

std::string counters_text(const TenantPage& page) {
  Table traffic(
      {{"TRAFFIC"}, {"PEER"}, {"BYTES", Column::kRight}, {"PACKETS", Column::kRight}});
  Table refused(
      {{"REFUSED"}, {"REASON"}, {"BYTES", Column::kRight}, {"COUNT", Column::kRight}});
  auto count = [](uint64_t value) { return human_count(static_cast<double>(value)); };

  for (abi::direction direction : kBoth) {
    const DirectionUsage& usage = page.usage.direction[direction];

    for (unsigned peer = 0; peer < abi::CLASS_COUNT; peer++)
      if (usage.passed[peer].packets)
        traffic.add({kDirections[direction], kClasses[peer].label,
                     human_bytes(usage.passed[peer].bytes), count(usage.passed[peer].packets)});
    traffic.add({kDirections[direction], "connections", "", count(usage.connections)});
    for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++) {
      const Sum& hard = usage.refused[reason];
      const Sum& soft = usage.would_refuse[reason];

      if (hard.packets)
        refused.add({kDirections[direction], kReasons[reason].label, human_bytes(hard.bytes),
                     count(hard.packets)});
      if (soft.packets)
        refused.add({fmt::format("{} (would)", kDirections[direction]), kReasons[reason].label,
                     human_bytes(soft.bytes), count(soft.packets)});
    }
  }
  for (unsigned reason = 0; reason < abi::REASON_COUNT; reason++) {
    if (page.usage.calls_denied[reason])
      refused.add(
          {"calls", kReasons[reason].label, "", count(page.usage.calls_denied[reason])});
    if (page.usage.calls_would_deny[reason])
      refused.add({"calls (would)", kReasons[reason].label, "",
                   count(page.usage.calls_would_deny[reason])});
  }
  return "\n" + traffic.render() + "\n" +
         (refused.size() ? refused.render() : "Nothing was refused.\n");
}

}  // namespace

std::string rule_text(const policy::Rule& rule, abi::direction direction) {
  std::string text = direction == abi::DIRECTION_EGRESS ? "to " : "from ";

  if (rule.peers.empty()) text += "nobody";
  for (size_t i = 0; i < rule.peers.size(); i++)
    text += (i ? ", " : "") + peer_text(rule.peers[i]);
  if (!rule.ports) return text;
  text += ": ";
  if (rule.ports->empty()) text += "no port";
  for (size_t i = 0; i < rule.ports->size(); i++)
    text += (i ? ", " : "") + port_text((*rule.ports)[i]);
  return text;
}

std::string tenant_text(const TenantPage& page, bool colored) {
  const policy::Tenant* tenant = tenant_of(page);
  std::string text = heading_text(page, tenant, colored);

  if (tenant) text += rules_text(page, *tenant);
  return text + limits_text(page, tenant, colored) + counters_text(page);
}

Json tenant_json(const TenantPage& page) {
  const policy::Tenant* tenant = tenant_of(page);
  Json data = {{"name", page.name},
               {"number", page.number},
               {"mode", page.kernel_policy.flags & TENANT_AUDIT ? "audit" : "enforce"}};

  if (tenant) {
    data["tier"] = tenant->tier;
    data["written_in"] = place(tenant->at);
    data["members"] = Json::array();
    for (const auto& pattern : tenant->cgroups)
      data["members"].push_back(policy::to_string(pattern));
    data["addresses"] = Json::array();
    for (const auto& prefix : tenant->addresses)
      data["addresses"].push_back(policy::to_string(prefix));
    for (abi::direction direction : kBoth) {
      const auto& rules = direction == abi::DIRECTION_EGRESS ? tenant->egress : tenant->ingress;

      if (!rules) continue;

      Json list = Json::array();

      for (const policy::Rule& rule : *rules)
        list.push_back({{"rule", rule_text(rule, direction)}, {"written_in", place(rule.at)}});
      data["rules"][kDirections[direction]] = list;
    }
  }
  data["cgroups"] = Json::array();
  for (const NodeCgroup& cgroup : page.cgroups)
    data["cgroups"].push_back({{"path", cgroup.path}, {"populated", cgroup.populated}});
  data["limits"] = Json::array();
  for (abi::direction direction : kBoth)
    for (bool packets : {false, true})
      if (auto use = limit_use(page.kernel_policy, page.meters, page.rates, direction, packets,
                               page.now_ns)) {
        const abi::rate& rate = packets ? page.kernel_policy.packets[direction]
                                        : page.kernel_policy.bytes[direction];

        data["limits"].push_back({{"direction", kDirections[direction]},
                                  {"unit", packets ? "packets" : "bytes"},
                                  {"per_second", rate.per_second},
                                  {"burst_ns", rate.burst_ns},
                                  {"rate_share", use->rate_share},
                                  {"burst_share", use->burst_share}});
      }
  data["usage"] = usage_json(page.usage);
  return data;
}

}  // namespace partywall::cli

// tools/cli/explain_limits.cc: the limits that a flow, or a tenant, is charged to. Pure.
#include "tools/cli/explain_text.h"
#include "tools/cli/quantity.h"

namespace partywall::cli {
namespace {

void add(const policy::Policy& policy, const policy::Tenant& tenant, abi::direction direction,
         bool packets, std::vector<LimitLine>& lines) {
  policy::LimitsInForce limits = policy::limits_in_force(policy, tenant);
  const policy::RateLimit* limit =
      packets ? limits.packets[direction] : limits.bytes[direction];
  const auto& own = packets ? tenant.limits.packets[direction] : tenant.limits.bytes[direction];

  if (!limit) return;

  LimitLine line{.tenant = tenant.name,
                 .direction = direction,
                 .packets = packets,
                 .rate = *limit,
                 .from = own ? "tenant" : "tier " + tenant.tier};

  line.from += fmt::format(" ({})", place(limit->at));
  lines.push_back(std::move(line));
}

}  // namespace

std::string place(const policy::Position& at) {
  if (at.file.empty()) return "built in";
  return at.line ? fmt::format("{}:{}:{}", at.file, at.line, at.column) : at.file;
}

std::vector<LimitLine> limits_of(const policy::Policy& policy, const policy::Tenant& tenant) {
  std::vector<LimitLine> lines;

  for (abi::direction direction : {abi::DIRECTION_EGRESS, abi::DIRECTION_INGRESS})
    for (bool packets : {false, true}) add(policy, tenant, direction, packets, lines);
  return lines;
}

std::vector<LimitLine> limits_on(const policy::Policy& policy, const Explanation& flow) {
  std::vector<LimitLine> lines;

  for (const Side& side : flow.sides) {
    auto found = policy.tenants.find(side.tenant);

    // Packets inside a tenant are charged like any others, once on each way.
    if (side.reply || found == policy.tenants.end()) continue;
    for (bool packets : {false, true})
      add(policy, found->second, side.direction, packets, lines);
  }
  return lines;
}

std::string rate_text(const LimitLine& limit) {
  auto rate = static_cast<double>(limit.rate.per_second);

  return limit.packets ? human_count(rate) + " packets/s" : human_bit_rate(rate * 8);
}

std::string burst_text(const LimitLine& limit) {
  return limit.packets ? human_count(static_cast<double>(limit.rate.burst)) + " packets"
                       : human_bytes(limit.rate.burst);
}

}  // namespace partywall::cli

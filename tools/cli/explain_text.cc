// tools/cli/explain_text.cc: an explanation as a page of text or as JSON. Pure.
#include "tools/cli/explain_text.h"

#include <netinet/in.h>

#include "maps/words.h"
#include "tools/cli/table.h"

namespace partywall::cli {
namespace {

using policy::Policy;
using policy::Protocol;

std::string protocol_text(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp:
      return "TCP";
    case Protocol::kUdp:
      return "UDP";
    case Protocol::kIcmp:
      return "ICMP";
    case Protocol::kTunnel:
      break;
  }
  return "TUNNEL";
}

std::string ports_text(const Explanation& flow) {
  std::string text;

  if (flow.question.protocol == Protocol::kIcmp) return "ICMP";
  if (flow.question.protocol == Protocol::kTunnel) return "TUNNEL";
  if (flow.question.port)
    return fmt::format("{} port {}", protocol_text(flow.question.protocol), flow.port);
  if (flow.open_ports.empty())
    return fmt::format("{}, whatever the port", protocol_text(flow.question.protocol));
  for (auto [first, last] : flow.open_ports) {
    if (!text.empty()) text += ", ";
    text += first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
  }
  if (text == "1-65535")
    text = "on every port";
  else
    text = "on " + text + " only";
  return protocol_text(flow.question.protocol) + " " + text;
}

// The rule, list or built-in that spoke.
std::string decided_by(const Policy& policy, const Side& side) {
  const policy::Verdict& verdict = side.verdict;
  bool egress = side.direction == abi::DIRECTION_EGRESS;
  auto tenant = policy.tenants.find(side.tenant);

  if (verdict.infrastructure)
    return fmt::format("infrastructure {} ({})", verdict.infrastructure->name,
                       place(verdict.infrastructure->at));
  switch (verdict.reason) {
    case abi::REASON_ALLOW_SAME_TENANT:
      return "built in";
    case abi::REASON_ALLOW_LOOPBACK:
      return "the receiver";
    case abi::REASON_ALLOW_HOST_PROCESS:
      return "the sender, a host process";
    case abi::REASON_ALLOW_TENANT_REPLY:
    case abi::REASON_ALLOW_WORLD_REPLY:
      return "what opened the flow";
    default:
      break;
  }
  const policy::Rule* rule = egress ? verdict.egress_rule : verdict.ingress_rule;

  if (rule && verdict.allow) return place(rule->at);
  if (verdict.reason == abi::REASON_DENY_TENANT_PORT) return "ports of the rules";
  if (verdict.peer_class == abi::CLASS_OTHER_TENANT) return "the floor between tenants";
  if (tenant == policy.tenants.end() || verdict.peer_class != abi::CLASS_WORLD)
    return "built in";

  const auto& rules = egress ? tenant->second.egress : tenant->second.ingress;

  if (rules) return fmt::format("no rule of {} ({})", tenant->first, place(tenant->second.at));

  auto tier = policy.tiers.find(tenant->second.tier);

  return tier == policy.tiers.end()
             ? "built in"
             : fmt::format("default of tier {} ({})", tier->first, place(tier->second.at));
}

std::string verdict_word(const Side& side, bool colored) {
  if (side.verdict.allow) return paint("allow", Color::kGreen, colored);
  return side.verdict.audit ? paint("would deny", Color::kYellow, colored)
                            : paint("deny", Color::kRed, colored);
}

std::string headline(const Explanation& flow, bool colored) {
  std::string word = flow.sides.empty() ? paint("not judged", Color::kGreen, colored)
                     : !flow.passes()   ? paint("deny", Color::kRed, colored)
                     : flow.audited()   ? paint("allow (audit mode)", Color::kYellow, colored)
                                        : paint("allow", Color::kGreen, colored);

  return fmt::format("{}: {} -> {}, {}\n", word, flow.from.name, flow.to.name,
                     ports_text(flow));
}

std::string sides_text(const Policy& policy, const Explanation& flow, bool colored) {
  Table table({{"SIDE"}, {"TENANT"}, {"VERDICT"}, {"REASON"}, {"DECIDED BY"}});
  std::vector<abi::reason> told;
  std::string sentences;
  bool denied = false;

  for (const Side& side : flow.sides) {
    // What is stopped on its way is never answered.
    if (side.reply && denied) {
      table.add({"reply", "", "-", "", "nothing arrives that could be answered"});
      break;
    }
    table.add({fmt::format("{}{}", side.reply ? "reply " : "", kDirections[side.direction]),
               side.tenant, verdict_word(side, colored), kReasons[side.verdict.reason].label,
               decided_by(policy, side)});
    denied = denied || !side.passes();
    if (std::find(told.begin(), told.end(), side.verdict.reason) != told.end()) continue;
    told.push_back(side.verdict.reason);

    std::string label = kReasons[side.verdict.reason].label;
    std::string sentence = kReasons[side.verdict.reason].sentence;

    sentences += sentence.starts_with(label + ":") ? fmt::format("{}\n", sentence)
                                                   : fmt::format("{}: {}\n", label, sentence);
  }
  return "\n" + table.render() + "\n" + sentences;
}

// Writing a first rule changes more than the flow in question.
std::string list_warning(const Policy& policy, const std::vector<Missing>& missing) {
  std::string text;

  for (const auto& [name, tenant] : policy.tenants)
    for (const Missing& lack : missing) {
      bool egress = lack.field == fmt::format("tenant {}, spec.network.egress", name);

      if (!egress || tenant.egress) continue;

      auto tier = policy.tiers.find(tenant.tier);

      if (tier != policy.tiers.end() &&
          tier->second.world_egress == policy::WorldDefault::kAllow)
        text += fmt::format(
            "note: {} has no egress list yet, so its tier lets it talk with the world; a list "
            "replaces that\n",
            name);
    }
  return text;
}

std::string missing_text(const Policy& policy, const Explanation& flow) {
  std::vector<Missing> missing = missing_for(policy, flow);
  std::string text;

  if (missing.empty()) return text;
  text += "\nTo allow it, add\n";
  for (const Missing& lack : missing)
    text += fmt::format("  {}: {}:\n    {}\n", place(lack.at), lack.field, lack.add);
  return text + list_warning(policy, missing);
}

std::string limits_text(const Policy& policy, const Explanation& flow) {
  std::vector<LimitLine> limits = limits_on(policy, flow);

  if (flow.sides.empty()) return "";
  if (limits.empty()) return "\nNo limit applies.\n";

  Table table(
      {{"LIMIT"}, {"TENANT"}, {"RATE", Column::kRight}, {"BURST", Column::kRight}, {"FROM"}});

  for (const LimitLine& limit : limits)
    table.add({kDirections[limit.direction], limit.tenant, rate_text(limit), burst_text(limit),
               limit.from});
  return "\n" + table.render();
}

}  // namespace

std::string explain_text(const Policy& policy, const Explanation& flow, bool colored) {
  std::string text = headline(flow, colored);

  if (flow.sides.empty())
    return text + "\nNeither end is a tenant; Partywall leaves such traffic alone.\n";
  text += sides_text(policy, flow, colored) + missing_text(policy, flow) +
          limits_text(policy, flow);
  if (!flow.notes.empty()) text += "\n";
  for (const std::string& note : flow.notes) text += "note: " + note + "\n";
  return text;
}

Json explain_json(const Policy& policy, const Explanation& flow) {
  Json data = {{"from", flow.from.name},
               {"to", flow.to.name},
               {"protocol", protocol_text(flow.question.protocol)}};

  if (flow.question.port) data["port"] = flow.port;
  data["passes"] = flow.passes();
  data["audit"] = flow.audited();
  if (!flow.question.port && flow.question.protocol != Protocol::kIcmp &&
      flow.question.protocol != Protocol::kTunnel) {
    data["open_ports"] = Json::array();
    for (auto [first, last] : flow.open_ports)
      data["open_ports"].push_back({{"first", first}, {"last", last}});
  }
  data["sides"] = Json::array();
  for (const Side& side : flow.sides)
    data["sides"].push_back({{"side", kDirections[side.direction]},
                             {"reply", side.reply},
                             {"tenant", side.tenant},
                             {"allow", side.verdict.allow},
                             {"audit", side.verdict.audit},
                             {"reason", kReasons[side.verdict.reason].label},
                             {"class", kClasses[side.verdict.peer_class].label},
                             {"decided_by", decided_by(policy, side)}});
  data["missing"] = Json::array();
  for (const Missing& lack : missing_for(policy, flow))
    data["missing"].push_back(
        {{"at", place(lack.at)}, {"field", lack.field}, {"add", lack.add}});
  data["limits"] = Json::array();
  for (const LimitLine& limit : limits_on(policy, flow))
    data["limits"].push_back({{"tenant", limit.tenant},
                              {"direction", kDirections[limit.direction]},
                              {"unit", limit.packets ? "packets" : "bytes"},
                              {"per_second", limit.rate.per_second},
                              {"burst", limit.rate.burst},
                              {"from", limit.from}});
  data["notes"] = flow.notes;
  return data;
}

}  // namespace partywall::cli
